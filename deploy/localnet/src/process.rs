//! One child process: started, watched, killed, started again.
//!
//! A task owns the child; it is killed when the task, and with it the runtime, ends. Its output goes to a log file, and it has a
//! process group of its own, so that Ctrl-C in a terminal reaches this process alone, which then stops the others in order.

use crate::usage::Usage;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    ffi::OsString,
    fmt,
    fs::OpenOptions,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    process::{Child, ChildStdin, Command},
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

/// The processes of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Orders.
    Consensus,
    /// Has them executed, in order, once each.
    Executor,
    /// Executes, where that is not done inside the executor-proxy.
    Master,
}

impl Role {
    /// Name of the service, as its command has it.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Consensus => "consensus-svc",
            Self::Executor => "executor-proxy",
            Self::Master => "go-master",
        }
    }
}

/// Names one process of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceId {
    /// Index of the authority.
    pub authority: usize,
    /// Which of its processes.
    pub role: Role,
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of authority {}", self.role.program(), self.authority)
    }
}

/// How to start a service.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// Which one it is.
    pub id: ServiceId,
    /// What is executed. It must end with its standard input.
    pub program: PathBuf,
    /// Its command line, without the program.
    pub arguments: Vec<OsString>,
    /// Its output is appended here.
    pub log: PathBuf,
    /// Whether it is started again, after a short, growing pause, when it ends by itself or is killed by others.
    pub restart: bool,
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// With this id.
    Running {
        /// Process id.
        pid: u32,
    },
    /// It has ended.
    Ended {
        /// Exit code, or the signal that ended it.
        status: ExitStatus,
        /// True where this program ended it.
        intended: bool,
    },
}

/// A process can no longer be commanded: its task has ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the task that owns {0} has ended")]
pub struct Unowned(pub ServiceId);

/// A child process and its handle.
#[derive(Debug)]
pub struct Process {
    spec: ProcessSpec,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<ProcessState>,
    usage: Arc<Mutex<Lives>>,
}

#[derive(Debug)]
enum Order {
    Kill(oneshot::Sender<()>),
    Start(oneshot::Sender<io::Result<()>>),
    Stop(Duration, oneshot::Sender<()>),
}

impl Process {
    /// Starts the process, and the task that owns it.
    ///
    /// # Errors
    /// What the operating system says: no such program, no log file.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(spec: ProcessSpec) -> io::Result<Self> {
        let (child, running) = start(&spec)?;
        let (orders, inbox) = mpsc::channel(4);
        let (publish, state) = watch::channel(running);
        let usage = Arc::new(Mutex::new(Lives::default()));
        let owner = Owner { spec: spec.clone(), publish, usage: Arc::clone(&usage), pause: SHORTEST_PAUSE };
        tokio::spawn(owner.run(child, inbox));
        Ok(Self { spec, orders, state, usage })
    }

    /// How it was started.
    pub const fn spec(&self) -> &ProcessSpec {
        &self.spec
    }

    /// Whether it runs; to wait for changes.
    pub fn state(&self) -> watch::Receiver<ProcessState> {
        self.state.clone()
    }

    /// Its id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            ProcessState::Running { pid } => Some(pid),
            ProcessState::Ended { .. } => None,
        }
    }

    /// What it has used over all its lives, as of half a second ago.
    pub fn usage(&self) -> Usage {
        let lives = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        lives.past.then(lives.current)
    }

    /// Sends a signal, if it runs. Meant for SIGSTOP and SIGCONT.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            send(pid, signal);
        }
    }

    /// kill -9; returns when the process is gone.
    ///
    /// # Errors
    /// [`Unowned`].
    pub async fn kill(&self) -> Result<(), Unowned> {
        self.order(Order::Kill).await
    }

    /// Starts it again where it does not run.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn start(&self) -> io::Result<()> {
        self.order(Order::Start).await.map_err(io::Error::other)?
    }

    /// SIGTERM, and kill -9 after `drain`; returns when the process is gone.
    ///
    /// # Errors
    /// [`Unowned`].
    pub async fn stop(&self, drain: Duration) -> Result<(), Unowned> {
        self.order(|answer| Order::Stop(drain, answer)).await
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Unowned> {
        let (answer, answered) = oneshot::channel();
        let unowned = Unowned(self.spec.id);
        self.orders.send(order(answer)).await.map_err(|_| unowned)?;
        answered.await.map_err(|_| unowned)
    }
}

/// A child that runs, and the pipe that tells it that its parent lives.
struct Running {
    child: Child,
    /// Held, never written to: waiting for the child would close a pipe that is still its own.
    _lifeline: ChildStdin,
}

/// Usage of the lives that have ended, and of the current one.
#[derive(Debug, Default)]
struct Lives {
    past: Usage,
    current: Usage,
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// The task that owns the child.
struct Owner {
    spec: ProcessSpec,
    publish: watch::Sender<ProcessState>,
    usage: Arc<Mutex<Lives>>,
    /// Before the next start by itself.
    pause: Duration,
}

impl Owner {
    /// Until the handle is dropped.
    async fn run(mut self, child: Running, mut inbox: mpsc::Receiver<Order>) {
        let mut child = Some(child);
        let mut start_at: Option<Instant> = None;
        let mut sample = interval(SAMPLE_INTERVAL);
        sample.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                order = inbox.recv() => {
                    let Some(order) = order else { return };
                    start_at = None;
                    self.obey(order, &mut child).await;
                }
                ended = wait(&mut child) => {
                    child = None;
                    self.ended(ended, false);
                    start_at = self.spec.restart.then(|| Instant::now() + self.pause);
                }
                () = until(start_at) => {
                    start_at = None;
                    self.pause = LONGEST_PAUSE.min(self.pause * 2);
                    child = self.start().ok();
                    if child.is_none() {
                        start_at = Some(Instant::now() + self.pause);
                    }
                }
                _ = sample.tick() => self.sample(),
            }
        }
    }

    async fn obey(&mut self, order: Order, child: &mut Option<Running>) {
        match order {
            Order::Kill(answer) => {
                self.end(child, None).await;
                // Whoever asked may have gone.
                let _ = answer.send(());
            }
            Order::Stop(drain, answer) => {
                self.end(child, Some(drain)).await;
                let _ = answer.send(());
            }
            Order::Start(answer) => {
                let started = match child {
                    Some(_) => Ok(()),
                    None => self.start().map(|started| *child = Some(started)),
                };
                let _ = answer.send(started);
            }
        }
    }

    /// Ends the child: with a time to drain by SIGTERM first.
    async fn end(&mut self, child: &mut Option<Running>, drain: Option<Duration>) {
        let Some(mut running) = child.take() else { return };
        self.sample();
        let drained = match (drain, running.child.id()) {
            (Some(drain), Some(pid)) => {
                send(pid, Signal::SIGTERM);
                timeout(drain, running.child.wait()).await.ok()
            }
            _ => None,
        };
        let ended = match drained {
            Some(ended) => ended,
            None => {
                // Fails only where the process is gone already.
                let _ = running.child.start_kill();
                running.child.wait().await
            }
        };
        self.ended(ended, true);
    }

    fn start(&mut self) -> io::Result<Running> {
        let (child, state) = start(&self.spec)?;
        self.publish.send_replace(state);
        Ok(child)
    }

    fn ended(&mut self, ended: io::Result<ExitStatus>, intended: bool) {
        let mut lives = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        lives.past = lives.past.then(std::mem::take(&mut lives.current));
        drop(lives);
        // The system knows its own children; were it to fail, the process is gone all the same.
        let status = ended.unwrap_or_default();
        self.publish.send_replace(ProcessState::Ended { status, intended });
    }

    fn sample(&self) {
        if let ProcessState::Running { pid } = *self.publish.borrow()
            && let Some(usage) = Usage::of(pid)
        {
            self.usage.lock().unwrap_or_else(PoisonError::into_inner).current = usage;
        }
    }
}

async fn wait(child: &mut Option<Running>) -> io::Result<ExitStatus> {
    match child {
        Some(running) => running.child.wait().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn start(spec: &ProcessSpec) -> io::Result<(Running, ProcessState)> {
    let log = OpenOptions::new().create(true).append(true).open(&spec.log)?;
    let mut child = Command::new(&spec.program)
        // What `ps` shows; the short name is set by the service itself.
        .arg0(spec.id.role.program())
        .args(&spec.arguments)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let (Some(pid), Some(lifeline)) = (child.id(), child.stdin.take()) else {
        return Err(io::Error::other("a new process has no id or no standard input"));
    };
    Ok((Running { child, _lifeline: lifeline }, ProcessState::Running { pid }))
}

fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // Fails only where the process is gone already.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
