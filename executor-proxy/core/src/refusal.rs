//! Why an opening, a commit or an epoch is refused.

use thiserror::Error;

use crate::names::{Authority, ChainId, Digest, Incarnation};

/// A refusal. Each ends the stream that it answers; nothing of the state has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The commit is not the next one. Resending from `expected` helps.
    #[error("commit {index} came, commit {expected} is next")]
    Gap {
        /// The index that is next.
        expected: u64,
        /// The index that came.
        index: u64,
    },
    /// Two different commits claim one index. Nothing here can mend it.
    #[error("two commits at index {index}: {ours} is ours, {theirs} came")]
    Fork {
        /// The index.
        index: u64,
        /// What was let through or executed at it.
        ours: Digest,
        /// What the sender says stands there.
        theirs: Digest,
    },
    /// A newer stream or process has taken over. Final for the older process.
    #[error("a newer stream has taken over; incarnation {incarnation} is in force")]
    Fenced {
        /// The incarnation in force.
        incarnation: Incarnation,
    },
    /// The sender belongs to another chain.
    #[error("the executor belongs to chain {ours}, not {theirs}")]
    WrongChain {
        /// The executor's chain.
        ours: ChainId,
        /// The sender's chain.
        theirs: ChainId,
    },
    /// The executor belongs to another authority.
    #[error("the executor belongs to authority {ours}, not {theirs}")]
    WrongAuthority {
        /// The authority it belongs to.
        ours: Authority,
        /// The sender.
        theirs: Authority,
    },
    /// The commit, or the step, is of an epoch that is neither the current one nor allowed.
    #[error("epoch {theirs} came in epoch {ours}")]
    WrongEpoch {
        /// The executor's epoch.
        ours: u64,
        /// The epoch that came.
        theirs: u64,
    },
    /// Commits after the claimed boundary were let through already.
    #[error("the boundary {boundary} is below commit {accepted}, which was let through")]
    BeyondBoundary {
        /// The boundary that came.
        boundary: u64,
        /// Newest commit let through.
        accepted: u64,
    },
    /// A field is out of its range.
    #[error("{field} is out of range: {value}")]
    Malformed {
        /// Name of the field.
        field: &'static str,
        /// What it held.
        value: u64,
    },
}
