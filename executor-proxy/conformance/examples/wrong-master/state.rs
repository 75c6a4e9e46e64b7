//! The master itself: one commit at a time, executed and synced before the next is looked at. Each fault is one line in here,
//! or in the service.

use std::{collections::BTreeMap, io, path::Path};

use executor_proxy::{backend, error, network::Network, wire};
use metanode_proto::executor::v1::{Acknowledgement, RejectedTransaction};
use reference_ledger::{
    Account, AccountKey, Commit, Digest as LedgerDigest, Ledger, Outcome, Position as LedgerPosition,
    Transaction,
};
use sequencer_core::{Digest, Opening, Refusal};
use tonic::Status;

use crate::{
    fault::Fault,
    journal::{Entry, Executed, Journal},
};

/// Everything that the master knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) fault: Fault,
    network: Network,
    ledger: Ledger,
    executed: BTreeMap<u64, Executed>,
    /// Last commit that is in the file.
    pub(crate) durable: u64,
    pub(crate) epoch: u64,
    authority: Option<[u8; 32]>,
    incarnation: u64,
    /// The stream that is listened to.
    stream: u64,
    journal: Journal,
    questions: u64,
    hoard: Vec<backend::Commit>,
}

/// A stream that was let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) stream: u64,
    pub(crate) incarnation: u64,
}

impl Fault {
    /// True where a stream has ended, now that another one is in force.
    pub(crate) fn ends(self, stream: Open, in_force: Open) -> bool {
        let goes_on = match self {
            Self::OldIncarnationGoesOn => stream.incarnation < in_force.incarnation,
            Self::OldStreamGoesOn => stream.incarnation == in_force.incarnation,
            _ => false,
        };
        stream.stream != in_force.stream && !goes_on
    }
}

/// What a position question is answered with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) index: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) root: [u8; 32],
}

impl State {
    /// Reads the file, and executes nothing again.
    pub(crate) fn load(fault: Fault, network: Network, folder: &Path) -> io::Result<Self> {
        let (journal, entries) = Journal::open(folder)?;
        let chain_id = reference_ledger::ChainId(network.chain_id.0);
        let genesis = Ledger::genesis(chain_id, network.accounts.iter().copied());
        let ledger = genesis.map_err(io::Error::other)?;
        let mut state = Self {
            fault,
            ledger,
            executed: BTreeMap::new(),
            durable: 0,
            epoch: 0,
            authority: None,
            incarnation: 0,
            stream: 0,
            journal,
            questions: 0,
            hoard: Vec::new(),
            network,
        };
        let mut accounts: BTreeMap<AccountKey, Account> =
            state.ledger.accounts().map(|(key, account)| (*key, *account)).collect();
        let mut last = LedgerPosition::GENESIS;
        for entry in entries {
            match entry {
                Entry::Lease { authority, incarnation } => {
                    state.authority = Some(authority);
                    state.incarnation = incarnation;
                }
                Entry::Epoch(epoch) => state.epoch = epoch,
                Entry::Executed(one) => {
                    for (key, balance, nonce) in &one.changes {
                        accounts.insert(AccountKey(*key), Account { balance: *balance, nonce: *nonce });
                    }
                    last = LedgerPosition {
                        index: one.index,
                        digest: LedgerDigest(one.digest),
                        epoch: one.epoch,
                    };
                    state.executed.insert(one.index, one);
                }
            }
        }
        state.ledger = Ledger::restore(chain_id, last, accounts);
        state.durable = last.index;
        if let Some(one) = state.executed.get_mut(&last.index) {
            match fault {
                Fault::PositionWithoutDigest => one.digest = [0; 32],
                Fault::OtherDigestAfterRestart => one.digest = [0x0d; 32],
                _ => {}
            }
        }
        if fault == Fault::ForgetsResults {
            state.executed.retain(|index, _| *index == last.index);
        }
        Ok(state)
    }

    /// Where the master stands.
    pub(crate) fn standing(&mut self) -> Standing {
        self.questions += 1;
        let early = self.fault == Fault::ReadyBeforeLoaded && self.questions == 1;
        let index = match self.fault {
            _ if early => 0,
            Fault::AcknowledgesBeforeExecuting => self.durable,
            _ => self.last(),
        };
        match self.executed.get(&index) {
            Some(one) if !early => Standing { index, digest: one.digest, root: one.root },
            _ => Standing { index: 0, digest: [0; 32], root: self.genesis_root() },
        }
    }

    /// Last commit that was executed, and its digest.
    pub(crate) fn position(&self) -> (u64, Digest) {
        let last = self.last();
        (last, self.digest_at(last).unwrap_or(Digest::ZERO))
    }

    /// State root after it.
    pub(crate) fn root(&self) -> [u8; 32] {
        self.executed.get(&self.last()).map_or_else(|| self.genesis_root(), |one| one.root)
    }

    fn genesis_root(&self) -> [u8; 32] {
        let chain_id = reference_ledger::ChainId(self.network.chain_id.0);
        Ledger::genesis(chain_id, self.network.accounts.iter().copied())
            .map_or([0; 32], |ledger| ledger.state_root().0)
    }

    fn last(&self) -> u64 {
        self.executed.last_key_value().map_or(0, |(index, _)| *index)
    }

    fn digest_at(&self, index: u64) -> Option<Digest> {
        if index == 0 { Some(Digest::ZERO) } else { self.executed.get(&index).map(|one| Digest(one.digest)) }
    }

    /// Lets a stream in.
    pub(crate) fn open(&mut self, opening: &Opening) -> Result<Open, Status> {
        let refuse = |refusal| Err(error::refused(&refusal));
        if opening.chain_id != self.network.chain_id && self.fault != Fault::TakesAnyChain {
            let (ours, theirs) = (self.network.chain_id, opening.chain_id);
            return refuse(Refusal::WrongChain { ours, theirs });
        }
        if let Some(authority) = self.authority
            && authority != opening.authority.0
            && self.fault != Fault::TakesAnyAuthority
        {
            let (ours, theirs) = (sequencer_core::Authority(authority), opening.authority);
            return refuse(Refusal::WrongAuthority { ours, theirs });
        }
        let incarnation = match opening.incarnation {
            0 => self.incarnation + 1,
            older if older < self.incarnation && self.fault != Fault::OldIncarnationGoesOn => {
                return refuse(Refusal::Fenced {
                    incarnation: sequencer_core::Incarnation(self.incarnation),
                });
            }
            known => known,
        };
        let after = opening.after;
        match self.digest_at(after.index) {
            Some(ours) if ours == after.digest => {}
            Some(ours) => return refuse(Refusal::Fork { index: after.index, ours, theirs: after.digest }),
            None => {
                let (expected, index) = (self.last() + 1, after.index + 1);
                return refuse(Refusal::Gap { expected, index });
            }
        }
        self.sync()?;
        if incarnation > self.incarnation || self.authority.is_none() {
            self.incarnation = incarnation;
            self.authority = Some(opening.authority.0);
            if self.fault != Fault::ForgetsTheIncarnation {
                let entry = Entry::Lease { authority: opening.authority.0, incarnation };
                self.journal.add(&entry).map_err(|_| error::storage_failed())?;
                self.sync()?;
            }
        }
        self.stream += 1;
        Ok(Open { stream: self.stream, incarnation })
    }

    /// The newest stream, and the incarnation in force.
    pub(crate) fn in_force(&self) -> Open {
        Open { stream: self.stream, incarnation: self.incarnation }
    }

    /// Last commit that was executed.
    pub(crate) fn block_number(&self) -> u64 {
        self.last()
    }

    /// Judges and executes a commit; the acknowledgement of it.
    pub(crate) fn commit(
        &mut self,
        stream: Open,
        commit: &backend::Commit,
    ) -> Result<Acknowledgement, Status> {
        let refuse = |refusal| Err(error::refused(&refusal));
        if self.fault.ends(stream, self.in_force()) {
            return refuse(Refusal::Fenced { incarnation: sequencer_core::Incarnation(self.incarnation) });
        }
        if self.fault == Fault::HoardsCommits {
            // A copy of the bytes: what is decoded shares them with the message.
            let mut copy = commit.clone();
            for block in &mut copy.message.blocks {
                for bytes in &mut block.transactions {
                    *bytes = bytes.to_vec().into();
                }
            }
            self.hoard.push(copy);
        }
        let last = self.last();
        if commit.index <= last {
            return self.again(commit);
        }
        if commit.index != last + 1 && self.fault != Fault::AcceptsAGap {
            return refuse(Refusal::Gap { expected: last + 1, index: commit.index });
        }
        let ours = self.digest_at(last).unwrap_or(Digest::ZERO);
        let follows = commit.previous_digest == ours;
        if !follows && !matches!(self.fault, Fault::AcceptsAGap | Fault::IgnoresThePreviousDigest) {
            return refuse(Refusal::Fork { index: last, ours, theirs: commit.previous_digest });
        }
        if commit.epoch != self.epoch && self.fault != Fault::ExecutesAnyEpoch {
            return refuse(Refusal::WrongEpoch { ours: self.epoch, theirs: commit.epoch });
        }
        self.execute(commit)
    }

    /// A commit at or below the last.
    fn again(&mut self, commit: &backend::Commit) -> Result<Acknowledgement, Status> {
        let index = commit.index;
        let Some(one) = self.executed.get(&index) else {
            return Err(error::refused(&Refusal::Gap { expected: self.last() + 1, index }));
        };
        let ours = Digest(one.digest);
        if ours != commit.digest && self.fault != Fault::TakesForks {
            return Err(error::refused(&Refusal::Fork { index, ours, theirs: commit.digest }));
        }
        if self.fault == Fault::ExecutesDuplicatesAgain && index == self.last() {
            return self.execute(commit);
        }
        Ok(Acknowledgement { duplicate: true, ..acknowledgement(one) })
    }

    fn execute(&mut self, commit: &backend::Commit) -> Result<Acknowledgement, Status> {
        // The ledger compares and sets for itself; a master that does not is one whose ledger is led astray.
        let astray = LedgerPosition {
            index: commit.index - 1,
            digest: LedgerDigest(commit.previous_digest.0),
            epoch: commit.epoch,
        };
        if self.ledger.position().index != astray.index || self.ledger.position().digest != astray.digest {
            let accounts: Vec<_> = self.ledger.accounts().map(|(key, account)| (*key, *account)).collect();
            let chain_id = reference_ledger::ChainId(self.network.chain_id.0);
            self.ledger = Ledger::restore(chain_id, astray, accounts);
        }
        let marks = self.fault != Fault::IgnoresDuplicateMarks;
        let transactions = commit.transactions().map(|transaction| Transaction {
            bytes: transaction.bytes,
            duplicate: transaction.duplicate && marks,
        });
        let execution = self.ledger.execute(&Commit {
            index: commit.index,
            epoch: commit.epoch,
            previous_digest: astray.digest,
            digest: LedgerDigest(commit.digest.0),
            timestamp_ms: commit.timestamp_ms,
            transactions: transactions.collect(),
        });
        let execution = execution.map_err(|_| error::storage_failed())?;
        let rejected = (0..).zip(execution.results).filter_map(|(position, result)| match result.outcome {
            Outcome::Rejected(rejection) => Some((position, rejection.code.number(), rejection.reason)),
            Outcome::Executed | Outcome::Duplicate => None,
        });
        let mut one = Executed {
            index: commit.index,
            epoch: commit.epoch,
            digest: commit.digest.0,
            root: execution.state_root.0,
            rejected: rejected.collect(),
            changes: execution
                .changes
                .iter()
                .map(|(key, account)| (key.0, account.balance, account.nonce))
                .collect(),
        };
        if self.fault == Fault::WrongRoot && commit.index >= 20 {
            one.root[0] ^= 1;
        }
        self.journal.add(&Entry::Executed(one.clone())).map_err(|_| error::storage_failed())?;
        let answer = acknowledgement(&one);
        self.executed.insert(commit.index, one);
        match self.fault {
            Fault::AcknowledgesBeforeSync if self.journal.count < 16 => {}
            Fault::ReportsBeforeSync | Fault::AcknowledgesBeforeExecuting => {}
            _ => self.sync()?,
        }
        Ok(answer)
    }

    /// What was executed is durable afterwards.
    pub(crate) fn sync(&mut self) -> Result<(), Status> {
        self.journal.sync().map_err(|_| error::storage_failed())?;
        self.durable = self.last();
        Ok(())
    }

    /// Begins an epoch; the one in force.
    pub(crate) fn advance_epoch(
        &mut self,
        new_epoch: u64,
        index: u64,
        digest: Digest,
    ) -> Result<u64, Status> {
        let refuse = |refusal| Err(error::refused(&refusal));
        let (ours, last) = (self.epoch, self.last());
        if new_epoch == ours && self.fault != Fault::AdvanceEpochNotIdempotent {
            return Ok(ours);
        }
        if new_epoch != ours + 1 {
            return refuse(Refusal::WrongEpoch { ours, theirs: new_epoch });
        }
        if index > last && self.fault != Fault::AdvancesEarly {
            return refuse(Refusal::Gap { expected: last + 1, index });
        }
        match self.digest_at(index) {
            Some(ours) if ours != digest => return refuse(Refusal::Fork { index, ours, theirs: digest }),
            _ => {}
        }
        if index < last {
            return refuse(Refusal::BeyondBoundary { boundary: index, accepted: last });
        }
        if self.fault != Fault::ForgetsTheEpoch {
            self.journal.add(&Entry::Epoch(new_epoch)).map_err(|_| error::storage_failed())?;
            self.sync()?;
        }
        self.epoch = new_epoch;
        Ok(new_epoch)
    }
}

fn acknowledgement(one: &Executed) -> Acknowledgement {
    let rejected = one.rejected.iter().map(|(position, code, reason)| RejectedTransaction {
        index: one.index,
        position: *position,
        code: *code,
        reason: reason.clone(),
    });
    Acknowledgement {
        index: one.index,
        digest: wire::to_bytes(Digest(one.digest)),
        state_root: wire::to_bytes(Digest(one.root)),
        rejected: rejected.collect(),
        results_unknown: false,
        epoch_end: None,
        duplicate: false,
    }
}
