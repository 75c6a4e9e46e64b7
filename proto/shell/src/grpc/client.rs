//! Channels to other services.

use super::{CONNECT_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use tonic::transport::{Channel, Endpoint};

/// Why an address is not usable. Trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Neither of the two forms.
    #[error("`{uri}` is neither `http://host:port` nor `unix:/path`")]
    Form {
        /// What was given.
        uri: String,
    },
    /// Not a URI.
    #[error("`{uri}` is not an address")]
    Malformed {
        /// What was given.
        uri: String,
        /// What tonic said.
        #[source]
        source: tonic::transport::Error,
    },
}

/// A client endpoint with our defaults: connect timeout, TCP_NODELAY, HTTP/2 keepalive also while idle. `uri` is
/// `http://host:port` or `unix:/absolute/path`.
///
/// # Errors
/// [`EndpointError`]. Nothing is connected yet.
pub fn endpoint(uri: &str) -> Result<Endpoint, EndpointError> {
    if !is_http(uri) && !is_unix(uri) {
        return Err(EndpointError::Form { uri: uri.to_owned() });
    }
    let endpoint = Endpoint::from_shared(uri.to_owned())
        .map_err(|source| EndpointError::Malformed { uri: uri.to_owned(), source })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// A channel to [`endpoint`] that connects at the first call, and again after a loss.
///
/// # Errors
/// [`EndpointError`].
///
/// # Panics
/// Outside of a tokio runtime.
pub fn channel(uri: &str) -> Result<Channel, EndpointError> {
    Ok(endpoint(uri)?.connect_lazy())
}

fn is_http(uri: &str) -> bool {
    let authority = uri.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    authority.and_then(|authority| authority.rsplit_once(':')).is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

fn is_unix(uri: &str) -> bool {
    let path = uri.strip_prefix("unix://").or_else(|| uri.strip_prefix("unix:"));
    path.is_some_and(|path| path.starts_with('/') && path.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_address_are_taken() {
        for uri in
            ["http://127.0.0.1:9000", "http://[::1]:9000/", "http://node-0.svc:9000", "unix:/run/a.sock"]
        {
            assert!(endpoint(uri).is_ok(), "{uri}");
        }
    }

    #[test]
    fn other_addresses_are_refused_with_the_address_named() {
        for uri in [
            "",
            "127.0.0.1:9000",
            "https://a:1",
            "http://a",
            "http://:1",
            "http://a:0",
            "http://a:b",
            "unix:",
            "unix:a",
        ] {
            let error = endpoint(uri).unwrap_err();
            assert!(matches!(error, EndpointError::Form { .. }), "{uri}");
            assert!(error.to_string().contains(uri));
        }
    }
}
