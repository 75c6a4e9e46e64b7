use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::*;
use crate::cli::genesis::{NetworkOptions, write_network};

/// A network in a folder, and the configuration file of authority 1 in it.
fn network(authorities: u16) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let options = NetworkOptions { authorities, out: folder.path().to_owned(), ..NetworkOptions::default() };
    let files = write_network(&options).unwrap();
    let path = files.authorities[usize::from(authorities > 1)].consensus_config.clone();
    (folder, path)
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap();
    fs::write(path, before + text).unwrap();
}

fn replace(path: &Path, from: &str, to: &str) {
    let before = fs::read_to_string(path).unwrap();
    assert!(before.contains(from), "{before}");
    fs::write(path, before.replace(from, to)).unwrap();
}

/// Fields and messages of all mistakes.
fn mistakes(path: &Path) -> Vec<(String, String)> {
    match Config::load(path).unwrap_err() {
        ConfigError::Invalid { problems, .. } => {
            problems.into_iter().map(|problem| (problem.field, problem.message)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn fields(path: &Path) -> Vec<String> {
    mistakes(path).into_iter().map(|(field, _)| field).collect()
}

#[test]
fn a_generated_configuration_is_valid_with_the_documented_defaults() {
    let (folder, path) = network(4);
    let config = Config::load(&path).unwrap();
    assert_eq!(config.own, AuthorityIndex::new(1));
    assert_eq!(config.data_dir, folder.path().join("authority-1/consensus-data"));
    assert_eq!(
        (config.peer_listen.as_str(), config.api_listen.as_str()),
        ("127.0.0.1:7110", "127.0.0.1:7111")
    );
    assert_eq!(config.metrics_listen.as_deref(), Some("127.0.0.1:7112"));
    assert_eq!(config.executor.endpoint, "http://127.0.0.1:7113");
    assert_eq!(config.params, Params::default());
    assert_eq!((config.executor.window_commits, config.executor.window_bytes), (256, 32 << 20));
    assert!(config.executor.read_enabled);
    assert_eq!(config.executor.on_unavailable, OnExecutorUnavailable::Wait);
    assert_eq!((config.submit.max_batch_transactions, config.submit.max_batch_bytes), (1000, 2 << 20));
    assert_eq!((config.submit.max_waiting, config.submit.max_executed_lag), (100_000, 1000));
    assert_eq!(config.store.cache_bytes, 256 << 20);
    let peers: Vec<_> = config.peers.iter().map(|(index, address)| (index.get(), address.as_str())).collect();
    assert_eq!(peers, [(0, "127.0.0.1:7100"), (2, "127.0.0.1:7120"), (3, "127.0.0.1:7130")]);
}

#[test]
fn a_lone_authority_has_no_peers() {
    let (_folder, path) = network(1);
    assert!(Config::load(&path).unwrap().peers.is_empty());
}

#[test]
fn mistakes_of_every_kind_are_listed_at_once() {
    let (folder, path) = network(4);
    replace(&path, "http://127.0.0.1:7113", "127.0.0.1:7113");
    replace(&path, "api_listen = \"127.0.0.1:7111\"", "api_listen = \"nowhere\"\ndrain_timeout_ms = 600001");
    append(
        &path,
        "window_commits = 0\nwindow_bytes = 1073741825\nacknowledge_timeout_ms = 99\n\
         [log]\nformat = 'xml'\n\
         [proposer]\nleader_timeout_ms = 9\nidle_delay_ms = 1667\nmax_pool_bytes = 100\n\
         [submit]\nmax_batch_transactions = 0\nmax_batch_bytes = 524287\n\
         [store]\ncache_mib = 15\n\
         [peers]\n1 = '10.0.0.1:7100'\n2 = 'nowhere'\n4 = '10.0.0.1:7100'\n",
    );
    let key = folder.path().join("authority-1/network.key");
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let mut found = fields(&path);
    found.sort();
    let expected = [
        "api_listen",
        "drain_timeout_ms",
        "executor.acknowledge_timeout_ms",
        "executor.endpoint",
        "executor.window_bytes",
        "executor.window_commits",
        "log.format",
        "network_key_file",
        // Whether an index is the own one is known only with both keys.
        "peers.2",
        "peers.4",
        "proposer.idle_delay_ms",
        "proposer.leader_timeout_ms",
        "proposer.max_pool_bytes",
        "store.cache_mib",
        "submit.max_batch_bytes",
        "submit.max_batch_transactions",
    ];
    assert_eq!(found, expected);
}

#[test]
fn both_ends_of_a_range_are_allowed() {
    let (_folder, path) = network(4);
    append(
        &path,
        "window_commits = 4096\nwindow_bytes = 65536\nacknowledge_timeout_ms = 100\n\
         [proposer]\nleader_timeout_ms = 10\nidle_delay_ms = 1666\n\
         [submit]\nmax_batch_bytes = 524288\nmax_executed_lag = 1\n[store]\ncache_mib = 16\n",
    );
    let config = Config::load(&path).unwrap();
    assert_eq!(config.params.idle_delay, Duration::from_millis(1666));
    assert_eq!(config.executor.window_commits, 4096);
}

#[test]
fn the_largest_batch_must_fit_into_the_pool_and_the_room_of_waits() {
    // 1000 transactions, 2 MiB and 16 bytes for each transaction.
    let bytes = (2 << 20) + 16 * 1_000;
    let with = |transactions: usize, bytes: u64, waiting: usize| {
        let (folder, path) = network(4);
        append(
            &path,
            &format!(
                "[proposer]\nmax_pool_transactions = {transactions}\nmax_pool_bytes = {bytes}\n\
                 [submit]\nmax_waiting = {waiting}\n"
            ),
        );
        (folder, path)
    };
    let (_folder, path) = with(1_000, bytes, 1_000);
    Config::load(&path).unwrap();
    let (_folder, path) = with(999, bytes - 1, 999);
    let mut found = fields(&path);
    found.sort();
    assert_eq!(found, ["proposer.max_pool_bytes", "proposer.max_pool_transactions", "submit.max_waiting"]);
}

#[test]
fn an_empty_data_folder_is_refused() {
    let (_folder, path) = network(4);
    replace(&path, "data_dir = \"consensus-data\"", "data_dir = \"\"");
    assert_eq!(mistakes(&path), [("data_dir".to_owned(), "is empty".to_owned())]);
}

#[test]
fn unknown_and_missing_keys_are_listed_together() {
    let (_folder, path) = network(4);
    replace(&path, "data_dir", "data_dri");
    append(&path, "window = 3\n");
    let mut found = fields(&path);
    found.sort();
    assert_eq!(found, ["data_dir", "data_dri", "executor.window"]);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_what_mends_it() {
    let (folder, path) = network(4);
    let key = folder.path().join("authority-1/protocol.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let found = mistakes(&path);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "protocol_key_file");
    assert!(found[0].1.contains("chmod 600"), "{found:?}");
}

#[test]
fn keys_of_another_authority_are_refused() {
    let (folder, path) = network(4);
    fs::copy(folder.path().join("authority-2/network.key"), folder.path().join("authority-1/network.key"))
        .unwrap();
    assert_eq!(fields(&path), ["network_key_file"]);
    let (other, _) = network(4);
    fs::copy(other.path().join("authority-1/protocol.key"), folder.path().join("authority-1/protocol.key"))
        .unwrap();
    assert_eq!(fields(&path), ["protocol_key_file"]);
}

#[test]
fn a_changed_genesis_file_is_refused() {
    let (folder, path) = network(4);
    replace(&folder.path().join("genesis.toml"), "gc_depth = 60", "gc_depth = 61");
    let found = mistakes(&path);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "genesis");
    assert!(found[0].1.contains("chain_id"), "{found:?}");
}

#[test]
fn a_peer_override_replaces_the_address_of_the_genesis_file() {
    let (_folder, path) = network(4);
    append(&path, "[peers]\n3 = 'node-3.example:7100'\n");
    let config = Config::load(&path).unwrap();
    assert_eq!(config.peers[&AuthorityIndex::new(3)], "node-3.example:7100");
    replace(&path, "3 = ", "1 = ");
    assert_eq!(fields(&path), ["peers.1"]);
}
