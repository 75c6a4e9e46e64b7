//! Reading the metrics of a service, as Prometheus does.

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The answer of the metrics port at `address`, host:port.
pub(crate) async fn scrape(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("no metrics at {address}"))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// A counter without labels of ours.
pub(crate) fn value(metrics: &str, name: &str) -> anyhow::Result<u64> {
    let of_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
    };
    let line = metrics.lines().find(of_name).with_context(|| format!("no {name} in:\n{metrics}"))?;
    let number = line.rsplit(' ').next().unwrap_or_default();
    number.parse().with_context(|| format!("no count in: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let text = "# TYPE a counter\na_b 7\na{x=\"y\"} 3\nc 4\r\n";
        assert_eq!((value(text, "a").unwrap(), value(text, "a_b").unwrap()), (3, 7));
        assert!(value(text, "d").is_err());
    }
}
