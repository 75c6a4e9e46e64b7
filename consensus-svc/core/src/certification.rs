//! Commits that a quorum stands for: own votes out, others' votes in.

use std::sync::Arc;

use crate::{
    block::{CommitVote, VerifiedBlock},
    certifier::{Certificate, Certifier, Fork},
    commit::{Commit, CommittedSubDag},
    commit_votes::CommitVotes,
    dag::Dag,
    genesis::Genesis,
    types::{AuthorityIndex, CommitDigest, CommitIndex},
};

/// Votes of this authority and what all votes together certify.
#[derive(Debug)]
pub(crate) struct Certification {
    votes: CommitVotes,
    certifier: Certifier,
    /// Certificates that no batch has persisted yet. As many as there are commits between two batches, since a batch goes
    /// with every commit; after a restart as many as the certifier's window has.
    fresh: Vec<Certificate>,
    /// The fork, once it is found; and whether it was told.
    fork: Option<Fork>,
    told: bool,
}

impl Certification {
    /// Goes on from the store: votes that own blocks do not carry yet wait again, and the votes of the DAG's blocks are counted
    /// again. `certified` is the highest index with a stored certificate.
    pub(crate) fn recover(
        genesis: Arc<Genesis>,
        own: AuthorityIndex,
        commits: &[(Commit, CommitDigest)],
        certified: CommitIndex,
        dag: &Dag,
        own_last: &VerifiedBlock,
    ) -> Self {
        let last = commits.last().map_or(CommitIndex::NONE, |(commit, _)| commit.index);
        let own_blocks = dag.blocks().filter(|block| block.author() == own).chain([own_last]);
        let mut certification = Self {
            votes: CommitVotes::recover(commits, own_blocks),
            certifier: Certifier::new(genesis, last, certified),
            fresh: Vec::new(),
            fork: None,
            told: false,
        };
        for (commit, digest) in commits {
            certification.certifier.formed(commit.index, *digest);
        }
        for block in dag.blocks() {
            certification.certifier.observe(block);
        }
        certification.settle();
        certification
    }

    /// Counts the votes of an accepted block.
    pub(crate) fn observe(&mut self, block: &VerifiedBlock) {
        self.certifier.observe(block);
        self.settle();
    }

    /// Takes commits that this node formed. What came certified is not voted for.
    pub(crate) fn formed(&mut self, commits: &[CommittedSubDag]) {
        for sub_dag in commits {
            let (commit, digest) = (&sub_dag.commit, sub_dag.digest);
            if commit.index > self.certifier.certified() {
                self.votes.formed(commit, digest);
            }
            self.certifier.formed(commit.index, digest);
        }
        self.settle();
    }

    /// Takes a certificate that came with the commits up to it: nothing up to it needs votes any more.
    pub(crate) fn received(&mut self, certificate: Certificate) {
        if certificate.index > self.certifier.certified() {
            self.certifier.received(certificate.index);
            self.fresh.push(certificate);
            self.settle();
        }
    }

    /// The fork, if this node holds another commit at the index of a certified one. Own commits are known as long as they are not
    /// certified themselves.
    pub(crate) fn compare(&self, certified: &CommittedSubDag) -> Option<Fork> {
        let (index, certified) = (certified.commit.index, certified.digest);
        let own = self.certifier.own(index).filter(|own| *own != certified);
        own.map(|_| Fork { index, own, certified })
    }

    /// This node's chain contradicts a certificate.
    pub(crate) fn contradicted(&mut self, fork: Fork) {
        self.fork.get_or_insert(fork);
    }

    /// Highest certified index.
    pub(crate) const fn certified(&self) -> CommitIndex {
        self.certifier.certified()
    }

    /// Votes that are held of all authorities.
    pub(crate) fn votes_len(&self) -> usize {
        self.certifier.votes_len()
    }

    /// The votes of the next own block.
    pub(crate) fn take_votes(&mut self) -> Vec<CommitVote> {
        self.votes.take()
    }

    /// Certificates for the next batch.
    pub(crate) fn take_certificates(&mut self) -> Vec<Certificate> {
        std::mem::take(&mut self.fresh)
    }

    /// Whether this node's chain is not the one that a quorum holds. It then forms no further commit.
    pub(crate) const fn is_forked(&self) -> bool {
        self.fork.is_some()
    }

    /// The fork that was found.
    pub(crate) const fn fork(&self) -> Option<Fork> {
        self.fork
    }

    /// The fork, the first time.
    pub(crate) fn take_fork(&mut self) -> Option<Fork> {
        self.fork.filter(|_| !std::mem::replace(&mut self.told, true))
    }

    fn settle(&mut self) {
        let findings = self.certifier.take_findings();
        self.fresh.extend(findings.certificates);
        self.fork = self.fork.or(findings.fork);
        self.votes.certified(self.certifier.certified());
    }
}
