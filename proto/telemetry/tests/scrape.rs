//! A scrape as Prometheus makes it.

use metanode_telemetry::{Telemetry, metrics::ConsensusMetrics, scrape};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

async fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Silent connections keep nobody out, and an answer ends its connection though the client would keep it.
#[tokio::test]
async fn t06_a_scrape_is_answered_beside_any_number_of_silent_connections() {
    let telemetry = Telemetry::for_test().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(scrape::serve(listener, telemetry, CancellationToken::new()));
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The oldest were closed for the newer ones.
    assert_eq!(silent[0].read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_get_shows_the_metrics_and_shutdown_ends_the_server() {
    let telemetry = Telemetry::for_test().unwrap();
    let metrics = ConsensusMetrics::new(&telemetry.meter());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(scrape::serve(listener, telemetry, shutdown.clone()));

    metrics.commit_index.set(41);
    let answer = get(address, "/metrics").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("# TYPE metanode_consensus_commit_index gauge"), "{answer}");
    assert!(answer.contains("\nmetanode_consensus_commit_index 41\n"), "{answer}");

    metrics.commit_index.set(42);
    assert!(get(address, "/metrics").await.unwrap().contains("\nmetanode_consensus_commit_index 42\n"));
    assert!(get(address, "/other").await.unwrap().starts_with("HTTP/1.1 404"));

    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
