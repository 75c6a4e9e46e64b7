//! A run from its command line to its summary.

use crate::{
    args::{Arguments, Drill},
    drill::{self, DrillError, DrillReport},
    executor::ExecutorKind,
    files::Files,
    go_master::{self, GoError},
    interrupt::Interrupt,
    ledger::{LedgerError, LedgerFolder},
    monitor::Monitor,
    network::{Network, NetworkOptions, StartError},
    prepare::{NewNetwork, PrepareError, Prepared, prepare},
    process::Unowned,
    settled::SettledWriter,
    summary::{Summary, processes},
    verify::{Verdict, VerifyError, verify},
    view::{Progress, View},
};
use loadgen::{ChainError, Load, LoadError, LoadOptions, LoadReport};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// How long what is in flight may take after the last transaction was sent.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// The same, after Ctrl-C.
const INTERRUPTED_DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// How long executors may take to come to one index after the load.
const SETTLE_DEADLINE: Duration = Duration::from_secs(20);
/// How long services have to end by themselves.
const STOP_DEADLINE: Duration = Duration::from_secs(15);
const VIEW_INTERVAL: Duration = Duration::from_secs(1);
/// When the first second of the load has been counted.
const FIRST_VIEW: Duration = Duration::from_millis(1200);

/// Why a run has no summary.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The network did not start: exit code 2.
    #[error("the network did not start")]
    NotStarted(#[source] NotStarted),
    /// Ended by a signal before there was anything to sum up.
    #[error("interrupted")]
    Interrupted,
    /// The ledgers cannot be compared.
    #[error("no verdict")]
    Verify(#[from] VerifyError),
    /// The drill came to no end.
    #[error(transparent)]
    Drill(#[from] DrillError),
    /// A process is out of reach.
    #[error("cannot stop the network")]
    Stop(#[from] Unowned),
    /// The records of the load cannot be written.
    #[error("cannot record the load")]
    Record(#[from] io::Error),
}

/// Why a network did not start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// No folder.
    #[error("cannot make the folder of the network")]
    Folder(#[source] io::Error),
    /// No files.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// No Go master.
    #[error(transparent)]
    Go(#[from] GoError),
    /// A ledger of an earlier run cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A process did not come up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The nonces of the accounts cannot be read.
    #[error("cannot read the accounts' nonces from the chain")]
    Chain(#[from] ChainError),
    /// The load cannot be made.
    #[error("cannot make the load")]
    Load(#[from] LoadError),
    /// This program does not know where it lies.
    #[error("cannot find this program's own file")]
    Program(#[source] io::Error),
}

/// Runs as the command line says; `program` is what services are started from.
///
/// # Errors
/// [`RunError`]. All processes have ended, or are killed with this one.
pub async fn run(
    arguments: &Arguments,
    program: PathBuf,
    interrupt: &Interrupt,
) -> Result<Summary, RunError> {
    let (folder, temporary) =
        folder(arguments).map_err(|error| RunError::NotStarted(NotStarted::Folder(error)))?;
    let outcome = run_in(arguments, Files::new(&folder), program, interrupt).await;
    let keep = match &outcome {
        Ok(summary) => !summary.holds() && !summary.interrupted,
        Err(error) => !matches!(error, RunError::Interrupted),
    };
    let kept = match temporary {
        Some(temporary) if keep && holds_anything(temporary.path()) => Some(temporary.keep()),
        Some(_) => None,
        None => Some(folder),
    };
    match (&outcome, &kept) {
        (Err(error), Some(kept)) if !matches!(error, RunError::Interrupted) => {
            View::default().note(&format!("files and logs of the network are kept in {}", kept.display()));
        }
        _ => {}
    }
    outcome.map(|summary| Summary { dir: kept, ..summary })
}

/// The folder of the network, and its guard where it is temporary.
fn folder(arguments: &Arguments) -> io::Result<(PathBuf, Option<TempDir>)> {
    match &arguments.dir {
        Some(dir) => {
            fs::create_dir_all(dir)?;
            Ok((std::path::absolute(dir)?, None))
        }
        None => {
            let temporary = tempfile::Builder::new().prefix("metanode-localnet-").tempdir()?;
            Ok((temporary.path().to_owned(), Some(temporary)))
        }
    }
}

async fn run_in(
    arguments: &Arguments,
    files: Files,
    program: PathBuf,
    interrupt: &Interrupt,
) -> Result<Summary, RunError> {
    let mut view = View::new();
    let starting = start(arguments, files, program, &view);
    let started = interrupt.ordered.run_until_cancelled(starting).await;
    let Started { network, load, writer, after_index } =
        started.ok_or(RunError::Interrupted)?.map_err(RunError::NotStarted)?;

    let mut monitor = Monitor::start(&network);
    let loaded = under_load(arguments, &network, load, &mut monitor, &mut view, interrupt).await;
    view.finish();
    let Loaded { report, drill } = loaded?;
    writer.finish().await?;

    let settled_index = network.newest_index().await;
    view.note(&format!("load has ended; waiting until all executors have executed commit {settled_index}"));
    let settling = timeout(SETTLE_DEADLINE, network.settle(settled_index));
    // Where one does not come along, the verdict says so.
    let _ = interrupt.at_once.run_until_cancelled(settling).await;
    let statuses = network.statuses().await;
    let usage = processes(&network, &statuses, report.elapsed);
    view.note("stopping all processes");
    // Whoever does not want to wait ends this program, and so all others.
    let stopped = interrupt.at_once.run_until_cancelled(network.stop(STOP_DEADLINE)).await;
    stopped.ok_or(RunError::Interrupted)??;

    view.note("comparing the ledgers");
    let verdict = verdict(network.prepared(), after_index, settled_index).await?;
    let kind = network.prepared().network.executor_kind;
    let mut summary = Summary::new(kind, &report, &verdict, usage);
    summary.drill = drill;
    summary.interrupted = interrupt.ordered.is_cancelled();
    Ok(summary)
}

/// A network under load.
struct Started {
    network: Network,
    load: Load,
    writer: SettledWriter,
    /// Last index of the shortest ledger before the start.
    after_index: u64,
}

/// Whether there is anything to look at in a folder.
fn holds_anything(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

async fn start(
    arguments: &Arguments,
    files: Files,
    program: PathBuf,
    view: &View,
) -> Result<Started, NotStarted> {
    let accounts = LoadOptions::accounts_for(arguments.rate);
    if arguments.executor.is_some_and(ExecutorKind::has_master) {
        // Before there is a network that cannot be started.
        go_master::check().await?;
    }
    let NewNetwork { parameters, .. } = NewNetwork::default();
    let new =
        NewNetwork { authorities: arguments.authorities, executor: arguments.executor, accounts, parameters };
    let prepared = prepare(files, new)?;
    let count = prepared.network.authorities.len();
    let doing = if prepared.resumed { "resuming" } else { "made keys and genesis of" };
    view.note(&format!("{doing} a network of {count} in {}", prepared.files.root().display()));
    let kind = prepared.network.executor_kind;
    if kind.has_master() {
        go_master::build(&prepared.files.go_master(), |text| view.note(text)).await?;
    }
    let after_index = last_index(&prepared)?;
    let genesis = prepared.genesis.clone();
    let mut accounts = prepared.accounts();
    if accounts.len() < LoadOptions::accounts_for(arguments.rate) {
        let note =
            "this network was made for a lower rate: with few accounts, transactions wait for each other";
        view.note(note);
    }

    let masters = if kind.has_master() { format!(" and {count} Go masters") } else { String::new() };
    view.note(&format!("starting {count} authorities, {count} executors{masters}"));
    let started = Instant::now();
    let options = NetworkOptions { restart: arguments.restart, ..NetworkOptions::new(program) };
    let network = Network::start(prepared, options).await?;
    view.note(&format!("all serve after {:.1} s", started.elapsed().as_secs_f64()));
    if after_index > 0
        && let Some(first) = network.endpoints().first()
    {
        view.note("reading the accounts' nonces from the chain");
        accounts = accounts.with_nonces(loadgen::read_nonces(first, &genesis).await?);
    }
    let (settled, writer) =
        SettledWriter::start(network.prepared().files.settled()).map_err(NotStarted::Folder)?;
    let options = LoadOptions {
        rate_per_s: arguments.rate,
        tx_size_bytes: arguments.tx_size,
        duration: arguments.duration(),
        drain_deadline: DRAIN_DEADLINE,
        genesis: Some(Arc::new(genesis)),
        settled: Some(settled),
        ..LoadOptions::new(network.prepared().chain_id, network.endpoints())
    };
    let load = Load::start(options, accounts)?;
    Ok(Started { network, load, writer, after_index })
}

/// Last index of the shortest ledger.
fn last_index(prepared: &Prepared) -> Result<u64, LedgerError> {
    let indexes = prepared.ledgers().into_iter().map(|folder| folder.open()?.last_index());
    Ok(indexes.collect::<Result<Vec<_>, _>>()?.into_iter().min().unwrap_or(0))
}

/// What the load and the drill brought.
struct Loaded {
    report: LoadReport,
    drill: Option<DrillReport>,
}

/// Shows the network until the load has ended; breaks something on the way if told to.
async fn under_load(
    arguments: &Arguments,
    network: &Network,
    load: Load,
    monitor: &mut Monitor,
    view: &mut View,
    interrupt: &Interrupt,
) -> Result<Loaded, RunError> {
    let (stop, abandon, snapshots) = (load.stop_token(), load.abandon_token(), load.snapshots());
    let (start, duration) = (Instant::now(), arguments.duration());
    let mut tick = interval_at(start + FIRST_VIEW, VIEW_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut report = None;
    let mut drill = None;
    let finish = load.finish();
    let drilling = drilling(arguments, network, duration);
    let stopping = async {
        interrupt.ordered.cancelled().await;
        stop.cancel();
        let drain = tokio::time::sleep(INTERRUPTED_DRAIN_DEADLINE);
        tokio::select! {
            () = drain => {}
            () = interrupt.at_once.cancelled() => {}
        }
        abandon.cancel();
    };
    tokio::pin!(finish, drilling, stopping);
    let mut is_drilling = arguments.drill.is_some();
    let (mut is_stopping, mut is_told) = (false, false);
    while report.is_none() || (is_drilling && !interrupt.ordered.is_cancelled()) {
        tokio::select! {
            ended = &mut finish, if report.is_none() => report = Some(ended),
            held = &mut drilling, if is_drilling => {
                is_drilling = false;
                drill = Some(held?);
                view.note("drill: the executor is back and has caught up");
            }
            () = &mut stopping, if !is_stopping => is_stopping = true,
            () = interrupt.ordered.cancelled(), if !is_told => {
                is_told = true;
                view.note("interrupted: no more is sent, what is open is waited for; once more kills at once");
            }
            Some(event) = monitor.events.recv() => view.note(&event),
            _ = tick.tick() => {
                view.update(&Progress {
                    statuses: &monitor.statuses.borrow(),
                    load: &snapshots.borrow(),
                    elapsed: start.elapsed(),
                    duration,
                });
            }
        }
    }
    Ok(Loaded { report: report.unwrap_or_default(), drill })
}

/// The drill, after the first third of the load.
async fn drilling(
    arguments: &Arguments,
    network: &Network,
    duration: Option<Duration>,
) -> Result<DrillReport, DrillError> {
    tokio::time::sleep(duration.unwrap_or_default() / 3).await;
    match arguments.drill {
        Some(Drill::Restart) => drill::restart(network, network.len().saturating_sub(1)).await,
        None => std::future::pending().await,
    }
}

async fn verdict(prepared: &Prepared, after_index: u64, settled_index: u64) -> Result<Verdict, RunError> {
    let folders: Vec<LedgerFolder> = prepared.ledgers();
    let settled = prepared.files.settled();
    let verdict =
        tokio::task::spawn_blocking(move || verify(&folders, after_index, settled_index, &settled)).await;
    Ok(verdict.map_err(io::Error::other)??)
}
