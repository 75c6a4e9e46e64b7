//! What a fuzzer runs over messages and texts from outside, behind the `testkit` feature: the ordinary tests run the same over
//! random bytes. Nothing here may panic, whatever the bytes are; what must hold is asserted.

use bytes::Bytes;
use consensus_core::testkit::fuzzing::{Seeds, Target};
use metanode_proto::consensus::v1::{SubmitRequest, WaitFor};
use metanode_shell::config::Problems;
use prost::Message;

use crate::{
    commit_stream, genesis_file, peer,
    submit::{SubmitLimits, check_batch},
};

pub use crate::{commit_stream::fuzzing::acknowledgements, peer::fuzzing::peer_messages};

/// All targets of this crate by name.
pub const TARGETS: [(&str, Target); 4] = [
    ("genesis_file", genesis_file),
    ("peer_messages", peer_messages),
    ("submit_messages", submit_messages),
    ("acknowledgements", acknowledgements),
];

/// Seeds of every target of this crate, by name.
pub const SEEDS: [(&str, Seeds); 4] = [
    ("genesis_file", genesis_files),
    ("peer_messages", peer::fuzzing::seeds),
    ("submit_messages", submits),
    ("acknowledgements", commit_stream::fuzzing::seeds),
];

/// Takes bytes for the text of a genesis file. What passes the checks must come back from its own text as the same chain.
///
/// # Panics
/// If it does not: a bug.
pub fn genesis_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(mut file) = genesis_file::parse(text) else { return };
    // No fuzzer finds the chain id, which is a hash of the rest.
    if let Some(generated) = genesis_file::generate(file.clone(), &mut Problems::default()) {
        file = generated;
    }
    let mut problems = Problems::default();
    match genesis_file::check(&file, &mut problems) {
        None => assert!(!problems.found().is_empty(), "a genesis file is refused without a reason"),
        Some(genesis) => {
            let made = genesis_file::to_file(&genesis, file.accounts.clone());
            let again = genesis_file::check(&made, &mut problems);
            assert_eq!(again.map(|again| again.chain_id()), Some(genesis.chain_id()));
        }
    }
}

fn genesis_files() -> Vec<Vec<u8>> {
    let files = [1u16, 4].map(|authorities| {
        let (genesis, _) = consensus_core::testkit::genesis(authorities);
        toml::to_string(&genesis_file::to_file(&genesis, Vec::new())).expect("a genesis file is text")
    });
    files.map(String::into_bytes).to_vec()
}

/// Takes bytes for a request of a client. What is accepted is within every limit, and each transaction stands once.
///
/// # Panics
/// If it is not: a bug.
pub fn submit_messages(bytes: &[u8]) {
    let Ok(request) = SubmitRequest::decode(Bytes::copy_from_slice(bytes)) else { return };
    let _ = WaitFor::try_from(request.wait_for);
    let limits = SubmitLimits { max_transactions: 8, max_batch_bytes: 200, max_transaction_bytes: 60 };
    let sent = request.transactions.clone();
    let Ok(taken) = check_batch(&limits, request.transactions) else { return };
    assert!(taken.iter().map(consensus_core::Transaction::bytes).eq(&sent), "a batch changes on its way");
    assert!((1..=limits.max_transactions).contains(&taken.len()));
    assert!(sent.iter().all(|transaction| (1..=limits.max_transaction_bytes).contains(&transaction.len())));
    assert!(sent.iter().map(Bytes::len).sum::<usize>() <= limits.max_batch_bytes);
    let digests: std::collections::BTreeSet<_> =
        taken.iter().map(consensus_core::Transaction::digest).collect();
    assert_eq!(digests.len(), taken.len(), "a transaction stands twice");
}

fn submits() -> Vec<Vec<u8>> {
    let batches: [&[&[u8]]; 3] =
        [&[b"one"], &[b"one", b"two", &[3; 60]], &[&[4; 60], &[5; 61], b"one", b"one"]];
    let requests = batches.map(|batch| SubmitRequest {
        transactions: batch.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect(),
        wait_for: WaitFor::Executed.into(),
    });
    requests.map(|request| request.encode_to_vec()).to_vec()
}
