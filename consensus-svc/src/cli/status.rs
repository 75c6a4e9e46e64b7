//! `consensus-svc status`: asks a running node for its watermarks.

use std::{io::Write, process::ExitCode};

use clap::Args;
use metanode_proto::consensus::v1::{
    BlockRef, ExecutorState, GetStatusRequest, GetStatusResponse, NodeRole, RootContradiction, StallReason,
};
use serde::Serialize;

use super::{
    call::{CallError, call, print},
    failure,
};

/// Show how a running node is doing
#[derive(Debug, Args)]
#[command(after_help = "Ends with 1 if the node does not answer within 5 seconds.")]
pub struct StatusArguments {
    /// Address of the node's API: http://host:port or unix:/path
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7101")]
    endpoint: String,
    /// Print one JSON object instead of a table; digests as hex
    #[arg(long)]
    json: bool,
}

/// A node's status as this command prints it. Digests, roots and the chain id are lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Newest durable commit; 0 before the first.
    pub commit_index: u64,
    /// Its digest.
    pub commit_digest: String,
    /// Earliest commit held.
    pub earliest_index: u64,
    /// Newest commit that the executor acknowledged.
    pub executed_index: u64,
    /// Its digest, as the executor reported it.
    pub executed_digest: String,
    /// State root after it; empty where the executor gives none.
    pub state_root: String,
    /// First index that the newest handshake made this process send; 0 before it.
    pub replay_from: u64,
    /// First commit that was really handed to the newest stream; 0 before the first.
    pub first_sent: u64,
    /// Commits sent to the executor since the start.
    pub sent_total: u64,
    /// Of those, dropped by it as already executed.
    pub duplicates_total: u64,
    /// Epoch.
    pub epoch: u64,
    /// Round of the threshold clock.
    pub round: u64,
    /// `authority`, `observer`, `stopped` or `amnesiac`; `unknown` for a newer node's word.
    pub role: &'static str,
    /// `connecting`, `replaying`, `live` or `stopped`; `unknown` for a newer node's word.
    pub executor_state: &'static str,
    /// Why the node or its stream has stopped; empty while it runs.
    pub stop_reason: String,
    /// The chain.
    pub chain_id: String,
    /// Index in the committee.
    pub authority: u32,
    /// Round of the newest committed leader.
    pub last_committed_round: u64,
    /// Highest round of own blocks.
    pub proposed_round: u64,
    /// Transactions in the pool.
    pub pooled_transactions: u64,
    /// Blocks that wait for ancestors.
    pub waiting_blocks: u64,
    /// Syncs of the store since the start.
    pub syncs_total: u64,
    /// Authorities whose block stream is not connected.
    pub disconnected_peers: Vec<u32>,
    /// Milliseconds for which a commit, or an own part in the commits, is waited for, where that is too long; 0 while all is
    /// well.
    pub stalled_ms: u64,
    /// Which of them: `no_commit` or `own_only`; empty while all is well, `unknown` for a newer node's word.
    pub stall_reason: &'static str,
    /// Milliseconds since the newest commit of this process; null before the first.
    pub last_commit_ms_ago: Option<u64>,
    /// What an amnesiac waits for; empty for others.
    pub start_waits_for: String,
    /// Newest commit that a quorum has voted for.
    pub certified_index: u64,
    /// Whether certified commits are fetched.
    pub catching_up: bool,
    /// Newest commit after which a quorum agrees on the state root; 0 before the first.
    pub agreed_root_index: u64,
    /// That root; empty before the first.
    pub agreed_root: String,
    /// The last time that a quorum contradicted the own executor; null if never.
    pub root_contradiction: Option<Contradiction>,
}

/// A state root of the own executor against that of a quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// Commit after which they differ.
    pub commit_index: u64,
    /// The executor's.
    pub own_root: String,
    /// The quorum's.
    pub agreed_root: String,
    /// The signed blocks with its votes.
    pub votes: Vec<Vote>,
}

/// A block, as one that votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vote {
    /// Who signed it.
    pub authority: u32,
    /// Its round.
    pub round: u64,
    /// Its digest.
    pub digest: String,
}

impl From<RootContradiction> for Contradiction {
    fn from(found: RootContradiction) -> Self {
        let vote = |block: BlockRef| Vote {
            authority: block.author,
            round: block.round,
            digest: hex::encode(block.digest),
        };
        Self {
            commit_index: found.commit_index,
            own_root: hex::encode(found.own_root),
            agreed_root: hex::encode(found.agreed_root),
            votes: found.votes.into_iter().map(vote).collect(),
        }
    }
}

impl From<GetStatusResponse> for Status {
    fn from(answer: GetStatusResponse) -> Self {
        Self {
            role: role_text(answer.role()),
            executor_state: executor_state_text(answer.executor_state()),
            commit_index: answer.commit_index,
            commit_digest: hex::encode(answer.commit_digest),
            earliest_index: answer.earliest_index,
            executed_index: answer.executed_index,
            executed_digest: hex::encode(answer.executed_digest),
            state_root: hex::encode(answer.state_root),
            replay_from: answer.replay_from,
            first_sent: answer.first_sent,
            sent_total: answer.sent_total,
            duplicates_total: answer.duplicates_total,
            epoch: answer.epoch,
            round: answer.round,
            stop_reason: answer.stop_reason,
            chain_id: hex::encode(answer.chain_id),
            authority: answer.authority,
            last_committed_round: answer.last_committed_round,
            proposed_round: answer.proposed_round,
            pooled_transactions: answer.pooled_transactions,
            waiting_blocks: answer.waiting_blocks,
            syncs_total: answer.syncs_total,
            disconnected_peers: answer.disconnected_peers,
            stall_reason: answer.stall.as_ref().map_or("", |stall| stall_text(stall.reason())),
            stalled_ms: answer.stall.map_or(0, |stall| stall.since_ms),
            last_commit_ms_ago: answer.last_commit_ms_ago,
            start_waits_for: answer.start_waits_for,
            certified_index: answer.certified_index,
            catching_up: answer.catching_up,
            agreed_root_index: answer.agreed_root_index,
            agreed_root: hex::encode(answer.agreed_root),
            root_contradiction: answer.root_contradiction.map(Contradiction::from),
        }
    }
}

const fn role_text(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Authority => "authority",
        NodeRole::Observer => "observer",
        NodeRole::Stopped => "stopped",
        NodeRole::Amnesiac => "amnesiac",
        NodeRole::Unspecified => "unknown",
    }
}

/// Others commit, and nothing of this node.
const OWN_ONLY: &str = "own_only";

const fn stall_text(reason: StallReason) -> &'static str {
    match reason {
        StallReason::NoCommit => "no_commit",
        StallReason::OwnOnly => OWN_ONLY,
        StallReason::Unspecified => "unknown",
    }
}

const fn executor_state_text(state: ExecutorState) -> &'static str {
    match state {
        ExecutorState::Connecting => "connecting",
        ExecutorState::Replaying => "replaying",
        ExecutorState::Live => "live",
        ExecutorState::Stopped => "stopped",
        ExecutorState::Unspecified => "unknown",
    }
}

pub(super) fn main(arguments: &StatusArguments, output: &mut dyn Write) -> ExitCode {
    match show(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

fn show(arguments: &StatusArguments, output: &mut dyn Write) -> Result<(), CallError> {
    let status: Status =
        call(&arguments.endpoint, async |mut client| client.get_status(GetStatusRequest {}).await)?.into();
    print(output, &if arguments.json { json(&status) } else { table(&status) })
}

fn json(status: &Status) -> String {
    let text = serde_json::to_string_pretty(status);
    text.expect("a struct of numbers and texts has a JSON form") + "\n"
}

fn table(status: &Status) -> String {
    let commit = format!("{}  {}", status.commit_index, short(&status.commit_digest));
    let executed = format!(
        "{}  {}  root {}",
        status.executed_index,
        short(&status.executed_digest),
        if status.state_root.is_empty() { "-" } else { short(&status.state_root) }
    );
    let behind = status.commit_index.saturating_sub(status.executed_index);
    let stream = format!(
        "{}  {behind} behind, sent {} from {} on, {} duplicates",
        status.executor_state, status.sent_total, status.replay_from, status.duplicates_total
    );
    let absent: Vec<_> = status.disconnected_peers.iter().map(ToString::to_string).collect();
    let stalled = match status.stalled_ms {
        0 => String::new(),
        waited_ms => {
            let what =
                if status.stall_reason == OWN_ONLY { "nothing of this node committed" } else { "no commit" };
            format!("{what} for {} s, see `explain`", waited_ms / 1_000)
        }
    };
    let catching_up = if status.catching_up { "  catching up" } else { "" };
    let certified = format!("{}{catching_up}", status.certified_index);
    let agreed = match status.agreed_root_index {
        0 => String::new(),
        index => format!("{index}  root {}", short(&status.agreed_root)),
    };
    let contradiction = status.root_contradiction.as_ref().map(|found| {
        let voters: Vec<_> = found.votes.iter().map(|vote| vote.authority.to_string()).collect();
        let (own, quorum) = (short(&found.own_root), short(&found.agreed_root));
        let index = found.commit_index;
        format!("at {index}: executor {own}, authorities {} {quorum}", voters.join(", "))
    });
    let rows = [
        ("authority", format!("{}  ({})", status.authority, status.role)),
        ("chain", status.chain_id.clone()),
        ("epoch, round", format!("{}, {}", status.epoch, status.round)),
        ("proposed", format!("round {}", status.proposed_round)),
        ("committed", format!("round {}", status.last_committed_round)),
        ("commit", commit),
        ("certified", certified),
        ("earliest", status.earliest_index.to_string()),
        ("executed", executed),
        ("agreed root", agreed),
        ("executor", stream),
        ("pool", format!("{} transactions", status.pooled_transactions)),
        ("waiting", format!("{} blocks", status.waiting_blocks)),
        ("not connected", absent.join(", ")),
        ("syncs", status.syncs_total.to_string()),
        ("stalled", stalled),
        ("waits for", status.start_waits_for.clone()),
        ("wrong root", contradiction.unwrap_or_default()),
        ("stopped", status.stop_reason.clone()),
    ];
    let shown = rows.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:<14}{value}\n")).collect()
}

/// Enough of a digest to tell it from others.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

#[cfg(test)]
mod tests;
