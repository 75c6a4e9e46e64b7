//! The run's hash: over every event in its order, and every commit handed on.

/// Gathers what happened into one digest.
#[derive(Debug, Default)]
pub(crate) struct Trace(blake3::Hasher);

impl Trace {
    /// Adds an event: its time, its kind, and up to two numbers that tell it from others.
    pub(crate) fn event(&mut self, at_ms: u64, kind: u8, one: u64, other: u64) {
        let mut bytes = [0; 25];
        bytes[..8].copy_from_slice(&at_ms.to_le_bytes());
        bytes[8] = kind;
        bytes[9..17].copy_from_slice(&one.to_le_bytes());
        bytes[17..].copy_from_slice(&other.to_le_bytes());
        self.0.update(&bytes);
    }

    /// Adds a name.
    pub(crate) fn digest(&mut self, digest: &[u8; 32]) {
        self.0.update(digest);
    }

    /// The hash.
    pub(crate) fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}
