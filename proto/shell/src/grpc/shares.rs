//! Limits over all calls that no single connection can use up.

use super::{Caller, UntilSent};
use crate::status::{self, WithRetry};
use metanode_proto::reason;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tonic::{Code, Request, Status};

/// One connection may have one in so many, and one in any case.
const SHARE: usize = 4;
/// When refused clients are told to come back.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// At most so many of something at a time, and at most a quarter of them by one connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shares {
    what: &'static str,
    limit: usize,
    all: Arc<Semaphore>,
}

/// What is held: of the connection, and of all.
#[derive(Debug)]
pub(super) struct Held {
    _own: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl Shares {
    /// At most `limit` of `what` (plural; another one for each limit of a server).
    pub fn new(what: &'static str, limit: usize) -> Self {
        Self { what, limit, all: Arc::new(Semaphore::new(limit)) }
    }

    /// How many are taken.
    pub fn taken(&self) -> u64 {
        self.limit.saturating_sub(self.all.available_permits()) as u64
    }

    /// Takes one for this call, until its answer is sent. Does not wait.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, TOO_MANY_CALLS.
    pub fn try_take<T>(&self, request: &Request<T>) -> Result<UntilSent, Status> {
        self.try_hold(request.extensions().get()).map(UntilSent::new)
    }

    /// As [`Shares::try_take`], waiting for at most `patience`. Only calls of other connections are waited for in one line
    /// with them.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, TOO_MANY_CALLS.
    pub async fn take<T>(&self, request: &Request<T>, patience: Duration) -> Result<UntilSent, Status> {
        let own = self.own(request.extensions().get());
        let both = async {
            let own = match own {
                Some(own) => Some(own.acquire_owned().await.ok()?),
                None => None,
            };
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Held { _own: own, _all: all })
        };
        let held = timeout(patience, both).await.ok().flatten();
        held.map(UntilSent::new).ok_or_else(|| self.full())
    }

    pub(super) fn try_hold(&self, caller: Option<&Caller>) -> Result<Held, Status> {
        let own = match self.own(caller) {
            Some(own) => Some(own.try_acquire_owned().map_err(|_| self.full())?),
            None => None,
        };
        let all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| self.full())?;
        Ok(Held { _own: own, _all: all })
    }

    fn own(&self, caller: Option<&Caller>) -> Option<Arc<Semaphore>> {
        caller.map(|caller| caller.share(self.what, self.share()))
    }

    /// What one connection may have.
    fn share(&self) -> usize {
        (self.limit / SHARE).max(1)
    }

    fn full(&self) -> Status {
        let Self { what, limit, .. } = self;
        let share = self.share();
        let message = format!("too many {what} are under way: {limit} in all, {share} on one connection");
        let metadata: &[(&str, &dyn std::fmt::Display)] = &[("limit", limit), ("connection_limit", &share)];
        status::reason(Code::ResourceExhausted, reason::TOO_MANY_CALLS, message, metadata)
            .with_retry(RETRY_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grpc::callers::Places,
        status::{metadata_of, reason_of, retry_delay},
    };
    use std::task::{Context, Poll, Waker};

    fn on(caller: &Caller) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(caller.clone());
        request
    }

    fn places() -> [crate::grpc::callers::Place; 5] {
        let places = Places::new(8);
        [(); 5].map(|()| match places.poll_enter(&mut Context::from_waker(Waker::noop()), false) {
            Poll::Ready(place) => place,
            Poll::Pending => panic!("there is room"),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn l06_one_connection_has_a_quarter_and_leaves_the_rest_to_others() {
        let shares = Shares::new("answers", 8);
        let places = places();
        let mut held = Vec::new();
        for place in &places[..4] {
            let request = on(&place.caller());
            held.push([shares.try_take(&request).unwrap(), shares.try_take(&request).unwrap()]);
            let refused = shares.take(&request, Duration::from_secs(1)).await.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted);
            assert_eq!(reason_of(&refused).as_deref(), Some(reason::TOO_MANY_CALLS));
            assert_eq!(metadata_of(&refused, "connection_limit").as_deref(), Some("2"));
            assert_eq!(retry_delay(&refused), Some(RETRY_DELAY));
        }
        assert_eq!(shares.taken(), 8);
        let fifth = on(&places[4].caller());
        assert_eq!(metadata_of(&shares.try_take(&fifth).unwrap_err(), "limit").as_deref(), Some("8"));
        held.pop();
        shares.take(&fifth, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_small_limit_gives_everybody_one_and_a_call_without_a_connection_counts_among_all() {
        let shares = Shares::new("answers", 2);
        let places = places();
        let first = on(&places[0].caller());
        let held = shares.try_take(&first).unwrap();
        assert!(shares.try_take(&first).is_err());
        let other = shares.try_take(&Request::new(())).unwrap();
        assert!(shares.try_take(&on(&places[1].caller())).is_err());
        drop((held, other));
        assert_eq!(shares.taken(), 0);
        shares.try_take(&first).unwrap();
    }
}
