//! Committees: thresholds, every refusal, and what the digest covers.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use consensus_core::{
    Authority, AuthorityIndex, Committee, CommitteeError, Epoch, LeaderSchedule, LeaderSlot, ProtocolKey,
    Round, Stake,
    committee::{MAX_AUTHORITIES, MAX_TOTAL_STAKE},
    testkit,
};

fn members(stakes: &[u64]) -> Vec<Authority> {
    let signers = testkit::signers(u16::try_from(stakes.len()).expect("small"));
    let member = |(signer, stake): (&consensus_core::Signer, &u64)| Authority {
        stake: Stake::new(*stake),
        protocol_key: signer.public_key(),
        network_key: signer.public_key().to_bytes(),
        address: "127.0.0.1:7100".to_owned(),
    };
    signers.iter().zip(stakes).map(member).collect()
}

fn committee(authorities: Vec<Authority>) -> Result<Committee, CommitteeError> {
    Committee::new(Epoch::GENESIS, authorities)
}

fn changed(stakes: &[u64], change: impl FnOnce(&mut Vec<Authority>)) -> Result<Committee, CommitteeError> {
    let mut authorities = members(stakes);
    change(&mut authorities);
    committee(authorities)
}

const fn at(place: u16) -> AuthorityIndex {
    AuthorityIndex::new(place)
}

#[test]
fn thresholds_are_the_least_stakes_over_two_thirds_and_over_one_third() {
    for total in 1..=20u64 {
        let equal = testkit::committee(&vec![1; usize::try_from(total).expect("small")]).0;
        let single = testkit::committee(&[total]).0;
        for committee in [equal, single] {
            let (quorum, validity) =
                (committee.quorum_threshold().get(), committee.validity_threshold().get());
            assert!(3 * quorum > 2 * total && 3 * (quorum - 1) <= 2 * total, "total {total}: {quorum}");
            assert!(3 * validity > total && 3 * (validity - 1) <= total, "total {total}: {validity}");
            assert!(committee.is_quorum(Stake::new(quorum)));
            assert!(!committee.is_quorum(Stake::new(quorum - 1)));
        }
    }
}

#[test]
fn thresholds_of_known_committees() {
    let thresholds = |stakes: &[u64]| {
        let committee = testkit::committee(stakes).0;
        let total = committee.total_stake().get();
        (total, committee.quorum_threshold().get(), committee.validity_threshold().get())
    };
    assert_eq!(thresholds(&[1]), (1, 1, 1));
    assert_eq!(thresholds(&[1, 1]), (2, 2, 1));
    assert_eq!(thresholds(&[1; 3]), (3, 3, 2));
    assert_eq!(thresholds(&[1; 4]), (4, 3, 2));
    assert_eq!(thresholds(&[1; 7]), (7, 5, 3));
    assert_eq!(thresholds(&[1; 10]), (10, 7, 4));
    assert_eq!(thresholds(&[1, 2, 3, 4]), (10, 7, 4));
    assert_eq!(thresholds(&[5, 1, 1, 2]), (9, 7, 4));
    assert_eq!(thresholds(&[MAX_TOTAL_STAKE]).1, MAX_TOTAL_STAKE / 3 * 2 + 1);
}

#[test]
fn a_committee_has_1_to_1000_members() {
    assert_eq!(committee(Vec::new()), Err(CommitteeError::Size { count: 0 }));
    assert!(committee(members(&[1])).is_ok());
    assert_eq!(committee(members(&[1; MAX_AUTHORITIES])).map(|c| c.size()), Ok(1000));
    assert_eq!(committee(members(&[1; 1001])), Err(CommitteeError::Size { count: 1001 }));
}

#[test]
fn every_member_has_stake() {
    let no_stake = CommitteeError::NoStake { authority: at(2) };
    assert_eq!(committee(members(&[1, 1, 0, 1])), Err(no_stake));
}

#[test]
fn the_total_stake_has_a_bound() {
    assert!(committee(members(&[MAX_TOTAL_STAKE])).is_ok());
    assert!(committee(members(&[MAX_TOTAL_STAKE - 1, 1])).is_ok());
    assert_eq!(committee(members(&[MAX_TOTAL_STAKE, 1])), Err(CommitteeError::TotalStake));
    // A sum that would wrap around to something small is refused all the same.
    assert_eq!(committee(members(&[u64::MAX, 2])), Err(CommitteeError::TotalStake));
}

#[test]
fn members_rise_strictly_by_key() {
    let swapped = changed(&[1; 4], |members| members.swap(1, 2));
    assert_eq!(swapped, Err(CommitteeError::Order { authority: at(2) }));
    let repeated = changed(&[1; 4], |members| members[3].protocol_key = members[2].protocol_key);
    assert_eq!(repeated, Err(CommitteeError::Order { authority: at(3) }));
}

#[test]
fn a_network_key_belongs_to_one_member() {
    let repeated = changed(&[1; 4], |members| members[3].network_key = members[0].network_key);
    assert_eq!(repeated, Err(CommitteeError::NetworkKeyRepeated { authority: at(3) }));
}

#[test]
fn an_address_has_1_to_255_bytes() {
    let with_length = |length| changed(&[1; 4], |members| members[1].address = "a".repeat(length));
    assert_eq!(with_length(0), Err(CommitteeError::Address { authority: at(1), length: 0 }));
    assert!(with_length(1).is_ok());
    assert!(with_length(255).is_ok());
    assert_eq!(with_length(256), Err(CommitteeError::Address { authority: at(1), length: 256 }));
}

#[test]
fn members_are_found_by_place_and_by_either_key() {
    let (committee, signers) = testkit::committee(&[1, 2, 3, 4]);
    for (place, signer) in committee.indexes().zip(&signers) {
        let key = signer.public_key();
        assert_eq!(committee.index_of(&key), Some(place));
        assert_eq!(committee.index_of_network_key(&key.to_bytes()), Some(place));
        assert_eq!(committee.stake(place), Stake::new(u64::from(place.get()) + 1));
    }
    let stranger = consensus_core::Signer::from_bytes([9; 32]).public_key();
    assert_eq!(committee.index_of(&stranger), None);
    assert_eq!(committee.index_of_network_key(&stranger.to_bytes()), None);
    assert_eq!(committee.stake(at(4)), Stake::ZERO);
    assert_eq!(committee.authority(at(4)), None);
}

#[test]
fn f05_the_digest_covers_every_field_and_the_epoch() {
    let digest = |change: fn(&mut Vec<Authority>)| changed(&[1; 4], change).expect("valid").digest();
    let later = Committee::new(Epoch::new(1), members(&[1; 4])).expect("valid").digest();
    let digests = std::collections::BTreeSet::from([
        later,
        digest(|_| {}),
        digest(|members| members[1].stake = Stake::new(2)),
        digest(|members| members[1].network_key = [1; 32]),
        digest(|members| members[1].address = "127.0.0.1:7101".to_owned()),
        digest(|members| drop(members.pop())),
    ]);
    assert_eq!(digests.len(), 6);
}

#[test]
fn bytes_that_are_no_point_of_the_curve_are_no_key() {
    let mut none = [0; 32];
    none[0] = 2;
    assert_eq!(ProtocolKey::from_bytes(none), None);
    let key = testkit::signers(1)[0].public_key();
    assert_eq!(ProtocolKey::from_bytes(key.to_bytes()), Some(key));
}

#[test]
fn leaders_go_round_robin_over_slots_whatever_the_stakes() {
    let (committee, _) = testkit::committee(&[100, 1, 1, 1]);
    let schedule = LeaderSchedule::new(&committee, 2);
    let leaders = |round| -> Vec<u16> {
        schedule.slots(Round::new(round)).map(|slot| schedule.leader(slot).get()).collect()
    };
    assert_eq!((1..=5).map(leaders).collect::<Vec<_>>(), [[1, 2], [2, 3], [3, 0], [0, 1], [1, 2]]);
    let slot = |round, offset| LeaderSlot { round: Round::new(round), offset };
    assert_eq!(schedule.next(slot(3, 0)), slot(3, 1));
    assert_eq!(schedule.next(slot(3, 1)), slot(4, 0));
    assert_eq!(schedule.slot_of(Round::new(3), at(0)), Some(slot(3, 1)));
    assert_eq!(schedule.slot_of(Round::new(3), at(1)), None);
    assert_eq!(schedule.leader(slot(u64::MAX, 1)).get(), 0);
}

#[test]
fn no_more_leaders_than_members() {
    let (committee, _) = testkit::committee(&[1, 1]);
    assert_eq!(LeaderSchedule::new(&committee, 5).slots(Round::FIRST).count(), 2);
}
