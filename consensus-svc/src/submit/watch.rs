//! `WatchTransaction`: one transaction, followed to its end.

use std::{pin::Pin, sync::Arc, time::Duration};

use consensus_core::TransactionDigest;
use futures::{Stream, stream};
use metanode_proto::{consensus::v1::WatchTransactionResponse, reason};
use metanode_shell::{
    grpc::UntilSent,
    status::{self, WithRetry},
};
use tonic::{Code, Response, Status};

use super::{ExecutorLag, TransactionIntake, service};

/// Watches at a time, over all clients; about 500 bytes each.
pub(super) const MAX_WATCHES: usize = 1_024;
/// When refused watchers are told to come back.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The outcomes of one transaction, until a final one.
pub(super) type Stages = Pin<Box<dyn Stream<Item = Result<WatchTransactionResponse, Status>> + Send>>;

impl<L: ExecutorLag> TransactionIntake<L> {
    /// Follows the transaction with this digest.
    pub(super) fn watch(&self, digest: &[u8]) -> Result<Response<Stages>, Status> {
        let bytes: [u8; 32] = digest
            .try_into()
            .map_err(|_| status::invalid_field("digest", format!("{} bytes, 32 are needed", digest.len())))?;
        let digest = TransactionDigest::new(bytes);
        let permit = Arc::clone(&self.watches).try_acquire_owned().map_err(|_| too_many())?;
        let watch = self.tracker.watch(digest).ok_or_else(|| unknown(digest))?;
        let (drain, draining) = (self.drain.clone(), self.draining());
        let stages = stream::unfold(Some(watch), move |watch| {
            let (drain, draining) = (drain.clone(), draining.clone());
            async move {
                let mut watch = watch?;
                let told = match drain.run_until_cancelled(watch.next()).await {
                    None => Err(draining),
                    Some(told) => told?.map_err(service::ended),
                };
                let message =
                    told.map(|fate| WatchTransactionResponse { outcome: Some(fate.to_proto(digest)) });
                let watch = message.is_ok().then_some(watch);
                Some((message, watch))
            }
        });
        let stages: Stages = Box::pin(stages);
        let mut response = Response::new(stages);
        response.extensions_mut().insert(UntilSent::new(permit));
        Ok(response)
    }
}

fn too_many() -> Status {
    let message = format!("{MAX_WATCHES} transactions are watched, which is the most");
    status::reason(Code::ResourceExhausted, reason::TOO_MANY_CALLS, message, &[("limit", &MAX_WATCHES)])
        .with_retry(RETRY_DELAY)
}

fn unknown(digest: TransactionDigest) -> Status {
    status::reason(
        Code::NotFound,
        reason::TRANSACTION_UNKNOWN,
        "the transaction is not in the pool, and was not committed or dropped within the window of duplicates",
        &[("digest", &digest)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submit::service::tests::intake;
    use futures::StreamExt;
    use metanode_proto::consensus::v1::TransactionState;

    const DIGEST: [u8; 32] = [7; 32];

    #[tokio::test]
    async fn t06_watches_are_bounded_and_one_that_goes_away_gives_its_place_back() {
        let (intake, _submissions) = intake(1);
        intake.tracker.accepted([TransactionDigest::new(DIGEST)], None);
        let mut watches: Vec<_> = (0..MAX_WATCHES).map(|_| intake.watch(&DIGEST).unwrap()).collect();
        assert_eq!(intake.tracker.watching(), MAX_WATCHES);
        let refused = intake.watch(&DIGEST).map(|_| ()).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(status::reason_of(&refused).as_deref(), Some(reason::TOO_MANY_CALLS));
        assert_eq!(status::retry_delay(&refused), Some(RETRY_DELAY));
        watches.pop();
        assert!(intake.watch(&DIGEST).is_ok());
        assert_eq!(intake.tracker.watching(), MAX_WATCHES - 1, "that one was dropped at once");
        // What is refused for another reason keeps no place.
        assert_eq!(intake.watch(&[0; 32]).map(|_| ()).unwrap_err().code(), Code::NotFound);
        assert!(intake.watch(&DIGEST).is_ok());
    }

    #[tokio::test]
    async fn a_node_that_goes_down_ends_watches_with_a_time_to_come_back() {
        let (intake, _submissions) = intake(1);
        intake.tracker.accepted([TransactionDigest::new(DIGEST)], None);
        let mut stages = intake.watch(&DIGEST).unwrap().into_inner();
        let outcome = stages.next().await.unwrap().unwrap().outcome.unwrap();
        assert_eq!(outcome.state(), TransactionState::Accepted);
        intake.drain.cancel();
        let ended = stages.next().await.unwrap().unwrap_err();
        assert_eq!(status::reason_of(&ended).as_deref(), Some(reason::DRAINING));
        assert!(status::retry_delay(&ended).is_some());
        assert!(stages.next().await.is_none());
    }
}
