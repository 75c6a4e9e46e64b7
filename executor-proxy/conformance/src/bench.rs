//! What a row works with: the master under trial, the commits that are sent to it, and the judgement of its answers.

mod judge;
mod legacy;
mod life;

pub use judge::Roots;
pub use life::BeginError;

use std::{fs, io, path::PathBuf, sync::Arc};

use metanode_proto::executor::v1::{GetLastBlockNumberResponse, Lease, StreamOpening};

use crate::{
    chain::Chain,
    client::{Client, Stream, describe},
    dice::Dice,
    network::{Network, NetworkError},
    process::Group,
    row::{Failure, Outcome},
    settings::{LedgerKind, Settings},
};

/// The bench cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The genesis file cannot be used.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A folder of the suite's cannot be made.
    #[error("cannot write to {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// The master, and what is known of it.
#[derive(Debug)]
pub struct Bench {
    pub(crate) settings: Arc<Settings>,
    pub(crate) network: Arc<Network>,
    /// The commits of this row; of all rows, where the master keeps its data over them.
    pub(crate) chain: Chain,
    pub(crate) dice: Dice,
    roots: Roots,
    group: Option<Group>,
    genesis: PathBuf,
    data: PathBuf,
    rows: u64,
}

/// A connection with a stream of commits that was opened on it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) stream: Stream,
    pub(crate) incarnation: u64,
    /// Last commit that is acknowledged, or was executed at the opening.
    pub(crate) acknowledged: u64,
}

impl Bench {
    /// Writes the genesis file, and makes the commits ready. Nothing is started yet.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn new(settings: Settings) -> Result<Self, BenchError> {
        let folder = settings.folder.clone();
        fs::create_dir_all(&folder).map_err(|source| BenchError::Folder { path: folder.clone(), source })?;
        let (network, genesis) = match &settings.genesis {
            Some(path) => (Network::read(path)?, path.clone()),
            None => (Network::of_the_suite(), folder.join("genesis.toml")),
        };
        if settings.ledger == LedgerKind::Reference {
            network.check_accounts(&genesis)?;
        }
        if settings.genesis.is_none() {
            network.write(&genesis)?;
        }
        let network = Arc::new(network);
        Ok(Self {
            chain: Chain::new(Arc::clone(&network)),
            dice: Dice::new(settings.seed),
            roots: Roots::default(),
            settings: Arc::new(settings),
            network,
            group: None,
            genesis,
            data: folder,
            rows: 0,
        })
    }

    /// A new connection.
    pub(crate) async fn client(&self) -> Outcome<Client> {
        Client::connect(&self.settings.endpoint(), self.settings.patience).await
    }

    /// Where the master stands: ready, and on this chain.
    pub(crate) async fn position(&mut self) -> Outcome<GetLastBlockNumberResponse> {
        let position = self.ask().await?;
        let position =
            position.map_err(|status| Failure::new("an answer to GetLastBlockNumber", describe(&status)))?;
        self.judge_position(&position)?;
        Ok(position)
    }

    /// An opening from a position of this chain.
    pub(crate) fn opening(&self, incarnation: u64, after: u64) -> StreamOpening {
        StreamOpening {
            chain_id: self.network.chain_id.0.to_vec().into(),
            lease: Some(Lease { authority: self.network.authority(), incarnation }),
            after_index: after,
            after_digest: self.chain.digest(after),
        }
    }

    /// Opens a stream where the master stands, on a connection of its own.
    pub(crate) async fn open(&mut self, incarnation: u64) -> Outcome<Session> {
        let after = self.position().await?.block_number;
        self.open_after(incarnation, after).await
    }

    /// Opens a stream from a position, on a connection of its own.
    pub(crate) async fn open_after(&mut self, incarnation: u64, after: u64) -> Outcome<Session> {
        let client = self.client().await?;
        let expected = || format!("the stream opens after commit {after}");
        let opened = client.try_open(self.opening(incarnation, after)).await?;
        let (stream, opened) = opened.map_err(|status| Failure::new(expected(), describe(&status)))?;
        if opened.incarnation == 0 || (incarnation != 0 && opened.incarnation != incarnation) {
            let expected = if incarnation == 0 { "above 0".to_owned() } else { incarnation.to_string() };
            return Err(Failure::new(
                format!("the opening answers with an incarnation {expected}"),
                format!("incarnation {}", opened.incarnation),
            ));
        }
        let last = self.chain.last();
        if opened.block_number < after || opened.block_number > last {
            return Err(Failure::new(
                format!("the opening answers with a block from {after} to {last}"),
                format!("block {}", opened.block_number),
            ));
        }
        Ok(Session { client, stream, incarnation: opened.incarnation, acknowledged: opened.block_number })
    }

    /// Opens as a new process of consensus-svc, and has some commits executed.
    pub(crate) async fn begin_stream(&mut self, commits: u64) -> Outcome<Session> {
        let mut session = self.open(0).await?;
        let last = session.acknowledged + commits;
        self.execute(&mut session, last).await?;
        Ok(session)
    }

    /// Sends commits up to an index, without waiting for an answer.
    pub(crate) async fn send(&mut self, session: &Session, from: u64, to: u64) -> Outcome {
        for commit in self.chain.range(from, to) {
            session.stream.commit(&commit).await?;
        }
        Ok(())
    }

    /// Sends the commits after the last acknowledged up to an index, and waits for their acknowledgements.
    pub(crate) async fn execute(&mut self, session: &mut Session, to: u64) -> Outcome {
        self.send(session, session.acknowledged + 1, to).await?;
        self.settle(session, to).await
    }

    /// Reads acknowledgements until all that was sent is acknowledged, and judges each.
    pub(crate) async fn settle(&mut self, session: &mut Session, sent: u64) -> Outcome {
        self.settle_some(session, sent, sent).await
    }

    /// Reads acknowledgements until a commit is acknowledged, and judges each.
    pub(crate) async fn settle_some(&mut self, session: &mut Session, to: u64, sent: u64) -> Outcome {
        while session.acknowledged < to {
            let one = session.stream.acknowledgement(session.acknowledged + 1).await?;
            session.acknowledged = self.judge_acknowledgement(&one, session.acknowledged, sent)?;
        }
        Ok(())
    }

    /// The master stands where it stood.
    pub(crate) async fn unmoved(&mut self, before: &GetLastBlockNumberResponse) -> Outcome {
        let now = self.position().await?;
        if now == *before {
            return Ok(());
        }
        Err(Failure::new(
            format!("nothing has changed: {}", judge::show(before)),
            format!("the master stands at {}", judge::show(&now)),
        ))
    }

    /// The master goes on from where it stands: two more commits are executed by a stream of this incarnation.
    pub(crate) async fn goes_on(&mut self, incarnation: u64) -> Outcome<Session> {
        let mut session = self.open(incarnation).await?;
        let to = session.acknowledged + 2;
        self.execute(&mut session, to).await?;
        Ok(session)
    }
}
