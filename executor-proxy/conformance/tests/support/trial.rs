//! Runs the suite as a library against a command.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use executor_conformance::{Bench, Effort, LedgerKind, Protocol, Report, Settings, row::Row, suite};

/// Many times what anything takes; only a master that hangs makes a test wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A run over the rows. The folder is for all that is written.
pub(crate) async fn run(
    folder: &Path,
    protocol: Protocol,
    command: String,
    rows: &[Row],
    effort: Effort,
) -> Report {
    run_for(folder, protocol, command, rows, effort, PATIENCE).await
}

/// A run with another patience.
pub(crate) async fn run_for(
    folder: &Path,
    protocol: Protocol,
    command: String,
    rows: &[Row],
    effort: Effort,
    patience: Duration,
) -> Report {
    let settings = Settings {
        protocol,
        command,
        ledger: LedgerKind::Reference,
        seed: 1,
        patience,
        effort,
        genesis: None,
        folder: folder.to_owned(),
    };
    let bench = Bench::new(settings).unwrap();
    let log = bench.log();
    suite::run(bench, rows, |_| {}).await.unwrap_or_else(|error| {
        panic!("{error}\n{}", fs::read_to_string(log).unwrap_or_default());
    })
}

/// A program of this crate's examples, which `cargo test` builds beside its tests.
pub(crate) fn example(name: &str) -> String {
    let test = env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(
        program.exists(),
        "{} is missing: cargo build -p executor-conformance --examples",
        program.display()
    );
    program.display().to_string()
}

/// A TCP address that was free just now.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The Go master, built; `None` where there is no Go.
pub(crate) fn go_master(folder: &Path) -> Option<String> {
    let found = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        assert_ne!(env::var("REQUIRE_GO").as_deref(), Ok("1"), "REQUIRE_GO=1, but there is no Go");
        eprintln!("skipped: there is no Go on this machine (REQUIRE_GO=1 makes this a failure)");
        return None;
    }
    let binary: PathBuf = folder.join("go-master");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&binary)
        .arg("./cmd/go-master")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../go-master"))
        .status();
    assert!(built.unwrap().success());
    Some(binary.display().to_string())
}

/// All lines of a report, for a failed test.
pub(crate) fn table(report: &Report) -> String {
    let lines: Vec<_> = report.rows.iter().map(ToString::to_string).collect();
    format!("{}\n{report}", lines.join("\n"))
}
