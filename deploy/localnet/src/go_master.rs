//! Building the Go master, once for a network.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::{Instant, MissedTickBehavior, interval_at},
};

/// How often a build that takes long says so.
const TELL_INTERVAL: Duration = Duration::from_secs(3);
/// Lines of a failed build that are shown.
const TAIL_LINES: usize = 12;
/// The version that the module's `go.mod` asks for.
const NEEDED: &str = "1.25";

/// There is no Go master.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// No Go on this machine.
    #[error(
        "the Go master cannot be built: there is no `go` on the PATH; install Go {NEEDED} or newer (https://go.dev/dl), or use \
         --executor embedded, which needs no Go"
    )]
    NoGo,
    /// The sources are gone.
    #[error(
        "the Go master cannot be built: its sources are not in {}; run localnet by cargo from its repository, or use --executor \
         embedded",
        path.display()
    )]
    NoSources {
        /// Where they were when this program was built.
        path: PathBuf,
    },
    /// Go cannot be run.
    #[error("cannot run `go`")]
    Run(#[source] io::Error),
    /// The compiler refused.
    #[error("`go build` of the Go master has failed in {}:{}", path.display(), lines.iter().map(|line| format!("\n  {line}")).collect::<String>())]
    Build {
        /// Folder of the module.
        path: PathBuf,
        /// The end of what it said.
        lines: Vec<String>,
    },
}

/// Where the sources are: beside this crate's, as they were when this program was built.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../executor-proxy/go-master")
}

/// Checks that a build is possible, before anything is made.
///
/// # Errors
/// [`GoError::NoGo`], [`GoError::NoSources`], [`GoError::Run`].
pub async fn check() -> Result<(), GoError> {
    let path = sources();
    if !path.join("go.mod").is_file() {
        return Err(GoError::NoSources { path });
    }
    let version = Command::new("go").arg("version").stdin(Stdio::null()).output().await;
    match version {
        Ok(output) if output.status.success() => Ok(()),
        // A launcher without a Go behind it.
        Ok(_) => Err(GoError::NoGo),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(GoError::NoGo),
        Err(error) => Err(GoError::Run(error)),
    }
}

/// Builds the master as the program `to`, and tells how it goes on. Go builds only what has changed since its last build.
///
/// # Errors
/// [`GoError`].
pub async fn build(to: &Path, mut tell: impl FnMut(&str)) -> Result<(), GoError> {
    check().await?;
    let path = sources();
    tell(
        "building the Go master; the first build on a machine fetches and compiles its modules, which takes a minute or two",
    );
    let started = Instant::now();
    let mut child = Command::new("go")
        // Names the packages as they are compiled.
        .args(["build", "-v", "-o"])
        .arg(to)
        .arg("./cmd/go-master")
        .current_dir(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal is for this process, which then drops the build.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(GoError::Run)?;
    let mut lines = child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
    let mut said = VecDeque::new();
    let mut tick = interval_at(started + TELL_INTERVAL, TELL_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let status = loop {
        let line = async {
            match &mut lines {
                Some(lines) => lines.next_line().await.ok().flatten(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = line => match line {
                Some(line) => {
                    said.push_back(line);
                    if said.len() > TAIL_LINES {
                        said.pop_front();
                    }
                }
                None => break child.wait().await.map_err(GoError::Run)?,
            },
            _ = tick.tick() => {
                let now = said.back().map_or_else(String::new, |line| format!(": {line}"));
                tell(&format!("still building the Go master after {} s{now}", started.elapsed().as_secs()));
            }
        }
    };
    if !status.success() {
        return Err(GoError::Build { path, lines: said.into() });
    }
    tell(&format!("the Go master is built after {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}
