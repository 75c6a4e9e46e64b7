//! A master that is slower than consensus for as long as the test likes: what is on its way to it is bounded at each hop in commits
//! and in bytes, and so the sender is held, whose log is the only queue (D17, X09).

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use executor_proxy::{
    backend::{grpc::GrpcBackend, uds::Layout, uds::UdsBackend},
    config::Config,
};
use metanode_proto::{
    consensus::v1::Commit,
    executor::v1::{AdvanceEpochRequest, ExecuteCommitsRequest, execute_commits_request::Message},
};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    harness::{Client, Proxy, Stream, commit_with, digest, write_files},
    legacy::settings,
    legacy_peer::Peer,
    scripted::{Answer, Scripted, executed},
};

/// Commits that the sender has. Without a bound it would be rid of all of them at once.
const COMMITS: u64 = 250;
/// Payload of each, in three transactions.
const PAYLOAD_BYTES: usize = 3 * 8_000;
/// As commits are counted: 16 bytes a transaction and 128 a block on top.
const COUNTED_BYTES: u64 = PAYLOAD_BYTES as u64 + 3 * 16 + 128;
/// Commits beside those in flight that may have left the sender: what HTTP/2 has taken (a receive window and a send buffer, 1 MiB each)
/// and one each in the sender's hands, being decoded, decoded, and parked.
const UNDERWAY: u64 = 2 * (1 << 20) / PAYLOAD_BYTES as u64 + 4;

fn large(index: u64) -> Commit {
    let place = u8::try_from(index % 256).unwrap();
    commit_with(index, vec![vec![place; PAYLOAD_BYTES / 3]; 3])
}

/// A window; time enough for any master.
fn config(folder: &Path, window_commits: u32, window_bytes: u64) -> Config {
    let mut config = write_files(folder);
    config.execute_timeout = Duration::from_secs(600);
    (config.window_commits, config.window_bytes) = (window_commits, window_bytes);
    config
}

/// Sends as fast as it may, and counts what it is rid of.
struct Sender {
    stream: Stream,
    sent: Arc<AtomicU64>,
    sending: AbortOnDropHandle<()>,
}

impl Sender {
    async fn start(client: &Client) -> Self {
        let (stream, _) = client.open(0).await;
        let sent = Arc::new(AtomicU64::new(0));
        let (messages, counted) = (stream.messages.clone(), Arc::clone(&sent));
        let sending = tokio::spawn(async move {
            for index in 1..=COMMITS {
                let message = Some(Message::Commit(large(index)));
                messages.send(ExecuteCommitsRequest { message }).await.unwrap();
                counted.store(index, Ordering::Release);
            }
        });
        Self { stream, sent, sending: AbortOnDropHandle::new(sending) }
    }

    /// What has left the channel of the harness, and is not executed.
    fn underway(&self, executed: u64) -> u64 {
        let held = self.stream.messages.max_capacity() - self.stream.messages.capacity();
        self.sent.load(Ordering::Acquire).saturating_sub(held as u64 + executed)
    }
}

/// A question that a driver answers shows that it had its turn.
async fn has_its_turn(proxy: &Proxy) {
    let current = AdvanceEpochRequest {
        boundary_digest: vec![0; 32].into(),
        committee_digest: vec![0; 32].into(),
        ..AdvanceEpochRequest::default()
    };
    proxy.client().0.advance_epoch(current).await.unwrap();
}

/// A master with a window of its own, whose executor answers when the test says so, behind a proxy.
struct Chain {
    _folder: TempDir,
    master: Proxy,
    front: Proxy,
    taken: mpsc::Receiver<(u64, Answer)>,
}

impl Chain {
    /// Windows in commits and bytes: of the proxy, and of its master.
    async fn start(front: (u32, u64), master: (u32, u64)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (commits, taken) = mpsc::channel(1024);
        let master = Proxy::start_with(&config(folder.path(), master.0, master.1), Scripted(commits)).await;
        master.client().wait_until_ready().await;
        let config = config(folder.path(), front.0, front.1);
        let window = usize::try_from(config.window_commits).unwrap();
        let endpoint = format!("http://{}", master.address);
        let backend = GrpcBackend::new(&endpoint, config.network.clone(), window).unwrap();
        let front = Proxy::start_with(&config, backend).await;
        front.client().wait_until_ready().await;
        Self { _folder: folder, master, front, taken }
    }

    /// Executes all, the oldest only when `window` commits are in the master's hands, which are never more. Answers with the most
    /// that had left the sender and was not executed.
    async fn run(mut self, window: usize, front_window: u64) -> u64 {
        let mut sender = Sender::start(&self.front.client()).await;
        let mut in_hands: VecDeque<(u64, Answer)> = VecDeque::new();
        let mut most = 0;
        for index in 1..=COMMITS {
            let left = usize::try_from(COMMITS - index + 1).unwrap();
            while in_hands.len() < window.min(left) {
                in_hands.push_back(self.taken.recv().await.unwrap());
            }
            if index % 16 == 1 {
                has_its_turn(&self.master).await;
            }
            assert!(self.taken.try_recv().is_err(), "more than the window of {window} at {index}");
            most = most.max(sender.underway(index - 1));
            let (oldest, answer) = in_hands.pop_front().unwrap();
            assert_eq!(oldest, index);
            answer.send(Ok(executed(index))).unwrap();
            let acknowledgement = sender.stream.acknowledgement().await;
            assert_eq!((acknowledgement.index, acknowledgement.digest), (index, digest(index)));
        }
        let bound = front_window + UNDERWAY;
        assert!(most <= bound && bound < COMMITS, "{most} were under way, {bound} may be");
        self.front.stop().await.unwrap();
        self.master.stop().await.unwrap();
        most
    }
}

const ROOMY: (u32, u64) = (64, 32 << 20);

#[tokio::test]
async fn x09_d17_a_slow_master_is_handed_what_the_proxys_window_holds_in_bytes() {
    Chain::start((64, 5 * COUNTED_BYTES), ROOMY).await.run(5, 5).await;
}

#[tokio::test]
async fn x09_d17_a_slow_master_is_handed_what_the_proxys_window_holds_in_commits() {
    Chain::start((3, 32 << 20), ROOMY).await.run(3, 3).await;
}

/// What the proxy lets through and the master does not take waits in the proxy's window, and in HTTP/2.
#[tokio::test]
async fn x09_d17_a_slow_master_hands_its_executor_what_its_own_window_holds() {
    Chain::start(ROOMY, (64, 2 * COUNTED_BYTES)).await.run(2, 64).await;
}

/// It is slow to make room, and reads nothing meanwhile. The driver of the proxy goes on all the same.
#[tokio::test]
async fn x09_x08_a_master_that_reads_nothing_for_long_does_not_hold_the_driver() {
    let mut chain = Chain::start((256, 32 << 20), (64, COUNTED_BYTES)).await;
    let sender = Sender::start(&chain.front.client()).await;
    let (_, _executing) = chain.taken.recv().await.unwrap();
    let all = timeout(Duration::from_secs(20), sender.sending);
    all.await.expect("the window of the proxy has room for all of them").unwrap();
    let turn = timeout(Duration::from_secs(20), has_its_turn(&chain.front));
    turn.await.expect("the driver waits for the master");
    assert!(chain.taken.try_recv().is_err());
    chain.front.abort().await;
    chain.master.abort().await;
}

/// One block at a time is with the master; what waits is in the proxy's window. Each acknowledgement is provisional, and moves it.
#[tokio::test]
async fn x09_d17_a_slow_master_over_a_socket_holds_the_sender_by_provisional_acknowledgements() {
    let folder = tempfile::tempdir().unwrap();
    let mut peer = Peer::start(folder.path(), Layout::ExecutableBlock);
    peer.script().executes = false;
    let config = config(folder.path(), 64, 5 * COUNTED_BYTES);
    let front = Proxy::start_with(&config, UdsBackend::new(settings(&config, peer.master()))).await;
    front.client().wait_until_ready().await;
    let mut sender = Sender::start(&front.client()).await;
    let mut most = 0;
    for index in 1..=COMMITS {
        assert_eq!(peer.blocks.recv().await.unwrap().index, index);
        assert!(peer.blocks.try_recv().is_err(), "one at a time");
        most = most.max(sender.underway(index - 1));
        peer.script().number = index;
        let acknowledgement = sender.stream.acknowledgement().await;
        assert_eq!((acknowledgement.index, acknowledgement.results_unknown), (index, true));
    }
    let bound = 5 + UNDERWAY;
    assert!(most <= bound && bound < COMMITS, "{most} were under way, {bound} may be");
    front.stop().await.unwrap();
}
