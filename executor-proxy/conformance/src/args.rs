//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{CommandFactory, Parser, error::ErrorKind};

use crate::{
    legacy::{AddressError, Layout, LegacyMaster},
    row::Row,
    rows,
    settings::{Effort, LedgerKind, Protocol, Settings},
};

const EXAMPLES: &str = "\
The command is run by `sh -c`, in the foreground, with these variables:
  CONFORMANCE_GENESIS    the genesis file of the network that the suite speaks for
  CONFORMANCE_DATA_DIR   a folder for the master's data, empty at the start of each row
  CONFORMANCE_AUTHORITY  protocol key of the authority that the suite sends as, 64 hex digits
Its data must survive kill -9: the suite kills all its processes and runs the command again. A command that names
CONFORMANCE_DATA_DIR starts each row anew, so that one failure does not lead to the next. Any other command keeps its data from row
to row; empty its folder before each run.

Examples, from the folder executor-proxy/go-master after `go build -o /tmp/go-master ./cmd/go-master`:
  over a Unix socket:
    executor-conformance --endpoint unix:/tmp/master.sock --start '/tmp/go-master run \\
      --genesis $CONFORMANCE_GENESIS --data-dir $CONFORMANCE_DATA_DIR --listen unix:/tmp/master.sock'
  over TCP:
    executor-conformance --endpoint http://127.0.0.1:7300 --start '/tmp/go-master run \\
      --genesis $CONFORMANCE_GENESIS --data-dir $CONFORMANCE_DATA_DIR --listen 127.0.0.1:7300'
  a master with a ledger of its own, its own data folder and its own configuration:
    executor-conformance --write-genesis genesis.toml
    rm -rf /var/tmp/master && executor-conformance --ledger any --endpoint http://127.0.0.1:7300 --start './start-my-master.sh'
  an existing master behind the framed protocol, for which a Go master stands in here:
    executor-conformance --protocol uds --endpoint /tmp/blocks.sock --queries /tmp/queries.sock --layout executable-block --idle \\
      --start '/tmp/go-master run --genesis $CONFORMANCE_GENESIS --data-dir $CONFORMANCE_DATA_DIR --listen 127.0.0.1:0 --uds-legacy \\
      --uds-blocks /tmp/blocks.sock --uds-queries /tmp/queries.sock --uds-layout executable-block --uds-idle 500ms'
  one row, with all that the master said:
    executor-conformance --only kill --seed 7 --dir /tmp/trial --endpoint ... --start ...; less /tmp/trial/master.log

Exit codes: 0 every row passed; 1 a row did not; 2 the master could not be started, or a wrong command line; 130 ended by Ctrl-C
or SIGTERM (the master is killed).";

/// What a master speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProtocolKind {
    /// executor.v1.ExecutorService.
    Grpc,
    /// Two sockets with frames.
    Uds,
}

/// Takes an execution master through the contract: starts it, feeds it, misuses it, kills it, and says what does not hold.
///
/// One row a promise of executor.v1.ExecutorService: pass, or what was expected, what came, and what to do about it.
#[derive(Clone, Debug, Parser)]
#[command(name = "executor-conformance", version, after_help = EXAMPLES, max_term_width = 120)]
pub struct Arguments {
    /// What the master speaks: executor.v1.ExecutorService, or the framed protocol of existing masters.
    #[arg(long, value_enum, default_value = "grpc")]
    pub protocol: ProtocolKind,
    /// Where the master listens: http://host:port or unix:/absolute/path; with --protocol uds where it takes blocks, /absolute/path
    /// or tcp://host:port.
    #[arg(long, value_name = "E", required_unless_present_any = ["list", "write_genesis"])]
    pub endpoint: Option<String>,
    /// Starts the master; run by `sh -c`. Its data survives from start to start.
    #[arg(long, value_name = "CMD", required_unless_present_any = ["list", "write_genesis"])]
    pub start: Option<String>,
    /// Where the master answers queries, /absolute/path or tcp://host:port; with --protocol uds.
    #[arg(long, value_name = "Q")]
    pub queries: Option<String>,
    /// Form of the blocks; with --protocol uds.
    #[arg(long, value_enum, default_value = "executable-block")]
    pub layout: Layout,
    /// is_ready of the master's answers means nothing; with --protocol uds.
    #[arg(long)]
    pub without_ready: bool,
    /// The command makes the master close silent connections within a time that --patience outlasts: take the row `idle`, which waits
    /// for it; with --protocol uds. The field's two minutes are too long.
    #[arg(long)]
    pub idle: bool,
    /// How state roots and rejections are judged: as those of the reference ledger, or of any ledger, whose root after one history is
    /// always the same.
    #[arg(long, value_enum, default_value = "reference")]
    pub ledger: LedgerKind,
    /// Use the network of this genesis file, and not the suite's own. With --ledger reference it needs the suite's accounts.
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// Write the suite's genesis file, and end: for a master that is configured by hand.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "start", "list"])]
    pub write_genesis: Option<PathBuf>,
    /// Only this row; may be given several times.
    #[arg(long, value_name = "ROW")]
    pub only: Vec<String>,
    /// List the rows, and end.
    #[arg(long)]
    pub list: bool,
    /// Repeats the random kill points of a run.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How long the master may take to start, and for each answer, in seconds. Nothing else is judged by time.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub patience: u64,
    /// Kills in mid-stream of the row `kill`.
    #[arg(long, value_name = "N", default_value_t = Effort::default().kills, value_parser = clap::value_parser!(u64).range(1..))]
    pub kills: u64,
    /// Memory that the master may take up in the row `unread`, in MiB: its window in bytes, and what its runtime keeps. Not looked at
    /// where there is no /proc.
    #[arg(long, value_name = "MIB", default_value_t = Effort::default().growth_bytes >> 20, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub growth: u64,
    /// Keep genesis, log and data of the master in this folder. Without it they are in a temporary one, which is kept only if a row
    /// fails.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// End with one JSON object, and print nothing else on stdout.
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// The rows that are asked for, in their order.
    ///
    /// # Errors
    /// An error as that of any wrong argument, for a row that there is not.
    pub fn rows(&self) -> Result<Vec<Row>, clap::Error> {
        let all = match self.protocol {
            ProtocolKind::Grpc => rows::GRPC,
            ProtocolKind::Uds => rows::UDS,
        };
        if let Some(unknown) = self.only.iter().find(|name| all.iter().all(|row| row.name != **name)) {
            let text = format!("there is no row `{unknown}`; --list shows all");
            return Err(Self::command().error(ErrorKind::ValueValidation, text));
        }
        let wanted = |row: &&Row| {
            let asked = self.only.is_empty() || self.only.iter().any(|name| name == row.name);
            asked && (row.name != rows::IDLE || self.idle || self.list)
        };
        Ok(all.iter().filter(wanted).copied().collect())
    }

    /// The settings of a run in a folder.
    ///
    /// # Errors
    /// An error as that of any wrong argument, for an endpoint that is none.
    pub fn settings(&self, folder: PathBuf) -> Result<Settings, clap::Error> {
        let protocol = self.protocol()?;
        Ok(Settings {
            protocol,
            command: self.start.clone().unwrap_or_default(),
            ledger: self.ledger,
            seed: self.seed,
            patience: Duration::from_secs(self.patience),
            effort: Effort { kills: self.kills, growth_bytes: self.growth << 20, ..Effort::default() },
            genesis: self.genesis.clone(),
            folder,
        })
    }

    fn protocol(&self) -> Result<Protocol, clap::Error> {
        let wrong = |flag, error: &dyn std::fmt::Display| {
            Self::command().error(ErrorKind::ValueValidation, format!("{flag}: {error}"))
        };
        let endpoint = self.endpoint.clone().unwrap_or_default();
        if self.protocol == ProtocolKind::Grpc {
            metanode_shell::grpc::endpoint(&endpoint).map_err(|error| wrong("--endpoint", &error))?;
            return Ok(Protocol::Grpc { endpoint });
        }
        let queries = self.queries.clone().unwrap_or_default();
        Ok(Protocol::Uds(LegacyMaster {
            blocks: endpoint.parse().map_err(|error: AddressError| wrong("--endpoint", &error))?,
            queries: queries.parse().map_err(|error: AddressError| wrong("--queries", &error))?,
            layout: self.layout,
            reports_ready: !self.without_ready,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
        assert!(Arguments::try_parse_from(["executor-conformance"]).is_err());
        assert!(Arguments::try_parse_from(["executor-conformance", "--list"]).is_ok());
        assert!(Arguments::try_parse_from(["executor-conformance", "--write-genesis", "g"]).is_ok());
    }

    #[test]
    fn rows_are_chosen_by_name_and_keep_their_order() {
        let parse = |rows: &[&str]| {
            let only = rows.iter().flat_map(|row| ["--only", row]);
            Arguments::parse_from(["executor-conformance", "--list"].into_iter().chain(only))
        };
        let names = |arguments: &Arguments| -> Vec<_> {
            arguments.rows().unwrap().iter().map(|row| row.name).collect()
        };
        assert_eq!(names(&parse(&["kill", "gap"])), ["gap", "kill"]);
        assert_eq!(names(&parse(&[])).len(), rows::GRPC.len());
        assert!(parse(&["nothing"]).rows().unwrap_err().to_string().contains("--list"));
    }
}
