//! What people and scripts say to a running proxy.

use crate::{
    faults::{Direction, Side},
    proxy::FaultProxy,
};
use clap::{Parser, Subcommand};
use std::{num::NonZeroU64, time::Duration};

/// The longest delay, in ms: an hour.
const MAX_DELAY_MS: u64 = 3_600_000;

/// An order to a running proxy; the same words on the command line and on its control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Order {
    /// Every byte takes so many ms longer; 0 ends it.
    Delay {
        /// Milliseconds.
        #[arg(value_parser = clap::value_parser!(u64).range(..=MAX_DELAY_MS))]
        ms: u64,
        /// One direction; both if left out.
        direction: Option<Direction>,
    },
    /// Each connection carries so many bytes a second; 0 ends it.
    Throttle {
        /// Bytes a second.
        bytes_per_s: u64,
        /// One direction; both if left out.
        direction: Option<Direction>,
    },
    /// Nothing passes and nobody is told, until `heal`. What is on the way arrives then.
    Stall {
        /// One direction; both if left out.
        direction: Option<Direction>,
    },
    /// Resets all connections; new ones are made.
    Reset,
    /// Resets all connections, and every new one, until `heal`.
    Cut,
    /// Closes one end of all connections; the end that is kept is told nothing. New ones are made.
    HalfOpen {
        /// The end that stays open.
        #[arg(default_value = "client")]
        keep: Side,
    },
    /// Every new connection reaches the server twice, with the same bytes, until `heal`.
    Double,
    /// Takes all faults away.
    Heal,
    /// Changes nothing. Every order is answered with the status.
    Status,
}

#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    order: Order,
}

impl Order {
    /// Reads a line.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn parse(line: &str) -> Result<Self, String> {
        match Line::try_parse_from(line.split_ascii_whitespace()) {
            Ok(line) => Ok(line.order),
            Err(error) => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or("no order");
                Err(first.trim_start_matches("error: ").to_owned())
            }
        }
    }

    /// The line that [`Self::parse`] reads.
    pub fn line(self) -> String {
        let way = |direction: Option<Direction>| match direction {
            None => "",
            Some(Direction::Up) => " up",
            Some(Direction::Down) => " down",
        };
        match self {
            Self::Delay { ms, direction } => format!("delay {ms}{}", way(direction)),
            Self::Throttle { bytes_per_s, direction } => format!("throttle {bytes_per_s}{}", way(direction)),
            Self::Stall { direction } => format!("stall{}", way(direction)),
            Self::Reset => "reset".to_owned(),
            Self::Cut => "cut".to_owned(),
            Self::HalfOpen { keep: Side::Client } => "half-open client".to_owned(),
            Self::HalfOpen { keep: Side::Server } => "half-open server".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Heal => "heal".to_owned(),
            Self::Status => "status".to_owned(),
        }
    }

    /// Carries it out.
    pub fn carry_out(self, proxy: &FaultProxy) {
        match self {
            Self::Delay { ms, direction } => {
                let delay = Duration::from_millis(ms);
                proxy.change(|faults| faults.change(direction, |way| way.delay = delay));
            }
            Self::Throttle { bytes_per_s, direction } => {
                let rate = NonZeroU64::new(bytes_per_s);
                proxy.change(|faults| faults.change(direction, |way| way.bytes_per_s = rate));
            }
            Self::Stall { direction } => {
                proxy.change(|faults| faults.change(direction, |way| way.stalled = true));
            }
            Self::Reset => proxy.reset(),
            Self::Cut => {
                proxy.change(|faults| faults.refuses = true);
                proxy.reset();
            }
            Self::HalfOpen { keep } => proxy.half_open(keep),
            Self::Double => proxy.change(|faults| faults.doubles = true),
            Self::Heal => proxy.heal(),
            Self::Status => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_read_as_it_is_written() {
        let directions = [None, Some(Direction::Up), Some(Direction::Down)];
        let ways = directions.into_iter().flat_map(|direction| {
            [
                Order::Delay { ms: 200, direction },
                Order::Throttle { bytes_per_s: 65536, direction },
                Order::Stall { direction },
            ]
        });
        let rest = [
            Order::Reset,
            Order::Cut,
            Order::HalfOpen { keep: Side::Client },
            Order::HalfOpen { keep: Side::Server },
            Order::Double,
            Order::Heal,
            Order::Status,
        ];
        for order in ways.chain(rest) {
            assert_eq!(Order::parse(&order.line()), Ok(order));
        }
        assert_eq!(Order::parse(" half-open "), Ok(Order::HalfOpen { keep: Side::Client }));
    }

    #[test]
    fn what_is_no_order_is_told_in_one_line() {
        for line in ["", "break", "delay", "delay -1", "delay 3600001", "stall sideways", "heal now"] {
            let text = Order::parse(line).unwrap_err();
            assert!(!text.is_empty() && !text.contains('\n'), "{line}: {text}");
        }
    }
}
