//! What a process has used, from `/proc`. Elsewhere than on Linux nothing is known.

use serde::Serialize;
use std::fs;

/// CPU time and memory of a process, over all its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// CPU time, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Largest resident memory, in bytes.
    pub max_rss_bytes: u64,
}

/// Ticks a second of the times in `/proc/PID/stat`: a constant of the kernel's interface on all common machines.
const TICKS_PER_SECOND: f64 = 100.0;

impl Usage {
    /// What a running process has used so far; `None` where the system does not tell.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self { cpu_seconds: cpu_seconds(&stat)?, max_rss_bytes: max_rss_bytes(&status)? })
    }

    /// Adds another life of the same service.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds + later.cpu_seconds,
            max_rss_bytes: self.max_rss_bytes.max(later.max_rss_bytes),
        }
    }
}

/// Resident memory of a running process now, in bytes; `None` where the system does not tell.
pub fn rss_bytes(pid: u32) -> Option<u64> {
    status_bytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// Fields 14 and 15 of `stat`; the name in field 2 may hold anything, so fields are counted from its closing bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(|field| field.parse::<u32>().ok());
    let (user, system) = (times.next()??, times.next()??);
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

fn max_rss_bytes(status: &str) -> Option<u64> {
    status_bytes(status, "VmHWM:")
}

fn status_bytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_name() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(max_rss_bytes("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(cpu_seconds(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_memory() {
        let (now, most) = (rss_bytes(std::process::id()).unwrap(), Usage::of(std::process::id()).unwrap());
        assert!(now > 0 && most.max_rss_bytes > 0);
    }
}
