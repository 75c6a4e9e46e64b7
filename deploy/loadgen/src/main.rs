//! Command line of the load generator.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use anyhow::{Context, bail};
use clap::Parser;
use loadgen::{Accounts, Load, LoadOptions, LoadReport, Snapshot};
use metanode_proto::genesis::GenesisFile;
use reference_ledger::ChainId;
use std::{collections::BTreeSet, fs, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

const EXAMPLES: &str = "\
Load a network of your own:
  loadgen --print-accounts --accounts 400 > accounts
  consensus-svc genesis --authorities 4 --accounts accounts --out net
  (start the services of net)
  loadgen --accounts 400 --genesis net/genesis.toml --endpoint http://127.0.0.1:7101 --rate 100

Give --endpoint once for each authority to load.";

/// Puts an open-loop load of signed transfers on a running network and tells how long each took.
///
/// The accounts come from --seed, and the genesis must fund them. Nonces are read from the chain, so that a network can be loaded
/// again. Exit code: 0; 1 if a transaction was lost; 2 if the load could not start.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    /// Transaction service of an authority, http://host:port; give it once for each authority to load.
    #[arg(long, required_unless_present = "print_accounts")]
    endpoint: Vec<String>,
    /// Genesis file of the network.
    #[arg(long, default_value = "genesis.toml")]
    genesis: PathBuf,
    /// Transactions a second over all endpoints.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Bytes of each transaction, signature and all: at least 181.
    #[arg(long, default_value_t = 512)]
    tx_size: usize,
    /// Seconds to send.
    #[arg(long, default_value_t = 30)]
    duration: u64,
    /// Seed of the account keys; localnet uses 0.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many accounts to use [default: four for each transaction a second].
    #[arg(long)]
    accounts: Option<usize>,
    /// Print the accounts as `consensus-svc genesis --accounts` reads them, a line PUBLIC_KEY:BALANCE each, and end.
    #[arg(long)]
    print_accounts: bool,
    /// Print one JSON object at the end, and nothing else on stdout.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn accounts(&self) -> Accounts {
        Accounts::new(self.seed, self.accounts.unwrap_or_else(|| LoadOptions::accounts_for(self.rate)))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.print_accounts {
        arguments.accounts().keys().for_each(|key| println!("{key}:{}", Accounts::GENESIS_BALANCE));
        return ExitCode::SUCCESS;
    }
    match run(&arguments).await {
        Ok(report) => {
            print(&report, arguments.json);
            ExitCode::from(u8::from(report.lost > 0))
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<LoadReport> {
    let text = fs::read_to_string(&arguments.genesis)
        .with_context(|| format!("cannot read {}", arguments.genesis.display()))?;
    let genesis: GenesisFile = toml::from_str(&text)
        .with_context(|| format!("{} is no genesis file", arguments.genesis.display()))?;
    let accounts = funded(&genesis, arguments.accounts())?;
    let Some(first) = arguments.endpoint.first() else { bail!("no endpoint") };
    eprintln!("reading the nonces of {} accounts from {first}", accounts.len());
    let nonce_of = loadgen::read_nonces(first, &genesis).await?;

    let mut chain_id = [0; 32];
    hex::decode_to_slice(&genesis.chain_id, &mut chain_id).context("genesis: chain_id")?;
    let mut options = LoadOptions::new(ChainId(chain_id), arguments.endpoint.clone());
    options.rate_per_s = arguments.rate;
    options.tx_size_bytes = arguments.tx_size;
    options.genesis = Some(Arc::new(genesis));
    options.duration = Some(Duration::from_secs(arguments.duration));
    let load = Load::start(options, accounts.with_nonces(nonce_of))?;
    let stop = load.stop_token();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    let mut snapshots = load.snapshots();
    let progress = tokio::spawn(async move {
        while snapshots.changed().await.is_ok() {
            let line = progress_line(&snapshots.borrow_and_update());
            eprintln!("{line}");
        }
    });
    let report = load.finish().await;
    progress.abort();
    Ok(report)
}

/// All accounts, if the genesis funds them.
fn funded(genesis: &GenesisFile, accounts: Accounts) -> anyhow::Result<Accounts> {
    let known: BTreeSet<_> = genesis.accounts.iter().map(|account| account.public_key.as_str()).collect();
    let missing = accounts.keys().filter(|key| !known.contains(key.to_string().as_str())).count();
    if missing > 0 {
        bail!(
            "the genesis does not fund {missing} of {} accounts: use its --seed, or fewer --accounts",
            accounts.len()
        );
    }
    Ok(accounts)
}

fn progress_line(snapshot: &Snapshot) -> String {
    format!(
        "submitted {}  executed {}  rejected {}  in flight {}  backlog {}",
        snapshot.total(|lane| lane.submitted),
        snapshot.total(|lane| lane.executed),
        snapshot.total(|lane| lane.rejected),
        snapshot.total(|lane| lane.in_flight),
        snapshot.total(|lane| lane.backlog),
    )
}

fn print(report: &LoadReport, json: bool) {
    let millis = |latency: Option<Duration>| latency.map(|latency| latency.as_secs_f64() * 1e3);
    if json {
        let object = serde_json::json!({
            "submitted": report.submitted,
            "executed": report.executed,
            "rejected": report.rejected,
            "lost": report.lost,
            "resubmitted": report.resubmitted,
            "dropped": report.dropped,
            "duplicates": report.duplicates,
            "untold": report.untold,
            "unsent": report.unsent,
            "p50_ms": millis(report.latency.p50()),
            "p99_ms": millis(report.latency.p99()),
            "max_ms": millis(report.latency.max()),
        });
        println!("{object}");
        return;
    }
    println!(
        "submitted {}, executed {}, rejected {}, lost {}, resubmitted {}, dropped {}, duplicates {}, untold {}, unsent {}",
        report.submitted,
        report.executed,
        report.rejected,
        report.lost,
        report.resubmitted,
        report.dropped,
        report.duplicates,
        report.untold,
        report.unsent
    );
    if let (Some(p50), Some(p99)) = (millis(report.latency.p50()), millis(report.latency.p99())) {
        println!("submission to execution: p50 {p50:.1} ms, p99 {p99:.1} ms");
    }
    if let Some(reason) = &report.first_rejection {
        println!("first rejection: {reason}");
    }
}
