//! The task that owns the link to a master: stop and wait.
//!
//! A block at or below the master's last is dropped by it in silence, and one above the next may be held for ever or adopted.
//! So a block is sent only when the one before it is reported, and nothing is ever sent again on the same link.

use std::{sync::Arc, time::Duration};

use metanode_shell::backoff::Backoff;
use metanode_telemetry::as_i64;
use sequencer_core::{Digest, Incarnation, LeaseRecord, Position};
use tokio::{
    sync::{OwnedMutexGuard, mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Settings, block,
    cursor::Numbers,
    error::LegacyError,
    link::Link,
    records::{CommitRecord, Records},
};
use crate::{
    backend::{Commit, EpochAnswer, EpochStart, Executed},
    error,
};

/// First pause between two questions whether a block is executed; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// Longest of them. This protocol has no acknowledgement, so to ask is the only way.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// What the task is asked to do, in order. An answer that does not come means that the task has ended.
#[derive(Debug)]
pub(super) enum Job {
    Execute { incarnation: Incarnation, commit: Commit, answer: oneshot::Sender<Executed> },
    Lease { lease: LeaseRecord, answer: oneshot::Sender<()> },
    Epoch { start: EpochStart, answer: oneshot::Sender<EpochAnswer> },
}

/// A link, and what was last known of the master behind it.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) link: Link,
    pub(super) numbers: Numbers,
    /// False once the master refused the query.
    pub(super) reports_roots: bool,
    pub(super) records: Records,
    pub(super) settings: Arc<Settings>,
    /// Where it stands.
    pub(super) last: Position,
    pub(super) incarnation: Incarnation,
    /// The epoch in force.
    pub(super) epoch: u64,
    /// Between connections that end while they are idle.
    pub(super) backoff: Backoff,
    /// Held as long as there is a link: the next one is not made before.
    pub(super) _turn: OwnedMutexGuard<()>,
}

impl Worker {
    /// Runs until nobody has jobs any more, or until the first error.
    ///
    /// # Errors
    /// [`LegacyError`].
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> Result<(), LegacyError> {
        loop {
            let silence = self.link.spoken() + self.settings.keepalive;
            tokio::select! {
                biased;
                // A connection that was closed while it was idle is found before anything is sent on it (D14).
                error = self.link.ended() => self.idle_end(error).await?,
                job = jobs.recv() => match job {
                    Some(job) => self.job(job).await?,
                    None => return Ok(()),
                },
                () = sleep_until(silence) => self.keep().await?,
            }
        }
    }

    async fn job(&mut self, job: Job) -> Result<(), LegacyError> {
        // Whoever asked may have gone; what was done stays done.
        match job {
            Job::Execute { incarnation, commit, answer } => {
                drop(answer.send(self.execute(incarnation, &commit).await?));
            }
            Job::Lease { lease, answer } => {
                self.records.put_lease(lease).await?;
                self.incarnation = lease.incarnation;
                let _ = answer.send(());
            }
            Job::Epoch { start, answer } => {
                drop(answer.send(self.begin_epoch(&start).await?));
            }
        }
        Ok(())
    }

    /// A refusal is an answer, if the master is still in the epoch that it was in.
    async fn begin_epoch(&mut self, start: &EpochStart) -> Result<EpochAnswer, LegacyError> {
        let asked = start.boundary.new_epoch;
        match self.link.advance_epoch(start).await {
            Ok(epoch) => {
                same_epoch("AdvanceEpoch", epoch, asked)?;
                self.epoch = asked;
                Ok(EpochAnswer::Begun)
            }
            Err(LegacyError::Refused { text, .. }) => {
                same_epoch("GetCurrentEpoch", self.link.current_epoch().await?, self.epoch)?;
                tracing::error!(
                    epoch = as_i64(self.epoch),
                    text,
                    "[EPOCH TRANSITION] the master refuses to begin the next epoch"
                );
                Ok(EpochAnswer::Refused(Box::new(error::epoch_refused(self.epoch, asked, &text))))
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a commit, waits until it is reported, and notes that. The answer is provisional: what was reported may still be
    /// above what is durable there (X05), so after a reconnect only what the master then says counts.
    async fn execute(&mut self, incarnation: Incarnation, commit: &Commit) -> Result<Executed, LegacyError> {
        let last = self.last;
        let next = last.index.checked_add(1) == Some(commit.index) && commit.previous_digest == last.digest;
        if !next || incarnation != self.incarnation {
            return Err(LegacyError::NotNext {
                index: commit.index,
                last: last.index,
                incarnation: self.incarnation,
            });
        }
        let position = Position { index: commit.index, digest: commit.digest };
        self.records.intend(position).await?;
        self.link.feed(&self.settings.master.layout.frame(commit)).await?;
        self.reported(position.index, block::is_empty(commit)).await?;
        let state_root = self.state_root(position.index).await?;
        self.records.acknowledge(position, state_root).await?;
        self.last = position;
        self.backoff.reset();
        Ok(executed(position.index, CommitRecord { digest: position.digest, state_root }))
    }

    /// Asks until the master reports the block. Whoever waits for the answer bounds the time.
    async fn reported(&mut self, index: u64, empty: bool) -> Result<(), LegacyError> {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let at = self.position().await?;
            if at == index {
                return Ok(());
            }
            if at.checked_add(1) != Some(index) {
                return Err(LegacyError::Moved { ours: index, theirs: at });
            }
            let limit = self.settings.empty_limit;
            if empty && self.numbers.are_blocks_alone() && since.elapsed() >= limit {
                return Err(LegacyError::EmptyNotCounted { index, limit });
            }
            self.link.pause(pause).await?;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn position(&mut self) -> Result<u64, LegacyError> {
        let answer = self.link.last_block_number().await?;
        self.numbers.read(&answer)
    }

    async fn state_root(&mut self, index: u64) -> Result<Option<Digest>, LegacyError> {
        if !self.reports_roots {
            return Ok(None);
        }
        let answer = self.link.state_root(index).await?;
        self.reports_roots = answer.is_some();
        Ok(answer.flatten())
    }

    /// Nothing was said for a while: the master is asked, which keeps the queries open, and what no block has kept open is
    /// connected anew before the master closes it.
    async fn keep(&mut self) -> Result<(), LegacyError> {
        if self.link.fed().elapsed() >= self.settings.keepalive * 2 {
            return self.renew().await;
        }
        self.unmoved().await
    }

    /// Nothing is in flight, so nothing is lost with the connections.
    async fn idle_end(&mut self, error: LegacyError) -> Result<(), LegacyError> {
        if !matches!(error, LegacyError::Closed { .. } | LegacyError::Broken { .. }) {
            return Err(error);
        }
        tracing::info!(
            error = &error as &dyn std::error::Error,
            "[EXECUTOR-REQ] idle connection of the master ended, it is connected anew"
        );
        // A master that closes whatever is idle at once must not be asked without a pause.
        self.link.close();
        sleep(self.backoff.next_delay()).await;
        self.renew().await
    }

    async fn renew(&mut self) -> Result<(), LegacyError> {
        self.link.close();
        let Settings { master, .. } = &*self.settings;
        self.link = Link::connect(&master.blocks, &master.queries).await?;
        self.unmoved().await?;
        // It may be another life of the process, which lost what was not durable.
        same_epoch("GetCurrentEpoch", self.link.current_epoch().await?, self.epoch)
    }

    async fn unmoved(&mut self) -> Result<(), LegacyError> {
        let (ours, theirs) = (self.last.index, self.position().await?);
        if ours == theirs { Ok(()) } else { Err(LegacyError::Moved { ours, theirs }) }
    }
}

fn same_epoch(query: &'static str, theirs: u64, ours: u64) -> Result<(), LegacyError> {
    if theirs == ours {
        return Ok(());
    }
    let (field, other_field) = ("epoch", "the epoch in force");
    Err(LegacyError::Contradiction { query, field, value: theirs, other_field, other: ours })
}

/// What an acknowledgement tells: results are not known here.
pub(super) fn executed(index: u64, record: CommitRecord) -> Executed {
    Executed {
        position: Position { index, digest: record.digest },
        state_root: record.state_root,
        rejected: Vec::new(),
        results_unknown: true,
        epoch_end: None,
    }
}
