//! Breaks the rules of the code one at a time, to see that the trial finds out.
//!
//! Tests are trusted as far as they catch what is wrong. Each mutant of `mutants/mutants.toml` is applied to a copy of the
//! sources and built. It must be caught by the simulator, over the same seeds for all, or by the test that it names: the one
//! that closes the line whose protection it removes. A mutant that survives is a hole in the trial, and fails the command. The
//! unbroken sources run first over the same seeds, and must pass.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod children;
mod list;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, ExitCode, Stdio},
    sync::mpsc::{RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use clap::Parser;

use crate::{
    children::Children,
    list::{Mutant, Test},
};

/// Breaks the rules of the code one at a time and shows what catches each: a seed of the simulator, or the test of the line.
///
/// Builds a copy of the sources under target/mutants once for each mutant: about half a minute each on two cores. Exit: 0 if
/// every mutant was caught and the unbroken core passes, 1 if not, or if it was interrupted, 2 if the list does not fit the sources.
#[derive(Debug, Parser)]
struct Args {
    /// Seeds that every mutant runs over, A..B.
    #[arg(long, default_value = "0..850")]
    seeds: String,
    /// Committee sizes of these seeds, M..N.
    #[arg(long, default_value = "4..7")]
    authorities: String,
    /// Only mutants whose name, or whose test's name, holds this text; may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    /// Seconds that the seeds may take; a mutant that does not end by then is caught.
    #[arg(long, default_value_t = 900)]
    limit_s: u64,
    /// Only check that every mutant still fits the sources.
    #[arg(long)]
    check: bool,
}

/// Longest that the tests of a mutant may take, once built.
const TEST_LIMIT: Duration = Duration::from_secs(120);

/// How a run over the seeds ended.
enum Outcome {
    Caught(String),
    Survived,
    DoesNotBuild(String),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mutants = match list::read(&top) {
        Ok(mutants) => mutants,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    if args.check {
        println!("mutants={} all fit the sources", mutants.len());
        return ExitCode::SUCCESS;
    }
    match trial(&args, &top, &mutants) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// How many mutants survived, or did not build.
fn trial(args: &Args, top: &Path, mutants: &[Mutant]) -> Result<usize, String> {
    let workbench = Workbench::new(top).map_err(|error| format!("cannot copy the sources: {error}"))?;
    let is_chosen =
        |mutant: &&Mutant| args.only.is_empty() || args.only.iter().any(|text| mutant.is_about(text));
    let chosen: Vec<_> = mutants.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err("no mutant has such a name".to_owned());
    }
    match workbench.run_seeds(args)? {
        Outcome::Survived => println!("{:<36} passes, as it must", "(unbroken)"),
        Outcome::Caught(line) => return Err(format!("the unbroken core fails: {line}")),
        Outcome::DoesNotBuild(error) => return Err(format!("the unbroken core does not build: {error}")),
    }
    let (mut caught, mut survived) = (0, 0);
    for mutant in chosen {
        let started = Instant::now();
        let broken = mutant.apply(top)?;
        let outcome = workbench.with(&mutant.file, &broken, || match &mutant.test {
            None => workbench.run_seeds(args),
            Some(test) => workbench.run_test(test),
        })?;
        let seconds = started.elapsed().as_secs();
        let verdict = match outcome {
            Outcome::Caught(line) => {
                caught += 1;
                format!("caught ({seconds} s): {line}")
            }
            Outcome::Survived => {
                survived += 1;
                format!("SURVIVED ({seconds} s): {}", mutant.rule)
            }
            Outcome::DoesNotBuild(error) => {
                survived += 1;
                format!("DOES NOT BUILD: {error}")
            }
        };
        println!("{:<36} {verdict}", mutant.name);
    }
    println!("mutants={} caught={caught} survived={survived} seeds={}", caught + survived, args.seeds);
    Ok(survived)
}

/// A copy of the sources that may be broken.
struct Workbench {
    top: PathBuf,
    copy: PathBuf,
    target: PathBuf,
    children: Children,
}

impl Workbench {
    fn new(top: &Path) -> std::io::Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top.join("target"), PathBuf::from);
        let bench = target.join("mutants");
        let (copy, target) = (bench.join("copy"), bench.join("target"));
        let workbench = Self { top: top.to_owned(), copy, target, children: Children::new()? };
        if workbench.copy.exists() {
            fs::remove_dir_all(&workbench.copy)?;
        }
        fs::create_dir_all(&workbench.copy)?;
        for file in ["Cargo.toml", "Cargo.lock"] {
            fs::copy(top.join(file), workbench.copy.join(file))?;
        }
        for folder in ["proto", "consensus-svc", "executor-proxy", "deploy"] {
            copy_tree(&top.join(folder), &workbench.copy.join(folder))?;
        }
        Ok(workbench)
    }

    /// Does something while a file of the copy has another text.
    fn with<T>(&self, file: &str, text: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let path = self.copy.join(file);
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        fs::write(&path, text).map_err(told)?;
        let done = work();
        // A fresh copy is newer than the mutant's build, so that the next build sees it.
        let original = fs::read(self.top.join(file)).map_err(told)?;
        fs::write(&path, original).map_err(told)?;
        done
    }

    /// Runs cargo in the copy: whether it succeeded, and all that it said.
    fn cargo(&self, arguments: &[&str]) -> Result<(bool, String), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(&self.copy);
        command.env("CARGO_TARGET_DIR", &self.target).env("RUST_BACKTRACE", "0");
        let output = self.children.output(&mut command)?;
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok((output.status.success(), said.concat()))
    }

    /// Builds the copy's tests and runs those named; the first panic of a failing one is the red line.
    fn run_test(&self, test: &Test) -> Result<Outcome, String> {
        let Test { package, name } = test;
        let (builds, said) = self.cargo(&["test", "--quiet", "--no-run", "-p", package])?;
        if !builds {
            return Ok(Outcome::DoesNotBuild(first_error(&said)));
        }
        let Some((passed, said)) = self.test_output(package, name)? else {
            return Ok(Outcome::Caught(format!(
                "{package} {name}: no end within {} s",
                TEST_LIMIT.as_secs()
            )));
        };
        let ran = said.lines().filter(|line| line.starts_with("test ")).count();
        if ran == 0 {
            return Err(format!("package {package} has no test {name}"));
        }
        let lines: Vec<_> = said.lines().collect();
        let panic = lines.iter().position(|line| line.contains("panicked at"));
        let told = panic.map_or_else(String::new, |place| {
            // The message stands under the place; of a comparison, the two sides too.
            lines.iter().skip(place + 1).take(3).map(|line| line.trim()).collect::<Vec<_>>().join(" ")
        });
        let failed = lines.iter().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        let red = failed.unwrap_or(name.as_str());
        Ok(if passed { Outcome::Survived } else { Outcome::Caught(format!("{package} {red}: {told}")) })
    }

    /// Runs built tests to their end, or to the time limit: a mutant may well make a test wait for ever.
    fn test_output(&self, package: &str, name: &str) -> Result<Option<(bool, String)>, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["test", "--no-fail-fast", "-p", package, name]).current_dir(&self.copy);
        command.env("CARGO_TARGET_DIR", &self.target).env("RUST_BACKTRACE", "0");
        let mut tests = self.children.start(command.stdout(Stdio::piped()).stderr(Stdio::null()))?;
        let mut output = tests.stdout().ok_or("the tests have no output")?;
        let (sender, said) = sync_channel(1);
        // Ends with the tests, whose output it reads.
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = output.read_to_end(&mut text);
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        });
        let said = said.recv_timeout(TEST_LIMIT).ok();
        if said.is_none() {
            // The tests are children of cargo.
            tests.kill();
        }
        let status = tests.wait()?;
        if self.children.is_interrupted() {
            return Err("interrupted".to_owned());
        }
        Ok(said.map(|said| (status.success(), said)))
    }

    /// Builds the copy's simulator and runs the seeds until the first violation.
    fn run_seeds(&self, args: &Args) -> Result<Outcome, String> {
        let build = ["build", "--release", "--quiet", "-p", "consensus-sim", "--bin", "consensus-sim"];
        let (builds, said) = self.cargo(&build)?;
        if !builds {
            return Ok(Outcome::DoesNotBuild(first_error(&said)));
        }
        let mut command = Command::new(self.target.join("release/consensus-sim"));
        command.args(["--seeds", &args.seeds, "--authorities", &args.authorities]);
        let mut simulator = self.children.start(command.stdout(Stdio::piped()).stderr(Stdio::null()))?;
        let output = simulator.stdout().ok_or("the simulator has no output")?;
        let outcome = first_violation(output, Duration::from_secs(args.limit_s));
        // The first violation is enough; where there was none it has ended by itself.
        drop(simulator);
        if self.children.is_interrupted() { Err("interrupted".to_owned()) } else { Ok(outcome) }
    }
}

/// Reads the simulator's lines up to the first failing seed, its end, or the time limit.
fn first_violation(output: ChildStdout, limit: Duration) -> Outcome {
    let (sender, lines) = sync_channel(16);
    // Ends with the simulator, whose output it reads.
    std::thread::spawn(move || {
        let read = BufReader::new(output).lines().map_while(Result::ok);
        let _ = read.map(|line| sender.send(line)).find(Result::is_err);
    });
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(rest) = line.strip_prefix("FAIL seed ") {
                    return Outcome::Caught(format!("seed {rest}"));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Outcome::Survived,
            Err(RecvTimeoutError::Timeout) => {
                return Outcome::Caught(format!("no end within {} s", limit.as_secs()));
            }
        }
    }
}

fn first_error(said: &str) -> String {
    said.lines().find(|line| line.starts_with("error")).unwrap_or("see cargo build").to_owned()
}

/// Copies sources; what was built beside them stays.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_name() == "target" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
