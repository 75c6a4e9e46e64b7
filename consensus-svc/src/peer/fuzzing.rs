//! Messages of other authorities.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use consensus_core::{BlockVerifier, ChainPoint, Genesis, RangeBytes, testkit, verify_range};
use futures::{FutureExt, stream};
use metanode_proto::peer::v1 as wire;
use prost::Message;

use super::{config::PeerLimits, inbound, request, verify};
use crate::wire::block_ref_to_proto;

/// What requests and answers are judged by.
struct Network {
    genesis: Genesis,
    verifier: BlockVerifier,
}

static NETWORK: LazyLock<Network> = LazyLock::new(|| {
    let (genesis, _) = testkit::genesis(4);
    let verifier = BlockVerifier::new(Arc::new(genesis.clone()));
    Network { genesis, verifier }
});

/// Takes a kind of message in one byte and the message in the rest: requests go through what the server checks, answers and
/// events through what the client does with them.
///
/// # Panics
/// If more is let through than was allowed, or other than what was sent: a bug.
pub fn peer_messages(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let message = Bytes::copy_from_slice(rest);
    match kind % 7 {
        0 => with(message, |request: wire::SubscribeBlocksRequest| {
            let known = request::check_chain(&NETWORK.genesis, &request.chain_id).is_ok();
            assert_eq!(known, request.chain_id == NETWORK.genesis.chain_id().as_bytes()[..]);
            check_epoch(request.epoch);
        }),
        1 => with(message, |request: wire::FetchBlocksRequest| {
            check_epoch(request.epoch);
            let held = request::held_rounds(&NETWORK.genesis, &request);
            assert!(held.is_err() || [0, 4].contains(&request.held_rounds.len()));
            let Ok(wanted) = request::fetch_refs(&request) else { return };
            assert!((1..=request::MAX_FETCH_REFS).contains(&wanted.len()));
            assert!(
                wanted.iter().map(block_ref_to_proto).eq(request.blocks),
                "a reference changes on its way"
            );
        }),
        2 => events(rest),
        3 => with(message, |answer: wire::FetchBlocksResponse| judge(answer.blocks)),
        4 => with(message, |request: wire::FetchOwnLastBlockRequest| check_epoch(request.epoch)),
        5 => with(message, |answer: wire::FetchOwnLastBlockResponse| {
            judge(vec![answer.callers_last_block, answer.own_last_block]);
        }),
        _ => with(message, |answer: wire::FetchCommitsResponse| {
            let (blocks, certifiers) = (answer.blocks.clone(), answer.certifiers.clone());
            let range = RangeBytes { commits: answer.commits, blocks, certifiers };
            let judged = verify_range(&NETWORK.verifier, ChainPoint::default(), range);
            assert!(judged.is_err(), "nobody has certified a commit of this network");
            judge(answer.blocks);
            judge(answer.certifiers);
        }),
    }
}

fn with<M: Message + Default>(bytes: Bytes, then: impl FnOnce(M)) {
    if let Ok(message) = M::decode(bytes) {
        then(message);
    }
}

fn check_epoch(epoch: u64) {
    assert_eq!(request::check_epoch(&NETWORK.genesis, epoch).is_ok(), epoch == 0);
}

fn judge(blocks: Vec<Bytes>) {
    let count = blocks.len();
    let verdict = verify::judge(&NETWORK.verifier, blocks.clone());
    assert!(verdict.invalid.is_some() || verdict.valid.len() == count);
    assert!(
        verdict.valid.iter().map(|block| block.signed_bytes()).zip(&blocks).all(|(kept, sent)| kept == sent)
    );
}

/// A stream of events, each behind its length in two bytes, read in batches to its end.
fn events(mut bytes: &[u8]) {
    let mut sent = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (event, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
        let event = wire::SubscribeBlocksResponse::decode(Bytes::copy_from_slice(event));
        sent.push(event.map_err(|_| tonic::Status::internal("not decoded")));
        bytes = rest;
    }
    let limits = PeerLimits { batch_blocks: 3, batch_bytes: 1000, ..PeerLimits::default() };
    let mut stream = stream::iter(sent);
    loop {
        let batch = inbound::next_batch(&mut stream, &limits).now_or_never();
        let batch = batch.expect("a stream that is there is never waited for");
        assert!(batch.blocks.len() <= limits.batch_blocks);
        judge(batch.blocks);
        if batch.end.is_some() {
            return;
        }
    }
}

/// One of each kind of message, whole.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let drawing = testkit::drawing::draw(&genesis, &signers, "ABCD1:[*] tx; ABCD2:[*]");
    let blocks: Vec<_> = drawing.blocks().iter().map(|block| block.signed_bytes().clone()).collect();
    let references = drawing.blocks().iter().map(|block| block_ref_to_proto(&block.reference()));
    let chain_id = Bytes::copy_from_slice(genesis.chain_id().as_bytes());
    let event = |event| wire::SubscribeBlocksResponse { event: Some(event) }.encode_to_vec();
    let wake = event(wire::subscribe_blocks_response::Event::Wake(wire::WakeHint { round: 3 }));
    let events =
        blocks.iter().map(|block| event(wire::subscribe_blocks_response::Event::Block(block.clone())));
    let stream = events.chain([wake]).flat_map(|event| {
        let length = u16::try_from(event.len()).expect("drawn blocks are small");
        [&length.to_le_bytes()[..], &event].concat()
    });
    let messages = [
        wire::SubscribeBlocksRequest { chain_id, epoch: 0, after_round: 1 }.encode_to_vec(),
        wire::FetchBlocksRequest { epoch: 0, blocks: references.collect(), held_rounds: vec![1, 0, 2, 2] }
            .encode_to_vec(),
        stream.collect(),
        wire::FetchBlocksResponse { blocks: blocks.clone() }.encode_to_vec(),
        wire::FetchOwnLastBlockRequest { epoch: 0 }.encode_to_vec(),
        wire::FetchOwnLastBlockResponse {
            callers_last_block: blocks.first().cloned().unwrap_or_default(),
            own_last_block: blocks.last().cloned().unwrap_or_default(),
        }
        .encode_to_vec(),
        wire::FetchCommitsResponse {
            commits: Vec::new(),
            blocks: blocks.clone(),
            certifiers: blocks,
            highest_certified_index: 1,
        }
        .encode_to_vec(),
    ];
    (0u8..).zip(messages).map(|(kind, message)| [vec![kind], message].concat()).collect()
}
