//! What stands for a node's executor: a chain of roots over the digests of commits, which survives the node's crashes.

use consensus_core::{CommitDigest, StateRoot};

/// The root after a commit, as an executor that is right computes it.
pub(crate) fn right_root(before: StateRoot, commit: CommitDigest) -> StateRoot {
    root(b"right", before, commit)
}

fn root(kind: &[u8], before: StateRoot, commit: CommitDigest) -> StateRoot {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind).update(before.as_bytes()).update(commit.as_bytes());
    StateRoot::new(*hasher.finalize().as_bytes())
}

/// One executor.
#[derive(Debug, Default)]
pub(crate) struct Executor {
    /// The root after each commit that it has executed, from index 1.
    roots: Vec<StateRoot>,
    /// The first commit that it has executed wrongly, or will.
    wrong_from: Option<u64>,
    /// Whether commits are kept from it: it was contradicted.
    pub(crate) stopped: bool,
    /// Whether it is at work, in this life of its node.
    pub(crate) busy: bool,
    /// Whether this life of the node has asked it where it stands.
    pub(crate) asked: bool,
}

impl Executor {
    /// Where it stands: its last commit and the root there.
    pub(crate) fn position(&self) -> (u64, Option<StateRoot>) {
        (self.roots.len() as u64, self.roots.last().copied())
    }

    /// Whether it has computed wrongly, or will.
    pub(crate) const fn is_wrong(&self) -> bool {
        self.wrong_from.is_some()
    }

    /// Computes wrongly from the next commit on.
    pub(crate) fn break_down(&mut self) {
        self.wrong_from.get_or_insert(self.roots.len() as u64 + 1);
    }

    /// Goes back to its state before it computed wrongly, and computes rightly.
    pub(crate) fn repair(&mut self) {
        if let Some(wrong_from) = self.wrong_from.take() {
            self.roots.truncate(usize::try_from(wrong_from.saturating_sub(1)).unwrap_or(usize::MAX));
        }
    }

    /// Executes what it has not yet of the commits from index 1 on; the roots of those, with their indexes.
    pub(crate) fn execute(&mut self, commits: &[CommitDigest]) -> Vec<(u64, StateRoot)> {
        let mut executed = Vec::new();
        for commit in commits.iter().skip(self.roots.len()) {
            let (index, before) =
                (self.roots.len() as u64 + 1, self.roots.last().copied().unwrap_or_default());
            let is_wrong = self.wrong_from.is_some_and(|from| from <= index);
            let after = if is_wrong { root(b"wrong", before, *commit) } else { right_root(before, *commit) };
            self.roots.push(after);
            executed.push((index, after));
        }
        executed
    }
}
