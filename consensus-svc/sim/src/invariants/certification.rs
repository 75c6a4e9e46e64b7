//! Certification: an honest authority votes for the digest that honest nodes hand on at that index, no quorum stands for
//! another, and what an honest node keeps as a certificate is the word of a quorum (protocol, Certification and catch-up).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use consensus_core::{AuthorityIndex, Certificate, CommitDigest, Committee, Genesis, Stake};

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
    liars: BTreeSet<AuthorityIndex>,
}

impl Certification {
    pub(crate) fn new(genesis: Arc<Genesis>) -> Self {
        Self { genesis, commits: BTreeMap::new(), liars: BTreeSet::new() }
    }

    fn judge(&self, index: u64) -> Result<(), String> {
        let Some(Tally { delivered, votes, honest }) = self.commits.get(&index) else { return Ok(()) };
        let committee = self.genesis.committee();
        let certified: Vec<_> = votes
            .iter()
            .filter(|(_, voters)| committee.is_quorum(stake(committee, voters)))
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

    /// Judges a certificate that node `node` keeps, by the votes that were let out: its own may go out behind it, and what a liar
    /// has signed nobody knows.
    fn judge_certificate(&self, node: usize, certificate: &Certificate) -> Result<(), String> {
        let Certificate { index, digest, blocks } = certificate;
        let voted = self.commits.get(&index.get()).and_then(|tally| tally.votes.get(digest));
        let has_voted = |author: &AuthorityIndex| {
            author.as_usize() == node
                || self.liars.contains(author)
                || voted.is_some_and(|voted| voted.contains(author))
        };
        let voters = blocks.iter().map(|block| block.author).filter(has_voted).collect();
        let committee = self.genesis.committee();
        let held = stake(committee, &voters);
        if committee.is_quorum(held) {
            return Ok(());
        }
        Err(format!("node {node} takes commit {index} for certified as {digest:?} by stake {held}"))
    }
}

fn stake(committee: &Committee, voters: &BTreeSet<AuthorityIndex>) -> Stake {
    voters.iter().fold(Stake::ZERO, |sum, voter| sum.plus(committee.stake(*voter)))
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
                if !honest {
                    self.liars.insert(block.author());
                }
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
            Record::Stored { node, certificates, .. } => {
                certificates.iter().try_for_each(|certificate| self.judge_certificate(*node, certificate))
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
