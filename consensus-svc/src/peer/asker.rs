//! What the tasks have in common that ask one peer: one call at a time, on the connection that its block stream is open on.

use std::sync::Arc;

use tokio::time;
use tonic::{Response, Status};

use super::{
    client::{SessionEnd, Shared},
    inbound::{self, StreamEnd},
    link::{Link, Peer},
};

/// One peer, and what is needed to ask it.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) peer: Arc<Peer>,
    pub(super) shared: Shared,
}

impl Asker {
    /// Works until the work is done, or until shutdown.
    pub(super) async fn until_shutdown(&self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = self.shared.shutdown.cancelled() => {}
            () = work => {}
        }
    }

    /// The peer's connection.
    pub(super) fn link(&self) -> Result<Link, SessionEnd> {
        self.peer.link().ok_or_else(|| SessionEnd::Lost("there is no connection".to_owned()))
    }

    /// Asks for as long as the connection's session lives. A fault in the answer ends the session.
    pub(super) async fn while_open<T>(
        &self,
        link: &Link,
        asking: impl Future<Output = Result<T, SessionEnd>>,
    ) -> Result<T, SessionEnd> {
        let ended = tokio::select! {
            () = link.broken.cancelled() => Err(SessionEnd::Lost("the session has ended".to_owned())),
            ended = asking => ended,
        };
        if matches!(ended, Err(SessionEnd::Fault)) {
            link.broken.cancel();
        }
        ended
    }

    /// The answer to one call, which has the deadline of a call.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, SessionEnd> {
        match time::timeout(self.shared.limits.call_deadline, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => match inbound::end_of(&status) {
                StreamEnd::Lost(reason) => Err(SessionEnd::Lost(reason)),
                StreamEnd::Fault(label) => Err(self.fault(label).await),
            },
            Err(_elapsed) => Err(SessionEnd::Lost("the call is not answered in time".to_owned())),
        }
    }

    /// Counts and reports what no honest authority sends.
    pub(super) async fn fault(&self, label: &'static str) -> SessionEnd {
        match self.shared.report(&self.peer, label).await {
            Ok(()) => SessionEnd::Fault,
            Err(end) => end,
        }
    }

    /// Tells of a request that came to nothing. A fault was told already.
    pub(super) fn tell(&self, end: &SessionEnd) {
        if let SessionEnd::Lost(reason) = end {
            let authority = i64::from(self.peer.authority.get());
            tracing::debug!(authority, reason, "request to peer not answered");
        }
    }
}
