//! Where a link begins and ends.

use std::{fmt, path::PathBuf, str::FromStr};

/// What is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither `host:port` nor `unix:PATH`")]
pub struct AddressError {
    /// The text.
    pub text: String,
}

/// `host:port`, or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host and port of TCP. Port 0, to listen at, is any free one.
    Tcp(String),
    /// A Unix stream socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let none = || AddressError { text: text.to_owned() };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(none()) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(none)?;
        port.parse::<u16>().map_err(|_| none())?;
        // `http://a:1` would be looked up as the host `http://a`.
        if host.is_empty() || host.contains('/') {
            return Err(none());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host) => formatter.write_str(host),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["127.0.0.1:7300", "[::1]:0", "node-0.svc:9000", "unix:/run/a.sock", "unix:a.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "7300", ":7300", "a:port", "a:65536", "http://127.0.0.1:7300"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError { text: text.to_owned() }));
        }
    }
}
