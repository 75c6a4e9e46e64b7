//! The command line.

use crate::executor::ExecutorKind;
use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};
use std::{path::PathBuf, time::Duration};

const EXAMPLES: &str = "\
Examples:
  localnet                            four authorities, 1000 transactions a second, 30 s
  localnet --drill restart            kill an executor in mid-load, and see that nothing is lost or done twice
  localnet --perpetual --restart      until Ctrl-C; kill -9 what you like, it comes back
  localnet --dir net --duration 60    keep the network in ./net; the same command resumes it
  localnet --executor go              a Go master behind each proxy; needs Go, and builds it first
  localnet --json | jq .equal         for scripts

While it runs, DIR/network.json names process ids, addresses, configuration and logs of every process. The DIR of a run without
--dir is temporary, and kept only if the run failed.

Exit codes: 0 all executors came along, their ledgers are equal, nothing was lost or executed twice; 1 one stayed behind, unequal,
lost, nothing executed of what was sent, or a drill that failed (lines FAILED say which); 2 the network did not start, there is no Go to build a
master with, or a wrong command line; 130 ended by Ctrl-C or SIGTERM (a second one kills at once).";

/// A whole network on this machine, under load: authorities that order transactions, and the executors that execute them.
///
/// Makes keys and genesis, starts every service as a process of its own on 127.0.0.1, sends signed transfers at a steady rate,
/// shows how each authority is doing, and ends by comparing commit digest and state root of all ledgers at one index.
#[derive(Clone, Debug, Parser)]
#[command(name = "localnet", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Arguments {
    /// How many authorities; four stand one fault, seven two [default: 4, or those of the network in --dir].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub authorities: Option<u16>,
    /// What executes: the ledger inside the proxy, a Go master over gRPC, or the same behind the framed protocol of existing
    /// masters, which tells no results: they are then computed from the chain [default: embedded, or that of the network in
    /// --dir].
    #[arg(long, value_enum)]
    pub executor: Option<ExecutorKind>,
    /// Transactions a second, over all authorities; 0 leaves the network idle.
    #[arg(long, value_name = "TX/S", default_value_t = 1000)]
    pub rate: u32,
    /// Bytes of each transaction, signature and all; at least 181.
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    pub tx_size: usize,
    /// How long to send, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub duration: u64,
    /// Send until Ctrl-C.
    #[arg(long, conflicts_with_all = ["duration", "drill"])]
    pub perpetual: bool,
    /// Keep the network in this folder, and resume the one that is there.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// End with one JSON object, and print nothing else on stdout.
    #[arg(long)]
    pub json: bool,
    /// Show what a failure does.
    #[arg(long, value_enum)]
    pub drill: Option<Drill>,
    /// Start processes again that end by themselves or are killed by others. Without it their end is reported, and what
    /// was sent to them counts as lost.
    #[arg(long)]
    pub restart: bool,
}

/// A drill needs load before, while and after something is broken.
const LEAST_DRILL_SECONDS: u64 = 10;

impl Arguments {
    /// Checks what hangs together.
    ///
    /// # Errors
    /// An error as that of any wrong argument.
    pub fn check(self) -> Result<Self, clap::Error> {
        if self.drill.is_some() && self.duration < LEAST_DRILL_SECONDS {
            let text = format!("a drill needs a --duration of at least {LEAST_DRILL_SECONDS} seconds");
            return Err(Self::command().error(ErrorKind::ValueValidation, text));
        }
        Ok(self)
    }

    /// How long to send; `None` until Ctrl-C.
    pub fn duration(&self) -> Option<Duration> {
        (!self.perpetual).then(|| Duration::from_secs(self.duration))
    }
}

/// What to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drill {
    /// kill -9 one executor in mid-load, and start it again: the process that has the ledger, so the proxy where it is embedded,
    /// else the Go master.
    Restart,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_has_the_promised_defaults() {
        Arguments::command().debug_assert();
        let arguments = Arguments::parse_from(["localnet"]);
        assert_eq!((arguments.rate, arguments.tx_size, arguments.duration), (1000, 512, 30));
        assert!(Arguments::try_parse_from(["localnet", "--perpetual", "--duration", "3"]).is_err());
        let drill =
            |seconds| Arguments::parse_from(["localnet", "--drill", "restart", "--duration", seconds]);
        assert!(drill("10").check().is_ok());
        assert!(drill("9").check().is_err());
    }
}
