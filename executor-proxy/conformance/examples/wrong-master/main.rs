//! A small execution master that keeps every promise of the contract but one, for the suite to be tried on.
//!
//! It executes one commit at a time in the reference ledger and keeps what it did in one file. `--fault none` keeps all promises.
//!
//! ```text
//! wrong-master --fault accepts-a-gap --genesis genesis.toml --data-dir data --listen unix:/tmp/wrong.sock
//! ```

#![allow(clippy::print_stderr, reason = "a command line prints")]

mod fault;
mod framed;
mod journal;
mod service;
mod state;

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use executor_proxy::network::Network;
use metanode_proto::executor::v1::executor_service_server::{ExecutorServiceServer, SERVICE_NAME};
use metanode_shell::{config::Problems, grpc};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic_health::ServingStatus;

use crate::{
    fault::Fault,
    framed::Framed,
    service::{Service, Shared},
    state::State,
};

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
    /// Takes executable blocks here as well.
    #[arg(long, value_name = "PATH", requires = "queries")]
    blocks: Option<PathBuf>,
    /// Answers queries of the framed protocol here.
    #[arg(long, value_name = "PATH")]
    queries: Option<PathBuf>,
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
    let listener = listen(path.as_ref())?;
    let shared = Arc::new(Shared::new(state));
    if let (Some(blocks), Some(queries)) = (&arguments.blocks, &arguments.queries) {
        let framed = Framed { shared: Arc::clone(&shared), network: network.clone() };
        tokio::spawn(framed.serve(listen(blocks)?, listen(queries)?));
    }
    let (reporter, health) = grpc::health().await;
    if arguments.fault != Fault::NeverHealthy {
        for service in ["", SERVICE_NAME] {
            reporter.set_service_status(service, ServingStatus::Serving).await;
        }
    }
    let limit = grpc::decode_limit(network.limits.max_bytes);
    let service = ExecutorServiceServer::new(Service::new(shared, network)).max_decoding_message_size(limit);
    grpc::server()
        .add_service(service)
        .add_service(health)
        .add_service(grpc::reflection(&[SERVICE_NAME])?)
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await?;
    Ok(())
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    // That of a process that was killed.
    let _ = fs::remove_file(path);
    UnixListener::bind(path)
}
