//! Ctrl-C and SIGTERM: the first one ends the run in order, the second one at once.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells who waits that the run is to end.
#[derive(Clone, Debug)]
pub struct Interrupt {
    /// After the first signal: send no more, stop in order.
    pub ordered: CancellationToken,
    /// After the second one: kill.
    pub at_once: CancellationToken,
}

impl Interrupt {
    /// Takes over both signals of this process.
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let both = Self::never();
        let Self { ordered, at_once } = both.clone();
        tokio::spawn(async move {
            for token in [ordered, at_once] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(both)
    }

    /// Nobody interrupts.
    pub fn never() -> Self {
        Self { ordered: CancellationToken::new(), at_once: CancellationToken::new() }
    }
}
