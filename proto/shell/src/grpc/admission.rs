//! What calls may keep in memory before and after their handlers run.
//!
//! Before: bytes of messages that are not complete are counted over all calls and connections. Over the budget a call
//! is refused at once. It does not wait: what it had sent would fill the window of its connection, and block the very
//! calls that it waits for. The first [`FREE_BYTES`] of each call are not counted, so that small calls, health among
//! them, are answered even while others hold the budget. A message that is not complete in [`RECEIVE_TIMEOUT`] ends
//! its call.
//!
//! A request that is larger than its service decodes is an INVALID_ARGUMENT that names both sizes, as other sizes are.
//!
//! After: a handler puts [`UntilSent`] into its response; the permit in there is given back when the answer has been
//! sent, or dropped. Until then the connection of the call is not idle ([`Caller`]); it is told when the service begins to work on
//! the call and when each part of the answer goes.

use super::{Caller, RECEIVE_TIMEOUT, Shares, callers::OpenCall, shares::Held};
use crate::status::{self, WithRetry};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use metanode_proto::reason;
use std::{
    any::Any,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

/// Bytes of incomplete messages, over all calls; more if messages may be large.
const BUDGET_BYTES: usize = 64 << 20;
/// Largest messages that the budget has room for at least.
const BUDGET_MESSAGES: usize = 4;
/// Bytes of each call that are not counted.
const FREE_BYTES: usize = 1 << 10;
/// Client streams under way at a time, over all connections.
const MAX_CLIENT_STREAMS: usize = 16;
/// When refused clients are told to come back.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// Names a request that is too large to be decoded, in place of a field of it.
const WHOLE_REQUEST: &str = "request";
/// Its stream stays open between questions, and its messages are small.
const REFLECTION: &str = "/grpc.reflection.";

/// Keeps a permit until the answer that carries it in its extensions has been sent, or its client has gone.
#[derive(Clone, Debug)]
pub struct UntilSent {
    _permit: Arc<dyn Any + Send + Sync>,
}

impl UntilSent {
    /// Keeps `permit`.
    pub fn new(permit: impl Any + Send + Sync) -> Self {
        Self { _permit: Arc::new(permit) }
    }
}

/// The layer of a server: bounds what unfinished requests and unread answers keep in memory.
#[derive(Clone, Debug)]
pub struct Admission {
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    streams: Shares,
    client_streams: Arc<[String]>,
}

impl Admission {
    /// For a server whose unary requests have at most `largest_bytes`.
    pub fn new(largest_bytes: usize) -> Self {
        let budget =
            largest_bytes.saturating_mul(BUDGET_MESSAGES).clamp(BUDGET_BYTES, Semaphore::MAX_PERMITS);
        Self {
            budget: Arc::new(Semaphore::new(budget)),
            budget_bytes: budget,
            streams: Shares::new("client streams", MAX_CLIENT_STREAMS),
            client_streams: Arc::new([]),
        }
    }

    /// These `calls` of `service` (full name) are streams of many messages and have deadlines of their own: they are
    /// limited in number instead.
    #[must_use]
    pub fn client_streams(self, service: &str, calls: &[&str]) -> Self {
        Self { client_streams: calls.iter().map(|call| format!("/{service}/{call}")).collect(), ..self }
    }

    /// Tells how many bytes of incomplete messages are counted now, whenever it is called.
    pub fn incomplete_bytes(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let (budget, budget_bytes) = (Arc::clone(&self.budget), self.budget_bytes);
        move || budget_bytes.saturating_sub(budget.available_permits()) as u64
    }

    fn is_client_stream(&self, path: &str) -> bool {
        self.client_streams.iter().any(|stream| stream == path)
    }

    /// What a call holds while it is received. `None`: it is small.
    fn admit(&self, path: &str, caller: Option<&Caller>) -> Result<Option<Receiving>, Status> {
        if path.starts_with(REFLECTION) {
            return Ok(None);
        }
        if self.is_client_stream(path) {
            return Ok(Some(Receiving::Stream { _held: self.streams.try_hold(caller)? }));
        }
        Ok(Some(Receiving::Message {
            budget: Arc::clone(&self.budget),
            budget_bytes: self.budget_bytes,
            free_bytes: FREE_BYTES,
            held: None,
            deadline: Box::pin(sleep(RECEIVE_TIMEOUT)),
        }))
    }
}

fn over_budget(limit: usize) -> Status {
    let message = "too many bytes of incomplete messages are under way";
    status::reason(Code::ResourceExhausted, reason::TOO_MANY_CALLS, message, &[("limit", &limit)])
        .with_retry(RETRY_DELAY)
}

/// An answer of the transport itself, as this project answers. OUT_OF_RANGE without details is only its refusal to decode:
/// every error of ours has details.
fn in_our_words(answer: Response<Body>) -> Response<Body> {
    let too_large = Status::from_header_map(answer.headers())
        .filter(|status| status.code() == Code::OutOfRange && status.details().is_empty());
    match too_large {
        Some(status) => status::invalid_field(WHOLE_REQUEST, status.message()).into_http(),
        None => answer,
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted { admission: self.clone(), inner }
    }
}

/// A service behind [`Admission`].
#[derive(Clone, Debug)]
pub struct Admitted<S> {
    admission: Admission,
    inner: S,
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let caller = request.extensions().get::<Caller>();
        let path = request.uri().path();
        let receiving = match self.admission.admit(path, caller) {
            Ok(receiving) => receiving,
            Err(refusal) => return Box::pin(async move { Ok(refusal.into_http()) }),
        };
        let is_client_stream = self.admission.is_client_stream(path);
        let open = caller.map(|caller| Arc::new(caller.begin(is_client_stream)));
        let request = match receiving {
            Some(receiving) => {
                let (receiving, open) = (Some(receiving), open.clone());
                request.map(|body| Body::new(RequestBody { body, receiving, open }))
            }
            None => request,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut answer = in_our_words(answer.await?);
            if let Some(open) = &open {
                open.answered();
            }
            let permit = answer.extensions_mut().remove::<UntilSent>();
            Ok(answer.map(|body| Body::new(ResponseBody { body, permit, open })))
        })
    }
}

/// Held while a request is received.
enum Receiving {
    Message {
        budget: Arc<Semaphore>,
        budget_bytes: usize,
        free_bytes: usize,
        held: Option<OwnedSemaphorePermit>,
        deadline: Pin<Box<Sleep>>,
    },
    Stream {
        _held: Held,
    },
}

impl Receiving {
    /// Counts bytes that have come.
    fn count(&mut self, bytes: usize) -> Result<(), Status> {
        let Self::Message { budget, budget_bytes, free_bytes, held, .. } = self else { return Ok(()) };
        let counted = bytes.saturating_sub(*free_bytes);
        *free_bytes = free_bytes.saturating_sub(bytes);
        if counted == 0 {
            return Ok(());
        }
        let permit = u32::try_from(counted).ok();
        let permit = permit.and_then(|counted| Arc::clone(budget).try_acquire_many_owned(counted).ok());
        let permit = permit.ok_or_else(|| over_budget(*budget_bytes))?;
        match held {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
        Ok(())
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let Self::Message { deadline, .. } = self else { return Poll::Pending };
        deadline.as_mut().poll(cx).map(|()| {
            let message = format!("the message was not complete within {RECEIVE_TIMEOUT:?}");
            status::reason(Code::DeadlineExceeded, reason::RECEIVE_TIMEOUT, message, &[])
        })
    }
}

/// The body of a request that is received.
struct RequestBody {
    body: Body,
    /// Until the body has ended.
    receiving: Option<Receiving>,
    /// Until then too.
    open: Option<Arc<OpenCall>>,
}

impl RequestBody {
    /// Lets go of what has come.
    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.body = Body::empty();
        self.receiving = None;
        self.open = None;
        Poll::Ready(Some(Err(status)))
    }

    /// It has ended: from here on the service works on the call.
    fn end(&mut self) {
        self.receiving = None;
        if let Some(open) = self.open.take() {
            open.received();
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(receiving) = &mut this.receiving else { return Pin::new(&mut this.body).poll_frame(cx) };
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if this.body.is_end_stream() {
                    this.end();
                } else if let Err(refusal) = receiving.count(bytes) {
                    return this.fail(refusal);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => {
                this.end();
                Poll::Ready(end)
            }
            Poll::Pending => match receiving.poll_late(cx) {
                Poll::Ready(late) => this.fail(late),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer: its call is under way until it is dropped.
struct ResponseBody {
    body: Body,
    /// Of an answer that counts until the last of it is sent.
    permit: Option<UntilSent>,
    open: Option<Arc<OpenCall>>,
}

/// A part of one that counts. The transport takes whole messages out of the body long before their reader takes them, so that each
/// part has to carry the permit.
struct Part {
    data: Bytes,
    _permit: UntilSent,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(_)), Some(open)) = (&frame, &self.open) {
            open.moved();
        }
        let Some(permit) = &self.permit else { return frame };
        let part = |data| Bytes::from_owner(Part { data, _permit: permit.clone() });
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
