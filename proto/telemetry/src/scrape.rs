//! The endpoint that Prometheus scrapes. A connection lasts for one answer, and 10 s at most; of 16 at a time.

mod bounded;

use self::bounded::Bounded;
use crate::Telemetry;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::io;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Media type of the Prometheus text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves `GET /metrics` on `listener` until `shutdown` is cancelled and open requests are answered. Its connections are few and
/// short, so that nobody who reaches this port takes file descriptors from the service.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    telemetry: Telemetry,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = Router::new().route("/metrics", get(metrics)).with_state(telemetry);
    axum::serve(Bounded::new(listener), router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn metrics(State(telemetry): State<Telemetry>) -> Response {
    match telemetry.render() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CONNECTION, "close")], text).into_response()
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "scrape failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
