//! A sequencer with a chain to feed it.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use sequencer_core::{
    Authority, ChainId, Decision, Digest, Header, Incarnation, Opening, Params, Position, Recovered, Refusal,
    Sequencer, StreamId,
};

pub const CHAIN: ChainId = ChainId([1; 32]);
pub const AUTHORITY: Authority = Authority([2; 32]);

/// Digest of the commit at an index of the honest chain.
pub fn digest(index: u64) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&index.to_le_bytes());
    Digest(bytes)
}

pub fn position(index: u64) -> Position {
    Position { index, digest: digest(index) }
}

pub fn header(index: u64) -> Header {
    Header { index, epoch: 0, previous_digest: digest(index - 1), digest: digest(index), size_bytes: 10 }
}

/// A sequencer that has executed up to an index since its start; its window holds the digests.
pub fn executed_with(index: u64, params: &Params) -> Sequencer {
    let recovered = Recovered {
        chain_id: CHAIN,
        authority: Some(AUTHORITY),
        incarnation: Incarnation(4),
        epoch: 0,
        executed: Position::GENESIS,
    };
    let mut sequencer = Sequencer::recover(params, recovered).unwrap();
    let stream = sequencer.open(&opening(4, 0), None).unwrap().stream;
    for index in 1..=index {
        assert_eq!(commit(&mut sequencer, stream, index), Ok(Decision::Execute));
        sequencer.executed_one(position(index)).unwrap();
    }
    sequencer.close(stream);
    sequencer
}

pub fn executed(index: u64) -> Sequencer {
    executed_with(index, &Params::default())
}

pub fn opening(incarnation: u64, after: u64) -> Opening {
    Opening { chain_id: CHAIN, authority: AUTHORITY, incarnation, after: position(after) }
}

/// Opens a stream at the executed position.
pub fn open(sequencer: &mut Sequencer) -> StreamId {
    let after = sequencer.executed().index;
    sequencer.open(&opening(0, after), None).unwrap().stream
}

pub fn commit(sequencer: &mut Sequencer, stream: StreamId, index: u64) -> Result<Decision, Refusal> {
    sequencer.commit(stream, &header(index), None)
}
