//! Judges blocks off the runtime's workers, on a bounded number of threads.

use std::{num::NonZeroUsize, panic, sync::Arc, thread};

use bytes::Bytes;
use consensus_core::{
    BlockError, BlockVerifier, CertifiedRange, ChainPoint, RangeBytes, RangeError, VerifiedBlock,
    max_range_bytes, verify_range,
};
use tokio::{sync::Semaphore, task};

/// Most threads that judge blocks at a time.
const MAX_THREADS: usize = 4;

/// What became of a run of blocks: those before the first that is invalid, and what is wrong with that one. Those after
/// it were not looked at.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) valid: Vec<VerifiedBlock>,
    pub(super) invalid: Option<BlockError>,
}

/// Threads that judge blocks; cheap to clone. The order within a run is kept; runs of several peers are judged at a time.
#[derive(Clone, Debug)]
pub(super) struct VerifierPool {
    verifier: BlockVerifier,
    threads: Arc<Semaphore>,
}

impl VerifierPool {
    /// As many threads as there are cores, less one for the core's own, 1 to 4.
    pub(super) fn new(verifier: BlockVerifier) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = Arc::new(Semaphore::new(cores.saturating_sub(1).clamp(1, MAX_THREADS)));
        Self { verifier, threads }
    }

    /// Most bytes in an answer with commits.
    pub(super) fn max_range_bytes(&self) -> u64 {
        max_range_bytes(&self.verifier)
    }

    /// Decodes and judges signed bytes, in order, up to the first that is invalid. `None` when the runtime goes down.
    ///
    /// # Panics
    /// If the verifier does: a bug of ours.
    pub(super) async fn verify(&self, blocks: Vec<Bytes>) -> Option<Verdict> {
        self.run(move |verifier| judge(verifier, blocks)).await
    }

    /// Runs work on one of the threads.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BlockVerifier) -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.threads).acquire_owned().await.ok()?;
        let verifier = self.verifier.clone();
        let judged = task::spawn_blocking(move || {
            let verdict = work(&verifier);
            drop(permit);
            verdict
        });
        match judged.await {
            Ok(verdict) => Some(verdict),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => panic::resume_unwind(payload),
                Err(_cancelled) => None,
            },
        }
    }

    /// Judges a range of commits. `None` when the runtime goes down.
    ///
    /// # Panics
    /// If the verifier does: a bug of ours.
    pub(super) async fn verify_range(
        &self,
        after: ChainPoint,
        range: RangeBytes,
    ) -> Option<Result<CertifiedRange, RangeError>> {
        self.run(move |verifier| verify_range(verifier, after, range)).await
    }
}

/// Judges blocks in order up to the first that is invalid.
pub(super) fn judge(verifier: &BlockVerifier, blocks: Vec<Bytes>) -> Verdict {
    let mut valid = Vec::with_capacity(blocks.len());
    for bytes in blocks {
        // A block in an allocation of its own: what comes from the wire is a slice of a whole message, and one small block
        // that is kept would keep all of that alive.
        let size_bytes = bytes.len() as u64;
        let own =
            if size_bytes > verifier.max_signed_bytes() { bytes } else { Bytes::copy_from_slice(&bytes) };
        match verifier.verify(own) {
            Ok(block) => valid.push(block),
            Err(error) => return Verdict { valid, invalid: Some(error) },
        }
    }
    Verdict { valid, invalid: None }
}
