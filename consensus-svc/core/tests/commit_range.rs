//! Ranges of certified commits: what is served is taken, and every way of tampering with it is named.

#![allow(missing_docs)]

use std::{cell::Cell, sync::Arc, time::Duration};

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, Block, BlockVerifier, ChainPoint, Commit, CommitDigest, CommitIndex, CommittedSubDag,
    Fork, MAX_GROUP_BYTES, Params, RangeBytes, RangeError, RangeSource, Round, Stake, Timestamp, Transaction,
    VerifiedBlock, collect_range, max_range_bytes,
    testkit::{
        self,
        network::{TestNetwork, TestStore},
    },
    verify_range,
};

const LIMIT_BYTES: u64 = 4 << 20;

/// Ten seconds of a network of four with a transaction every 100 ms.
fn network() -> TestNetwork {
    let (genesis, signers) = testkit::genesis(4);
    let mut network = TestNetwork::start(genesis, signers, Params::default(), Duration::from_millis(20));
    for number in 0..100u64 {
        network.submit(authority(number), number, &number.to_be_bytes());
        network.run(Duration::from_millis(100));
    }
    network
}

fn authority(number: u64) -> AuthorityIndex {
    AuthorityIndex::new(u16::try_from(number % 4).expect("small"))
}

fn store(network: &TestNetwork) -> &TestStore {
    &network.node(authority(0)).store
}

fn verifier(network: &TestNetwork) -> BlockVerifier {
    BlockVerifier::new(Arc::clone(network.genesis()))
}

fn serve(store: &TestStore, first: u64, limit_bytes: u64) -> Option<RangeBytes> {
    collect_range(store, CommitIndex::new(first), limit_bytes).unwrap_or_else(|error| match error {})
}

fn point(store: &TestStore, index: u64) -> ChainPoint {
    let digest = match index.checked_sub(1) {
        None => CommitDigest::ZERO,
        Some(place) => store.commits[usize::try_from(place).expect("small")].1,
    };
    ChainPoint { index: CommitIndex::new(index), digest }
}

#[test]
fn a_range_from_any_commit_on_is_taken_and_holds_the_very_commits() {
    let network = network();
    let (store, verifier) = (store(&network), verifier(&network));
    let last = *store.certificates.keys().next_back().expect("commits are certified");
    assert!(last.get() > 20, "{last} commits are certified");
    for after in [0, 1, 7, last.get() - 1] {
        let range = serve(store, after + 1, LIMIT_BYTES).expect("it is certified");
        let range = verify_range(&verifier, point(store, after), range).expect("an honest range");
        assert_eq!(range.commits().len() as u64, last.get() - after);
        for sub_dag in range.commits() {
            assert_eq!(Some(sub_dag), store.sub_dag(sub_dag.commit.index).as_ref());
        }
        assert_eq!(Some(range.certificate()), store.certificates.get(&last));
    }
    assert_eq!(serve(store, last.get() + 1, LIMIT_BYTES), None);
    assert_eq!(serve(store, 0, LIMIT_BYTES), None);
}

#[test]
fn a_range_is_cut_by_bytes_at_a_certified_commit_and_holds_at_least_one_group() {
    let network = network();
    let (store, verifier) = (store(&network), verifier(&network));
    let (mut after, mut ranges) = (0, 0);
    while let Some(range) = serve(store, after + 1, 4_000) {
        let sizes = range.size_bytes();
        let range = verify_range(&verifier, point(store, after), range).expect("an honest range");
        assert!(sizes <= 4_000 || range.commits().len() == 1, "{sizes} bytes");
        after = range.certificate().index.get();
        ranges += 1;
    }
    assert!(ranges > 5, "{ranges} ranges");
    assert_eq!(Some(CommitIndex::new(after)), store.certificates.keys().next_back().copied());
}

/// Commits and certifiers are sent too, so they count: a reader decodes no more than the limit.
#[test]
fn t07_all_that_is_sent_counts_to_the_byte() {
    let network = network();
    let store = store(&network);
    let whole = serve(store, 1, LIMIT_BYTES).expect("it is certified");
    let blocks: usize = whole.blocks.iter().map(Bytes::len).sum();
    assert!(whole.size_bytes() > blocks as u64);
    assert_eq!(serve(store, 1, whole.size_bytes()).as_ref(), Some(&whole), "all of it, at the limit");
    let less = serve(store, 1, whole.size_bytes() - 1).expect("earlier ones");
    assert!(less.commits.len() < whole.commits.len() && less.size_bytes() < whole.size_bytes());
}

/// One group of 31 blocks of about 2 MiB, certified by as many as are wanted.
struct LargeGroup {
    sub_dag: CommittedSubDag,
    certifiers: Vec<VerifiedBlock>,
    /// Commits that were read.
    reads: Cell<usize>,
}

impl LargeGroup {
    /// Commit and blocks have this size together.
    fn of_size(network: &TestNetwork, size_bytes: u64, certifiers: usize) -> Self {
        let small = store(network).blocks.values().next().expect("a block").block().clone();
        let (_, signers) = testkit::genesis(4);
        let block = |round: u64, payload: u64| {
            let payload = vec![0; usize::try_from(payload).expect("small")];
            let transactions = vec![Transaction::new(payload.into())];
            Block { round: Round::new(round), transactions, ..small.clone() }.sign(&signers[0])
        };
        let group = |last: u64| {
            let mut blocks: Vec<_> = (1..31).map(|round| block(round, 2 << 20)).collect();
            blocks.push(block(31, last));
            let commit = Commit {
                index: CommitIndex::new(1),
                epoch: small.epoch,
                previous_digest: CommitDigest::ZERO,
                timestamp: Timestamp::default(),
                closing: true,
                leaders: vec![blocks[0].reference()],
                blocks: blocks.iter().map(VerifiedBlock::reference).collect(),
                duplicate_marks: Bytes::new(),
            };
            let sub_dag = CommittedSubDag { digest: commit.digest(), commit, blocks };
            Self { sub_dag, certifiers: vec![block(32, 2 << 20); certifiers], reads: Cell::new(0) }
        };
        let sized = |group: &Self| RangeBytes { certifiers: Vec::new(), ..group.range() }.size_bytes();
        let rest = size_bytes - sized(&group(0));
        group(rest)
    }

    fn range(&self) -> RangeBytes {
        let bytes = |block: &VerifiedBlock| block.signed_bytes().clone();
        RangeBytes {
            commits: vec![self.sub_dag.commit.canonical_bytes().into()],
            blocks: self.sub_dag.blocks.iter().map(bytes).collect(),
            certifiers: self.certifiers.iter().map(bytes).collect(),
        }
    }
}

impl RangeSource for LargeGroup {
    type Error = std::convert::Infallible;

    fn last_certified(&self) -> Result<CommitIndex, Self::Error> {
        Ok(self.sub_dag.commit.index)
    }

    fn next_certified(&self, first: CommitIndex) -> Result<Option<CommitIndex>, Self::Error> {
        Ok(Some(self.sub_dag.commit.index).filter(|index| first <= *index))
    }

    fn sub_dag(&self, _: CommitIndex) -> Result<Option<CommittedSubDag>, Self::Error> {
        self.reads.set(self.reads.get() + 1);
        Ok(Some(self.sub_dag.clone()))
    }

    fn certifiers(&self, _: CommitIndex) -> Result<Option<Vec<VerifiedBlock>>, Self::Error> {
        Ok(Some(self.certifiers.clone()).filter(|certifiers| !certifiers.is_empty()))
    }
}

/// The shortest range may be over the limit of an answer: its commits and blocks up to what is served at all and not by one byte
/// more, and on top of it the certifiers, however large; a reader decodes all of that.
#[test]
fn t07_l04_a_group_at_the_limit_is_served_with_any_certifiers_and_its_reader_decodes_it() {
    let network = network();
    let (genesis, _) = testkit::genesis(50);
    let verifier = BlockVerifier::new(Arc::new(genesis));
    for (size_bytes, is_served) in [(MAX_GROUP_BYTES, true), (MAX_GROUP_BYTES + 1, false)] {
        let group = LargeGroup::of_size(&network, size_bytes, 50);
        let whole = group.range();
        assert!(whole.certifiers.iter().all(|block| block.len() as u64 <= verifier.max_signed_bytes()));
        assert!(whole.size_bytes() > size_bytes + 50 * (2 << 20));
        assert!(!is_served || whole.size_bytes() <= max_range_bytes(&verifier));
        let Ok(served) = collect_range(&group, CommitIndex::new(1), LIMIT_BYTES);
        assert_eq!(served, is_served.then_some(whole));
    }
}

/// A question that can only be answered with nothing costs next to nothing.
#[test]
fn t07_no_commit_is_read_where_no_certificate_can_be_given() {
    let network = network();
    for (first, certifiers, reads) in [(1, 0, 0), (2, 1, 0), (1, 1, 1)] {
        let group = LargeGroup::of_size(&network, MAX_GROUP_BYTES, certifiers);
        let Ok(served) = collect_range(&group, CommitIndex::new(first), LIMIT_BYTES);
        assert_eq!((served.is_some(), group.reads.get()), (reads > 0, reads), "{certifiers} from {first}");
    }
}

#[test]
fn a_certificate_whose_blocks_are_not_held_is_not_served() {
    let network = network();
    let mut store = store(&network).clone();
    let last = *store.certificates.keys().next_back().expect("commits are certified");
    let lost = store.certificates[&last].blocks[0];
    store.blocks.remove(&lost);
    let range = serve(&store, 1, LIMIT_BYTES).expect("earlier ones are");
    let end = range.commits.len() as u64;
    assert!(end < last.get());
    assert!(!store.certificates[&CommitIndex::new(end)].blocks.contains(&lost));
}

/// What is refused, and by which name.
fn refusal(network: &TestNetwork, change: impl FnOnce(&mut RangeBytes)) -> RangeError {
    let store = store(network);
    let mut range = serve(store, 4, LIMIT_BYTES).expect("it is certified");
    change(&mut range);
    verify_range(&verifier(network), point(store, 3), range).expect_err("it was tampered with")
}

/// Changes the content of commits from `place` on and chains them again.
fn rewrite(range: &mut RangeBytes, place: usize, change: impl FnOnce(&mut Commit)) {
    let mut commits: Vec<Commit> =
        range.commits.iter().map(|bytes| Commit::decode(bytes.clone()).expect("honest")).collect();
    change(&mut commits[place]);
    for next in place + 1..commits.len() {
        commits[next].previous_digest = commits[next - 1].digest();
    }
    range.commits = commits.iter().map(|commit| commit.canonical_bytes().into()).collect();
}

#[test]
fn f03_commits_that_no_quorum_voted_for_are_refused() {
    let network = network();
    let forged =
        refusal(&network, |range| rewrite(range, 1, |commit| commit.timestamp = Timestamp::default()));
    assert!(matches!(forged, RangeError::NoVote { .. }), "{forged}");
    let few = refusal(&network, |range| range.certifiers.truncate(2));
    let RangeError::NotCertified { stake, quorum, .. } = few else { panic!("{few}") };
    assert_eq!((stake, quorum), (Stake::new(2), Stake::new(3)));
    let twice = refusal(&network, |range| range.certifiers[2] = range.certifiers[0].clone());
    assert!(matches!(twice, RangeError::CertifierRepeated { .. }), "{twice}");
    let many = refusal(&network, |range| range.certifiers = vec![range.certifiers[0].clone(); 5]);
    assert_eq!(many, RangeError::TooManyCertifiers { count: 5, size: 4 });
    let none = refusal(&network, |range| range.certifiers.clear());
    assert!(matches!(none, RangeError::NotCertified { .. }), "{none}");
    let earlier = refusal(&network, |range| {
        range.commits.pop();
    });
    assert!(
        matches!(earlier, RangeError::NoVote { .. } | RangeError::UnnamedBlock { .. }),
        "votes for a later commit are none for this one: {earlier}"
    );
}

#[test]
fn f03_votes_under_a_false_signature_certify_nothing() {
    let network = network();
    let refused = refusal(&network, |range| {
        let mut bytes = range.certifiers[0].to_vec();
        *bytes.last_mut().expect("a signature") ^= 1;
        range.certifiers[0] = bytes.into();
    });
    assert!(matches!(refused, RangeError::Certifier { position: 0, .. }), "{refused}");
}

#[test]
fn commits_out_of_place_are_refused() {
    let network = network();
    let expected = CommitIndex::new(4);
    assert_eq!(refusal(&network, |range| range.commits.clear()), RangeError::Empty);
    let shifted = refusal(&network, |range| {
        range.commits.remove(0);
    });
    assert_eq!(shifted, RangeError::Index { expected, found: CommitIndex::new(5) });
    let hole = refusal(&network, |range| {
        range.commits.remove(1);
    });
    assert_eq!(hole, RangeError::Index { expected: CommitIndex::new(5), found: CommitIndex::new(6) });
    let unchained = refusal(&network, |range| {
        let mut commit = Commit::decode(range.commits[1].clone()).expect("honest");
        commit.previous_digest = CommitDigest::new([1; 32]);
        range.commits[1] = commit.canonical_bytes().into();
    });
    assert_eq!(unchained, RangeError::Chain { index: CommitIndex::new(5) });
    let open =
        refusal(&network, |range| rewrite(range, range.commits.len() - 1, |commit| commit.closing = false));
    assert!(matches!(open, RangeError::NotClosing { .. }), "{open}");
    let hollow = refusal(&network, |range| rewrite(range, 0, |commit| commit.leaders.clear()));
    assert_eq!(hollow, RangeError::Hollow { index: expected });
    let epoch =
        refusal(&network, |range| rewrite(range, 0, |commit| commit.epoch = consensus_core::Epoch::new(1)));
    assert!(matches!(epoch, RangeError::WrongEpoch { .. }), "{epoch}");
}

#[test]
fn exactly_the_named_blocks_are_taken() {
    let network = network();
    let missing = refusal(&network, |range| {
        range.blocks.pop();
    });
    assert!(matches!(missing, RangeError::MissingBlock { .. }), "{missing}");
    let twice = refusal(&network, |range| range.blocks.push(range.blocks[0].clone()));
    assert!(matches!(twice, RangeError::UnnamedBlock { .. }), "{twice}");
    let other = refusal(&network, |range| range.blocks.push(range.certifiers[0].clone()));
    assert!(matches!(other, RangeError::UnnamedBlock { .. }), "{other}");
    let resigned = refusal(&network, |range| {
        let mut bytes = range.blocks[0].to_vec();
        *bytes.last_mut().expect("a signature") ^= 1;
        range.blocks[0] = bytes.into();
    });
    assert!(matches!(resigned, RangeError::Block { position: 0, .. }), "{resigned}");
}

/// The order of blocks in the answer means nothing: commits name theirs.
#[test]
fn blocks_may_come_in_any_order() {
    let network = network();
    let store = store(&network);
    let mut range = serve(store, 1, LIMIT_BYTES).expect("it is certified");
    range.blocks.reverse();
    verify_range(&verifier(&network), point(store, 0), range).expect("the same blocks");
}

#[test]
fn d07_a_certified_range_that_follows_another_commit_is_a_fork() {
    let network = network();
    let store = store(&network);
    let range = serve(store, 4, LIMIT_BYTES).expect("it is certified");
    let own = ChainPoint { index: CommitIndex::new(3), digest: CommitDigest::new([9; 32]) };
    let refused = verify_range(&verifier(&network), own, range).expect_err("another chain");
    let certified = point(store, 3).digest;
    assert_eq!(refused, RangeError::Forked(Fork { index: own.index, own: Some(own.digest), certified }));
}

/// Every bit of a range says something, and no bytes make the judge panic.
#[test]
fn t07_flipped_and_cut_bytes_are_refused() {
    let network = network();
    let store = store(&network);
    let honest = serve(store, 1, 1).expect("it is certified");
    let verifier = verifier(&network);
    let lists: [fn(&mut RangeBytes) -> &mut Vec<Bytes>; 3] =
        [|range| &mut range.commits, |range| &mut range.blocks, |range| &mut range.certifiers];
    for list in lists {
        for entry in 0..list(&mut honest.clone()).len() {
            let whole = list(&mut honest.clone())[entry].clone();
            for place in (0..whole.len()).step_by(7) {
                let mut flipped = honest.clone();
                let mut bytes = whole.to_vec();
                bytes[place] ^= 1 << (place % 8);
                list(&mut flipped)[entry] = bytes.into();
                assert!(
                    verify_range(&verifier, point(store, 0), flipped).is_err(),
                    "byte {place} of {entry}"
                );
                let mut cut = honest.clone();
                list(&mut cut)[entry] = whole.slice(..place);
                assert!(verify_range(&verifier, point(store, 0), cut).is_err());
            }
        }
    }
    assert!(verify_range(&verifier, point(store, 0), honest).is_ok());
}

/// A validator's own unrelated block: valid, and no certifier.
#[test]
fn f03_a_valid_block_without_the_vote_certifies_nothing() {
    let network = network();
    let stored = store(&network);
    let range = serve(stored, 4, LIMIT_BYTES).expect("it is certified");
    let end = 3 + range.commits.len() as u64;
    let votes_for = |block: &Block| block.commit_votes.iter().any(|vote| vote.index.get() == end);
    let stranger = stored.blocks.values().rfind(|block| !votes_for(block.block())).expect("most blocks");
    let refused = refusal(&network, |range| range.certifiers[0] = stranger.signed_bytes().clone());
    assert_eq!(refused, RangeError::NoVote { block: stranger.reference(), index: CommitIndex::new(end) });
}
