//! A small execution master that keeps every promise of the contract but one, for the suite to be tried on.
//!
//! It executes one commit at a time in the reference ledger and keeps what it did in one file. `--fault none` keeps all promises.
//!
//! ```text
//! wrong-master --fault accepts-a-gap --genesis genesis.toml --data-dir data --listen unix:/tmp/wrong.sock
//! ```

#![allow(clippy::print_stderr, reason = "a command line prints")]

mod fault;
mod journal;
mod service;
mod state;

use std::{error::Error, fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use executor_proxy::network::Network;
use metanode_proto::executor::v1::executor_service_server::{ExecutorServiceServer, SERVICE_NAME};
use metanode_shell::{config::Problems, grpc};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic_health::ServingStatus;

use crate::{fault::Fault, service::Service, state::State};

/// An execution master that is wrong in one way.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is wrong with it.
    #[arg(long, value_enum)]
    fault: Fault,
    /// The genesis file.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Folder of what it did.
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// unix:/absolute/path.
    #[arg(long, value_name = "ADDRESS")]
    listen: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut problems = Problems::default();
    let network = Network::read(&arguments.genesis, &mut problems);
    problems.finish(&arguments.genesis)?;
    let network = network.ok_or("what has no problems is complete")?;
    let path = arguments.listen.strip_prefix("unix:").ok_or("--listen is not unix:PATH")?;
    let state = State::load(arguments.fault, network.clone(), &arguments.data_dir)?;
    // That of a process that was killed.
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    let (reporter, health) = grpc::health().await;
    if arguments.fault != Fault::NeverHealthy {
        for service in ["", SERVICE_NAME] {
            reporter.set_service_status(service, ServingStatus::Serving).await;
        }
    }
    let limit = grpc::decode_limit(network.limits.max_bytes);
    let service = ExecutorServiceServer::new(Service::new(state, network)).max_decoding_message_size(limit);
    grpc::server()
        .add_service(service)
        .add_service(health)
        .add_service(grpc::reflection(&[SERVICE_NAME])?)
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await?;
    Ok(())
}
