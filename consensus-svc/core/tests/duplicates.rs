//! Duplicates of transactions: what is marked, for how long, and that a restart marks the same.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{sync::Arc, time::Duration};

use consensus_core::{
    AuthorityIndex, CommittedSubDag, DuplicateWindow, Genesis, Linearizer, Params, ProtocolParameters,
    is_marked,
    testkit::{self, network::TestNetwork},
};

const LINK: Duration = Duration::from_millis(10);

fn parameters() -> ProtocolParameters {
    ProtocolParameters { duplicate_window: Duration::from_millis(100), ..ProtocolParameters::default() }
}

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

/// Payloads of a commit with their marks.
fn marked(sub_dag: &CommittedSubDag) -> Vec<(String, bool)> {
    let marks = &sub_dag.commit.duplicate_marks;
    let payload = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    sub_dag
        .transactions()
        .enumerate()
        .map(|(place, tx)| (payload(tx.bytes()), is_marked(marks, place)))
        .collect()
}

/// Leaders of a full DAG, one a round; each row gives the round's time after genesis and the payloads of A's block.
struct Chain {
    genesis: Arc<Genesis>,
    commits: Vec<CommittedSubDag>,
}

fn chain(parameters: ProtocolParameters, rows: &[(u64, &[&str])]) -> Chain {
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters);
    let genesis = Arc::new(genesis);
    let mut blocks: Vec<consensus_core::VerifiedBlock> = genesis
        .committee()
        .indexes()
        .map(|author| consensus_core::VerifiedBlock::genesis(&genesis, author))
        .collect();
    let mut dag = consensus_core::Dag::new(genesis.clone());
    let mut linearizer = Linearizer::new(genesis.clone());
    let mut commits = Vec::new();
    for (round, (millis, payloads)) in (1u64..).zip(rows) {
        let parents: Vec<_> = blocks.iter().map(consensus_core::VerifiedBlock::reference).collect();
        blocks = genesis
            .committee()
            .indexes()
            .map(|author| {
                let mut ancestors = parents.clone();
                ancestors.sort_by_key(|parent| parent.author != author);
                let carried = if author == authority(0) { *payloads } else { &[] };
                let block = consensus_core::Block {
                    chain_id: genesis.chain_id(),
                    epoch: genesis.committee().epoch(),
                    round: consensus_core::Round::new(round),
                    author,
                    timestamp: testkit::GENESIS_TIMESTAMP.plus(Duration::from_millis(*millis)),
                    ancestors,
                    transactions: carried
                        .iter()
                        .map(|text| {
                            consensus_core::Transaction::new(bytes::Bytes::copy_from_slice(text.as_bytes()))
                        })
                        .collect(),
                    commit_votes: Vec::new(),
                    executed_roots: Vec::new(),
                    epoch_vote: None,
                };
                block.sign(&signers[author.as_usize()])
            })
            .collect();
        for block in &blocks {
            dag.insert(block.clone());
        }
        // A's own block leads, so its payloads are in this commit; the time of a commit is that of the round before.
        commits.extend(linearizer.commit_leader(&dag, &blocks[0]));
    }
    Chain { genesis, commits }
}

fn marks_of(chain: &Chain) -> Vec<Vec<(String, bool)>> {
    chain.commits.iter().map(marked).collect()
}

fn row(entries: &[(&str, bool)]) -> Vec<(String, bool)> {
    entries.iter().map(|(payload, mark)| ((*payload).to_owned(), *mark)).collect()
}

#[test]
fn t02_the_first_in_commit_order_wins_within_a_commit_and_over_commits() {
    let chain = chain(parameters(), &[(0, &["a", "b", "a"]), (10, &["b", "c"])]);
    assert_eq!(
        marks_of(&chain),
        [row(&[("a", false), ("b", false), ("a", true)]), row(&[("b", true), ("c", false)])]
    );
    let unmarked: Vec<_> = chain.commits[0].unmarked_transactions().map(|tx| tx.bytes().to_vec()).collect();
    assert_eq!(unmarked, [b"a".to_vec(), b"b".to_vec()]);
}

#[test]
fn a_commit_leaves_the_window_when_it_is_strictly_older() {
    // Commits carry the time of the round before: 0, 0, 100 ms; and 0, 0, 101 ms.
    let at = chain(parameters(), &[(0, &["a"]), (100, &["b"]), (200, &["c"]), (200, &["a"])]);
    assert_eq!(at.commits[2].commit.timestamp, testkit::GENESIS_TIMESTAMP.plus(Duration::from_millis(100)));
    let at = chain(parameters(), &[(0, &["a"]), (100, &["b"]), (100, &["x"]), (100, &["a"])]);
    assert_eq!(marks_of(&at)[3], row(&[("a", true)]), "exactly as old as the window is inside");
    let past = chain(parameters(), &[(0, &["a"]), (101, &["b"]), (101, &["x"]), (101, &["a"])]);
    assert_eq!(marks_of(&past)[3], row(&[("a", false)]), "one millisecond older is outside");
}

#[test]
fn a_marked_one_does_not_stay_longer_for_it() {
    let rows: [(u64, &[&str]); 6] =
        [(0, &["a"]), (60, &["b"]), (60, &["a"]), (120, &["c"]), (120, &["d"]), (120, &["a"])];
    let chain = chain(parameters(), &rows);
    assert_eq!(marks_of(&chain)[2], row(&[("a", true)]));
    assert_eq!(marks_of(&chain)[5], row(&[("a", false)]), "its first place is 120 ms back");
}

#[test]
fn whole_commits_leave_when_entries_exceed_the_cap() {
    let capped = ProtocolParameters { max_duplicate_entries: 3, ..parameters() };
    let at = chain(capped.clone(), &[(0, &["a"]), (1, &["b", "c"]), (2, &["a"])]);
    assert_eq!(marks_of(&at)[2], row(&[("a", true)]), "three entries are kept");
    let past = chain(capped, &[(0, &["a"]), (1, &["b", "c", "d"]), (2, &["a", "b"])]);
    assert_eq!(
        marks_of(&past)[2],
        row(&[("a", false), ("b", true)]),
        "a fourth entry drives out the oldest commit"
    );
}

#[test]
fn a_group_of_duplicates_alone_still_closes() {
    let chain = chain(parameters(), &[(0, &["a"]), (1, &["a"])]);
    assert_eq!(chain.commits.len(), 2);
    assert_eq!(marks_of(&chain)[1], row(&[("a", true)]));
    assert!(chain.commits[1].commit.closing);
}

#[test]
fn marks_are_under_the_digest() {
    let chain = chain(parameters(), &[(0, &["a"]), (1, &["a"])]);
    let mut changed = chain.commits[1].commit.clone();
    changed.duplicate_marks = bytes::Bytes::new();
    assert_ne!(changed.digest(), chain.commits[1].digest);
}

#[test]
fn a_window_rebuilt_from_the_commits_marks_what_the_running_one_marks() {
    let rows: Vec<(u64, Vec<String>)> = (0u64..40)
        .map(|round| {
            let picks = [round % 7, round % 5, (round * round) % 11, round % 3];
            (
                round * 13,
                picks
                    .iter()
                    .take(usize::try_from(round % 4).expect("small") + 1)
                    .map(|p| format!("p{p}"))
                    .collect(),
            )
        })
        .collect();
    let texts: Vec<(u64, Vec<&str>)> =
        rows.iter().map(|(at, texts)| (*at, texts.iter().map(String::as_str).collect())).collect();
    for cap in [1, 2, 4, 9, 500] {
        let parameters = ProtocolParameters { max_duplicate_entries: cap, ..parameters() };
        let rows: Vec<(u64, &[&str])> = texts.iter().map(|(at, texts)| (*at, texts.as_slice())).collect();
        let whole = chain(parameters.clone(), &rows);
        for cut in 1..whole.commits.len() {
            let mut window = DuplicateWindow::new(&parameters);
            let inside =
                whole.commits[..cut].iter().rev().take_while(|sub_dag| window.rebuild(sub_dag)).count();
            let log: Vec<_> =
                whole.commits[..cut].iter().map(|sub_dag| (sub_dag.commit.clone(), sub_dag.digest)).collect();
            let mut recovered = Linearizer::recover(whole.genesis.clone(), &log, &[], Some(window));
            let again = chain(parameters.clone(), &rows[..=cut]);
            let next = again.commits.last().expect("a commit a row");
            // The same leader over the same DAG: drawn again, since a linearizer takes each leader once.
            let leader = next.commit.leaders[0];
            let mut dag = consensus_core::Dag::new(whole.genesis.clone());
            let genesis_blocks = dag.len();
            for sub_dag in &again.commits {
                for block in &sub_dag.blocks {
                    dag.insert(block.clone());
                }
            }
            assert!(dag.len() > genesis_blocks);
            let leader = dag.get(&leader).expect("committed").clone();
            let commits = recovered.commit_leader(&dag, &leader);
            assert_eq!(
                commits.last().map(|sub_dag| sub_dag.digest),
                Some(next.digest),
                "cap {cap}, after {cut}, {inside} inside"
            );
        }
    }
}

#[test]
fn t02_a_transaction_sent_to_every_authority_is_executed_once_also_over_restarts() {
    let (genesis, signers) = testkit::genesis(4);
    let mut network = TestNetwork::start(genesis, signers, Params::default(), LINK);
    for number in 0..30u64 {
        for index in 0..4 {
            network.submit(authority(index), number * 4 + u64::from(index), &number.to_be_bytes());
        }
        network.run(Duration::from_millis(40));
        if number == 15 {
            network.crash(authority(2));
            network.restart(authority(2)).expect("its own store");
        }
    }
    network.run(Duration::from_secs(3));
    for index in 0..4 {
        let node = network.node(authority(index));
        let mut executed: Vec<_> = node
            .delivered
            .iter()
            .flat_map(CommittedSubDag::unmarked_transactions)
            .map(|tx| u64::from_be_bytes(tx.bytes()[..].try_into().expect("8 bytes")))
            .collect();
        let committed = node.delivered.iter().flat_map(CommittedSubDag::transactions).count();
        executed.sort_unstable();
        assert_eq!(executed, (0..30).collect::<Vec<_>>());
        assert!(committed > 30, "duplicates were committed, and marked");
        assert_eq!(
            node.delivered.last().map(|sub_dag| sub_dag.digest),
            network.node(authority(0)).delivered.last().map(|sub_dag| sub_dag.digest)
        );
    }
}
