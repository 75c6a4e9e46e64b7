//! The one task that owns the machine.
//!
//! It takes in what peers, submitters and the clock bring, hands each input to [`Consensus::handle`], and runs the effects
//! in order through one [`EffectQueue`]. It never waits for a sync while an input can be handled: several batches may be
//! on their way to the disk while the machine goes on, and one sync serves them all. What stands behind a batch is let
//! out when that batch is durable, and not before.
//!
//! Bounds: all channels into the driver are bounded, and while the effect queue is full no new input is taken, so that
//! pressure from a slow disk reaches peers and submitters instead of growing memory.
//!
//! A batch or a guard that cannot be made durable ends the driver, and with it the node: a node that cannot persist must
//! not sign.

mod catch_ups;
mod clock;
mod decisions;
pub mod effects;
mod faults;
mod outlets;
pub mod questions;
mod seen;
mod start;

pub use clock::Clock;
pub use effects::{DriverError, Durability, EffectQueue, LogAndGuard};
pub use outlets::{Network, Outlets, ShownToPeers};
pub use questions::Questioner;
pub use seen::SeenBlocks;

use std::collections::{BTreeMap, VecDeque};

use consensus_core::{
    AuthorityIndex, Consensus, Effect, FetchEnd, Input, PeerFault, SubmitOutcome, Ticket, Transaction,
    TransactionDigest,
};
use metanode_telemetry::names::as_i64;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    catch_ups::CatchUpLog,
    decisions::DecisionLog,
    faults::{FaultLog, labelled},
    questions::{Answer, Question},
    start::StartLog,
};
use crate::{
    commit_stream::{Executed, ExecutorLine},
    metrics::{CoreMetrics, Queues},
    peer::{CommitsAnswer, PeerEvent},
    submit::{BatchId, Submission},
};

/// Where inputs come from.
#[derive(Debug)]
pub struct Inputs {
    /// From the peer network.
    pub peers: mpsc::Receiver<PeerEvent>,
    /// From `TransactionService`.
    pub submissions: mpsc::Receiver<Submission>,
    /// What the machine waits for, asked by operators; see [`Questioner`].
    pub questions: mpsc::Receiver<Question>,
    /// What the executor says of its state, and the way back to whoever feeds it.
    pub executor: ExecutorLine,
    /// Cancelled when this authority must stop proposing for good.
    pub halt: CancellationToken,
}

/// The driver. See the module.
#[derive(Debug)]
pub struct Driver<D: Durability, N> {
    core: Consensus,
    clock: Clock,
    queue: EffectQueue<D>,
    inputs: Inputs,
    outlets: Outlets<N>,
    metrics: CoreMetrics,
    faults: FaultLog,
    decisions: DecisionLog,
    catch_ups: CatchUpLog,
    /// Submissions in the machine or in the queue; bounded by the queue's own bound.
    answers: BTreeMap<Ticket, Unanswered>,
    next_ticket: u64,
    /// What questions came to that could not be put; as many as the machine has under way at most.
    unasked: VecDeque<Input>,
    halted: bool,
    start: StartLog,
}

/// A submission that the machine has not answered.
#[derive(Debug)]
struct Unanswered {
    digests: Vec<TransactionDigest>,
    batch: Option<BatchId>,
    answer: oneshot::Sender<SubmitOutcome>,
}

enum Step {
    Shutdown,
    Released(Box<Effect>),
    Input(Input),
    Peer(PeerEvent),
    Submission(Submission),
    Question(Question),
}

impl<D: Durability, N: Network> Driver<D, N> {
    /// Puts a recovered machine to work; `recovered` are the effects of its recovery.
    ///
    /// # Errors
    /// [`DriverError::Persist`].
    pub async fn new(
        core: Consensus,
        recovered: Vec<Effect>,
        clock: Clock,
        durability: D,
        inputs: Inputs,
        outlets: Outlets<N>,
        metrics: CoreMetrics,
    ) -> Result<Self, DriverError> {
        let queue = EffectQueue::new(durability);
        let unasked = VecDeque::new();
        let (answers, next_ticket, halted) = (BTreeMap::new(), 0, false);
        let (faults, decisions) = (FaultLog::default(), DecisionLog::default());
        let mut driver = Self {
            core,
            clock,
            queue,
            inputs,
            outlets,
            metrics,
            faults,
            decisions,
            catch_ups: CatchUpLog::default(),
            answers,
            next_ticket,
            unasked,
            halted,
            start: StartLog::default(),
        };
        driver.enqueue(recovered).await?;
        Ok(driver)
    }

    /// Runs until `shutdown`; then lets out what is on its way, and ends.
    ///
    /// # Errors
    /// [`DriverError`]: the node must stop.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), DriverError> {
        loop {
            match self.next_step(&shutdown).await? {
                Step::Shutdown => return self.drain().await,
                Step::Released(effect) => self.release(*effect),
                Step::Input(input) => self.handle(input).await?,
                Step::Question(question) => self.answer(question),
                Step::Peer(event) => self.take_peer_event(event).await?,
                Step::Submission(Submission { transactions, batch, answer }) => {
                    let ticket = Ticket(self.next_ticket);
                    self.next_ticket += 1;
                    let digests = transactions.iter().map(Transaction::digest).collect();
                    self.answers.insert(ticket, Unanswered { digests, batch, answer });
                    self.handle(Input::Transactions { ticket, transactions }).await?;
                }
            }
        }
    }

    async fn next_step(&mut self, shutdown: &CancellationToken) -> Result<Step, DriverError> {
        let room = self.queue.has_room();
        if room && let Some(input) = self.unasked.pop_front() {
            return Ok(Step::Input(input));
        }
        let deadline = self.core.next_deadline().map(|at| self.clock.instant(at));
        let Inputs { peers, submissions, questions, executor, halt } = &mut self.inputs;
        Ok(tokio::select! {
            () = shutdown.cancelled() => Step::Shutdown,
            effect = self.queue.released() => Step::Released(Box::new(effect?)),
            () = halt.cancelled(), if room && !self.halted => Step::Input(Input::Halt),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if room && deadline.is_some() => {
                Step::Input(Input::Tick)
            }
            // Also while nothing else is taken in: that is when people ask.
            Some(question) = questions.recv() => Step::Question(question),
            Some(Executed { index, root }) = executor.recv(), if room => {
                Step::Input(Input::Executed { index, root })
            }
            Some(event) = peers.recv(), if room => Step::Peer(event),
            Some(submission) = submissions.recv(), if room => Step::Submission(submission),
        })
    }

    async fn take_peer_event(&mut self, event: PeerEvent) -> Result<(), DriverError> {
        let input = match event {
            PeerEvent::Blocks { from, source, blocks } => Input::Blocks { from, source, blocks },
            PeerEvent::FetchEnded { fetch, end } => Input::FetchEnded { fetch, end },
            PeerEvent::OwnLastBlock { from, block, peers_last } => {
                Input::OwnLastBlock { from, block, peers_last }
            }
            PeerEvent::SeenAhead { from, round } => Input::SeenAhead { author: from, round },
            PeerEvent::Commits { from, answer } => match answer {
                CommitsAnswer::Range { range, highest } => {
                    Input::CertifiedCommits { from, range: *range, highest }
                }
                CommitsAnswer::NoLater { after } => Input::NoLaterCommit { from, after },
                CommitsAnswer::Failed { fork } => Input::CommitsNotFetched { from, fork },
            },
            PeerEvent::Wake { from, round } => Input::Wake { from, round },
            PeerEvent::Invalid { from, label } => {
                self.metrics.invalid(label);
                self.tell_fault(from, label, None);
                return Ok(());
            }
        };
        self.handle(input).await
    }

    async fn handle(&mut self, input: Input) -> Result<(), DriverError> {
        if matches!(input, Input::Halt) {
            self.halted = true;
            tracing::error!("this authority has stopped proposing");
        }
        let effects = self.core.handle(self.clock.now(), input);
        self.enqueue(effects).await
    }

    fn answer(&self, question: Question) {
        if !question.is_closed() {
            let answer = Answer { explanation: self.core.explain(), at: self.clock.now() };
            // Who asked may have gone meanwhile.
            let _ = question.send(answer);
        }
    }

    async fn enqueue(&mut self, effects: Vec<Effect>) -> Result<(), DriverError> {
        for effect in effects {
            if let Effect::Persist(batch) = &effect {
                self.metrics.persisting(self.core.own_index(), batch);
            }
            self.queue.push(effect).await?;
        }
        self.decisions.tell(self.core.decisions());
        let status = self.core.status();
        self.metrics.observe(&status);
        self.start.observe(&status);
        self.catch_ups.observe(self.clock.now(), &status);
        let (waits, watches) = self.outlets.waiting();
        self.metrics.queues(Queues {
            peer_events: self.inputs.peers.len(),
            submissions: self.inputs.submissions.len(),
            executor_words: self.inputs.executor.waiting(),
            effects: self.queue.len(),
            batches: self.queue.in_flight(),
            waits,
            watches,
        });
        self.outlets.show(&self.core, status);
        Ok(())
    }

    fn release(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { ticket, outcome } => {
                if let Some(Unanswered { digests, batch, answer }) = self.answers.remove(&ticket) {
                    if outcome == SubmitOutcome::Accepted {
                        self.outlets.accepted(digests, batch);
                    }
                    // A submitter that went away does not want to know.
                    let _ = answer.send(outcome);
                }
            }
            Effect::Dropped { transactions, reason } => {
                self.metrics.dropped(transactions.len(), reason);
                self.outlets.dropped(&transactions, reason);
            }
            Effect::CommittedBefore { transactions } => self.outlets.committed_before(&transactions),
            Effect::Deliver(sub_dag) => {
                self.metrics.delivered(self.core.own_index(), self.clock.now(), &sub_dag);
                self.outlets.deliver(sub_dag);
            }
            Effect::Report(fault) => {
                self.metrics.fault(&fault);
                let (authority, label) = labelled(&fault);
                self.outlets.network().fault(authority, label);
                if matches!(fault, PeerFault::UnknownOwnBlock { .. }) {
                    tracing::error!(?fault, "this authority has stopped proposing");
                } else {
                    self.tell_fault(authority, label, Some(&fault));
                }
            }
            Effect::Fetch(fetch) => {
                let id = fetch.id;
                if !self.outlets.network().fetch(fetch) {
                    self.unasked.push_back(Input::FetchEnded { fetch: id, end: FetchEnd::Failed });
                }
            }
            Effect::FetchCommits { peer, after } => {
                if !self.outlets.network().fetch_commits(peer, after) {
                    self.unasked.push_back(Input::CommitsNotFetched { from: peer, fork: None });
                }
            }
            Effect::Forked(fork) => tracing::error!(
                index = as_i64(fork.index.get()),
                own = fork.own.map(tracing::field::display),
                certified = %fork.certified,
                "a quorum holds another commit than this node: stopped as a fork"
            ),
            Effect::RootAgreed(agreed) => tracing::debug!(
                commit_index = as_i64(agreed.index.get()),
                state_root = %agreed.root,
                "a quorum agrees on a state root"
            ),
            Effect::RootContradicted(found) => {
                tracing::error!(
                    commit_index = as_i64(found.index().get()),
                    own = %found.own,
                    agreed = %found.agreed.root,
                    votes = ?found.agreed.blocks,
                    "a quorum contradicts the state root of the executor"
                );
                self.inputs.executor.stop(&found);
            }
            Effect::Broadcast(block) => self.outlets.network().broadcast(block),
            Effect::SendWake { round } => self.outlets.network().wake(round),
            // The queue keeps these two to itself.
            Effect::Persist(_) | Effect::Guard { .. } => {}
        }
    }

    fn tell_fault(&mut self, authority: AuthorityIndex, label: &'static str, detail: Option<&PeerFault>) {
        if let Some(count) = self.faults.note(authority, label) {
            tracing::warn!(
                authority = i64::from(authority.get()),
                reason = label,
                count = as_i64(count),
                detail = detail.map(tracing::field::debug),
                "fault of another authority"
            );
        }
    }

    /// Lets out what was promised before the end: nothing more is taken in.
    async fn drain(mut self) -> Result<(), DriverError> {
        while !self.queue.is_empty() {
            let effect = self.queue.released().await?;
            self.release(effect);
        }
        tracing::info!("driver has drained");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
