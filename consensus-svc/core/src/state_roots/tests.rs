use super::*;
use crate::{
    crypto::Signer,
    genesis::ProtocolParameters,
    testkit,
    types::{BlockRef, Epoch, Timestamp},
};
use bytes::Bytes;

const INTERVAL: u64 = 10;

fn index(index: u64) -> CommitIndex {
    CommitIndex::new(index)
}

fn root(byte: u8) -> StateRoot {
    StateRoot::new([byte; 32])
}

fn vote(at: u64, byte: u8) -> ExecutedRoot {
    ExecutedRoot { index: index(at), root: root(byte) }
}

/// The roots of authority 0 among authorities whose blocks are committed as they come, one a commit from 1001 on.
struct Chain {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    roots: StateRoots,
    last: u64,
}

fn chain(stakes: &[u64]) -> Chain {
    chain_after(stakes, RootRecords::default())
}

fn chain_after(stakes: &[u64], records: RootRecords) -> Chain {
    let parameters = ProtocolParameters { root_interval: INTERVAL, ..ProtocolParameters::default() };
    let (genesis, signers) = testkit::genesis_with(stakes, parameters);
    let genesis = Arc::new(genesis);
    let dag = Dag::new(genesis.clone());
    let roots = StateRoots::recover(genesis.clone(), AuthorityIndex::new(0), records, &[], &dag);
    Chain { genesis, signers, roots, last: 1_000 }
}

impl Chain {
    fn block(&self, author: u16, votes: &[ExecutedRoot]) -> VerifiedBlock {
        let mut block = testkit::empty_block(&self.genesis, author, self.last);
        block.executed_roots = votes.to_vec();
        block.sign(&self.signers[usize::from(author)])
    }

    /// The next commit, which holds one block by each of these authors.
    fn commit(&mut self, blocks: &[(u16, &[ExecutedRoot])]) -> Vec<BlockRef> {
        self.last += 1;
        let blocks: Vec<_> = blocks.iter().map(|(author, votes)| self.block(*author, votes)).collect();
        let references: Vec<_> = blocks.iter().map(VerifiedBlock::reference).collect();
        let commit = Commit {
            index: index(self.last),
            epoch: Epoch::GENESIS,
            previous_digest: CommitDigest::ZERO,
            timestamp: Timestamp::default(),
            closing: true,
            leaders: Vec::new(),
            blocks: references.clone(),
            duplicate_marks: Bytes::new(),
        };
        let digest = commit.digest();
        self.roots.committed(&CommittedSubDag { commit, digest, blocks });
        references
    }

    /// Authors vote alike, one commit each.
    fn all_vote(&mut self, authors: &[u16], votes: &[ExecutedRoot]) {
        for author in authors {
            self.commit(&[(*author, votes)]);
        }
    }

    fn executed(&mut self, at: u64, byte: u8) {
        self.roots.executed(index(at), Some(root(byte)), index(self.last));
    }

    fn agreed(&mut self) -> Vec<ExecutedRoot> {
        self.roots.take_records().0.agreed.iter().map(RootAgreement::executed).collect()
    }

    fn contradicted(&self) -> Option<(u64, StateRoot, StateRoot)> {
        let found = self.roots.contradiction()?;
        Some((found.index().get(), found.own, found.agreed.root))
    }
}

#[test]
fn x07_a_root_is_agreed_on_by_a_quorum_of_stake_for_exactly_it_and_by_nothing_less() {
    let mut four = chain(&[1; 4]);
    let first = four.commit(&[(0, &[vote(10, 1)]), (1, &[vote(10, 1)])]);
    assert_eq!(four.agreed(), [], "f + 1 of 4");
    four.commit(&[(2, &[vote(10, 2)])]);
    assert_eq!(four.agreed(), [], "another root");
    let last = four.commit(&[(3, &[vote(10, 1)])]);
    let blocks = [first, last].concat();
    let expected = RootAgreement { index: index(10), root: root(1), blocks };
    assert_eq!(four.roots.take_records().0.agreed, [expected]);
    assert_eq!(four.roots.agreed(), Some(vote(10, 1)));
    assert_eq!(four.roots.dissenting(), 1);

    // 7 in all, a quorum is 5.
    let mut uneven = chain(&[3, 1, 1, 1, 1]);
    uneven.all_vote(&[1, 2, 3, 4], &[vote(10, 1)]);
    assert_eq!(uneven.agreed(), [], "four heads, and stake 4");
    uneven.all_vote(&[0], &[vote(10, 1)]);
    assert_eq!(uneven.agreed(), [vote(10, 1)]);
}

#[test]
fn x07_of_an_author_the_first_vote_for_an_index_counts_in_commit_order() {
    let mut chain = chain(&[1; 4]);
    chain.commit(&[(1, &[vote(10, 2), vote(10, 1)])]);
    chain.commit(&[(1, &[vote(10, 1)])]);
    assert_eq!(chain.roots.conflicting(), 2);
    chain.all_vote(&[2, 3], &[vote(10, 1)]);
    assert_eq!(chain.agreed(), [], "authority 1 has voted for another root");
    chain.all_vote(&[0], &[vote(10, 1)]);
    assert_eq!(chain.agreed(), [vote(10, 1)]);
    chain.all_vote(&[1], &[vote(10, 2)]);
    assert_eq!((chain.roots.dissenting(), chain.roots.conflicting()), (2, 2));
}

#[test]
fn votes_count_at_multiples_of_the_interval_below_the_commit_that_carries_them() {
    let mut chain = chain(&[1; 4]);
    chain.last = 19;
    let votes = [vote(0, 1), vote(5, 1), vote(10, 1), vote(20, 1), vote(21, 1), vote(1_000_000, 1)];
    chain.commit(&[(1, &votes), (2, &votes), (3, &votes)]);
    assert_eq!(chain.agreed(), [vote(10, 1)], "commit 20 is the one that carries them");
    assert_eq!(chain.roots.held(), 0);
}

#[test]
fn x07_an_own_root_that_a_quorum_contradicts_is_found_whichever_comes_first() {
    let mut own_first = chain(&[1; 4]);
    own_first.executed(10, 9);
    own_first.all_vote(&[1, 2], &[vote(10, 1)]);
    assert_eq!(own_first.contradicted(), None);
    own_first.all_vote(&[3], &[vote(10, 1)]);
    assert_eq!(own_first.contradicted(), Some((10, root(9), root(1))));

    let mut own_last = chain(&[1; 4]);
    own_last.all_vote(&[1, 2, 3], &[vote(10, 1)]);
    own_last.roots.take_records();
    own_last.executed(10, 9);
    assert_eq!(own_last.contradicted(), Some((10, root(9), root(1))));

    for mut chain in [own_first, own_last] {
        let (records, is_due) = chain.roots.take_records();
        assert!(is_due, "the evidence waits for no other batch");
        assert_eq!(records.contradiction.as_ref(), chain.roots.contradiction());
        assert_eq!(records.contradiction.unwrap().agreed.blocks.len(), 3);
        chain.executed(20, 9);
        assert_eq!(chain.roots.take_votes(), [], "an executor that is wrong is heard no more");
        chain.all_vote(&[1, 2, 3], &[vote(20, 1)]);
        assert_eq!(chain.agreed(), [vote(20, 1)], "the others go on");
        assert_eq!(chain.contradicted(), Some((10, root(9), root(1))), "once");
    }
}

#[test]
fn x07_an_own_root_that_is_agreed_on_is_verified() {
    let mut chain = chain(&[1; 4]);
    chain.executed(10, 1);
    chain.all_vote(&[1, 2, 3], &[vote(10, 1)]);
    let (records, is_due) = chain.roots.take_records();
    assert_eq!(records.verified, Some(vote(10, 1)));
    assert!(!is_due, "it may wait for the next batch");
    chain.executed(10, 1);
    assert!(chain.roots.take_records().0.is_empty(), "once");
}

#[test]
fn own_roots_are_voted_for_once_oldest_first_and_only_at_multiples() {
    let mut chain = chain(&[1; 4]);
    chain.roots.executed(index(10), None, index(1_000));
    for at in [10, 15, 20, 20, 30] {
        chain.executed(at, 1);
    }
    assert_eq!(chain.roots.take_votes(), [vote(10, 1), vote(20, 1), vote(30, 1)]);
    assert_eq!(chain.roots.take_votes(), []);
    chain.executed(20, 1);
    chain.executed(30, 7);
    assert_eq!(chain.roots.take_votes(), [], "a vote is cast once, and never changed");
    chain.executed(2_000, 1);
    assert_eq!(chain.roots.take_votes(), [], "above the chain");
}

#[test]
fn what_is_agreed_on_is_not_voted_for() {
    let mut chain = chain(&[1; 4]);
    chain.executed(10, 1);
    chain.executed(20, 1);
    chain.all_vote(&[1, 2, 3], &[vote(10, 1), vote(30, 1)]);
    chain.executed(30, 1);
    assert_eq!(chain.roots.take_votes(), [vote(20, 1)]);
}

#[test]
fn an_executor_that_goes_back_takes_its_waiting_votes_back() {
    let mut chain = chain(&[1; 4]);
    for at in [10, 20, 30] {
        chain.executed(at, 9);
    }
    chain.executed(14, 1);
    chain.executed(20, 1);
    assert_eq!(chain.roots.take_votes(), [vote(10, 9), vote(20, 1)]);
}

#[test]
fn t06_votes_and_own_roots_are_bounded_whatever_authors_invent() {
    let mut chain = chain(&[1; 4]);
    chain.last = 1_000_000;
    for step in 0..3_000 {
        let votes: Vec<_> = (0..100).map(|vote_of| vote((step * 100 + vote_of) * INTERVAL, 1)).collect();
        chain.commit(&[(3, &votes)]);
    }
    assert_eq!(chain.roots.held(), MAX_OPEN_VOTES);
    for at in 1..1_000 {
        chain.executed(at * INTERVAL, 2);
    }
    assert_eq!(chain.roots.held(), MAX_OPEN_VOTES + MAX_OWN_ROOTS + 100);
    let taken = chain.roots.take_votes();
    assert_eq!((taken.len(), taken[0]), (100, vote(9_000, 2)), "as many as a block takes; the oldest left");
    for at in 1..200 {
        chain.all_vote(&[0, 1, 2], &[vote(at * INTERVAL, 2)]);
    }
    let records = chain.roots.take_records().0;
    assert_eq!(records.agreed.len(), 199);
    let mut store = RootRecords::default();
    store.apply(&records);
    assert_eq!((store.agreed.len(), store.agreed[0].index), (MAX_AGREED_ROOTS, index(1_360)));
}

/// An executor that was contradicted stays without commits over restarts, until it stands where it will be compared again, or is
/// shown to be right.
#[test]
fn x07_a_contradicted_executor_is_refused_until_it_is_shown_to_be_right() {
    let mut chain = chain(&[1; 4]);
    chain.executed(30, 9);
    chain.all_vote(&[1, 2, 3], &[vote(30, 1), vote(40, 1)]);
    let mut store = RootRecords::default();
    store.apply(&chain.roots.take_records().0);
    let contradiction = store.contradiction.clone();
    assert!(contradiction.is_some());
    let refused = |at, byte: Option<u8>| store.forbids(index(at), byte.map(root)).is_some();
    assert!(!refused(29, None) && !refused(0, None), "it will be compared at 30");
    assert!(refused(30, Some(9)) && refused(30, None) && refused(35, Some(1)) && refused(40, Some(9)));
    assert!(!refused(30, Some(1)) && !refused(40, Some(1)), "its root is the agreed one");

    let mut repaired = chain_after(&[1; 4], store.clone());
    repaired.executed(29, 5);
    assert_eq!(repaired.roots.take_records(), (RootRecords::default(), false));
    repaired.executed(30, 1);
    let (records, is_due) = repaired.roots.take_records();
    assert!(is_due, "the next start must not refuse it");
    store.apply(&records);
    assert!(store.forbids(index(35), None).is_none());
    assert_eq!(store.contradiction, contradiction, "the evidence stays");

    let mut wrong_again = chain_after(&[1; 4], store.clone());
    wrong_again.executed(40, 8);
    store.apply(&wrong_again.roots.take_records().0);
    assert_eq!(store.forbids(index(41), None).map(RootContradiction::index), Some(index(40)));
}

#[test]
fn records_are_read_as_they_were_written() {
    let mut chain = chain(&[1; 4]);
    chain.executed(10, 9);
    chain.all_vote(&[1, 2, 3], &[vote(10, 1)]);
    let records = chain.roots.take_records().0;
    let (agreement, contradiction) = (&records.agreed[0], records.contradiction.as_ref().unwrap());
    let bytes = agreement.canonical_bytes();
    assert_eq!(RootAgreement::decode(bytes.clone().into()).as_ref(), Ok(agreement));
    assert!(RootAgreement::decode(bytes[..bytes.len() - 1].to_vec().into()).is_err());
    let bytes = contradiction.canonical_bytes();
    assert_eq!(RootContradiction::decode(bytes.clone().into()).as_ref(), Ok(contradiction));
    assert!(RootContradiction::decode([bytes, vec![0]].concat().into()).is_err());
}
