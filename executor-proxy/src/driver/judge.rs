//! Openings, commits and epochs: what the sequencer decides of them, done.

use metanode_telemetry::{as_i64, names::TARGET_STARTUP};
use sequencer_core::{Decision, Digest, EpochStep, Header, Opened, Opening, Refusal};
use tokio::{sync::mpsc, time::Instant};
use tonic::Status;

use super::{
    Driver, DriverError, Inbound, Outbound,
    in_flight::{Taken, bounded},
    stream::{Permit, Stream},
};
use crate::{
    backend::{Commit, EpochAnswer, EpochStart, Executed, Executor, Lease},
    error, wire,
};

/// Why an opening has no stream. The one that is open goes on.
enum Dismissed {
    /// With this error for the client.
    Refused(Box<Status>),
    /// It waited here longer than its client did. To issue a number and end the open stream for it would fence the client that
    /// tried again.
    Left,
}

impl<E: Executor> Driver<E> {
    /// Opens a stream: the earlier one ends, what it sent is executed, the lease is durable; then it is answered.
    pub(super) async fn open(
        &mut self,
        opening: Opening,
        inbound: mpsc::Receiver<Inbound>,
        outbound: Outbound,
    ) -> Result<(), DriverError> {
        let mut stored = self.stored(opening.after.index).await?.map(|executed| executed.position.digest);
        if stored.is_none() && self.executor.keeps_history() {
            // Where nobody here knows the digest, the executor compares its own at its opening.
            stored = Some(opening.after.digest);
        }
        let opened = match self.judge_opening(&opening, stored, &outbound).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(dismissed)) => {
                match dismissed {
                    // The channel of a new stream has room; if the client has gone, nobody is to be told.
                    Dismissed::Refused(status) => drop(outbound.try_send(Err(*status))),
                    Dismissed::Left => tracing::debug!(
                        target: TARGET_STARTUP,
                        "[EXECUTOR-REQ] opening dropped, its client has gone"
                    ),
                }
                // The open stream goes on. What was in flight may be finished, and with it what wakes a commit that waits for room.
                return self.retry_parked().await;
            }
            Err(error) => {
                let _ = outbound.try_send(Err(error::not_ready()));
                return Err(error);
            }
        };
        if self.stream.is_some() {
            self.settings.metrics.fences.increment();
            let incarnation = opened.incarnation;
            tracing::warn!(
                target: TARGET_STARTUP,
                incarnation = as_i64(incarnation.0),
                "[SEQUENTIAL-BUFFER] stream ended by a newer one"
            );
            self.end_stream(error::refused(&Refusal::Fenced { incarnation }));
        }
        if let Some(lease) = opened.persist {
            bounded(self.settings.execute_timeout, self.executor.record_lease(lease)).await?;
        }
        let block_number = self.sequencer.executed().index;
        tracing::info!(
            target: TARGET_STARTUP,
            incarnation = as_i64(opened.incarnation.0),
            block_number = as_i64(block_number),
            after_index = as_i64(opening.after.index),
            "[EXECUTOR-REQ] stream opened"
        );
        self.stream = Stream::start(opened.stream, inbound, outbound, wire::opened(&opened, block_number));
        if self.stream.is_none() {
            self.sequencer.close(opened.stream);
        }
        Ok(())
    }

    /// What was sent before is executed first, so that whoever issues the incarnation judges the position that counts.
    /// That may take long, so the client is looked for before and after.
    async fn judge_opening(
        &mut self,
        opening: &Opening,
        stored: Option<Digest>,
        outbound: &Outbound,
    ) -> Result<Result<Opened, Dismissed>, DriverError> {
        if outbound.is_closed() {
            return Ok(Err(Dismissed::Left));
        }
        if let Err(refusal) = self.sequencer.check_opening(opening, stored) {
            return Ok(Err(self.refused(&refusal)));
        }
        self.finish_in_flight().await?;
        if outbound.is_closed() {
            return Ok(Err(Dismissed::Left));
        }
        let executed = self.sequencer.executed();
        let lease = self.executor.lease(opening, executed);
        match bounded(self.settings.execute_timeout, lease).await? {
            Lease::Ours => Ok(self.sequencer.open(opening, stored).map_err(|refusal| self.refused(&refusal))),
            Lease::Issued(incarnation) => Ok(Ok(self.sequencer.open_issued(opening, incarnation))),
            Lease::Refused(status) => {
                tracing::error!(
                    target: TARGET_STARTUP,
                    refusal = status.message(),
                    "[SEQUENTIAL-BUFFER] opening refused by the master"
                );
                Ok(Err(Dismissed::Refused(status)))
            }
        }
    }

    fn refused(&self, refusal: &Refusal) -> Dismissed {
        self.note_refusal(refusal);
        Dismissed::Refused(Box::new(error::refused(refusal)))
    }

    /// Begins an epoch; answers with the epoch in force, or with an error for whoever asked.
    pub(super) async fn advance_epoch(
        &mut self,
        start: EpochStart,
    ) -> Result<Result<u64, Status>, DriverError> {
        let boundary = start.boundary;
        let stored = self.stored(boundary.last.index).await?.map(|executed| executed.position.digest);
        match self.sequencer.advance_epoch(&boundary, stored) {
            Err(refusal) => return Ok(Err(error::refused(&refusal))),
            Ok(EpochStep::InForce) => {}
            Ok(EpochStep::Advance) => {
                let epoch = boundary.new_epoch;
                let begun = self.executor.begin_epoch(start);
                match bounded(self.settings.execute_timeout, begun).await? {
                    EpochAnswer::Begun => {}
                    EpochAnswer::Refused(status) => return Ok(Err(*status)),
                }
                self.sequencer.epoch_advanced(epoch);
                self.settings.standing.send_modify(|standing| standing.epoch = epoch);
                tracing::info!(
                    target: TARGET_STARTUP,
                    epoch = as_i64(epoch),
                    boundary_index = as_i64(boundary.last.index),
                    "[EPOCH TRANSITION] epoch advanced"
                );
            }
        }
        Ok(Ok(self.sequencer.epoch()))
    }

    pub(super) async fn inbound(&mut self, inbound: Option<Inbound>) -> Result<(), DriverError> {
        match inbound {
            Some(Inbound::Commit(commit)) => self.commit(commit).await?,
            Some(Inbound::Malformed { index, problem }) => {
                let index = index.unwrap_or(self.sequencer.accepted().index.saturating_add(1));
                tracing::error!(
                    target: TARGET_STARTUP,
                    commit_index = as_i64(index),
                    problem,
                    "[SEQUENTIAL-BUFFER] commit is malformed"
                );
                self.end_stream(error::malformed_commit(index, problem));
            }
            Some(Inbound::OutOfOrder { problem }) => self.end_stream(error::malformed_stream(problem)),
            None => self.close_stream(),
        }
        Ok(())
    }

    pub(super) async fn commit(&mut self, commit: Commit) -> Result<(), DriverError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some(acknowledgement) = stream.permit() else { return Ok(()) };
        let id = stream.id();
        let before = self.stored(commit.index).await?;
        if before.is_none() && self.sequencer.needs_stored(commit.index) {
            // Nobody here knows its digest.
            return self.again(commit, acknowledgement).await;
        }
        let stored = before.as_ref().map(|executed| executed.position.digest);
        match self.sequencer.commit(id, &header(&commit), stored) {
            Ok(Decision::Execute) => self.execute(commit, acknowledgement).await?,
            Ok(Decision::Duplicate) => self.duplicate(commit, before, acknowledgement).await?,
            // The one in flight is acknowledged in its turn.
            Ok(Decision::Pending) => self.settings.metrics.duplicates.increment(),
            Ok(Decision::Wait) => {
                if let Some(stream) = &mut self.stream {
                    stream.park(commit, acknowledgement);
                }
            }
            Err(refusal) => {
                self.note_refusal(&refusal);
                drop(acknowledgement);
                self.end_stream(error::refused(&refusal));
            }
        }
        Ok(())
    }

    async fn execute(&mut self, commit: Commit, acknowledgement: Permit) -> Result<(), DriverError> {
        let transactions = commit.transactions().filter(|transaction| !transaction.duplicate).count();
        let transactions = u64::try_from(transactions).unwrap_or(u64::MAX);
        let taken = Taken { acknowledgement, since: Instant::now(), again: false, transactions };
        let taking = self.executor.execute(self.sequencer.incarnation(), commit);
        let pending = bounded(self.settings.execute_timeout, taking).await?;
        self.in_flight.push(pending, taken);
        Ok(())
    }

    /// Acknowledges as the first time.
    async fn duplicate(
        &mut self,
        commit: Commit,
        before: Option<Executed>,
        acknowledgement: Permit,
    ) -> Result<(), DriverError> {
        let index = commit.index;
        let known = match before {
            Some(executed) => Some(executed),
            None => bounded(self.settings.execute_timeout, self.executor.executed(index)).await?,
        };
        let Some(executed) = known else { return self.again(commit, acknowledgement).await };
        self.note_duplicate(index);
        drop(acknowledgement.send(Ok(wire::acknowledgement(executed, true))));
        Ok(())
    }

    /// Has a commit that was executed before answered by the executor, if that is who keeps digests and results.
    async fn again(&mut self, commit: Commit, acknowledgement: Permit) -> Result<(), DriverError> {
        let index = commit.index;
        let asking = self.executor.again(commit);
        match bounded(self.settings.execute_timeout, asking).await? {
            Some(pending) => {
                self.note_duplicate(index);
                self.asks_again = true;
                let taken = Taken { acknowledgement, since: Instant::now(), again: true, transactions: 0 };
                self.in_flight.push(pending, taken);
            }
            None => {
                drop(acknowledgement);
                let refusal =
                    Refusal::Gap { expected: self.sequencer.accepted().index.saturating_add(1), index };
                self.note_refusal(&refusal);
                self.end_stream(error::refused(&refusal));
            }
        }
        Ok(())
    }

    fn note_duplicate(&self, index: u64) {
        self.settings.metrics.duplicates.increment();
        tracing::debug!(
            target: TARGET_STARTUP,
            commit_index = as_i64(index),
            "[SEQUENTIAL-BUFFER] duplicate dropped"
        );
    }
}

fn header(commit: &Commit) -> Header {
    Header {
        index: commit.index,
        epoch: commit.epoch,
        previous_digest: commit.previous_digest,
        digest: commit.digest,
        size_bytes: commit.size_bytes,
    }
}
