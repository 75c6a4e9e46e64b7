//! Order of peers, places, hedges, accounts and giving up.

use super::*;
use crate::types::{BlockDigest, Round};

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

fn block(number: u64, author: u16) -> BlockRef {
    BlockRef { round: Round::new(number), author: authority(author), digest: BlockDigest::new([7; 32]) }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Authority 0 with a time-out of 500 ms.
fn schedule(authorities: u16) -> FetchSchedule {
    FetchSchedule::new(authority(0), authorities, Duration::from_millis(500))
}

/// A block that authority 1 names and has.
fn want(schedule: &mut FetchSchedule, now: u64, block: BlockRef) {
    schedule.want(at(now), block, authority(1), authority(1), false);
}

fn due(schedule: &mut FetchSchedule, now: u64) -> Vec<Fetch> {
    schedule.expire(at(now));
    schedule.due(at(now))
}

fn asked(fetches: &[Fetch]) -> Vec<(u16, usize)> {
    fetches.iter().map(|fetch| (fetch.peer.get(), fetch.blocks.len())).collect()
}

fn end_all(schedule: &mut FetchSchedule, now: u64, fetches: &[Fetch], end: FetchEnd) {
    fetches.iter().for_each(|fetch| schedule.ended(at(now), fetch.id, end));
}

#[test]
fn who_named_it_is_asked_then_its_author_then_the_others_at_once_after_each_empty_answer() {
    let mut schedule = schedule(5);
    want(&mut schedule, 0, block(5, 2));
    assert_eq!(due(&mut schedule, 49), []);
    let mut peers = Vec::new();
    let mut now = 50;
    for _ in 0..7 {
        let fetches = due(&mut schedule, now);
        assert_eq!(fetches.len(), 1);
        assert_eq!(due(&mut schedule, now), [], "one question at a time");
        peers.push(fetches[0].peer.get());
        end_all(&mut schedule, now + 1, &fetches, FetchEnd::Answered);
        now = schedule.next_deadline().expect("it is still wanted").as_millis();
    }
    assert_eq!(peers[..4], [1, 2, 3, 4], "never authority 0 itself");
    // It had named the block and did not have it, so it is asked last now.
    assert_eq!(peers[4..], [2, 3, 4]);
}

#[test]
fn an_overdue_question_is_put_to_one_more_peer_and_a_late_answer_does_no_harm() {
    let mut schedule = schedule(4);
    want(&mut schedule, 0, block(5, 2));
    let first = due(&mut schedule, 50);
    assert_eq!(due(&mut schedule, 549), []);
    let second = due(&mut schedule, 550);
    assert_eq!((asked(&second), schedule.status().hedged_total), (vec![(2, 1)], 1));
    end_all(&mut schedule, 600, &first, FetchEnd::Answered);
    end_all(&mut schedule, 600, &first, FetchEnd::Answered);
    assert_eq!(due(&mut schedule, 600), [], "the second is still under way");
    let status = schedule.status();
    assert_eq!((status.asked_total, status.overdue_total, status.empty_total), (2, 1, 0));
}

#[test]
fn a_peer_that_does_not_answer_is_asked_last_and_not_never() {
    let mut schedule = schedule(4);
    want(&mut schedule, 0, block(5, 2));
    due(&mut schedule, 50);
    let second = due(&mut schedule, 550);
    schedule.forget(&block(5, 2));
    end_all(&mut schedule, 551, &second, FetchEnd::Answered);
    want(&mut schedule, 2_000, block(9, 3));
    let mut peers = Vec::new();
    while peers.len() < 3 {
        let now = schedule.next_deadline().expect("wanted").as_millis();
        let fetches = due(&mut schedule, now);
        peers.extend(fetches.iter().map(|fetch| fetch.peer.get()));
        end_all(&mut schedule, now, &fetches, FetchEnd::Answered);
    }
    assert_eq!(peers, [3, 2, 1], "authority 1 has named it, and was silent before");
}

#[test]
fn what_is_forgotten_is_never_asked_for() {
    let mut schedule = schedule(4);
    want(&mut schedule, 0, block(5, 2));
    schedule.forget(&block(5, 2));
    assert_eq!(schedule.next_deadline(), None);
    assert_eq!(due(&mut schedule, 10_000), []);
}

#[test]
fn a_question_has_at_most_a_thousand_blocks_and_the_rest_follows_its_end() {
    let mut schedule = schedule(4);
    for number in 1..=1_001 {
        want(&mut schedule, 0, block(number, 2));
    }
    let fetches = due(&mut schedule, 50);
    assert_eq!(asked(&fetches), [(1, 1_000)]);
    assert_eq!(schedule.next_deadline(), Some(at(550)), "never in the present: the driver would spin");
    (1..=1_000).for_each(|number| schedule.forget(&block(number, 2)));
    end_all(&mut schedule, 60, &fetches, FetchEnd::Answered);
    assert_eq!(asked(&due(&mut schedule, 60)), [(1, 1)]);
    assert_eq!(schedule.status().useful_total, 1);
}

#[test]
fn at_most_sixteen_questions_are_under_way_and_two_a_peer() {
    let mut schedule = schedule(40);
    for author in 1..=17 {
        schedule.want(at(0), block(5, author), authority(author), authority(author), false);
    }
    let fetches = due(&mut schedule, 50);
    assert_eq!((fetches.len(), schedule.status().under_way), (16, 16));
    assert_eq!(schedule.next_deadline(), Some(at(550)), "only an end makes room");
    schedule.forget(&fetches[0].blocks[0]);
    end_all(&mut schedule, 60, &fetches[..1], FetchEnd::Answered);
    assert_eq!(due(&mut schedule, 60).len(), 1);

    let mut schedule = self::schedule(4);
    let mut peers = Vec::new();
    for number in 1..=5 {
        schedule.want(at(number), block(number, 3), authority(1), authority(1), true);
        peers.extend(due(&mut schedule, number).iter().map(|fetch| fetch.peer.get()));
    }
    assert_eq!(peers, [1, 1, 3, 3], "the second best has time, and then nobody whom it makes sense to ask");
    assert!(schedule.next_deadline() > Some(at(5)));
}

#[test]
fn t07_a_block_is_exhausted_after_eight_questions() {
    let mut schedule = schedule(4);
    want(&mut schedule, 0, block(5, 2));
    let (mut questions, mut now) = (0, 50);
    while schedule.exhausted.is_empty() {
        let fetches = due(&mut schedule, now);
        questions += fetches.len();
        end_all(&mut schedule, now, &fetches, FetchEnd::Failed);
        now = schedule.next_deadline().map_or(now, Timestamp::as_millis);
    }
    assert_eq!((questions, schedule.take_exhausted().len()), (8, 1));
    assert!(now > 2_000, "other peers had time to come back, {now}");
    assert_eq!(due(&mut schedule, 60_000), []);
    schedule.retry(at(60_000), block(5, 2));
    assert_eq!((due(&mut schedule, 60_999).len(), due(&mut schedule, 61_000).len()), (0, 1));
}

/// Authority 1 invents without end, authority 2's blocks name what exists.
#[test]
fn t07_one_authors_inventions_do_not_delay_what_others_name() {
    let mut schedule = schedule(4);
    let (mut real, mut worst) = (1u64, 0);
    let mut refs_asked = 0;
    for now in 0..10_000u64 {
        for number in 0..4 {
            schedule.want(at(now), block(1_000_000 + now * 4 + number, 3), authority(1), authority(1), true);
        }
        if now.is_multiple_of(100) {
            real += 1;
            schedule.want(at(now), block(real, 3), authority(2), authority(2), true);
            // The inventor names it too, and first it would be.
            schedule.want(at(now), block(real, 3), authority(1), authority(1), true);
        }
        for fetch in due(&mut schedule, now) {
            for found in fetch.blocks.iter().filter(|block| block.round.get() < 1_000_000) {
                worst = worst.max(now - (found.round.get() - 2) * 100);
                schedule.forget(found);
            }
            refs_asked += fetch.blocks.len();
            schedule.ended(at(now), fetch.id, FetchEnd::Answered);
        }
        for block in schedule.take_exhausted() {
            schedule.forget(&block);
        }
    }
    assert!(worst <= 1, "a question for what exists waited {worst} ms");
    let most = 1_000 + 10 * 500 + 200;
    assert!(refs_asked <= most, "40000 inventions cost {refs_asked} references in 10 s, at most {most}");
    assert!(schedule.status().asked_total <= 125 + 10 * 20 * 3 + 200, "{:?}", schedule.status());
}

#[test]
fn t07_silent_peers_hold_no_place_for_long() {
    let mut schedule = schedule(40);
    for author in 1..=16 {
        schedule.want(at(0), block(5, author), authority(author), authority(author), true);
    }
    assert_eq!(due(&mut schedule, 0).len(), 16);
    schedule.want(at(1), block(5, 20), authority(20), authority(20), true);
    assert_eq!(due(&mut schedule, 1), []);
    let fetches = due(&mut schedule, 500);
    assert!(fetches.iter().any(|fetch| fetch.blocks.contains(&block(5, 20))), "{fetches:?}");
    // Nobody tells the ends: after two time-outs they are not waited for.
    for now in (500..60_000).step_by(50) {
        due(&mut schedule, now);
        assert!(schedule.asks.len() <= 32 && schedule.status().under_way <= 16);
    }
}

#[test]
fn a_committee_of_one_asks_nobody() {
    let mut schedule = schedule(1);
    schedule.want(at(0), block(5, 0), authority(0), authority(0), false);
    assert_eq!(due(&mut schedule, 1_000), []);
}
