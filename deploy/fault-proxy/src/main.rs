//! Command line of the fault proxy.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use anyhow::Context;
use clap::{Parser, Subcommand};
use fault_proxy::{Address, Control, FaultProxy, Order, tell};
use std::{io, path::PathBuf, process::ExitCode, sync::Arc};
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Between consensus-svc and executor-proxy, with the executor endpoint of consensus.toml set to http://127.0.0.1:7999:
  fault-proxy run --listen 127.0.0.1:7999 --upstream 127.0.0.1:7200 --control /tmp/link
  fault-proxy tell --control /tmp/link delay 200          every byte 200 ms later, both ways
  fault-proxy tell --control /tmp/link throttle 65536 up  64 KiB a second towards the executor
  fault-proxy tell --control /tmp/link stall              nothing passes, nobody is told
  fault-proxy tell --control /tmp/link half-open client   the client's end stays open, and is dead
  fault-proxy tell --control /tmp/link cut                reset, and refused until healed
  fault-proxy tell --control /tmp/link double             each new connection reaches the server twice
  fault-proxy tell --control /tmp/link heal

Between executor-proxy and a master on a Unix socket, broken from the start:
  fault-proxy run --listen unix:/tmp/a.sock --upstream unix:/run/master.sock delay 50 up

Exit codes: 0 ended by Ctrl-C or SIGTERM, or the order was carried out; 1 it was not; 2 a wrong command line.";

/// A link that fails as it is told to, between any two of consensus-svc, executor-proxy and an execution master.
///
/// Bytes are passed on unchanged and in order, whatever is wrong: a link may be late, slow, silent or dead, but it never lies.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Listen at one address, and pass on to another, until Ctrl-C.
    Run {
        /// Where clients connect: host:port, or unix:PATH.
        #[arg(long, value_name = "ADDRESS")]
        listen: Address,
        /// Where the server is: host:port, or unix:PATH.
        #[arg(long, value_name = "ADDRESS")]
        upstream: Address,
        /// Unix socket to take orders at.
        #[arg(long, value_name = "PATH")]
        control: Option<PathBuf>,
        /// An order to carry out at the start.
        #[command(subcommand)]
        order: Option<Order>,
    },
    /// Give an order to a running proxy, and print its status.
    Tell {
        /// Its control socket.
        #[arg(long, value_name = "PATH")]
        control: PathBuf,
        /// The order.
        #[command(subcommand)]
        order: Order,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run { listen, upstream, control, order } => run(listen, upstream, control, order).await,
        Command::Tell { control, order } => {
            tell(&control, order).await.map(|status| println!("{status}")).map_err(Into::into)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(
    listen: Address,
    upstream: Address,
    control: Option<PathBuf>,
    order: Option<Order>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot take SIGTERM")?;
    let proxy = Arc::new(FaultProxy::start(&listen, upstream).await?);
    if let Some(order) = order {
        order.carry_out(&proxy);
    }
    let control = match control {
        Some(path) => Some(Control::bind(&path, Arc::clone(&proxy)).await?),
        None => None,
    };
    println!("{}", serde_json::to_string(&proxy.status())?);
    let orders = async {
        match control {
            Some(control) => control.run().await,
            None => std::future::pending::<io::Result<()>>().await,
        }
    };
    tokio::select! {
        failed = orders => failed.context("the control socket failed")?,
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot take Ctrl-C")?,
    }
    eprintln!("{}", serde_json::to_string(&proxy.status())?);
    Ok(())
}
