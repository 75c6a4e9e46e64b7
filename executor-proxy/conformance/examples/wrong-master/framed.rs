//! The same master behind the framed protocol: blocks on one socket, queries on another. Executable blocks only.

use std::{io, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use executor_proxy::{backend::Commit, network::Network};
use metanode_proto::{
    consensus::v1 as consensus,
    legacy::v1::{
        CurrentEpoch, EpochAdvanced, EpochBoundaryData, EpochStartTimestamp, ExecutableBlock,
        LastBlockNumber, LastHandledCommitIndex, Request, Response, ValidatorInfo, ValidatorInfoList,
        request::Payload as Query, response::Payload as Reply,
    },
};
use prost::Message;
use sequencer_core::Digest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use crate::{fault::Fault, service::Shared};

/// Longest block and longest query, in bytes.
const BLOCK_BYTES: u64 = 2 << 20;
const QUERY_BYTES: u32 = 64 << 10;

/// The two sockets.
#[derive(Clone, Debug)]
pub(crate) struct Framed {
    pub(crate) shared: Arc<Shared>,
    pub(crate) network: Network,
}

impl Framed {
    /// Serves both until the process is killed.
    pub(crate) async fn serve(self, blocks: UnixListener, queries: UnixListener) -> io::Result<()> {
        loop {
            let framed = self.clone();
            // What ends a connection is told to its client by its end.
            tokio::select! {
                accepted = blocks.accept() => {
                    let (stream, _) = accepted?;
                    tokio::spawn(async move { framed.feed(stream).await });
                }
                accepted = queries.accept() => {
                    let (stream, _) = accepted?;
                    tokio::spawn(async move { framed.answer(stream).await });
                }
            }
        }
    }

    /// Blocks of one connection.
    async fn feed(self, stream: UnixStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let fault = self.shared.fault();
        loop {
            let length = varint(&mut reader).await?;
            if length > BLOCK_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
            reader.read_exact(&mut body).await?;
            match ExecutableBlock::decode(Bytes::from(body)) {
                Ok(block) => self.take(block),
                Err(_) if fault == Fault::SkipsMalformed => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Executes a block, or drops it in silence.
    fn take(&self, block: ExecutableBlock) {
        let mut state = self.shared.state();
        let (last, digest) = state.position();
        let (index, fault) = (block.global_exec_index, state.fault);
        if fault == Fault::IgnoresEmptyBlocks && block.transactions.is_empty() {
            return;
        }
        if index <= last || (index != last + 1 && fault != Fault::AcceptsAGap) {
            return;
        }
        let transactions = block.transactions.into_iter().map(|transaction| transaction.digest);
        let message = consensus::Commit {
            blocks: vec![consensus::CommittedBlock { block: None, transactions: transactions.collect() }],
            ..consensus::Commit::default()
        };
        let commit = Commit {
            index,
            epoch: block.epoch,
            previous_digest: digest,
            digest: Digest(block.commit_hash[..].try_into().unwrap_or([0; 32])),
            timestamp_ms: block.commit_timestamp_ms,
            size_bytes: 0,
            message: Box::new(message),
        };
        // A refusal has no answer here: the number that does not move tells.
        let in_force = state.in_force();
        let _ = state.commit(in_force, &commit);
    }

    /// Queries of one connection.
    async fn answer(self, mut stream: UnixStream) -> io::Result<()> {
        let mut behind: Option<Vec<u8>> = None;
        loop {
            let length = stream.read_u32().await?;
            if length > QUERY_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
            stream.read_exact(&mut body).await?;
            let query = Request::decode(Bytes::from(body)).ok().and_then(|request| request.payload);
            // Answers that overtake each other are seen only where several are under way.
            let swaps = self.shared.fault() == Fault::SwapsAnswers
                && matches!(query, Some(Query::GetEpochBoundaryData(_)));
            let body = Response { payload: Some(self.reply(query)) }.encode_to_vec();
            let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_be_bytes();
            let frame = [&length[..], &body].concat();
            if swaps {
                behind = Some(frame);
                continue;
            }
            stream.write_all(&frame).await?;
            if let Some(frame) = behind.take() {
                stream.write_all(&frame).await?;
            }
        }
    }

    fn reply(&self, query: Option<Query>) -> Reply {
        let mut state = self.shared.state();
        let (last, epoch) = (state.block_number(), state.epoch);
        let failed = |text: &str| Reply::Error(text.to_owned());
        match query {
            Some(Query::GetLastBlockNumber(_)) => {
                let index = state.standing().index;
                Reply::LastBlockNumber(LastBlockNumber {
                    last_block_number: index,
                    last_global_exec_index: index,
                    is_ready: true,
                    last_executed_commit_hash: Bytes::new(),
                    last_epoch: epoch,
                })
            }
            Some(Query::GetLastHandledCommitIndex(_)) => {
                Reply::LastHandledCommitIndex(LastHandledCommitIndex {
                    last_gei: last,
                    last_block_number: last,
                    epoch,
                    state_root: state.root().to_vec().into(),
                    ..LastHandledCommitIndex::default()
                })
            }
            Some(Query::GetCurrentEpoch(_)) => Reply::CurrentEpoch(CurrentEpoch { epoch }),
            Some(Query::GetActiveValidators(_)) => self.validators(),
            Some(Query::GetValidatorsAtBlock(query)) => {
                if query.block_number > last && state.fault != Fault::LatestCommittee {
                    return failed("the block is above the last");
                }
                self.validators()
            }
            Some(Query::GetEpochStartTimestamp(_)) => {
                Reply::EpochStartTimestamp(EpochStartTimestamp { timestamp_ms: 1 })
            }
            Some(Query::GetEpochBoundaryData(query)) => Reply::EpochBoundaryData(EpochBoundaryData {
                epoch: query.epoch,
                epoch_start_timestamp_ms: 1,
                validators: self.infos(),
                ..EpochBoundaryData::default()
            }),
            Some(Query::AdvanceEpoch(query)) => {
                let (_, digest) = state.position();
                match state.advance_epoch(query.new_epoch, query.boundary_gei, digest) {
                    Ok(new_epoch) => Reply::EpochAdvanced(EpochAdvanced {
                        new_epoch,
                        epoch_start_timestamp_ms: query.epoch_start_timestamp_ms,
                    }),
                    Err(status) => failed(status.message()),
                }
            }
            None => failed("this is no query"),
        }
    }

    fn validators(&self) -> Reply {
        Reply::ValidatorInfoList(ValidatorInfoList {
            validators: self.infos(),
            ..ValidatorInfoList::default()
        })
    }

    fn infos(&self) -> Vec<ValidatorInfo> {
        let text = |key: &Bytes| Bytes::from(STANDARD.encode(key));
        let members = self.network.committee.iter().map(|member| ValidatorInfo {
            stake: member.stake.to_string(),
            protocol_key: text(&member.protocol_key),
            network_key: text(&member.network_key),
            ..ValidatorInfo::default()
        });
        members.collect()
    }
}

/// The length before a block.
async fn varint(reader: &mut BufReader<UnixStream>) -> io::Result<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = reader.read_u8().await?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
