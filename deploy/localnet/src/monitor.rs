//! Watching a network: the status of each authority, and processes that end unasked.

use crate::{
    network::Network,
    process::{ProcessState, ServiceId},
};
use futures::future::join_all;
use metanode_client::GetStatusResponse;
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// How often statuses are read.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// The status of each authority; `None` where it does not answer.
pub type Statuses = Vec<Option<GetStatusResponse>>;

/// Reads and watches until it is dropped.
#[derive(Debug)]
pub struct Monitor {
    /// Renewed twice a second.
    pub statuses: watch::Receiver<Statuses>,
    /// What happened to processes without this program's doing, in words.
    pub events: mpsc::Receiver<String>,
    _tasks: JoinSet<()>,
}

impl Monitor {
    /// Starts to watch.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(network: &Network) -> Self {
        let mut tasks = JoinSet::new();
        let (publish, statuses) = watch::channel(vec![None; network.len()]);
        let nodes = network.nodes();
        tasks.spawn(async move {
            let mut tick = interval(STATUS_INTERVAL);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let all = join_all(nodes.iter().map(|node| node.status())).await;
                publish.send_replace(all.into_iter().map(Result::ok).collect());
            }
        });
        let (tell, events) = mpsc::channel(64);
        for process in network.processes() {
            let restarts = process.spec().restart;
            tasks.spawn(watch_process(process.spec().id, process.state(), restarts, tell.clone()));
        }
        Self { statuses, events, _tasks: tasks }
    }
}

async fn watch_process(
    id: ServiceId,
    mut state: watch::Receiver<ProcessState>,
    restarts: bool,
    tell: mpsc::Sender<String>,
) {
    let mut down = false;
    while state.changed().await.is_ok() {
        let now = *state.borrow_and_update();
        let text = match now {
            ProcessState::Ended { status, intended: false } => {
                down = true;
                let next = if restarts { "it is started again" } else { "--restart would start it again" };
                format!("{id} has ended with {status}; {next}")
            }
            ProcessState::Running { pid } if down => {
                down = false;
                format!("{id} runs again, process {pid}")
            }
            _ => continue,
        };
        if tell.send(text).await.is_err() {
            return;
        }
    }
}
