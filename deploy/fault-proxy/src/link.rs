//! One connection: its client, its server, and both directions between them.

use crate::{
    faults::{Direction, Faults, Side},
    proxy::Counters,
    pump::pump,
    shadow::Shadow,
    stream::Stream,
};
use tokio::{
    io::{copy, sink, split},
    sync::{oneshot, watch},
};
use tokio_util::sync::CancellationToken;

/// How a link is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both ends are reset.
    Reset,
    /// Only the end that is kept stays open, and is told nothing.
    HalfOpen {
        /// The end that is kept.
        keep: Side,
    },
}

/// What a link is made of.
pub(crate) struct Link {
    /// Who connected.
    pub(crate) client: Box<dyn Stream>,
    /// Whom it connected to.
    pub(crate) server: Box<dyn Stream>,
    /// The second connection to the server.
    pub(crate) shadow: Option<Shadow>,
    /// What is wrong with it.
    pub(crate) faults: watch::Receiver<Faults>,
    /// Ends it.
    pub(crate) ending: oneshot::Receiver<Ending>,
    /// Ends what was kept of it.
    pub(crate) healed: CancellationToken,
    /// The proxy has stopped. A connection may come just before that, too late to be among those that are ended.
    pub(crate) stopped: CancellationToken,
}

impl Link {
    /// Passes bytes until both directions have ended, one breaks, or it is ended from outside.
    pub(crate) async fn run(self, counters: &Counters) {
        let Self { client, server, shadow, faults, ending, healed, stopped } = self;
        let (mut from_client, mut to_client) = split(client);
        let (mut from_server, mut to_server) = split(server);
        let both = async {
            let up =
                pump(&mut from_client, &mut to_server, faults.clone(), Direction::Up, &counters.up, shadow);
            let down = pump(&mut from_server, &mut to_client, faults, Direction::Down, &counters.down, None);
            tokio::try_join!(up, down)
        };
        let end = tokio::select! {
            ended = both => ended.map(|_| None).unwrap_or(Some(Ending::Reset)),
            ending = ending => Some(ending.unwrap_or(Ending::Reset)),
            () = stopped.cancelled() => Some(Ending::Reset),
        };
        let (client, server) = (from_client.unsplit(to_client), from_server.unsplit(to_server));
        match end {
            None => {}
            Some(Ending::Reset) => {
                client.reset_when_dropped();
                server.reset_when_dropped();
            }
            Some(Ending::HalfOpen { keep: Side::Client }) => {
                drop(server);
                keep_open(client, &healed).await;
            }
            Some(Ending::HalfOpen { keep: Side::Server }) => {
                drop(client);
                keep_open(server, &healed).await;
            }
        }
    }
}

/// Says nothing until the other end gives up, or all is healed. What it sends meets nobody.
async fn keep_open(mut stream: Box<dyn Stream>, healed: &CancellationToken) {
    let mut nobody = sink();
    tokio::select! {
        _ = copy(&mut stream, &mut nobody) => {}
        () = healed.cancelled() => {}
    }
    stream.reset_when_dropped();
}
