//! An explanation as one JSON object, for programs: the fields of the contract under their names, enums as lower-case words.

use metanode_proto::consensus::v1::{
    BlockRef, DecisionExplanation, ExecutorExplanation, ExplainResponse, Fork, LeaderSlot, MissingBlock,
    PeerExplanation, ProposalExplanation, SlotExplanation, Stall, Support,
};
use serde_json::{Value, json};

/// The object.
pub(super) fn of(explained: &ExplainResponse) -> Value {
    json!({
        "machine_silent": explained.machine_silent,
        "stall": explained.stall.as_ref().map(stall),
        "proposal": explained.proposal.as_ref().map(proposal),
        "slots": explained.slots.iter().map(slot).collect::<Vec<_>>(),
        "decisions": explained.decisions.iter().map(decision).collect::<Vec<_>>(),
        "missing": explained.missing.iter().map(missing).collect::<Vec<_>>(),
        "peers": explained.peers.iter().map(peer).collect::<Vec<_>>(),
        "executor": explained.executor.as_ref().map(executor),
    })
}

/// The part of an enum's name in the contract that says something.
pub(super) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

fn stall(stall: &Stall) -> Value {
    json!({
        "since_ms": stall.since_ms,
        "pooled_transactions": stall.pooled_transactions,
        "uncommitted_blocks": stall.uncommitted_blocks,
        "rounds_behind": stall.rounds_behind,
        "reason": word(stall.reason().as_str_name(), "STALL_REASON_"),
        "waits_for": stall.waits_for,
    })
}

fn proposal(proposal: &ProposalExplanation) -> Value {
    json!({
        "round": proposal.round,
        "reason": word(proposal.reason().as_str_name(), "PROPOSAL_REASON_"),
        "support": proposal.support.as_ref().map(support),
        "remaining_ms": proposal.remaining_ms,
        "missing_leaders": proposal.missing_leaders,
        "ahead": proposal.ahead,
        "unknown_own_block": proposal.unknown_own_block.as_ref().map(block),
        "fork": proposal.fork.as_ref().map(fork),
    })
}

/// No own digest where this node can form no commit there.
fn fork(fork: &Fork) -> Value {
    let own = Some(&fork.own_digest).filter(|own| !own.is_empty());
    json!({
        "index": fork.index,
        "own_digest": own.map(hex::encode),
        "certified_digest": hex::encode(&fork.certified_digest),
    })
}

fn slot(slot: &SlotExplanation) -> Value {
    json!({
        "slot": slot.slot.as_ref().map(leader_slot),
        "authority": slot.authority,
        "reason": word(slot.reason().as_str_name(), "SLOT_REASON_"),
        "block": slot.block.as_ref().map(block),
        "support": slot.support.as_ref().map(support),
        "anchor": slot.anchor.as_ref().map(leader_slot),
    })
}

fn decision(decision: &DecisionExplanation) -> Value {
    json!({
        "slot": decision.slot.as_ref().map(leader_slot),
        "authority": decision.authority,
        "reason": word(decision.reason().as_str_name(), "DECISION_REASON_"),
        "block": decision.block.as_ref().map(block),
        "stake": decision.stake,
        "anchor": decision.anchor.as_ref().map(leader_slot),
    })
}

fn missing(missing: &MissingBlock) -> Value {
    json!({
        "block": missing.block.as_ref().map(block),
        "needed_by": missing.needed_by,
        "asked": missing.asked,
    })
}

fn peer(peer: &PeerExplanation) -> Value {
    let faults: serde_json::Map<_, _> =
        peer.faults.iter().map(|fault| (fault.label.clone(), Value::from(fault.count))).collect();
    json!({
        "authority": peer.authority,
        "highest_round": peer.highest_round,
        "seen_round": peer.seen_round,
        "connected": peer.connected,
        "heard_ms_ago": peer.heard_ms_ago,
        "faults": faults,
        "last_loss": peer.last_loss,
    })
}

fn executor(executor: &ExecutorExplanation) -> Value {
    json!({
        "state": word(executor.state().as_str_name(), "EXECUTOR_STATE_"),
        "step": word(executor.step().as_str_name(), "EXECUTOR_STEP_"),
        "step_ms": executor.step_ms,
        "commit_index": executor.commit_index,
        "executed_index": executor.executed_index,
        "failure": executor.failure,
    })
}

fn support(support: &Support) -> Value {
    json!({
        "stake": support.stake,
        "quorum": support.quorum,
        "silent": support.silent,
        "against": support.against,
    })
}

fn leader_slot(slot: &LeaderSlot) -> Value {
    json!({ "round": slot.round, "offset": slot.offset })
}

fn block(block: &BlockRef) -> Value {
    json!({ "round": block.round, "author": block.author, "digest": hex::encode(&block.digest) })
}
