//! What is wrong with a link.

use serde::Serialize;
use std::{num::NonZeroU64, time::Duration};

/// A direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Side {
    /// Who connected.
    Client,
    /// Whom it connected to.
    Server,
}

/// What is wrong with one direction. Nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Time that every byte, and the end of the stream, takes longer, in ms. At most 4 MiB are on the way at a time.
    #[serde(rename = "delay_ms", serialize_with = "milliseconds")]
    pub delay: Duration,
    /// Bytes a second of each connection; any number if `None`.
    pub bytes_per_s: Option<NonZeroU64>,
    /// Nothing passes, and nobody is told. What was on the way arrives when the stall ends.
    pub stalled: bool,
}

/// What is wrong with a link. Nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// To the server.
    pub up: Way,
    /// To the client.
    pub down: Way,
    /// New connections are closed as soon as they are made.
    pub refuses: bool,
    /// For every new connection the server gets a second one, which is sent the same bytes. What it answers there is read and
    /// thrown away. A second one that falls 4 MiB behind is closed.
    pub doubles: bool,
}

impl Faults {
    /// One direction.
    pub const fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Changes one direction, or both.
    pub(crate) fn change(&mut self, direction: Option<Direction>, mut change: impl FnMut(&mut Way)) {
        if direction != Some(Direction::Down) {
            change(&mut self.up);
        }
        if direction != Some(Direction::Up) {
            change(&mut self.down);
        }
    }
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
