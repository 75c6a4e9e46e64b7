use bytes::Bytes;

use super::{FormedGroup, Outbox};
use crate::{
    block::Block,
    commit::{Commit, CommittedSubDag},
    effect::{DropReason, Progress},
    testkit,
    transaction::Transaction,
    types::{CommitDigest, CommitIndex},
};

/// A turn of several groups: the first collects the own block that holds a transaction, a later one commits it in another's block.
#[test]
fn t01_what_a_commit_of_this_turn_holds_is_given_up_in_no_way() {
    let (genesis, signers) = testkit::genesis(4);
    let transaction = |text: &'static str| Transaction::new(Bytes::from_static(text.as_bytes()));
    let (now, before, never) = (transaction("now"), transaction("before"), transaction("never"));
    let content = testkit::empty_block(&genesis, 0, 1);
    let block = Block { transactions: vec![now.clone()], ..content }.sign(&signers[0]);
    let commit = Commit {
        index: CommitIndex::new(1),
        epoch: genesis.committee().epoch(),
        previous_digest: CommitDigest::ZERO,
        timestamp: genesis.timestamp(),
        closing: true,
        leaders: vec![block.reference()],
        blocks: vec![block.reference()],
        duplicate_marks: Bytes::new(),
    };
    let sub_dag = CommittedSubDag { digest: commit.digest(), commit, blocks: vec![block] };
    let [now, before, never] = [now, before, never].map(|transaction| transaction.digest());
    let mut outbox = Outbox::default();
    outbox.groups.push(FormedGroup { commits: vec![sub_dag], progress: Progress::default() });
    outbox.drop_transactions(DropReason::NotReproposed, vec![now, before, never]);
    outbox.settle(|digest| *digest == now || *digest == before);
    assert_eq!(outbox.committed_before, [before]);
    assert_eq!(outbox.dropped, [(DropReason::NotReproposed, vec![never])]);
}
