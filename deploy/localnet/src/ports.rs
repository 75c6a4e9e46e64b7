//! Free ports for a new network.
//!
//! They are taken below the range that systems hand out for outgoing connections: a port of that range may be gone when a
//! killed service wants it back.

use consensus_svc::cli::genesis::PORTS_PER_AUTHORITY;
use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
};

/// First port to try, and the first one not to.
const LOWEST: u32 = 10_000;
const LIMIT: u32 = 32_000;

/// Finds ports for `authorities`, free on loopback right now, and returns the first. Networks that start at the same time,
/// in this process or in others, look in different places.
///
/// # Errors
/// `AddrInUse` if there is no free block of ports.
pub fn free_base_port(authorities: u16) -> io::Result<u16> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let block = u32::from(authorities) * u32::from(PORTS_PER_AUTHORITY);
    let blocks = (LIMIT - LOWEST).checked_div(block).unwrap_or(0);
    // Process ids of neighbours differ by little, so that they are spread.
    let first = std::process::id().wrapping_mul(37).wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
    (0..blocks)
        .map(|step| LOWEST + first.wrapping_add(step).checked_rem(blocks).unwrap_or(0) * block)
        .filter_map(|base| Some((u16::try_from(base).ok()?, u16::try_from(base + block).ok()?)))
        .find(|(base, end)| (*base..*end).all(is_free))
        .map(|(base, _)| base)
        .ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_networks_do_not_share_ports() {
        let (one, other) = (free_base_port(4).unwrap(), free_base_port(4).unwrap());
        assert!(one.abs_diff(other) >= 40, "{one} {other}");
        assert!((10_000..32_000).contains(&one));
    }
}
