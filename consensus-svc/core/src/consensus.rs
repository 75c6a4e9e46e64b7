//! The machine: inputs in, effects out, nothing else.

mod catching_up;
mod committing;
mod observed;

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    block::{Block, VerifiedBlock},
    catch_up::CatchUp,
    certification::Certification,
    crypto::Signer,
    dag::Dag,
    effect::{DropReason, Effect, PeerFault, Progress, SubmitOutcome},
    genesis::{BLOCK_OVERHEAD_BYTES, Genesis},
    input::{BlockSource, Input, Ticket},
    ordering::Ordering,
    outbox::{Outbox, Unpersisted},
    params::Params,
    pool::Pool,
    proposer::{Proposer, Readiness},
    recovery::{self, RecoverError, RecoveredLog},
    seen_blocks::SeenBlocks,
    signing::Signing,
    state_roots::StateRoots,
    threshold_clock::ThresholdClock,
    transaction::Transaction,
    types::{AuthorityIndex, BlockRef, Round, Timestamp, TransactionDigest},
    waiting_room::WaitingRoom,
};

/// The consensus machine of one authority.
#[derive(Debug)]
pub struct Consensus {
    genesis: Arc<Genesis>,
    own: AuthorityIndex,
    signer: Signer,
    max_rounds_ahead: u64,
    dag: Dag,
    waiting: WaitingRoom,
    clock: ThresholdClock,
    ordering: Ordering,
    certification: Certification,
    roots: StateRoots,
    catch_up: CatchUp,
    proposer: Proposer,
    pool: Pool,
    /// Whether blocks were accepted since the commit rule last ran.
    undecided: bool,
    unpersisted: Unpersisted,
    /// Where the chain stands: what the next batch says, or the last one if nothing has happened since.
    progress: Progress,
    /// Accepted blocks with transactions that are not committed yet.
    uncommitted_work: BTreeSet<BlockRef>,
    /// Highest round by author that a verified block was seen of, accepted or not.
    seen_rounds: Vec<Round>,
    /// Highest block by author that was verified and came in, accepted or not.
    seen_blocks: SeenBlocks,
    /// Peers wait for own blocks up to this round.
    woken: Round,
    /// Highest round that peers were asked to wake in.
    wake_sent: Round,
    signing: Signing,
    equivocations: u64,
}

impl Consensus {
    /// Takes up where the store ends: rebuilds the DAG above the GC round, gives the proposer its own last block, and runs
    /// the commit rule at once over what was recovered, without waiting for a new block (L01, L02).
    ///
    /// # Errors
    /// If the store contradicts itself, belongs to another node, or is older than what this node may have sent.
    pub fn recover(
        genesis: Arc<Genesis>,
        params: Params,
        signer: Signer,
        mut log: RecoveredLog,
        now: Timestamp,
    ) -> Result<(Self, Vec<Effect>), RecoverError> {
        let committee = genesis.committee();
        let own = committee
            .index_of(&signer.public_key())
            .ok_or(RecoverError::NotInCommittee { epoch: committee.epoch() })?;
        recovery::check_commits(&log, genesis.parameters().gc_depth)?;
        let memory = recovery::check_guard(&log, own, committee.epoch())?;
        let signing = Signing::new(genesis.clone(), own, memory)?;

        let gc_round = recovery::gc_round(&log, genesis.parameters().gc_depth);
        let dag = recovery::rebuild_dag(genesis.clone(), gc_round, std::mem::take(&mut log.blocks))?;
        let ordering = Ordering::recover(genesis.clone(), &dag, &mut log)?;
        recovery::check_own_last(&dag, log.own_last.as_ref())?;
        let own_last = log.own_last.unwrap_or_else(|| VerifiedBlock::genesis(&genesis, own));
        let authorities = committee.size();
        let progress = Progress {
            epoch: committee.epoch(),
            own_round: signing.own_round(own_last.round()),
            ..ordering.progress()
        };
        let certification =
            Certification::recover(genesis.clone(), own, &log.commits, log.certified, &dag, &own_last);
        let roots = StateRoots::recover(genesis.clone(), own, log.roots, &log.commits, &dag);

        let mut machine = Self {
            own,
            signer,
            max_rounds_ahead: params.max_rounds_ahead,
            waiting: WaitingRoom::new(own, authorities, &params),
            clock: ThresholdClock::new(&dag, now),
            ordering,
            certification,
            roots,
            catch_up: CatchUp::new(own, params.fetch_timeout),
            proposer: Proposer::new(&params, own_last, authorities),
            pool: Pool::new(&params),
            undecided: true,
            unpersisted: Unpersisted::recover(&log.evidence),
            progress,
            uncommitted_work: BTreeSet::new(),
            seen_rounds: dag.accepted_rounds().to_vec(),
            seen_blocks: SeenBlocks::new(authorities),
            woken: Round::GENESIS,
            wake_sent: Round::GENESIS,
            signing,
            equivocations: 0,
            genesis,
            dag,
        };
        machine.recover_work(now);
        let mut outbox = Outbox::default();
        machine.advance(now, &mut outbox);
        let effects = machine.release(outbox);
        Ok((machine, effects))
    }

    /// Takes an input and answers with what is to be done, in order. Never fails: what is wrong with an input is reported
    /// as an effect.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        let mut outbox = Outbox::default();
        if self.certification.is_forked() {
            self.decline(now, input, &mut outbox);
            return self.release(outbox);
        }
        match input {
            Input::Blocks { from, source, blocks } => {
                for block in blocks {
                    self.receive(now, from, source, block, &mut outbox);
                }
            }
            Input::Transactions { ticket, transactions } => {
                self.submit(now, ticket, transactions, &mut outbox);
            }
            // A hint may come a moment before the quorum that lets this node into the same round.
            Input::Wake { round, .. } => self.woken = self.woken.max(round.min(self.clock.round().next())),
            Input::FetchEnded { fetch, end } => self.waiting.fetch_ended(now, fetch, end),
            Input::OwnLastBlock { from, block, peers_last } => {
                let reference = |block: Option<VerifiedBlock>| block.map(|block| block.reference());
                self.hear_own_last(from, reference(block), reference(peers_last), &mut outbox);
            }
            Input::StoreBehind => self.signing.store_is_behind(self.proposer.last().round(), &mut outbox),
            Input::SeenAhead { author, round } => self.see(author, round),
            Input::CertifiedCommits { from, range, highest } => {
                self.take_range(now, from, range, highest, &mut outbox);
            }
            Input::NoLaterCommit { from, after } => self.hear_no_later(now, from, after),
            Input::CommitsNotFetched { from, fork } => self.range_failed(now, from, fork),
            Input::Executed { index, root } => self.roots.executed(index, root, self.ordering.last_commit()),
            Input::Tick => {}
            Input::Halt => self.signing.halt(),
        }
        self.advance(now, &mut outbox);
        if !self.certification.is_forked() {
            outbox.fetch(self.waiting.due_fetches(now, &self.dag));
            self.catch_up(now, &mut outbox);
        }
        self.release(outbox)
    }

    /// When [`Input::Tick`] is due, if nothing comes in before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.certification.is_forked() {
            return self.pool.next_expiry();
        }
        let proposal = match self.readiness(Timestamp::default()) {
            Readiness::At(at) => Some(at),
            Readiness::Now(_) => Some(Timestamp::default()),
            Readiness::Blocked => None,
        };
        let others = [self.waiting.next_deadline(), self.pool.next_expiry(), self.next_catch_up()];
        proposal.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Goes on signing whatever own blocks come from peers, where an honest authority stops or becomes an amnesiac: for a
    /// simulated liar, which others hold other blocks of than its machine has made.
    #[cfg(feature = "testkit")]
    pub const fn ignore_own_blocks_of_peers(&mut self) {
        self.signing.make_heedless();
    }

    /// Place of this authority in the committee.
    pub const fn own_index(&self) -> AuthorityIndex {
        self.own
    }

    /// Accepted transactions that are neither committed nor dropped, those of recovered own blocks included.
    pub fn pooled(&self) -> impl Iterator<Item = TransactionDigest> {
        self.pool.digests()
    }

    /// Marks recovered blocks whose transactions are not committed: they keep the proposer awake, and own ones are held by
    /// the pool until they are. What is in the window of duplicates was committed by another's block, and owes nothing.
    fn recover_work(&mut self, now: Timestamp) {
        let mut round = self.dag.gc_round().next();
        while round <= self.dag.highest_round() {
            for block in self.dag.round(round) {
                let reference = block.reference();
                if block.block().transactions.is_empty() || self.ordering.is_committed(&reference) {
                    continue;
                }
                self.uncommitted_work.insert(reference);
                if reference.author == self.own {
                    let transactions = block.block().transactions.iter().cloned();
                    let open = transactions.filter(|tx| !self.ordering.is_in_window(&tx.digest()));
                    self.pool.recover(round, now.min(block.block().timestamp), open);
                }
            }
            round = round.next();
        }
    }

    fn submit(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        transactions: Vec<Transaction>,
        outbox: &mut Outbox,
    ) {
        let outcome = if self.signing.is_halted() {
            SubmitOutcome::NotProposing
        } else {
            self.refuse_size(&transactions).unwrap_or_else(|| self.pool.submit(now, transactions))
        };
        outbox.immediate.push(Effect::Answer { ticket, outcome });
    }

    /// Whatever the callers check: a block with such a transaction would be refused by all others, and with it every
    /// later block of this authority.
    fn refuse_size(&self, transactions: &[Transaction]) -> Option<SubmitOutcome> {
        let limit_bytes = u64::from(self.genesis.parameters().max_transaction_bytes);
        let mut sizes = transactions.iter().map(|transaction| transaction.bytes().len() as u64).enumerate();
        let (position, size_bytes) = sizes.find(|(_, size_bytes)| !(1..=limit_bytes).contains(size_bytes))?;
        Some(SubmitOutcome::TransactionSize { position, size_bytes, limit_bytes })
    }

    /// Judges one block from a peer: forgotten, refused, kept waiting, or accepted.
    fn receive(
        &mut self,
        now: Timestamp,
        from: AuthorityIndex,
        source: BlockSource,
        block: VerifiedBlock,
        outbox: &mut Outbox,
    ) {
        self.seen_blocks.note(&block);
        let reference = block.reference();
        if self.dag.is_present(&reference) || self.waiting.contains(&reference) {
            return;
        }
        let wanted = self.waiting.is_wanted(&reference);
        if source == BlockSource::Fetched && !wanted {
            // Whoever needed it has gone meanwhile.
            return;
        }
        if reference.author == self.own {
            self.signing.meet(&self.dag, from, reference, self.proposer.last().reference(), outbox);
        }
        self.see(reference.author, reference.round);
        let limit = self.clock.round().plus(self.max_rounds_ahead);
        if reference.round > limit {
            outbox.report(PeerFault::TooFarAhead { from, block: reference, limit });
            return;
        }
        if self.note_twin(&block, outbox) && !wanted {
            return;
        }
        let missing: BTreeSet<_> =
            block.ancestors().iter().filter(|ancestor| !self.dag.is_present(ancestor)).copied().collect();
        if missing.is_empty() {
            self.accept(now, block);
        } else if let Some(dropped) = self.waiting.add(now, from, source, block, missing) {
            outbox.report(PeerFault::WaitingRoomFull { from, block: dropped });
        }
    }

    /// A peer has answered the question of the start.
    fn hear_own_last(
        &mut self,
        from: AuthorityIndex,
        shown: Option<BlockRef>,
        peers_last: Option<BlockRef>,
        outbox: &mut Outbox,
    ) {
        let shown = shown.filter(|shown| shown.author == self.own);
        if let Some(shown) = shown {
            self.signing.meet(&self.dag, from, shown, self.proposer.last().reference(), outbox);
        }
        self.signing.hear(&self.dag, from, peers_last, shown.map(|shown| shown.round));
    }

    /// Whether another block of its slot is held or waits. If so, both are kept as evidence, within bounds (F07).
    fn note_twin(&mut self, block: &VerifiedBlock, outbox: &mut Outbox) -> bool {
        let reference = block.reference();
        let held = self.dag.slot(reference.slot()).first().or_else(|| self.waiting.twin_of(&reference));
        let Some(first) = held else { return false };
        self.equivocations = self.equivocations.saturating_add(1);
        self.unpersisted.evidence.note(first, block);
        outbox.equivocations.push((first.reference(), reference));
        true
    }

    /// Takes a block whose ancestors are present into the DAG, and then every block that waited for it.
    fn accept(&mut self, now: Timestamp, block: VerifiedBlock) {
        let mut ready = vec![block];
        while let Some(block) = ready.pop() {
            let reference = block.reference();
            if !self.dag.insert(block.clone()) {
                continue;
            }
            self.seen_blocks.note(&block);
            if !block.block().transactions.is_empty() {
                self.uncommitted_work.insert(reference);
            }
            if reference.author == self.own {
                self.proposer.adopt(&block);
            }
            self.undecided = true;
            self.certification.observe(&block);
            self.unpersisted.push(block);
            self.clock.observe(&self.dag, reference.round, now);
            ready.extend(self.waiting.resolve(&reference));
        }
    }

    /// Commits what is decided, then proposes if it is time: at most one own block an input, so that every call ends.
    fn advance(&mut self, now: Timestamp, outbox: &mut Outbox) {
        self.commit(now, outbox);
        outbox.drop_transactions(DropReason::Expired, self.pool.expire(now));
        self.signing.review(&self.dag);
        self.proposer.begin_at(self.signing.first_round());
        self.proposer.update_idle(now, self.clock, self.has_work());
        if let Readiness::Now(round) = self.readiness(now) {
            self.propose(now, round, outbox);
            self.commit(now, outbox);
            self.proposer.update_idle(now, self.clock, self.has_work());
        }
        self.send_wake(outbox);
    }

    fn has_work(&self) -> bool {
        self.pool.has_queued() || !self.uncommitted_work.is_empty() || self.woken >= self.clock.round()
    }

    fn readiness(&self, now: Timestamp) -> Readiness {
        if !self.signing.is_allowed() || self.lags() {
            return Readiness::Blocked;
        }
        self.proposer.readiness(now, &self.dag, self.clock, self.ordering.schedule())
    }

    fn propose(&mut self, now: Timestamp, round: Round, outbox: &mut Outbox) {
        let parameters = self.genesis.parameters();
        let max_transactions = usize::try_from(parameters.max_block_transactions).unwrap_or(usize::MAX);
        let max_bytes = parameters.max_block_bytes.saturating_sub(BLOCK_OVERHEAD_BYTES);
        let block = Block {
            chain_id: self.genesis.chain_id(),
            epoch: self.genesis.committee().epoch(),
            round,
            author: self.own,
            timestamp: now.max(self.proposer.last().block().timestamp),
            ancestors: self.proposer.ancestors(round, &self.dag),
            transactions: self.pool.propose(round, max_transactions, max_bytes),
            commit_votes: self.certification.take_votes(),
            executed_roots: self.roots.take_votes(),
            epoch_vote: None,
        };
        let block = block.sign(&self.signer);
        self.proposer.proposed(now, &block, &self.dag, self.ordering.schedule());
        self.signing.signed();
        self.accept(now, block.clone());
        outbox.own_block = Some(block);
    }

    /// Wakes peers when own transactions wait behind a round that has been proposed in already.
    fn send_wake(&mut self, outbox: &mut Outbox) {
        let proposed = self.proposer.last().round();
        let waits = self.pool.has_queued() && proposed == self.clock.round() && !self.signing.is_halted();
        if waits && self.wake_sent < proposed && self.genesis.committee().size() > 1 {
            self.wake_sent = proposed;
            outbox.immediate.push(Effect::SendWake { round: proposed });
        }
    }
}
