//! The master as a process: a command in a process group of its own, started and killed as a whole.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// Between two looks at processes that are not children of this one: nothing tells when they are gone.
const LOOK: Duration = Duration::from_millis(2);
/// Time for killed processes to be gone. A kernel that writes their memory out takes long.
const GONE: Duration = Duration::from_secs(20);
/// Most of a log that is shown.
const TAIL_BYTES: usize = 600;

/// How to start a master.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Run by `sh -c`.
    pub command: String,
    /// Variables of its environment, beside those of this process.
    pub environment: Vec<(&'static str, PathBuf)>,
    /// What is not a path among them.
    pub authority: String,
    /// Its output is appended here.
    pub log: PathBuf,
}

/// The processes of one start. Killed when dropped.
#[derive(Debug)]
pub struct Group {
    shell: Child,
    id: Pid,
}

impl Group {
    /// Starts the command.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(spec: &Spec) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&spec.log)?;
        let shell = Command::new("sh")
            .arg("-c")
            .arg(&spec.command)
            .envs(spec.environment.iter().map(|(key, value)| (key, value)))
            .env("CONFORMANCE_AUTHORITY", &spec.authority)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = shell.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("a new process has no id"))?;
        Ok(Self { shell, id })
    }

    /// Sends a signal to all of them.
    pub fn signal(&self, signal: Signal) {
        // Fails only where all are gone.
        let _ = killpg(self.id, signal);
    }

    /// How the command ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.shell.try_wait().ok().flatten()
    }

    /// kill -9 of all of them; returns when none lives, so that their sockets and locks are free. False where one is
    /// still there after 20 s.
    pub async fn kill(mut self) -> bool {
        self.signal(Signal::SIGKILL);
        let _ = self.shell.wait().await;
        let deadline = Instant::now() + GONE;
        while !members(self.id).is_empty() {
            if Instant::now() > deadline {
                return false;
            }
            self.signal(Signal::SIGKILL);
            sleep(LOOK).await;
        }
        true
    }

    /// Bytes of memory that all of them hold for themselves (not mapped from files); `None` where the system does not
    /// tell.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        let of = |id: u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
            let kib = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
            Some(kib << 10)
        };
        let found: Vec<_> = members(self.id).into_iter().filter_map(of).collect();
        (!found.is_empty()).then(|| found.into_iter().sum())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Processes of a group that are alive; where there is no /proc, none.
///
/// Those that ended and that nobody has waited for are not alive: they hold nothing any more.
fn members(group: Pid) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    ids.filter(|id: &u32| {
        let stat = State::read(&format!("/proc/{id}/stat"));
        stat.is_some_and(|stat| stat.group == group.to_string() && (!stat.has_ended || has_threads(*id)))
    })
    .collect()
}

/// True where a thread still runs. The first one may have ended before the others, which still hold sockets and locks.
fn has_threads(id: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return false };
    let mut threads =
        threads.flatten().filter_map(|entry| State::read(&entry.path().join("stat").to_string_lossy()));
    threads.any(|thread| !thread.has_ended)
}

/// What a file `stat` of a process or a thread tells.
struct State {
    group: String,
    has_ended: bool,
}

impl State {
    fn read(path: &str) -> Option<Self> {
        // pid (command) state ppid pgrp ...; the command may hold anything, also parentheses.
        let stat = fs::read_to_string(path).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let has_ended = matches!(fields.next(), Some("Z" | "X"));
        Some(Self { group: fields.nth(1)?.to_owned(), has_ended })
    }
}

/// The last words of a log, on one line; for errors.
#[must_use]
pub fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL_BYTES)..]).into_owned();
    let words: Vec<_> = text.split_whitespace().collect();
    if words.is_empty() {
        "it said nothing".to_owned()
    } else {
        format!("its last words: {}", words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(folder: &Path, command: &str) -> Spec {
        Spec {
            command: command.to_owned(),
            environment: vec![("CONFORMANCE_DATA_DIR", folder.to_owned())],
            authority: "a1".to_owned(),
            log: folder.join("log"),
        }
    }

    #[tokio::test]
    async fn a_kill_takes_the_children_of_the_command_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let command =
            "echo $CONFORMANCE_AUTHORITY; (sleep 600; true) & touch \"$CONFORMANCE_DATA_DIR\"/up; wait";
        let mut group = Group::start(&spec(folder.path(), command)).unwrap();
        while !folder.path().join("up").exists() {
            assert_eq!(group.ended(), None);
            sleep(LOOK).await;
        }
        let id = group.id;
        assert!(group.memory_bytes().is_some_and(|bytes| bytes > 0));
        assert!(group.kill().await);
        assert_eq!(members(id), Vec::<u32>::new());
        assert_eq!(last_words(&folder.path().join("log")), "its last words: a1");
    }

    #[tokio::test]
    async fn a_group_that_is_dropped_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let group = Group::start(&spec(folder.path(), "sleep 600")).unwrap();
        let id = group.id;
        drop(group);
        while !members(id).is_empty() {
            sleep(LOOK).await;
        }
    }
}
