//! Somebody who holds every block that exists, and gives certified commits to a machine that catches up.

use super::{commit_range::certifiers, subject::World};
use crate::{
    block::{CommitVote, VerifiedBlock},
    catch_up::range::RangeBytes,
    commit::CommittedSubDag,
    dag::Dag,
    ordering::Ordering,
    recovery::RecoveredLog,
    types::{CommitIndex, Round},
};

/// At most so many groups of commits after `after`, as the rule makes them of these blocks; `None` if there are none. The blocks are
/// closed under ancestors and come by rising round.
pub(super) fn range<'a>(
    world: &World,
    blocks: impl Iterator<Item = &'a VerifiedBlock>,
    after: CommitIndex,
    groups: usize,
) -> Option<RangeBytes> {
    let mut dag = Dag::new(world.genesis.clone());
    for block in blocks.filter(|block| block.round() > Round::GENESIS) {
        dag.insert(block.clone());
    }
    let ordering = Ordering::recover(world.genesis.clone(), &dag, &mut RecoveredLog::default());
    let mut ordering = ordering.expect("an empty log is taken");
    let mut judged = ordering.judge(&dag);
    let commits = std::iter::from_fn(|| ordering.next_group(&dag, &mut judged)).flatten();
    let mut range = RangeBytes::default();
    let mut vote = None;
    let later = |sub_dag: &CommittedSubDag| sub_dag.commit.index > after;
    for CommittedSubDag { commit, digest, blocks } in commits.filter(later) {
        range.commits.push(commit.canonical_bytes().into());
        range.blocks.extend(blocks.iter().map(|block| block.signed_bytes().clone()));
        if commit.closing {
            vote =
                Some((range.commits.len(), range.blocks.len(), CommitVote { index: commit.index, digest }));
            if range.commits.len() >= groups {
                break;
            }
        }
    }
    let (commits, blocks, vote) = vote?;
    range.commits.truncate(commits);
    range.blocks.truncate(blocks);
    range.certifiers = certifiers(world, vote);
    Some(range)
}
