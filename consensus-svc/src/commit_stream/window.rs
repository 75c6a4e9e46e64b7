//! What is in flight to the executor: sent, not acknowledged. Pure.

use std::collections::VecDeque;

use consensus_core::{CommitDigest, CommitIndex};

/// Bounds what is in flight in commits and in bytes, and checks acknowledgements against what was sent.
///
/// At least one commit is always admitted, whatever its size, so that no commit can block the stream.
#[derive(Debug)]
pub struct Window {
    max_commits: usize,
    max_bytes: u64,
    executed: CommitIndex,
    executed_digest: CommitDigest,
    in_flight: VecDeque<Sent>,
    in_flight_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    digest: CommitDigest,
    bytes: u64,
}

/// An acknowledgement that contradicts what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcknowledgeError {
    /// It names a commit that was never sent.
    #[error("commit {index} was acknowledged, but {last_sent} is the last that was sent")]
    Unsent {
        /// The acknowledged index.
        index: CommitIndex,
        /// The highest index sent.
        last_sent: CommitIndex,
    },
    /// It names another digest than the one that was sent.
    #[error("commit {index} was acknowledged with digest {theirs}, sent was {ours}")]
    OtherDigest {
        /// The acknowledged index.
        index: CommitIndex,
        /// What was sent.
        ours: CommitDigest,
        /// What was acknowledged.
        theirs: CommitDigest,
    },
}

impl Window {
    /// A window of a stream that begins after `executed`. `max_commits` at least 1.
    pub const fn new(
        max_commits: usize,
        max_bytes: u64,
        executed: CommitIndex,
        executed_digest: CommitDigest,
    ) -> Self {
        Self {
            max_commits,
            max_bytes,
            executed,
            executed_digest,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    /// The cursor: the last commit that the executor acknowledged, or reported at the handshake.
    pub const fn executed(&self) -> CommitIndex {
        self.executed
    }

    /// The last commit that was sent; the cursor where nothing is in flight.
    pub fn last_sent(&self) -> CommitIndex {
        CommitIndex::new(self.executed.get().saturating_add(self.in_flight.len() as u64))
    }

    /// Commits in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Bytes in flight.
    pub const fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    /// Whether a commit of `bytes` may be sent now.
    pub fn admits(&self, bytes: u64) -> bool {
        self.in_flight.is_empty()
            || (self.in_flight.len() < self.max_commits
                && self.in_flight_bytes.saturating_add(bytes) <= self.max_bytes)
    }

    /// Notes that the commit after the last one sent has been sent.
    pub fn sent(&mut self, digest: CommitDigest, bytes: u64) {
        self.in_flight.push_back(Sent { digest, bytes });
        self.in_flight_bytes = self.in_flight_bytes.saturating_add(bytes);
    }

    /// Takes a cumulative acknowledgement; returns how many commits it is the first to cover. An old one covers none.
    ///
    /// # Errors
    /// [`AcknowledgeError`]; the window is then unchanged.
    pub fn acknowledge(&mut self, index: CommitIndex, digest: CommitDigest) -> Result<u64, AcknowledgeError> {
        let covered = index.get().saturating_sub(self.executed.get());
        let last_sent = self.last_sent();
        if index > last_sent {
            return Err(AcknowledgeError::Unsent { index, last_sent });
        }
        let ours = match covered.checked_sub(1) {
            None if index < self.executed => return Ok(0),
            None => self.executed_digest,
            Some(place) => usize::try_from(place)
                .ok()
                .and_then(|place| self.in_flight.get(place))
                .map_or(digest, |sent| sent.digest),
        };
        if ours != digest {
            return Err(AcknowledgeError::OtherDigest { index, ours, theirs: digest });
        }
        for _ in 0..covered {
            let freed = self.in_flight.pop_front().map_or(0, |sent| sent.bytes);
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(freed);
        }
        (self.executed, self.executed_digest) = (index, digest);
        Ok(covered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> CommitDigest {
        CommitDigest::new([n; 32])
    }

    fn index(n: u64) -> CommitIndex {
        CommitIndex::new(n)
    }

    /// At most 3 commits and 100 bytes after commit 7, of which 8 and 9 are in flight with 40 bytes each.
    fn window() -> Window {
        let mut window = Window::new(3, 100, index(7), digest(7));
        window.sent(digest(8), 40);
        window.sent(digest(9), 40);
        window
    }

    #[test]
    fn bytes_are_admitted_up_to_the_bound_and_not_one_more() {
        assert!(window().admits(20));
        assert!(!window().admits(21));
    }

    #[test]
    fn commits_are_admitted_up_to_the_bound_and_not_one_more() {
        let mut window = window();
        window.sent(digest(10), 0);
        assert!(!window.admits(0));
        window.acknowledge(index(8), digest(8)).unwrap();
        assert!(window.admits(0));
    }

    #[test]
    fn a_commit_larger_than_the_window_goes_alone() {
        let mut window = Window::new(3, 100, index(0), CommitDigest::ZERO);
        assert!(window.admits(101));
        window.sent(digest(1), 101);
        assert!(!window.admits(0));
    }

    #[test]
    fn d06_the_cursor_moves_on_acknowledgements_only() {
        let mut window = window();
        assert_eq!((window.executed(), window.last_sent()), (index(7), index(9)));
        assert_eq!(window.acknowledge(index(9), digest(9)), Ok(2));
        assert_eq!((window.executed(), window.last_sent()), (index(9), index(9)));
        assert_eq!((window.in_flight(), window.in_flight_bytes()), (0, 0));
    }

    #[test]
    fn an_acknowledgement_beyond_what_was_sent_is_refused() {
        let error = AcknowledgeError::Unsent { index: index(10), last_sent: index(9) };
        assert_eq!(window().acknowledge(index(10), digest(10)), Err(error));
    }

    #[test]
    fn d07_an_acknowledgement_with_another_digest_is_refused() {
        let mut window = window();
        let error = AcknowledgeError::OtherDigest { index: index(8), ours: digest(8), theirs: digest(1) };
        assert_eq!(window.acknowledge(index(8), digest(1)), Err(error));
        assert_eq!(window.executed(), index(7));
        assert!(window.acknowledge(index(7), digest(1)).is_err());
    }

    #[test]
    fn a_repeated_or_late_acknowledgement_covers_nothing() {
        let mut window = window();
        assert_eq!(window.acknowledge(index(7), digest(7)), Ok(0));
        assert_eq!(window.acknowledge(index(6), digest(6)), Ok(0));
        assert_eq!(window.in_flight(), 2);
    }
}
