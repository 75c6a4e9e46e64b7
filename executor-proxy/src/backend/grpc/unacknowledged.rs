//! Commits that a master was sent: each acknowledgement is matched with what it covers, or believed in nothing.

use std::collections::{BTreeMap, VecDeque};

use metanode_proto::executor::v1::{
    Acknowledgement, ExecuteCommitsResponse, RejectedTransaction as WireRejected,
};
use metanode_shell::executor::CheckedAcknowledgement;
use sequencer_core::{Digest, Position, Refusal};
use tokio::sync::{mpsc, oneshot};

use super::link::Ending;
use crate::{
    backend::{EpochRecord, Executed, RejectedTransaction},
    error,
};

/// Longest reason of a rejection, in bytes, as the contract has it.
const MAX_REASON_BYTES: usize = 256;

/// How a commit is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is the next one.
    New,
    /// It was executed before, and is to be answered as the first time.
    Again,
}

/// A commit that was sent and is not acknowledged.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) kind: Kind,
    pub(super) position: Position,
    pub(super) answer: oneshot::Sender<Executed>,
}

/// What was sent and is not acknowledged, oldest first.
pub(super) struct Unacknowledged {
    sent: mpsc::Receiver<Waiting>,
    /// Taken from `sent`: those that are next, and those that come again. The master answers a commit that comes again at once, also
    /// before new ones that were sent before it. What the driver lets through bounds both.
    new: VecDeque<Waiting>,
    again: VecDeque<Waiting>,
}

impl Unacknowledged {
    pub(super) const fn new(sent: mpsc::Receiver<Waiting>) -> Self {
        Self { sent, new: VecDeque::new(), again: VecDeque::new() }
    }

    /// Answers all that an acknowledgement covers, or none of it: that it ends at a commit that was sent, with its digest, is
    /// known first, since the digest vouches for all before it. It is cumulative; the root belongs to the last one, rejections to
    /// each.
    pub(super) fn acknowledge(&mut self, response: ExecuteCommitsResponse) -> Result<(), Ending> {
        let checked = CheckedAcknowledgement::read(response)
            .map_err(|_| Ending::Malformed { field: "acknowledgement" })?;
        let CheckedAcknowledgement { digest, state_root, mut wire } = checked;
        let last = Position { index: wire.index, digest: Digest(digest) };
        let end = epoch_end(&wire)?;
        let mut rejected = by_commit(std::mem::take(&mut wire.rejected));
        for waiting in self.covered(last, wire.duplicate)? {
            let position = waiting.position;
            let is_last = position.index == last.index;
            // Whoever waited may have gone; the cursor then is asked anew.
            let _ = waiting.answer.send(Executed {
                position,
                state_root: state_root.filter(|_| is_last).map(Digest),
                rejected: rejected.remove(&position.index).unwrap_or_default(),
                results_unknown: wire.results_unknown,
                epoch_end: end.filter(|_| is_last),
            });
        }
        Ok(())
    }

    /// What an acknowledgement covers: of those that come again if it says so, of those that are next if it does not.
    fn covered(
        &mut self,
        last: Position,
        duplicate: bool,
    ) -> Result<impl Iterator<Item = Waiting> + '_, Ending> {
        while let Ok(waiting) = self.sent.try_recv() {
            match waiting.kind {
                Kind::New => self.new.push_back(waiting),
                Kind::Again => self.again.push_back(waiting),
            }
        }
        let of = |queue: &VecDeque<Waiting>| {
            queue.iter().take_while(|waiting| waiting.position.index <= last.index).count()
        };
        // What is next has not been executed before, so that such an acknowledgement covers it is a contradiction.
        if duplicate && of(&self.new) > 0 {
            return Err(Ending::Malformed { field: "acknowledgement.duplicate" });
        }
        let queue = if duplicate { &mut self.again } else { &mut self.new };
        let count = of(queue);
        match count.checked_sub(1).and_then(|newest| queue.get(newest)) {
            Some(newest) if newest.position == last => {}
            Some(newest) if newest.position.index == last.index => {
                let (ours, theirs) = (newest.position.digest, last.digest);
                let fork = Refusal::Fork { index: last.index, ours, theirs };
                return Err(Ending::Told(Box::new(error::refused(&fork))));
            }
            // One that covers nothing may only repeat.
            None if duplicate => {}
            // What was never sent cannot be executed.
            _ => return Err(Ending::Malformed { field: "acknowledgement.index" }),
        }
        Ok(queue.drain(..count))
    }
}

/// The rejections of each commit, as the master told them. Each is looked at once: an acknowledgement may cover a whole window of
/// commits, and all of their transactions may be rejected.
fn by_commit(told: Vec<WireRejected>) -> BTreeMap<u64, Vec<RejectedTransaction>> {
    let mut rejected: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for WireRejected { index, position, code, reason } in told {
        rejected.entry(index).or_default().push(RejectedTransaction { position, code, reason: cut(reason) });
    }
    rejected
}

/// At most [`MAX_REASON_BYTES`], cut between characters.
fn cut(mut reason: String) -> String {
    let end = (0..=MAX_REASON_BYTES.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or(0));
    reason
}

fn epoch_end(wire: &Acknowledgement) -> Result<Option<EpochRecord>, Ending> {
    let Some(end) = &wire.epoch_end else { return Ok(None) };
    let committee_digest = end.committee_digest.as_ref().try_into();
    let committee_digest =
        committee_digest.map_err(|_| Ending::Malformed { field: "acknowledgement.epoch_end" })?;
    Ok(Some(EpochRecord { epoch: end.next_epoch, committee_digest }))
}

#[cfg(test)]
mod tests {
    use metanode_proto::executor::v1::execute_commits_response::Message;

    use super::*;

    fn position(index: u64) -> Position {
        Position { index, digest: Digest([u8::try_from(index).unwrap(); 32]) }
    }

    /// Commits up to `last` that were sent, and where their outcomes go.
    fn sent(last: u64) -> (Unacknowledged, Vec<oneshot::Receiver<Executed>>) {
        let (waiting, sent) = mpsc::channel(16);
        let answers = (1..=last).map(|index| {
            let (answer, answered) = oneshot::channel();
            waiting.try_send(Waiting { kind: Kind::New, position: position(index), answer }).unwrap();
            answered
        });
        let answers = answers.collect();
        (Unacknowledged::new(sent), answers)
    }

    fn response(acknowledgement: Acknowledgement) -> ExecuteCommitsResponse {
        ExecuteCommitsResponse { message: Some(Message::Acknowledgement(acknowledgement)) }
    }

    fn rejected(index: u64, position: u32) -> WireRejected {
        WireRejected { index, position, code: 7, reason: format!("{index}/{position}") }
    }

    #[test]
    fn a_cumulative_acknowledgement_gives_each_commit_its_own_rejections_and_the_root_to_the_last() {
        let (mut unacknowledged, mut answers) = sent(4);
        let acknowledgement = Acknowledgement {
            index: 3,
            digest: vec![3; 32].into(),
            state_root: vec![9; 32].into(),
            // In no order, of one that it does not cover, and of one that was never sent.
            rejected: vec![rejected(3, 1), rejected(1, 5), rejected(4, 0), rejected(3, 0), rejected(99, 0)],
            ..Acknowledgement::default()
        };
        unacknowledged.acknowledge(response(acknowledgement)).unwrap();
        let told: Vec<_> = answers.drain(..3).map(|mut answer| answer.try_recv().unwrap()).collect();
        let positions = |executed: &Executed| executed.rejected.iter().map(|one| one.position).collect();
        let all: Vec<Vec<u32>> = told.iter().map(positions).collect();
        assert_eq!(all, [vec![5], vec![], vec![1, 0]]);
        assert_eq!(told[0].rejected[0].reason, "1/5");
        let roots: Vec<_> = told.iter().map(|executed| executed.state_root.is_some()).collect();
        assert_eq!(roots, [false, false, true]);
        assert!(answers[0].try_recv().is_err(), "not covered");
    }

    fn acknowledgement(index: u64, digest: u8, duplicate: bool) -> ExecuteCommitsResponse {
        response(Acknowledgement {
            index,
            digest: vec![digest; 32].into(),
            duplicate,
            ..Acknowledgement::default()
        })
    }

    /// That nobody was answered, and everybody still waits.
    fn assert_unanswered(unacknowledged: &Unacknowledged, answers: &mut [oneshot::Receiver<Executed>]) {
        for answer in &mut *answers {
            assert_eq!(answer.try_recv().unwrap_err(), oneshot::error::TryRecvError::Empty);
        }
        assert_eq!(unacknowledged.new.len() + unacknowledged.again.len(), answers.len());
    }

    #[test]
    fn d07_an_acknowledgement_of_another_digest_covers_nothing() {
        let (mut unacknowledged, mut answers) = sent(4);
        let ending = unacknowledged.acknowledge(acknowledgement(3, 0xee, false)).unwrap_err();
        assert!(
            matches!(&ending, Ending::Told(status) if status.message().contains("at index 3")),
            "{ending:?}"
        );
        assert_unanswered(&unacknowledged, &mut answers);
    }

    #[test]
    fn d07_an_acknowledgement_of_what_was_never_sent_covers_nothing() {
        for (index, digest) in [(1000, 3), (5, 5), (4, 4)] {
            let (mut unacknowledged, mut answers) = sent(3);
            let ending = unacknowledged.acknowledge(acknowledgement(index, digest, false)).unwrap_err();
            assert!(matches!(ending, Ending::Malformed { field: "acknowledgement.index" }), "{ending:?}");
            assert_unanswered(&unacknowledged, &mut answers);
        }
    }

    #[test]
    fn d07_d09_what_is_next_is_not_acknowledged_as_executed_before() {
        for (index, digest) in [(1000, 3), (3, 0xee), (3, 3), (1, 1)] {
            let (mut unacknowledged, mut answers) = sent(3);
            let ending = unacknowledged.acknowledge(acknowledgement(index, digest, true)).unwrap_err();
            assert!(matches!(ending, Ending::Malformed { field: "acknowledgement.duplicate" }), "{ending:?}");
            assert_unanswered(&unacknowledged, &mut answers);
        }
    }

    #[test]
    fn d07_d09_what_comes_again_is_answered_by_its_own_digest_alone() {
        let (waiting, sent) = mpsc::channel(16);
        let mut unacknowledged = Unacknowledged::new(sent);
        let (answer, answered) = oneshot::channel();
        waiting.try_send(Waiting { kind: Kind::Again, position: position(2), answer }).unwrap();
        let mut answers = [answered];
        // It covers nothing, so it may repeat what was said before.
        unacknowledged.acknowledge(acknowledgement(1, 1, true)).unwrap();
        assert_unanswered(&unacknowledged, &mut answers);
        let ending = unacknowledged.acknowledge(acknowledgement(2, 0xee, true)).unwrap_err();
        assert!(
            matches!(&ending, Ending::Told(status) if status.message().contains("at index 2")),
            "{ending:?}"
        );
        assert_unanswered(&unacknowledged, &mut answers);
        let ending = unacknowledged.acknowledge(acknowledgement(3, 3, true)).unwrap_err();
        assert!(matches!(ending, Ending::Malformed { field: "acknowledgement.index" }), "{ending:?}");
        assert_unanswered(&unacknowledged, &mut answers);
    }

    #[test]
    fn d09_a_commit_that_comes_again_is_answered_before_new_ones_and_by_its_own_answer_alone() {
        let (waiting, sent) = mpsc::channel(16);
        let mut unacknowledged = Unacknowledged::new(sent);
        let mut answers: Vec<_> = [(Kind::New, 5), (Kind::Again, 2)]
            .map(|(kind, index)| {
                let (answer, answered) = oneshot::channel();
                waiting.try_send(Waiting { kind, position: position(index), answer }).unwrap();
                answered
            })
            .into();
        unacknowledged.acknowledge(acknowledgement(5, 5, false)).unwrap();
        assert_eq!(answers[0].try_recv().unwrap().position.index, 5);
        assert!(
            answers[1].try_recv().is_err(),
            "the acknowledgement of a new one has no root of an older one"
        );
        unacknowledged.acknowledge(acknowledgement(2, 2, true)).unwrap();
        assert_eq!(answers[1].try_recv().unwrap().position, position(2));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(cut("x".repeat(300)).len(), MAX_REASON_BYTES);
        let two_bytes = format!("x{}", "\u{e9}".repeat(200));
        assert_eq!(cut(two_bytes).len(), MAX_REASON_BYTES - 1);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
