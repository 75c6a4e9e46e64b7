//! One task for each other authority: connects, subscribes, verifies, hands on, and starts again.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use consensus_core::{AuthorityIndex, BlockSource, Genesis, Round, VerifiedBlock};
use metanode_proto::peer::v1::{
    FetchOwnLastBlockRequest, SubscribeBlocksRequest, peer_service_client::PeerServiceClient,
};
use metanode_shell::grpc::decode_limit;
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_rustls::rustls::ClientConfig;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::Instrument;

use super::{
    config::PeerLimits,
    connect::connect,
    event::{PeerEvent, PeerView, label},
    inbound::{self, Batch, StreamEnd},
    link::{Link, Peer},
    verify::VerifierPool,
};

/// What every task that talks to peers needs.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) own: AuthorityIndex,
    pub(super) genesis: Arc<Genesis>,
    pub(super) limits: PeerLimits,
    pub(super) verifier: VerifierPool,
    pub(super) view: PeerView,
    pub(super) events: mpsc::Sender<PeerEvent>,
    pub(super) shutdown: CancellationToken,
}

impl Shared {
    /// Hands an event on, as soon as the driver has room for it.
    pub(super) async fn hand_on(&self, event: PeerEvent) -> Result<(), SessionEnd> {
        self.events.send(event).await.map_err(|_| SessionEnd::Finished)
    }

    /// Counts a fault and reports it to the driver, which tells people.
    pub(super) async fn report(&self, peer: &Peer, label: &'static str) -> Result<(), SessionEnd> {
        peer.fault(label);
        tracing::debug!(authority = i64::from(peer.authority.get()), reason = label, "peer at fault");
        self.hand_on(PeerEvent::Invalid { from: peer.authority, label }).await
    }

    pub(super) fn client(&self, channel: Channel) -> PeerServiceClient<Channel> {
        let limit = decode_limit(self.genesis.parameters().max_commit_bytes);
        PeerServiceClient::new(channel).max_decoding_message_size(limit)
    }
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// No connection, or none any more.
    Lost(String),
    /// The peer is at fault, which was reported.
    Fault,
    /// The driver or the process ends.
    Finished,
}

/// How far a stream has come.
#[derive(Debug)]
struct Place {
    /// Highest round of a streamed block, or that the stream was resumed after.
    streamed: Round,
    /// Highest round of a hint.
    woken: Round,
}

/// The task of one peer.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) peer: Arc<Peer>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) shared: Shared,
}

impl Subscriber {
    /// Runs until shutdown, or until the driver is gone.
    pub(super) async fn run(self) {
        let shutdown = self.shared.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.run_sessions() => {}
        }
        self.peer.lost("the service goes down".to_owned());
    }

    async fn run_sessions(&self) {
        let limits = &self.shared.limits;
        let mut waits = Waits::new(limits.reconnect_min, limits.reconnect_max);
        let mut penalties = Penalties::new(limits);
        loop {
            let mut heard_since = None;
            let authority = i64::from(self.peer.authority.get());
            let span = tracing::debug_span!("consensus.peer.subscribe", authority);
            let end = self.session(&mut heard_since).instrument(span).await;
            waits.session_ended(heard_since.map(|since| since.elapsed()), limits.settled_after);
            let (wait, reason) = match end {
                SessionEnd::Finished => return,
                SessionEnd::Lost(reason) => (waits.next(), reason),
                SessionEnd::Fault => (penalties.next(), "the peer is at fault".to_owned()),
            };
            tracing::debug!(
                authority,
                reason,
                wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX),
                "no connection to peer"
            );
            self.peer.lost(reason);
            time::sleep(wait).await;
        }
    }

    /// One connection, from its start to its end. `heard_since` tells when it first said anything on its stream.
    async fn session(&self, heard_since: &mut Option<Instant>) -> SessionEnd {
        let limits = &self.shared.limits;
        let channel = match connect(&self.peer.address, &self.tls, limits.handshake_deadline).await {
            Ok(channel) => channel,
            Err(error) => return SessionEnd::Lost(error.to_string()),
        };
        let mut client = self.shared.client(channel.clone());
        if !*self.shared.view.start_answered.borrow()
            && let Err(end) = self.ask_own_last(&mut client).await
        {
            return end;
        }
        let after = self.shared.view.accepted.get(self.peer.authority);
        let request = SubscribeBlocksRequest {
            chain_id: self.shared.genesis.chain_id().as_bytes().to_vec().into(),
            epoch: self.shared.genesis.committee().epoch().get(),
            after_round: after.get(),
        };
        let mut stream = match time::timeout(limits.call_deadline, client.subscribe_blocks(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return self.ended(inbound::end_of(&status)).await,
            Err(_elapsed) => return SessionEnd::Lost("the subscription is not answered in time".to_owned()),
        };
        let broken = CancellationToken::new();
        self.peer.connected(Link { channel, broken: broken.clone() });
        let authority = i64::from(self.peer.authority.get());
        tracing::info!(authority, after_round = after.get(), "subscribed to peer");
        let mut place = Place { streamed: after, woken: Round::GENESIS };
        let reading = async {
            loop {
                let batch = inbound::next_batch(&mut stream, limits).await;
                if !batch.blocks.is_empty() || batch.wake.is_some() {
                    heard_since.get_or_insert_with(Instant::now);
                    self.peer.hear();
                }
                if let Err(end) = self.take(batch, &mut place).await {
                    return end;
                }
            }
        };
        tokio::select! {
            () = broken.cancelled() => SessionEnd::Fault,
            end = reading => end,
            end = self.keep_asking(&mut client) => end,
        }
    }

    /// Asks again and again while the machine waits for answers: what a peer answers next may count where its first answer
    /// does not.
    async fn keep_asking(&self, client: &mut PeerServiceClient<Channel>) -> SessionEnd {
        let mut answered = self.shared.view.start_answered.clone();
        loop {
            if answered.wait_for(|answered| !answered).await.is_err() {
                return SessionEnd::Finished;
            }
            // The value is let go at once: it must not be held over the question.
            let satisfied = async { answered.wait_for(|answered| *answered).await.is_ok() };
            match time::timeout(self.shared.limits.ask_again, satisfied).await {
                Ok(true) => {}
                Ok(false) => return SessionEnd::Finished,
                Err(_elapsed) => {
                    if let Err(end) = self.ask_own_last(client).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Asks which own block the peer knows highest, and for its own last block, before anything is proposed.
    async fn ask_own_last(&self, client: &mut PeerServiceClient<Channel>) -> Result<(), SessionEnd> {
        let request = FetchOwnLastBlockRequest { epoch: self.shared.genesis.committee().epoch().get() };
        let call = client.fetch_own_last_block(request);
        let answer = match time::timeout(self.shared.limits.call_deadline, call).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(self.ended(inbound::end_of(&status)).await),
            Err(_elapsed) => {
                return Err(SessionEnd::Lost(
                    "the question for the own last block is not answered in time".to_owned(),
                ));
            }
        };
        let from = self.peer.authority;
        let block = self.verify_one(answer.callers_last_block, self.shared.own).await?;
        let peers_last = self.verify_one(answer.own_last_block, from).await?;
        self.shared.hand_on(PeerEvent::OwnLastBlock { from, block, peers_last }).await
    }

    /// Judges one signed block of `author`; no bytes are no block.
    async fn verify_one(
        &self,
        bytes: Bytes,
        author: AuthorityIndex,
    ) -> Result<Option<VerifiedBlock>, SessionEnd> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let verdict = self.shared.verifier.verify(vec![bytes]).await.ok_or(SessionEnd::Finished)?;
        let block = verdict.valid.into_iter().next();
        let foreign = block.as_ref().is_some_and(|block| block.author() != author);
        let fault = foreign.then_some(label::WRONG_AUTHOR);
        match fault.or(verdict.invalid.map(|error| error.label())) {
            Some(label) => Err(self.ended(StreamEnd::Fault(label)).await),
            None => Ok(block),
        }
    }

    /// Verifies and hands on one batch.
    async fn take(&self, batch: Batch, place: &mut Place) -> Result<(), SessionEnd> {
        let Batch { blocks, wake, end } = batch;
        if !blocks.is_empty() {
            let verdict = self.shared.verifier.verify(blocks).await.ok_or(SessionEnd::Finished)?;
            let (valid, fault) = in_stream_order(verdict.valid, self.peer.authority, &mut place.streamed);
            self.hand_on_in_step(valid).await?;
            if let Some(label) = fault.or(verdict.invalid.map(|error| error.label())) {
                return Err(self.ended(StreamEnd::Fault(label)).await);
            }
        }
        // A hint that says nothing new is let pass by, and one for a round far ahead waits as its block would, so that a
        // flood of hints stays on the peer's own connection.
        if let Some(round) = wake.filter(|round| *round > place.woken) {
            place.woken = round;
            self.wait_for_clock(round).await?;
            self.shared.hand_on(PeerEvent::Wake { from: self.peer.authority, round }).await?;
        }
        match end {
            Some(end) => Err(self.ended(end).await),
            None => Ok(()),
        }
    }

    /// Hands blocks on whose rounds are near enough to the clock, and holds the stream until it is near enough to the
    /// rest.
    async fn hand_on_in_step(&self, mut blocks: Vec<VerifiedBlock>) -> Result<(), SessionEnd> {
        while let Some(first) = blocks.first() {
            if first.round() > self.near() {
                let (from, round) = (self.peer.authority, first.round());
                self.shared.hand_on(PeerEvent::SeenAhead { from, round }).await?;
            }
            let limit = self.wait_for_clock(first.round()).await?;
            let rest = blocks.split_off(blocks.partition_point(|block| block.round() <= limit));
            let (from, source) = (self.peer.authority, BlockSource::Streamed);
            self.shared.hand_on(PeerEvent::Blocks { from, source, blocks }).await?;
            blocks = rest;
        }
        Ok(())
    }

    /// The highest round that the clock is near enough to now.
    fn near(&self) -> Round {
        self.shared.view.clock_round.borrow().plus(self.shared.limits.max_rounds_ahead)
    }

    /// Waits until the clock is near enough to `round`; the highest round that it is near enough to.
    async fn wait_for_clock(&self, round: Round) -> Result<Round, SessionEnd> {
        let ahead = self.shared.limits.max_rounds_ahead;
        let mut clock = self.shared.view.clock_round.clone();
        let near = clock.wait_for(|clock| clock.plus(ahead) >= round).await;
        near.map(|clock| clock.plus(ahead)).map_err(|_| SessionEnd::Finished)
    }

    async fn ended(&self, end: StreamEnd) -> SessionEnd {
        match end {
            StreamEnd::Lost(reason) => SessionEnd::Lost(reason),
            StreamEnd::Fault(label) => match self.shared.report(&self.peer, label).await {
                Ok(()) => SessionEnd::Fault,
                Err(end) => end,
            },
        }
    }
}

/// The blocks up to the first that the peer may not stream: one that another authority signed, or whose round does not
/// rise.
fn in_stream_order(
    mut blocks: Vec<VerifiedBlock>,
    peer: AuthorityIndex,
    last: &mut Round,
) -> (Vec<VerifiedBlock>, Option<&'static str>) {
    let mut fault = None;
    let mut count = 0usize;
    for block in &blocks {
        if block.author() != peer {
            fault = Some(label::WRONG_AUTHOR);
            break;
        }
        if block.round() <= *last {
            fault = Some(label::STREAM_ORDER);
            break;
        }
        *last = block.round();
        count = count.saturating_add(1);
    }
    blocks.truncate(count);
    (blocks, fault)
}

/// Growing waits with jitter: each is drawn from between half and all of a bound that doubles from `min` to `max`.
#[derive(Debug)]
struct Waits {
    builder: ExponentialBuilder,
    max: Duration,
    current: ExponentialBackoff,
}

impl Waits {
    fn new(min: Duration, max: Duration) -> Self {
        // The jitter adds up to as much again.
        let builder = ExponentialBuilder::new()
            .with_min_delay(min / 2)
            .with_max_delay(max / 2)
            .without_max_times()
            .with_jitter();
        Self { builder, max, current: builder.build() }
    }

    fn next(&mut self) -> Duration {
        self.current.next().unwrap_or(self.max).min(self.max)
    }

    /// Starts anew after a session that lived for some time after the peer was first heard. A peer that says one thing and
    /// closes waits longer and longer.
    fn session_ended(&mut self, heard_for: Option<Duration>, settled_after: Duration) {
        if heard_for.is_some_and(|lived| lived >= settled_after) {
            self.reset();
        }
    }

    fn reset(&mut self) {
        self.current = self.builder.build();
    }
}

/// Waits after faults; they start anew when a peer was long without.
#[derive(Debug)]
struct Penalties {
    waits: Waits,
    forget_after: Duration,
    last: Option<Instant>,
}

impl Penalties {
    fn new(limits: &PeerLimits) -> Self {
        Self {
            waits: Waits::new(limits.penalty_min, limits.penalty_max),
            forget_after: limits.penalty_max.saturating_mul(4),
            last: None,
        }
    }

    fn next(&mut self) -> Duration {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) > self.forget_after) {
            self.waits.reset();
        }
        self.last = Some(now);
        self.waits.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_cap_and_start_anew() {
        let millis = Duration::from_millis;
        let mut waits = Waits::new(millis(50), millis(2_000));
        let first = waits.next();
        assert!(first >= millis(25) && first <= millis(50), "{first:?}");
        let tenth = (0..10).map(|_| waits.next()).last().unwrap();
        assert!(tenth >= millis(1_000) && tenth <= millis(2_000), "{tenth:?}");
        waits.reset();
        assert!(waits.next() <= millis(50));
    }

    #[test]
    fn waits_start_anew_only_after_a_session_that_lived_for_some_time() {
        let millis = Duration::from_millis;
        let (settled, just_below) = (millis(5_000), millis(4_999));
        let mut waits = Waits::new(millis(50), millis(2_000));
        for _ in 0..10 {
            waits.session_ended(Some(just_below), settled);
            waits.session_ended(None, settled);
            waits.next();
        }
        assert!(waits.next() >= millis(1_000));
        waits.session_ended(Some(settled), settled);
        assert!(waits.next() <= millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn penalties_are_forgotten_after_a_long_time_without_a_fault() {
        let limits = PeerLimits::default();
        let mut penalties = Penalties::new(&limits);
        let grown = (0..20).map(|_| penalties.next()).last().unwrap();
        assert!(grown >= limits.penalty_max / 2);
        time::advance(limits.penalty_max * 5).await;
        assert!(penalties.next() <= limits.penalty_min);
    }
}
