//! Over real sockets: bodies of requests are fed by hand, and answers are not read.

use super::*;
use crate::{
    grpc::{MAX_CONCURRENT_STREAMS, bind, channel, health, incoming, server},
    status::{metadata_of, reason_of, retry_delay},
};
use std::convert::Infallible;
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{server::NamedService, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Reads the whole request, then answers with as many bytes as asked, and with the permit.
#[derive(Clone)]
struct Echo {
    answer_bytes: usize,
    answers: Arc<Semaphore>,
    /// One for each frame that was read.
    frames: mpsc::Sender<usize>,
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let mut body = request.into_body();
            while let Some(frame) = next(&mut body).await {
                match frame {
                    Ok(frame) => echo.frames.try_send(frame.data_ref().map_or(0, Bytes::len)).unwrap(),
                    Err(status) => return Ok(status.into_http()),
                }
            }
            let permit = UntilSent::new(echo.answers.acquire_owned().await.unwrap());
            let (part, parts) = mpsc::channel(1);
            part.try_send(Bytes::from(vec![0; echo.answer_bytes])).unwrap();
            let mut response = Response::new(Body::new(Fed(ReceiverStream::new(parts))));
            response.extensions_mut().insert(permit);
            Ok(response)
        })
    }
}

async fn next(body: &mut Body) -> Option<Result<Frame<Bytes>, Status>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

/// A body of what a channel gives.
struct Fed(ReceiverStream<Bytes>);

impl HttpBody for Fed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.0).poll_next(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

struct Running {
    uri: String,
    client: Channel,
    answers: Arc<Semaphore>,
    frames: mpsc::Receiver<usize>,
}

const ECHO: &str = "/test.Echo/Echo";
const STREAM: &str = "/test.Echo/Stream";

async fn run(admission: Admission, answer_bytes: usize) -> Running {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let (answers, (frame, frames)) = (Arc::new(Semaphore::new(1)), mpsc::channel(1_024));
    let echo = Echo { answer_bytes, answers: Arc::clone(&answers), frames: frame };
    let routes = server().layer(admission).add_service(health().await.1).add_service(echo);
    tokio::spawn(routes.serve_with_incoming(incoming(listener)));
    Running { client: channel(&uri).unwrap(), uri, answers, frames }
}

impl Running {
    /// A call whose body is what the sender gives, until it is dropped.
    fn call(
        &self,
        path: &str,
    ) -> (mpsc::Sender<Bytes>, tokio::task::JoinHandle<Result<Response<Body>, tonic::transport::Error>>) {
        let (part, parts) = mpsc::channel(1);
        let request = Request::post(path).body(Body::new(Fed(ReceiverStream::new(parts)))).unwrap();
        let mut client = self.client.clone();
        let call = tokio::spawn(async move {
            std::future::poll_fn(|cx| client.poll_ready(cx)).await?;
            client.call(request).await
        });
        (part, call)
    }

    async fn read(&mut self, bytes: usize) {
        let mut read = 0;
        while read < bytes {
            read += self.frames.recv().await.unwrap();
        }
    }

    async fn healthy(&self) {
        let request = HealthCheckRequest { service: String::new() };
        HealthClient::new(self.client.clone()).check(request).await.unwrap();
    }
}

fn status_of(answer: &Response<Body>) -> Status {
    Status::from_header_map(answer.headers()).expect("an error without a body")
}

fn with_budget(bytes: usize) -> Admission {
    Admission { budget: Arc::new(Semaphore::new(bytes)), budget_bytes: bytes, ..Admission::new(0) }
}

fn data(bytes: usize) -> Bytes {
    Bytes::from(vec![0; bytes])
}

#[tokio::test]
async fn t06_unfinished_messages_hold_the_budget_are_measured_and_health_still_answers() {
    let admission = with_budget(1_000);
    let measured = admission.incomplete_bytes();
    assert_eq!(measured(), 0);
    let mut running = run(admission.clone(), 0).await;
    let (first, held) = running.call(ECHO);
    first.send(data(FREE_BYTES + 600)).await.unwrap();
    running.read(FREE_BYTES + 600).await;
    assert_eq!((admission.budget.available_permits(), measured()), (400, 600));

    let (second, refused) = running.call(ECHO);
    second.send(data(FREE_BYTES + 401)).await.unwrap();
    let refused = status_of(&refused.await.unwrap().unwrap());
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason_of(&refused).as_deref(), Some(reason::TOO_MANY_CALLS));
    assert_eq!(retry_delay(&refused), Some(RETRY_DELAY));
    assert_eq!(admission.budget.available_permits(), 400);
    running.healthy().await;

    // The end of the first is the end of its claim.
    drop(first);
    held.await.unwrap().unwrap();
    assert_eq!((admission.budget.available_permits(), measured()), (1_000, 0));
}

#[tokio::test]
async fn a_client_that_goes_gives_its_share_back() {
    let admission = with_budget(1_000);
    let mut running = run(admission.clone(), 0).await;
    let (part, call) = running.call(ECHO);
    part.send(data(FREE_BYTES + 1_000)).await.unwrap();
    running.read(FREE_BYTES + 1_000).await;
    call.abort();
    drop(admission.budget.acquire_many(1_000).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_come_ends_its_call_at_the_deadline() {
    let admission = with_budget(1_000);
    // Without a connection: paused time would run ahead of it.
    let (part, parts) = mpsc::channel(2);
    part.try_send(data(FREE_BYTES + 10)).unwrap();
    let receiving = admission.admit(ECHO, None).unwrap();
    let mut body =
        Body::new(RequestBody { body: Body::new(Fed(ReceiverStream::new(parts))), receiving, open: None });
    next(&mut body).await.unwrap().unwrap();
    assert_eq!(admission.budget.available_permits(), 990);
    let begun = tokio::time::Instant::now();
    let late = next(&mut body).await.unwrap().unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), RECEIVE_TIMEOUT.as_secs());
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(reason_of(&late).as_deref(), Some(reason::RECEIVE_TIMEOUT));
    assert_eq!(admission.budget.available_permits(), 1_000);
    assert!(part.is_closed(), "what has come is dropped");
}

#[tokio::test]
async fn client_streams_are_limited_in_number_and_not_in_bytes() {
    let admission = with_budget(0).client_streams(Echo::NAME, &["Stream"]);
    let mut running = run(admission.clone(), 0).await;
    let mut open = Vec::new();
    for opened in 0..MAX_CLIENT_STREAMS {
        // A quarter on each connection.
        if opened % 4 == 0 {
            running.client = channel(&running.uri).unwrap();
        }
        let (part, call) = running.call(STREAM);
        part.send(data(2 * FREE_BYTES)).await.unwrap();
        running.read(2 * FREE_BYTES).await;
        open.push((part, call));
    }
    let (_part, refused) = running.call(STREAM);
    let refused = status_of(&refused.await.unwrap().unwrap());
    assert_eq!(reason_of(&refused).as_deref(), Some(reason::TOO_MANY_CALLS));
    assert_eq!(metadata_of(&refused, "limit").as_deref(), Some("16"));
    open.pop().unwrap().1.abort();
    while admission.streams.taken() == MAX_CLIENT_STREAMS as u64 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_permit_of_an_answer_is_held_until_it_is_read_or_dropped() {
    // More than the windows of a client take.
    const ANSWER_BYTES: usize = 32 << 20;
    let running = run(with_budget(0), ANSWER_BYTES).await;
    let answer = |running: &Running| {
        let (part, call) = running.call(ECHO);
        drop(part);
        call
    };
    let unread = answer(&running).await.unwrap().unwrap();
    running.healthy().await;
    assert_eq!(running.answers.available_permits(), 0);
    drop(unread);
    drop(running.answers.acquire().await.unwrap());

    let mut body = answer(&running).await.unwrap().unwrap().into_body();
    let mut read = 0;
    while let Some(frame) = next(&mut body).await {
        read += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    assert_eq!(read, ANSWER_BYTES);
    drop(running.answers.acquire().await.unwrap());
}

#[tokio::test]
async fn t03_a_request_too_large_to_decode_is_an_invalid_argument_with_its_size_and_the_limit() {
    let running = run(with_budget(200_000), 0).await;
    let request = HealthCheckRequest { service: "x".repeat(100_000) };
    let refused = HealthClient::new(running.client.clone()).check(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(reason_of(&refused).as_deref(), Some(reason::INVALID_FIELD));
    assert_eq!(metadata_of(&refused, "field").as_deref(), Some(WHOLE_REQUEST));
    for size in ["found 100004 bytes", "limit is: 65536 bytes"] {
        assert!(refused.message().contains(size), "{}", refused.message());
    }
    running.healthy().await;
}

#[test]
fn an_error_that_has_details_is_left_as_it_is() {
    let ours = status::reason(Code::OutOfRange, reason::COMMIT_AHEAD, "ahead", &[]);
    assert_eq!(status_of(&in_our_words(ours.into_http())).code(), Code::OutOfRange);
}

#[tokio::test]
async fn t06_a_connection_counts_as_idle_only_while_none_of_its_calls_is_open() {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let routes = server().layer(Admission::new(0)).add_service(health().await.1);
    tokio::spawn(routes.serve_with_incoming(incoming(listener).at_most(2)));
    let watcher = HealthClient::new(channel(&uri).unwrap());
    let request = HealthCheckRequest { service: String::new() };
    let mut watched = watcher.clone().watch(request.clone()).await.unwrap().into_inner();
    watched.message().await.unwrap().unwrap();
    // Each needs a place, and only the one before has none to lose.
    let mut idle = Vec::new();
    for _ in 0..4 {
        let client = HealthClient::new(channel(&uri).unwrap());
        client.clone().check(request.clone()).await.unwrap();
        idle.push(client);
    }
    watcher.clone().check(request).await.unwrap();
    let next = tokio::time::timeout(Duration::from_millis(1), watched.message()).await;
    assert!(next.is_err(), "the watch is still open");
}

#[test]
fn the_budget_has_room_for_large_messages_and_its_counts_fit() {
    assert_eq!(Admission::new(0).budget.available_permits(), BUDGET_BYTES);
    assert_eq!(Admission::new(32 << 20).budget.available_permits(), 128 << 20);
    assert_eq!(Admission::new(usize::MAX).budget.available_permits(), Semaphore::MAX_PERMITS);
    assert!(MAX_CONCURRENT_STREAMS as usize * FREE_BYTES <= BUDGET_BYTES);
}
