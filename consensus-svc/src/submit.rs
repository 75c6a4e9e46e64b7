//! Taking transactions in: validation, the pool of the core, and waiting for what becomes of them.
//!
//! A batch is checked whole ([`SubmitLimits`]), its digests are registered with the [`Tracker`], and only then it enters the
//! core, so that no commit can pass unseen. The core takes it whole or refuses it whole.
//!
//! What became of a transaction is answered to whoever waits for its batch, and to whoever watches it by its digest
//! ([`Tracker::watch`]), also after a restart and for a while after it is over: as long as the window of duplicates holds it.
//!
//! Bounds: the pool is the core's ([`consensus_core::Params`]), the queue to the driver and the number of transactions
//! that are waited for are this module's. Whatever is full answers RESOURCE_EXHAUSTED with a time to come back.

mod checks;
mod known;
mod outcome;
mod service;
mod tracker;
mod watch;

pub use checks::{SubmitLimits, check_batch};
pub use known::CommittedWindow;
pub use outcome::{Fate, Stage};
pub use service::{ExecutorLag, QueueFull, QueuePlace, SubmitSettings, Submitter, TransactionIntake};
pub use tracker::{BatchId, RegisterError, Registration, Tracker, TrackerFull, WaitsEnded, Watch};

use consensus_core::{SubmitOutcome, Transaction};
use tokio::sync::oneshot;

/// A batch on its way to the core.
#[derive(Debug)]
pub struct Submission {
    /// Checked transactions; at least one.
    pub transactions: Vec<Transaction>,
    /// Who waits for it, if anybody does.
    pub batch: Option<BatchId>,
    /// Where the core's answer goes. Dropped unanswered only when the service goes down.
    pub answer: oneshot::Sender<SubmitOutcome>,
}
