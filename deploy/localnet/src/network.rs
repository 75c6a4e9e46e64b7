//! The processes of a network: started, waited for, killed, stopped.

use crate::{
    health::{self, NotServing},
    master,
    network_file::MasterEntry,
    prepare::Prepared,
    process::{Process, ProcessSpec, ProcessState, Role, ServiceId, Unowned},
    service,
    usage::Usage,
};
use futures::future::{join_all, try_join_all};
use metanode_client::{CallError, GetStatusResponse, NodeClient};
use metanode_shell::grpc::EndpointError;
use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// How often executors are asked whether they have come along: there is no event for a watermark.
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);

/// Why a network does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A process could not be started.
    #[error("cannot start {id}")]
    Spawn {
        /// Which one.
        id: ServiceId,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// `network.json` could not be written.
    #[error("cannot write {}", path.display())]
    NetworkFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// An address in `network.json` is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A client could not be made.
    #[error(transparent)]
    Client(#[from] CallError),
    /// A process ended, or did not come up in time.
    #[error(transparent)]
    NotServing(#[from] NotServing),
}

/// How to run a network.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// A program that calls [`crate::service::intercept`] first: usually this one.
    pub program: PathBuf,
    /// Whether processes that end by themselves, or are killed by others, are started again.
    pub restart: bool,
    /// How long services may take until they serve.
    pub start_deadline: Duration,
    /// More flags for the masters, where there are some.
    pub master_arguments: Vec<OsString>,
}

impl NetworkOptions {
    /// Services are `program`; nothing is restarted; 60 s to start.
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            restart: false,
            start_deadline: Duration::from_secs(60),
            master_arguments: Vec::new(),
        }
    }
}

/// A network whose processes are children of this one. They end with it, however it ends.
#[derive(Debug)]
pub struct Network {
    prepared: Prepared,
    options: NetworkOptions,
    authorities: Vec<Authority>,
    /// Keep `network.json` up to date; end with the network.
    _writers: JoinSet<()>,
}

/// The processes of an authority.
#[derive(Debug)]
struct Authority {
    consensus: Process,
    executor: Process,
    /// Behind the executor, where that has no ledger of its own.
    master: Option<Process>,
    node: NodeClient,
}

impl Authority {
    fn processes(&self) -> impl Iterator<Item = &Process> {
        [&self.consensus, &self.executor].into_iter().chain(&self.master)
    }
}

impl Network {
    /// Starts all processes, and waits until all of them serve.
    ///
    /// # Errors
    /// [`StartError`]; what was started is killed.
    pub async fn start(prepared: Prepared, options: NetworkOptions) -> Result<Self, StartError> {
        let authorities = prepared
            .network
            .authorities
            .iter()
            .map(|entry| {
                let uri = format!("http://{}", entry.consensus.api_address);
                let spawn = |role| spawn(&prepared, &options, entry.index, role);
                Ok(Authority {
                    master: entry.master.as_ref().map(|_| spawn(Role::Master)).transpose()?,
                    executor: spawn(Role::Executor)?,
                    consensus: spawn(Role::Consensus)?,
                    node: NodeClient::new(&uri)?,
                })
            })
            .collect::<Result<Vec<_>, StartError>>()?;
        let writers = write_network_file(&prepared, &authorities)?;
        let network = Self { prepared, options, authorities, _writers: writers };
        network.wait_until_serving().await?;
        Ok(network)
    }

    /// The files that it was started from.
    pub const fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// How many authorities there are.
    pub fn len(&self) -> usize {
        self.authorities.len()
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty()
    }

    /// `http://host:port` of the API of each authority.
    pub fn endpoints(&self) -> Vec<String> {
        let entries = &self.prepared.network.authorities;
        entries.iter().map(|entry| format!("http://{}", entry.consensus.api_address)).collect()
    }

    /// All processes: of each authority consensus-svc, executor-proxy, and the master where there is one.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.authorities.iter().flat_map(Authority::processes)
    }

    /// One process; `None` for an authority that there is not.
    pub fn process(&self, id: ServiceId) -> Option<&Process> {
        self.processes().find(|process| process.spec().id == id)
    }

    /// Status of one authority; `None` for one that there is not.
    ///
    /// # Errors
    /// [`CallError`] while its process does not run.
    pub async fn status(&self, authority: usize) -> Option<Result<GetStatusResponse, CallError>> {
        Some(self.authorities.get(authority)?.node.status().await)
    }

    /// Status of each authority; `None` where it cannot be asked.
    pub async fn statuses(&self) -> Vec<Option<GetStatusResponse>> {
        let asked = self.authorities.iter().map(|authority| authority.node.status());
        join_all(asked).await.into_iter().map(Result::ok).collect()
    }

    /// Clients to ask each authority for its status.
    pub fn nodes(&self) -> Vec<NodeClient> {
        self.authorities.iter().map(|authority| authority.node.clone()).collect()
    }

    /// Waits until all processes serve.
    ///
    /// # Errors
    /// [`NotServing`] for the first that has ended, or does not serve at the deadline.
    pub async fn wait_until_serving(&self) -> Result<(), NotServing> {
        let deadline = self.options.start_deadline;
        let waits = self.processes().filter_map(|process| {
            let uri = self.uri(process.spec().id)?;
            Some(health::wait_until_serving(process, uri, deadline))
        });
        try_join_all(waits).await?;
        Ok(())
    }

    /// `http://host:port` or `unix:PATH` of the API of one process; `None` for one that there is not.
    pub fn uri(&self, id: ServiceId) -> Option<String> {
        let entry = self.prepared.network.authorities.get(id.authority)?;
        match id.role {
            Role::Consensus => Some(format!("http://{}", entry.consensus.api_address)),
            Role::Executor => Some(format!("http://{}", entry.executor.api_address)),
            Role::Master => entry.master.as_ref().map(|master| master.api_address.clone()),
        }
    }

    /// Newest index that any authority has committed or executed; 0 where none answers.
    pub async fn newest_index(&self) -> u64 {
        let newest = |status: GetStatusResponse| status.commit_index.max(status.executed_index);
        self.statuses().await.into_iter().flatten().map(newest).max().unwrap_or(0)
    }

    /// Waits until all executors have executed `index`. Never ends while one of them is away: give it a deadline.
    pub async fn settle(&self, index: u64) {
        let mut poll = interval(SETTLE_INTERVAL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            poll.tick().await;
            let mut statuses = self.statuses().await.into_iter();
            if statuses.all(|status| status.is_some_and(|status| status.executed_index >= index)) {
                return;
            }
        }
    }

    /// What each process has used so far.
    pub fn usage(&self) -> Vec<(ServiceId, Usage)> {
        self.processes().map(|process| (process.spec().id, process.usage())).collect()
    }

    /// Stops all: SIGTERM to consensus first, then to the executors, then to the masters, so that what was sent is executed;
    /// kill -9 to what has not ended after `drain`.
    ///
    /// # Errors
    /// [`Unowned`] where a task of ours has ended too early.
    pub async fn stop(&self, drain: Duration) -> Result<(), Unowned> {
        try_join_all(self.authorities.iter().map(|authority| authority.consensus.stop(drain))).await?;
        try_join_all(self.authorities.iter().map(|authority| authority.executor.stop(drain))).await?;
        let masters = self.authorities.iter().filter_map(|authority| authority.master.as_ref());
        try_join_all(masters.map(|master| master.stop(drain))).await?;
        Ok(())
    }
}

fn spawn(
    prepared: &Prepared,
    options: &NetworkOptions,
    index: usize,
    role: Role,
) -> Result<Process, StartError> {
    let id = ServiceId { authority: index, role };
    let entry = prepared.network.authorities.get(index);
    let become_service = |config| (options.program.clone(), service::arguments(role, config));
    let become_master = |entry: &MasterEntry| {
        let mut arguments = master::arguments(entry, &prepared.network.genesis);
        arguments.extend_from_slice(&options.master_arguments);
        (prepared.files.go_master(), arguments)
    };
    let command = entry.and_then(|entry| match role {
        Role::Consensus => Some(become_service(&entry.consensus.config)),
        Role::Executor => Some(become_service(&entry.executor.config)),
        Role::Master => entry.master.as_ref().map(become_master),
    });
    let Some((program, arguments)) = command else {
        return Err(StartError::Spawn { id, source: io::ErrorKind::NotFound.into() });
    };
    let log = prepared.files.log(index, role);
    let spec = ProcessSpec { id, program, arguments, log, restart: options.restart };
    Process::spawn(spec).map_err(|source| StartError::Spawn { id, source })
}

/// Writes `network.json` now, and again whenever a process is started or has ended.
fn write_network_file(prepared: &Prepared, authorities: &[Authority]) -> Result<JoinSet<()>, StartError> {
    let path = prepared.files.network_file();
    let mut network = prepared.network.clone();
    for process in authorities.iter().flat_map(Authority::processes) {
        network.note_pid(process.spec().id, process.pid());
    }
    network.write(&path).map_err(|source| StartError::NetworkFile { path: path.clone(), source })?;
    let network = Arc::new(Mutex::new(network));
    let mut writers = JoinSet::new();
    for process in authorities.iter().flat_map(Authority::processes) {
        let (id, mut state) = (process.spec().id, process.state());
        let (network, path) = (Arc::clone(&network), path.clone());
        writers.spawn(async move {
            while state.changed().await.is_ok() {
                let pid = match *state.borrow_and_update() {
                    ProcessState::Running { pid } => Some(pid),
                    ProcessState::Ended { .. } => None,
                };
                let mut network = network.lock().unwrap_or_else(PoisonError::into_inner);
                network.note_pid(id, pid);
                // A full disk is told by the services; the old file stays.
                let _ = network.write(&path);
            }
        });
    }
    Ok(writers)
}
