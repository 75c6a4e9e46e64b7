//! From the file to the checked configuration: ranges, what hangs together, and what the file points at.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use consensus_core::{AuthorityIndex, Genesis, Params};
use metanode_proto::limits::TRANSACTION_OVERHEAD_BYTES;
use metanode_shell::{config::Problems, durable::StoreOptions, grpc};

use super::{
    Config, Executor, Log, Submit,
    file::{ExecutorSection, File, StoreSection, SubmitSection},
};
use crate::{
    genesis_file,
    identity::{Identity, SecretKey},
};

/// `None` only if a problem was noted.
pub(super) fn check(file: File, folder: &Path, problems: &mut Problems) -> Option<Config> {
    check_listen(&file.peer_listen, "peer_listen", problems);
    check_listen(&file.api_listen, "api_listen", problems);
    if let Some(address) = &file.metrics_listen {
        check_listen(address, "metrics_listen", problems);
    }
    let log_format = file.log.format.parse();
    problems.check(
        log_format.is_ok(),
        "log.format",
        format!("`{}` is neither text nor json", file.log.format),
    );
    // An empty path would be the folder of the configuration, keys and all.
    problems.check(!file.data_dir.as_os_str().is_empty(), "data_dir", "is empty");
    check_range(problems, "drain_timeout_ms", file.drain_timeout_ms, 0, 600_000);
    let executor = check_executor(&file.executor, problems);
    let store = check_store(&file.store, problems);
    check_range(problems, "health.stalled_after_ms", file.health.stalled_after_ms, 1_000, 3_600_000);

    let genesis = read_genesis(&folder.join(&file.genesis), problems);
    let identity = read_identity(&file, folder, problems);
    let params = file.proposer.params();
    let submit = check_submit(&file.submit, genesis.as_ref(), problems);
    if let Some(Err(errors)) = genesis.as_ref().map(|genesis| params.validate(genesis)) {
        for error in errors {
            problems.push(
                &format!("proposer.{}", error.field),
                range_text(error.value, error.minimum, error.maximum),
            );
        }
    }
    check_batch_fits(&submit, &params, problems);
    let own = genesis
        .as_ref()
        .zip(identity.as_ref())
        .and_then(|(genesis, identity)| find_own(genesis, identity, problems));
    let peers = genesis.as_ref().map(|genesis| check_peers(&file.peers, genesis, own, problems));
    Some(Config {
        data_dir: folder.join(file.data_dir),
        genesis: Arc::new(genesis?),
        own: own?,
        identity: identity?,
        peer_listen: file.peer_listen,
        api_listen: file.api_listen,
        metrics_listen: file.metrics_listen,
        peers: peers?,
        log: Log { format: log_format.ok()?, filter: file.log.filter },
        executor,
        params,
        submit,
        store,
        stalled_after: Duration::from_millis(file.health.stalled_after_ms),
        drain_timeout: Duration::from_millis(file.drain_timeout_ms),
    })
}

fn check_executor(section: &ExecutorSection, problems: &mut Problems) -> Executor {
    if let Err(error) = grpc::endpoint(&section.endpoint) {
        problems.push("executor.endpoint", error.to_string());
    }
    check_range(problems, "executor.window_commits", section.window_commits, 1, 4096);
    check_range(problems, "executor.window_bytes", section.window_bytes, 64 << 10, 1 << 30);
    check_range(problems, "executor.acknowledge_timeout_ms", section.acknowledge_timeout_ms, 100, 3_600_000);
    Executor {
        endpoint: section.endpoint.clone(),
        read_enabled: section.executor_read_enabled,
        on_unavailable: section.on_executor_unavailable,
        window_commits: usize::try_from(section.window_commits).unwrap_or(usize::MAX),
        window_bytes: section.window_bytes,
        acknowledge_timeout: Duration::from_millis(section.acknowledge_timeout_ms),
    }
}

fn check_submit(section: &SubmitSection, genesis: Option<&Genesis>, problems: &mut Problems) -> Submit {
    let largest = genesis.map_or(1, |genesis| u64::from(genesis.parameters().max_transaction_bytes));
    let batch = section.max_batch_transactions as u64;
    check_range(problems, "submit.max_batch_transactions", batch, 1, 10_000);
    check_range(problems, "submit.max_batch_bytes", section.max_batch_bytes, largest, 64 << 20);
    check_range(problems, "submit.max_waiting", section.max_waiting as u64, 1, 10_000_000);
    check_range(problems, "submit.max_executed_lag", section.max_executed_lag, 1, 1_000_000);
    Submit {
        max_batch_transactions: section.max_batch_transactions,
        max_batch_bytes: section.max_batch_bytes,
        max_waiting: section.max_waiting,
        max_executed_lag: section.max_executed_lag,
    }
}

/// A batch that breaks no limit is taken or told to come back, so the pool and the room of waits must have place for one.
fn check_batch_fits(submit: &Submit, params: &Params, problems: &mut Problems) {
    let transactions = submit.max_batch_transactions;
    let bytes =
        submit.max_batch_bytes.saturating_add(TRANSACTION_OVERHEAD_BYTES.saturating_mul(transactions as u64));
    let mut check = |field: &str, value: u64, least: u64| {
        // What is out of its own range was told already.
        let told = problems.found().iter().any(|problem| problem.field == field);
        let message = format!("is {value}, the largest batch that `submit` allows takes {least}");
        problems.check(told || value >= least, field, message);
    };
    check("proposer.max_pool_transactions", params.max_pool_transactions as u64, transactions as u64);
    check("proposer.max_pool_bytes", params.max_pool_bytes, bytes);
    check("submit.max_waiting", submit.max_waiting as u64, transactions as u64);
}

fn check_store(section: &StoreSection, problems: &mut Problems) -> StoreOptions {
    check_range(problems, "store.cache_mib", section.cache_mib, 16, 65_536);
    check_range(problems, "store.lock_timeout_ms", section.lock_timeout_ms, 0, 600_000);
    StoreOptions {
        cache_bytes: section.cache_mib.saturating_mul(1 << 20),
        lock_deadline: Duration::from_millis(section.lock_timeout_ms),
    }
}

fn read_genesis(path: &Path, problems: &mut Problems) -> Option<Genesis> {
    let file = match genesis_file::read(path) {
        Ok(file) => file,
        Err(error) => {
            problems.push("genesis", with_sources(&error));
            return None;
        }
    };
    let mut found = Problems::default();
    let genesis = genesis_file::check(&file, &mut found);
    for problem in found.found() {
        problems.push("genesis", format!("in {}, {problem}", path.display()));
    }
    genesis
}

fn read_identity(file: &File, folder: &Path, problems: &mut Problems) -> Option<Identity> {
    let mut read = |field: &str, path: &Path| {
        SecretKey::read(&folder.join(path)).map_err(|error| problems.push(field, with_sources(&error))).ok()
    };
    let protocol = read("protocol_key_file", &file.protocol_key_file);
    let network = read("network_key_file", &file.network_key_file);
    Some(Identity::new(&protocol?, network?))
}

/// The own place in the committee, by the protocol key; the network key must be of the same authority.
fn find_own(genesis: &Genesis, identity: &Identity, problems: &mut Problems) -> Option<AuthorityIndex> {
    let own = genesis.committee().index_of(&identity.protocol_key());
    problems.check(
        own.is_some(),
        "protocol_key_file",
        format!(
            "its public key {} is not in the committee of the genesis file",
            hex::encode(identity.protocol_key().to_bytes())
        ),
    );
    let found = hex::encode(identity.network_key());
    let matches =
        genesis.committee().authority(own?).is_some_and(|own| own.network_key == identity.network_key());
    problems.check(
        matches,
        "network_key_file",
        format!("its public key {found} is not that of authority {} in the genesis file", own?),
    );
    own
}

fn check_peers(
    overrides: &BTreeMap<String, String>,
    genesis: &Genesis,
    own: Option<AuthorityIndex>,
    problems: &mut Problems,
) -> BTreeMap<AuthorityIndex, String> {
    let committee = genesis.committee();
    let mut peers: BTreeMap<_, _> = committee
        .indexes()
        .zip(committee.authorities())
        .filter(|(index, _)| Some(*index) != own)
        .map(|(index, authority)| (index, authority.address.clone()))
        .collect();
    for (key, address) in overrides {
        let field = format!("peers.{key}");
        let index = key.parse().ok().map(AuthorityIndex::new);
        let Some(index) = index.filter(|index| committee.authority(*index).is_some()) else {
            let last = committee.size() - 1;
            problems.push(&field, format!("is not the index of an authority, 0 to {last}"));
            continue;
        };
        problems.check(Some(index) != own, &field, "is this authority itself");
        let valid = genesis_file::is_host_and_port(address);
        problems.check(valid, &field, format!("`{address}` is not host:port"));
        peers.insert(index, address.clone());
    }
    peers
}

fn check_listen(address: &str, field: &str, problems: &mut Problems) {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    let valid = port.is_some_and(|port| port.parse::<u16>().is_ok());
    problems.check(valid, field, format!("`{address}` is not host:port"));
}

fn check_range(problems: &mut Problems, field: &str, value: u64, minimum: u64, maximum: u64) {
    problems.check((minimum..=maximum).contains(&value), field, range_text(value, minimum, maximum));
}

fn range_text(value: u64, minimum: u64, maximum: u64) -> String {
    match maximum {
        u64::MAX => format!("is {value}, at least {minimum} is needed"),
        _ => format!("is {value}, allowed is {minimum} to {maximum}"),
    }
}

/// An error with all that caused it, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
