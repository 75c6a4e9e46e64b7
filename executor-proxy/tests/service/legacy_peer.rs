//! An existing master that does what the test says: two sockets, blocks in, queries answered.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use executor_proxy::backend::uds::{Layout, LegacyMaster};
use metanode_proto::legacy::v1::{
    CommittedEpochData, CurrentEpoch, EpochAdvanced, EpochBoundaryData, EpochStartTimestamp, ExecutableBlock,
    LastBlockNumber, LastHandledCommitIndex, Request, Response, ValidatorInfo, ValidatorInfoList,
    request::Payload as Query, response::Payload as Answer,
};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use crate::harness::AUTHORITY;

/// What it says and does; read anew for each query and block.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Reported as execution index and block number.
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) ready: bool,
    /// Reports block numbers alone, and makes none for an empty block.
    pub(crate) blocks_alone: bool,
    /// Executes what comes, at once.
    pub(crate) executes: bool,
    pub(crate) root: Option<[u8; 32]>,
    pub(crate) stake: &'static str,
    /// Why it begins no epoch.
    pub(crate) keeps_epoch: Option<&'static str>,
    /// Answers to queries that are not those that belong to them, oldest first.
    pub(crate) odd: VecDeque<Odd>,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    /// None comes, until the peer is told to go on.
    Late,
    /// Half of it comes, then the end.
    Half,
    /// It comes twice.
    Twice,
}

/// A block as the peer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) index: u64,
    pub(crate) transactions: Vec<Vec<u8>>,
    pub(crate) hash: Vec<u8>,
}

pub(crate) struct Peer {
    folder: PathBuf,
    shared: Arc<Shared>,
    pub(crate) blocks: mpsc::Receiver<Block>,
    _serving: JoinSet<()>,
}

struct Shared {
    script: Mutex<Script>,
    layout: Layout,
    /// Connections of an older generation are closed.
    generation: watch::Sender<u64>,
    /// Late answers are sent when it changes.
    late: watch::Sender<u64>,
    /// Connections for queries that were accepted, and that have ended.
    accepted: watch::Sender<u64>,
    ended: watch::Sender<u64>,
    queries: watch::Sender<u64>,
}

impl Peer {
    pub(crate) fn start(folder: &Path, layout: Layout) -> Self {
        let mut peer = Self::without_blocks(folder, layout);
        let (taken, blocks) = mpsc::channel(64);
        peer.blocks = blocks;
        let (listener, shared) = (bind(&folder.join("blocks.sock")), Arc::clone(&peer.shared));
        peer._serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (shared, taken) = (Arc::clone(&shared), taken.clone());
                connections.spawn(async move {
                    let mut generation = shared.generation.subscribe();
                    tokio::select! {
                        _ = generation.changed() => {}
                        () = take_blocks(stream, &shared, &taken) => {}
                    }
                });
            }
        });
        peer
    }

    /// Answers queries only.
    pub(crate) fn without_blocks(folder: &Path, layout: Layout) -> Self {
        let script = Script {
            number: 0,
            epoch: 0,
            ready: true,
            blocks_alone: false,
            executes: true,
            root: None,
            stake: "1",
            keeps_epoch: None,
            odd: VecDeque::new(),
        };
        let counter = || watch::channel(0).0;
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            layout,
            generation: counter(),
            late: counter(),
            accepted: counter(),
            ended: counter(),
            queries: counter(),
        });
        let mut serving = JoinSet::new();
        let (listener, served) = (bind(&folder.join("queries.sock")), Arc::clone(&shared));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                served.accepted.send_modify(|count| *count += 1);
                let shared = Arc::clone(&served);
                connections.spawn(async move {
                    let mut generation = shared.generation.subscribe();
                    tokio::select! {
                        _ = generation.changed() => {}
                        () = answer_queries(stream, &shared) => {}
                    }
                    shared.ended.send_modify(|count| *count += 1);
                });
            }
        });
        let (_, blocks) = mpsc::channel(1);
        Self { folder: folder.to_owned(), shared, blocks, _serving: serving }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap()
    }

    /// Where it listens.
    pub(crate) fn master(&self) -> LegacyMaster {
        LegacyMaster {
            blocks: self.folder.join("blocks.sock").to_str().unwrap().parse().unwrap(),
            queries: self.folder.join("queries.sock").to_str().unwrap().parse().unwrap(),
            layout: self.shared.layout,
            reports_ready: false,
            accept_zero: false,
        }
    }

    /// Closes all connections without a word.
    pub(crate) fn cut(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Sends the answers that are late.
    pub(crate) fn answer_late(&self) {
        self.shared.late.send_modify(|late| *late += 1);
    }

    /// Connections for queries so far.
    pub(crate) fn accepted(&self) -> watch::Receiver<u64> {
        self.shared.accepted.subscribe()
    }

    /// Those of them that have ended.
    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.shared.ended.subscribe()
    }

    /// Queries so far.
    pub(crate) fn queries(&self) -> watch::Receiver<u64> {
        self.shared.queries.subscribe()
    }
}

/// Waits until a counter of the peer has this value or more.
pub(crate) async fn reaches(mut counter: watch::Receiver<u64>, value: u64) {
    let reached = timeout(Duration::from_secs(20), counter.wait_for(|count| *count >= value)).await;
    drop(reached.unwrap_or_else(|_| panic!("{value} is not reached")).unwrap());
}

fn bind(path: &Path) -> UnixListener {
    UnixListener::bind(path).unwrap()
}

async fn take_blocks(mut stream: impl AsyncRead + Unpin, shared: &Shared, taken: &mpsc::Sender<Block>) {
    loop {
        let mut length = 0_usize;
        let mut shift = 0;
        loop {
            let Ok(byte) = stream.read_u8().await else { return };
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let block = match shared.layout {
            Layout::ExecutableBlock => {
                let block = ExecutableBlock::decode(&body[..]).unwrap();
                assert_eq!(block.block_number, block.global_exec_index);
                let transactions = block.transactions.iter().map(|exe| exe.digest.to_vec()).collect();
                Block { index: block.global_exec_index, transactions, hash: block.commit_hash.to_vec() }
            }
            Layout::CommittedEpochData => {
                let data = CommittedEpochData::decode(&body[..]).unwrap();
                let transactions = data.blocks.iter().flat_map(|block| &block.transactions);
                let transactions = transactions.map(|exe| exe.digest.to_vec()).collect();
                Block { index: data.global_exec_index, transactions, hash: Vec::new() }
            }
        };
        {
            let mut script = shared.script.lock().unwrap();
            let counted = !(script.blocks_alone && block.transactions.is_empty());
            if script.executes && counted && block.index == script.number + 1 {
                script.number = block.index;
            }
        }
        taken.send(block).await.unwrap();
    }
}

async fn answer_queries(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    loop {
        let Ok(length) = stream.read_u32().await else { return };
        let mut body = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        shared.queries.send_modify(|count| *count += 1);
        let (answer, odd) = {
            let mut script = shared.script.lock().unwrap();
            (
                answer(Request::decode(&body[..]).unwrap().payload.unwrap(), &mut script),
                script.odd.pop_front(),
            )
        };
        let body = Response { payload: Some(answer) }.encode_to_vec();
        let mut frame = [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat();
        match odd {
            None => {}
            Some(Odd::Late) => drop(shared.late.subscribe().changed().await),
            Some(Odd::Half) => frame.truncate(frame.len() / 2),
            Some(Odd::Twice) => frame.extend(frame.clone()),
        }
        if stream.write_all(&frame).await.is_err() || odd == Some(Odd::Half) {
            return;
        }
    }
}

fn answer(query: Query, script: &mut Script) -> Answer {
    let validators = || {
        let key = |bytes: [u8; 32]| BASE64_STANDARD.encode(bytes).into_bytes().into();
        vec![ValidatorInfo {
            stake: script.stake.to_owned(),
            protocol_key: key(AUTHORITY),
            network_key: key([0xb1; 32]),
            ..ValidatorInfo::default()
        }]
    };
    match query {
        Query::GetActiveValidators(_) | Query::GetValidatorsAtBlock(_) => {
            Answer::ValidatorInfoList(ValidatorInfoList {
                validators: validators(),
                ..ValidatorInfoList::default()
            })
        }
        Query::GetLastBlockNumber(_) => Answer::LastBlockNumber(LastBlockNumber {
            last_block_number: script.number,
            last_global_exec_index: if script.blocks_alone { 0 } else { script.number },
            is_ready: script.ready,
            // The hash of a block, as these masters have it: never the digest of the commit.
            last_executed_commit_hash: vec![0xbb; 32].into(),
            last_epoch: script.epoch,
        }),
        Query::GetCurrentEpoch(_) => Answer::CurrentEpoch(CurrentEpoch { epoch: script.epoch }),
        Query::GetEpochStartTimestamp(_) => {
            Answer::EpochStartTimestamp(EpochStartTimestamp { timestamp_ms: 1 })
        }
        Query::AdvanceEpoch(request) => {
            assert_eq!(request.boundary_block, request.boundary_gei);
            if let Some(why) = script.keeps_epoch {
                return Answer::Error(why.to_owned());
            }
            script.epoch = request.new_epoch;
            Answer::EpochAdvanced(EpochAdvanced { new_epoch: request.new_epoch, ..EpochAdvanced::default() })
        }
        Query::GetEpochBoundaryData(request) => Answer::EpochBoundaryData(EpochBoundaryData {
            epoch: request.epoch,
            boundary_block: 1,
            boundary_gei: 1,
            ..EpochBoundaryData::default()
        }),
        Query::GetLastHandledCommitIndex(_) => match script.root {
            None => Answer::Error("unknown request".to_owned()),
            Some(root) => Answer::LastHandledCommitIndex(LastHandledCommitIndex {
                last_gei: script.number,
                last_block_number: script.number,
                state_root: root.to_vec().into(),
                ..LastHandledCommitIndex::default()
            }),
        },
    }
}
