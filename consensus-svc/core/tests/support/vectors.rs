//! Replays recorded cases of the commit rule (format: `tests/vectors/README.md`).

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, Block, BlockRef, Committer, Dag, DecidedLeader, Decision, Linearizer, ProtocolParameters,
    Round, Signer, Slot, Timestamp, Transaction, VerifiedBlock, Via, testkit,
};
use serde::Deserialize;

/// One recorded case.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    committee: CaseCommittee,
    leaders_per_round: u16,
    blocks: Vec<CaseBlock>,
    checks: Vec<Check>,
    #[serde(default)]
    sequence: Vec<Committed>,
}

#[derive(Debug, Deserialize)]
struct CaseCommittee {
    stakes: Vec<u64>,
    quorum: u64,
}

#[derive(Debug, Deserialize)]
struct CaseBlock {
    id: String,
    round: u64,
    author: u16,
    parents: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Check {
    after_blocks: usize,
    last_decided: Option<(u64, u16)>,
    decisions: Vec<CaseDecision>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct CaseDecision {
    round: u64,
    authority: u16,
    status: String,
    block: Option<String>,
    via: String,
}

#[derive(Debug, Deserialize)]
struct Committed {
    leader: String,
    blocks: Vec<String>,
}

/// Reads the cases of one file.
pub(crate) fn load(path: &Path) -> Result<Vec<Case>, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

struct Replay {
    dag: Dag,
    committer: Committer,
    linearizer: Linearizer,
    signers: Vec<Signer>,
    references: BTreeMap<String, BlockRef>,
    names: BTreeMap<BlockRef, String>,
}

impl Case {
    /// Drives DAG, committer and linearizer through the case.
    pub(crate) fn replay(&self) -> Result<(), String> {
        let parameters =
            ProtocolParameters { leaders_per_round: self.leaders_per_round, ..ProtocolParameters::default() };
        let (genesis, signers) = testkit::genesis_with(&self.committee.stakes, parameters);
        let genesis = Arc::new(genesis);
        let quorum = genesis.committee().quorum_threshold().get();
        if quorum != self.committee.quorum {
            return Err(format!("quorum is {quorum}, recorded is {}", self.committee.quorum));
        }
        let mut replay = Replay {
            dag: Dag::new(genesis.clone()),
            committer: Committer::new(genesis.clone()),
            linearizer: Linearizer::new(genesis.clone()),
            signers,
            references: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        for author in genesis.committee().indexes() {
            let letter = char::from(b'A' + u8::try_from(author.get()).map_err(|error| error.to_string())?);
            replay.name(format!("{letter}0"), VerifiedBlock::genesis(&genesis, author).reference());
        }
        let mut blocks = self.blocks.iter();
        let mut inserted = 0;
        for (number, check) in self.checks.iter().enumerate() {
            while inserted < check.after_blocks {
                let block = blocks.next().ok_or("a check after more blocks than there are")?;
                replay.insert(&genesis, block)?;
                inserted += 1;
            }
            replay.check(check).map_err(|error| format!("check {number}: {error}"))?;
        }
        replay.sequence(self)
    }
}

impl Replay {
    fn name(&mut self, id: String, reference: BlockRef) {
        self.names.insert(reference, id.clone());
        self.references.insert(id, reference);
    }

    fn insert(&mut self, genesis: &consensus_core::Genesis, recorded: &CaseBlock) -> Result<(), String> {
        let ancestors = recorded
            .parents
            .iter()
            .map(|id| self.references.get(id).copied().ok_or_else(|| format!("unknown parent {id}")))
            .collect::<Result<Vec<_>, _>>()?;
        let block = Block {
            chain_id: genesis.chain_id(),
            epoch: genesis.committee().epoch(),
            round: Round::new(recorded.round),
            author: AuthorityIndex::new(recorded.author),
            timestamp: Timestamp::from_millis(testkit::GENESIS_TIMESTAMP.as_millis() + recorded.round),
            ancestors,
            transactions: vec![Transaction::new(Bytes::from(recorded.id.clone()))],
            commit_votes: Vec::new(),
            executed_roots: Vec::new(),
            epoch_vote: None,
        };
        let signer =
            self.signers.get(usize::from(recorded.author)).ok_or("an author outside the committee")?;
        let block = block.sign(signer);
        self.name(recorded.id.clone(), block.reference());
        if self.dag.insert(block) { Ok(()) } else { Err(format!("block {} was held already", recorded.id)) }
    }

    fn check(&self, check: &Check) -> Result<(), String> {
        let schedule = self.committer.schedule();
        let after = match check.last_decided {
            None => None,
            Some((round, authority)) => Some(
                schedule
                    .slot_of(Round::new(round), AuthorityIndex::new(authority))
                    .ok_or_else(|| format!("authority {authority} leads no slot of round {round}"))?,
            ),
        };
        let found: Vec<_> =
            self.committer.decide(&self.dag, after).iter().map(|decided| self.describe(decided)).collect();
        if found == check.decisions {
            Ok(())
        } else {
            Err(format!(
                "after {} blocks: decided {found:?}, recorded is {:?}",
                check.after_blocks, check.decisions
            ))
        }
    }

    fn describe(&self, decided: &DecidedLeader) -> CaseDecision {
        let (status, block) = match &decided.decision {
            Decision::Commit(block) => ("commit", self.names.get(&block.reference()).cloned()),
            Decision::Skip => ("skip", None),
        };
        let via = match decided.via {
            Via::Direct => "direct",
            Via::Indirect => "indirect",
        };
        let slot = Slot { round: decided.slot.round, authority: decided.authority };
        CaseDecision {
            round: slot.round.get(),
            authority: slot.authority.get(),
            status: status.to_owned(),
            block,
            via: via.to_owned(),
        }
    }

    /// Every recorded block carries a transaction, so every leader closes a group of its own.
    fn sequence(&mut self, case: &Case) -> Result<(), String> {
        let full = |check: &&Check| check.last_decided.is_none() && check.after_blocks == case.blocks.len();
        if case.checks.iter().rev().find(full).is_none() {
            return Ok(());
        }
        let mut recorded = case.sequence.iter();
        for decided in self.committer.decide(&self.dag, None) {
            let Decision::Commit(leader) = decided.decision else { continue };
            let expected = recorded.next().ok_or("more leaders are committed than recorded")?;
            let commits = self.linearizer.commit_leader(&self.dag, &leader);
            let mut found: Vec<_> = commits
                .iter()
                .flat_map(|sub_dag| &sub_dag.commit.blocks)
                .filter_map(|reference| self.names.get(reference).cloned())
                .collect();
            let mut blocks = expected.blocks.clone();
            found.sort();
            blocks.sort();
            if self.names.get(&leader.reference()) != Some(&expected.leader) || found != blocks {
                return Err(format!("leader {} adds {found:?}, recorded is {blocks:?}", expected.leader));
            }
        }
        match recorded.next() {
            None => Ok(()),
            Some(missing) => Err(format!("leader {} is recorded and not committed", missing.leader)),
        }
    }
}
