//! Bounds.

use thiserror::Error;

/// Bounds of the sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Most commits let through and not yet executed; at least 1, default 256. One commit at a time makes each wait for a
    /// sync of its own; many hold memory.
    pub window_commits: u32,
    /// Most bytes in those commits; at least 1, default 32 MiB. A larger commit is let through alone.
    pub window_bytes: u64,
    /// Digests of executed commits held in memory for resends; at least 1, default 1024. Older ones are asked of the
    /// store.
    pub resend_window: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { window_commits: 256, window_bytes: 32 << 20, resend_window: 1024 }
    }
}

/// A bound is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{field} is 0, at least 1 is needed")]
pub struct ParamsError {
    /// Name of the bound.
    pub field: &'static str,
}

impl Params {
    pub(crate) fn check(&self) -> Result<(), ParamsError> {
        let fields = [
            ("window_commits", self.window_commits > 0),
            ("window_bytes", self.window_bytes > 0),
            ("resend_window", self.resend_window > 0),
        ];
        fields.into_iter().find(|(_, valid)| !valid).map_or(Ok(()), |(field, _)| Err(ParamsError { field }))
    }
}
