//! The masters of this project keep every promise that the suite knows.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a skipped test says so")]

#[path = "support/trial.rs"]
#[allow(dead_code, reason = "the helper serves other tests too")]
mod trial;

use executor_conformance::{
    Effort, Protocol,
    legacy::{Layout, LegacyMaster},
    rows,
};
use trial::{example, free_address, go_master, run, table};

async fn go_master_passes(listen: impl Fn(&str) -> (String, String)) {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = go_master(folder.path()) else { return };
    let (endpoint, address) = listen(&folder.path().display().to_string());
    let command = format!(
        "exec {program} run --log-level warn --genesis \"$CONFORMANCE_GENESIS\" --data-dir \"$CONFORMANCE_DATA_DIR\" --listen {address}"
    );
    let report =
        run(folder.path(), Protocol::Grpc { endpoint }, command, rows::GRPC, Effort::default()).await;
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
    let report =
        run(folder.path(), Protocol::Grpc { endpoint: socket }, command, rows::GRPC, Effort::default()).await;
    assert!(report.holds(), "{}", table(&report));
}

/// Writes the configuration of a proxy; what comes after is its backend.
fn proxy_config(address: &str, backend: &str) -> String {
    format!(
        "cat > \"$CONFORMANCE_DATA_DIR/proxy.toml\" <<END\n\
         data_dir = 'data'\n\
         genesis = '$CONFORMANCE_GENESIS'\n\
         authority_key = '$CONFORMANCE_AUTHORITY'\n\
         listen = '{address}'\n\
         [log]\n\
         filter = 'warn'\n\
         {backend}\n\
         END\n"
    )
}

#[tokio::test]
async fn the_embedded_ledger_keeps_every_promise_through_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let command = format!(
        "{}exec {} run --config \"$CONFORMANCE_DATA_DIR/proxy.toml\"",
        proxy_config(&address, ""),
        example("embedded-proxy")
    );
    let protocol = Protocol::Grpc { endpoint: format!("http://{address}") };
    let report = run(folder.path(), protocol, command, rows::GRPC, Effort::default()).await;
    assert!(report.holds(), "{}", table(&report));
}

/// The proxy adds nothing to the promises of the master behind it, and takes nothing away. A kill takes both.
async fn proxy_before_the_go_master_passes(backend: &str, flags: &str) {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = go_master(folder.path()) else { return };
    let address = free_address();
    let command = format!(
        "{}{program} run --log-level warn --genesis \"$CONFORMANCE_GENESIS\" --data-dir \"$CONFORMANCE_DATA_DIR/go\" \
         --listen \"unix:$CONFORMANCE_DATA_DIR/master.sock\" {flags} &\n\
         exec {} run --config \"$CONFORMANCE_DATA_DIR/proxy.toml\"",
        proxy_config(&address, backend),
        example("embedded-proxy")
    );
    let protocol = Protocol::Grpc { endpoint: format!("http://{address}") };
    let effort = Effort { kills: 4, unread_bytes: 64 << 20, ..Effort::default() };
    let report = run(folder.path(), protocol, command, rows::GRPC, effort).await;
    assert!(report.holds(), "{}", table(&report));
}

#[tokio::test]
async fn the_proxy_before_the_go_master_keeps_every_promise() {
    let backend = "[backend]\nkind = 'grpc'\nendpoint = 'unix:$CONFORMANCE_DATA_DIR/master.sock'";
    proxy_before_the_go_master_passes(backend, "").await;
}

#[tokio::test]
async fn the_proxy_before_an_existing_master_keeps_every_promise() {
    let backend = "[backend]\nkind = 'uds'\nlayout = 'executable-block'\nreports_ready = true\n\
                   blocks = '$CONFORMANCE_DATA_DIR/b.sock'\nqueries = '$CONFORMANCE_DATA_DIR/q.sock'";
    let flags = "--uds-legacy --uds-blocks \"$CONFORMANCE_DATA_DIR/b.sock\" --uds-queries \"$CONFORMANCE_DATA_DIR/q.sock\"";
    proxy_before_the_go_master_passes(backend, flags).await;
}

async fn framed_go_master_passes(layout: Layout, name: &str, over_tcp: bool) {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = go_master(folder.path()) else { return };
    let blocks = folder.path().join("blocks.sock").display().to_string();
    let queries = if over_tcp {
        format!("tcp://{}", free_address())
    } else {
        folder.path().join("queries.sock").display().to_string()
    };
    let command = format!(
        "exec {program} run --log-level warn --genesis \"$CONFORMANCE_GENESIS\" --data-dir \"$CONFORMANCE_DATA_DIR\" \
         --listen 127.0.0.1:0 --uds-legacy --uds-blocks {blocks} --uds-queries {queries} --uds-layout {name} --uds-idle 1s"
    );
    let protocol = Protocol::Uds(LegacyMaster {
        blocks: blocks.parse().unwrap(),
        queries: queries.parse().unwrap(),
        layout,
        reports_ready: true,
    });
    let report = run(folder.path(), protocol, command, rows::UDS, Effort::default()).await;
    assert!(report.holds(), "{}", table(&report));
}

#[tokio::test]
async fn the_go_master_keeps_every_promise_of_the_framed_protocol() {
    framed_go_master_passes(Layout::ExecutableBlock, "executable-block", false).await;
}

#[tokio::test]
async fn the_go_master_keeps_them_with_the_other_layout_and_queries_over_tcp() {
    framed_go_master_passes(Layout::CommittedEpochData, "committed-epoch-data", true).await;
}
