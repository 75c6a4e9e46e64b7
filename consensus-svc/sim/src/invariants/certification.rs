//! Certification: an honest authority votes for the digest that honest nodes hand on at that index, and no quorum stands for
//! another (protocol, Certification and catch-up).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use consensus_core::{AuthorityIndex, CommitDigest, Genesis, Stake};

use super::{Invariant, Kind, Record};

#[derive(Debug, Default)]
struct Tally {
    delivered: Option<CommitDigest>,
    votes: BTreeMap<CommitDigest, BTreeSet<AuthorityIndex>>,
    honest: BTreeMap<CommitDigest, usize>,
}

/// Votes and digests by index.
#[derive(Debug)]
pub(crate) struct Certification {
    genesis: Arc<Genesis>,
    commits: BTreeMap<u64, Tally>,
}

impl Certification {
    pub(crate) fn new(genesis: Arc<Genesis>) -> Self {
        Self { genesis, commits: BTreeMap::new() }
    }

    fn judge(&self, index: u64) -> Result<(), String> {
        let Some(Tally { delivered, votes, honest }) = self.commits.get(&index) else { return Ok(()) };
        let committee = self.genesis.committee();
        let stake = |voters: &BTreeSet<AuthorityIndex>| {
            voters.iter().fold(Stake::ZERO, |sum, voter| sum.plus(committee.stake(*voter)))
        };
        let certified: Vec<_> = votes
            .iter()
            .filter(|(_, voters)| committee.is_quorum(stake(voters)))
            .map(|(one, _)| *one)
            .collect();
        if let [one, other, ..] = certified[..] {
            return Err(format!("commit {index} is certified as {one:?} and as {other:?}"));
        }
        let Some(delivered) = delivered else { return Ok(()) };
        if let Some(other) = certified.iter().find(|digest| *digest != delivered) {
            return Err(format!("commit {index} is {delivered:?}, and certified as {other:?}"));
        }
        match honest.iter().find(|(digest, _)| *digest != delivered) {
            Some((digest, node)) => {
                Err(format!("node {node} votes for commit {index} as {digest:?}, it is {delivered:?}"))
            }
            None => Ok(()),
        }
    }
}

impl Invariant for Certification {
    fn name(&self) -> &'static str {
        "certification"
    }

    fn kind(&self) -> Kind {
        Kind::Diverged
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Sent { node, honest, block, .. } => {
                for vote in &block.block().commit_votes {
                    let tally = self.commits.entry(vote.index.get()).or_default();
                    tally.votes.entry(vote.digest).or_default().insert(block.author());
                    if *honest {
                        tally.honest.entry(vote.digest).or_insert(*node);
                    }
                    self.judge(vote.index.get())?;
                }
                Ok(())
            }
            Record::Delivered { sub_dag, .. } => {
                let index = sub_dag.commit.index.get();
                self.commits.entry(index).or_default().delivered.get_or_insert(sub_dag.digest);
                self.judge(index)
            }
            _ => Ok(()),
        }
    }
}
