//! Other programs, each in a process group of its own, none of which outlives this one: Ctrl-C reaches what cargo has started
//! as well, and whoever waits for it goes on to clean up.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::signal::unix::{SignalKind, signal};

/// What is running, and whether this program was told to end.
#[derive(Debug, Default)]
struct State {
    group: Option<Pid>,
    is_interrupted: bool,
}

/// Starts one program at a time.
#[derive(Debug)]
pub(crate) struct Children {
    state: Arc<Mutex<State>>,
}

/// A program under way; killed with all that it has started if it is dropped before its end.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    child: Option<Child>,
    group: Pid,
    children: &'a Children,
}

impl Children {
    /// From now on the signals that end a program end what it has started, and no more is started.
    ///
    /// # Errors
    /// If signals cannot be listened to.
    pub(crate) fn new() -> std::io::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let listener = state.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        drop(entered);
        // Ends with this program.
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hang_up.recv() => {}
                    }
                    let mut state = lock(&listener);
                    state.is_interrupted = true;
                    if let Some(group) = state.group {
                        let _ = killpg(group, Signal::SIGKILL);
                    }
                }
            });
        });
        Ok(Self { state })
    }

    /// Whether this program was told to end.
    pub(crate) fn is_interrupted(&self) -> bool {
        lock(&self.state).is_interrupted
    }

    /// Starts a program.
    ///
    /// # Errors
    /// If that is impossible, or this program was told to end.
    pub(crate) fn start(&self, command: &mut Command) -> Result<Group<'_>, String> {
        // Held until the group is known, so that a signal finds either none or all of it.
        let mut state = lock(&self.state);
        if state.is_interrupted {
            return Err("interrupted".to_owned());
        }
        let program = command.get_program().to_owned();
        let child = command.process_group(0).spawn();
        let child = child.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        state.group = Some(group);
        Ok(Group { child: Some(child), group, children: self })
    }

    /// Runs a program to its end, and keeps what it says.
    ///
    /// # Errors
    /// As [`Children::start`], or if this program was told to end meanwhile.
    pub(crate) fn output(&self, command: &mut Command) -> Result<Output, String> {
        let mut group = self.start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let child = group.child.take().ok_or("it has just been started")?;
        let output = child.wait_with_output().map_err(|error| format!("cannot wait: {error}"));
        drop(group);
        if self.is_interrupted() { Err("interrupted".to_owned()) } else { output }
    }
}

impl Group<'_> {
    /// Its standard output, the first time.
    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.as_mut()?.stdout.take()
    }

    /// Kills it with all that it has started.
    pub(crate) fn kill(&self) {
        if self.child.is_some() {
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If that is impossible.
    pub(crate) fn wait(mut self) -> Result<ExitStatus, String> {
        let Some(mut child) = self.child.take() else { return Err("it has ended".to_owned()) };
        child.wait().map_err(|error| format!("cannot wait: {error}"))
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        lock(&self.children.state).group = None;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
