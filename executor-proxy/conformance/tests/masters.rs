//! The masters of this project keep every promise that the suite knows.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a skipped test says so")]

#[path = "support/trial.rs"]
mod trial;

use executor_conformance::{Effort, rows};
use trial::{example, free_address, go_master, run, table};

async fn go_master_passes(listen: impl Fn(&str) -> (String, String)) {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = go_master(folder.path()) else { return };
    let (endpoint, address) = listen(&folder.path().display().to_string());
    let command = format!(
        "exec {program} run --log-level warn --genesis \"$CONFORMANCE_GENESIS\" --data-dir \"$CONFORMANCE_DATA_DIR\" --listen {address}"
    );
    let report = run(folder.path(), &endpoint, command, rows::GRPC, Effort::default()).await;
    assert!(report.holds(), "{}", table(&report));
}

#[tokio::test]
async fn the_go_master_keeps_every_promise_over_a_unix_socket() {
    go_master_passes(|folder| {
        let socket = format!("unix:{folder}/master.sock");
        (socket.clone(), socket)
    })
    .await;
}

#[tokio::test]
async fn the_go_master_keeps_every_promise_over_tcp() {
    go_master_passes(|_| {
        let address = free_address();
        (format!("http://{address}"), address)
    })
    .await;
}

/// Without a data folder of its own for each row: one life, from row to row.
#[tokio::test]
async fn the_go_master_keeps_every_promise_in_one_life() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = go_master(folder.path()) else { return };
    let (socket, data) =
        (format!("unix:{}/master.sock", folder.path().display()), folder.path().join("kept"));
    let command = format!(
        "exec {program} run --log-level warn --genesis \"$CONFORMANCE_GENESIS\" --data-dir {} --listen {socket}",
        data.display()
    );
    let report = run(folder.path(), &socket, command, rows::GRPC, Effort::default()).await;
    assert!(report.holds(), "{}", table(&report));
}

#[tokio::test]
async fn the_embedded_ledger_keeps_every_promise_through_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let command = format!(
        "cat > \"$CONFORMANCE_DATA_DIR/proxy.toml\" <<END\n\
         data_dir = 'data'\n\
         genesis = '$CONFORMANCE_GENESIS'\n\
         authority_key = '$CONFORMANCE_AUTHORITY'\n\
         listen = '{address}'\n\
         [log]\n\
         filter = 'warn'\n\
         END\n\
         exec {} run --config \"$CONFORMANCE_DATA_DIR/proxy.toml\"",
        example("embedded-proxy")
    );
    let report =
        run(folder.path(), &format!("http://{address}"), command, rows::GRPC, Effort::default()).await;
    assert!(report.holds(), "{}", table(&report));
}
