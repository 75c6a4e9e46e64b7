//! The table of all metrics.

use super::{
    Kind, Metric,
    instrument::{Counter, Gauge, Histogram, Instrument, LabelledCounter, ObservedGauge},
    labels::{BlockRejection, FetchResult, Label, TransactionDrop, TransactionRefusal},
};
use opentelemetry::metrics::Meter;

/// Bounds for what a user waits for: from idle loopback to a network in trouble.
const LATENCY: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0,
    10.0, 30.0,
];
/// Bounds for one sync of the disk or one execution.
const STEP: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5,
    10.0,
];

/// Declares a struct of instruments and the table of their metrics together.
macro_rules! catalogue {
    (
        $(#[$doc:meta])* $name:ident, $(#[$table_doc:meta])* $table:ident {
            $($field:ident: $instrument:ty = $kind:expr, $metric:literal, $unit:literal, $description:literal
                $(, by $label:ty)?;)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $(#[doc = $description] pub $field: $instrument,)+
        }

        $(#[$table_doc])*
        pub const $table: &[Metric] = &[
            $(Metric {
                name: $metric,
                unit: $unit,
                description: $description,
                kind: $kind,
                reasons: catalogue!(@reasons $($label)?),
            },)+
        ];

        impl $name {
            /// Creates all instruments. Once a process and service: a second set would count apart.
            pub fn new(meter: &Meter) -> Self {
                let mut metrics = $table.iter();
                let mut next = || metrics.next().expect("the table has one metric a field");
                Self { $($field: <$instrument as Instrument>::build(meter, next()),)+ }
            }
        }
    };
    (@reasons) => { &[] };
    (@reasons $label:ty) => { <$label as Label>::TEXTS };
}

catalogue! {
    /// Metrics of consensus-svc.
    ConsensusMetrics,
    /// Declarations of [`ConsensusMetrics`], in order of its fields.
    CONSENSUS {
        round: Gauge = Kind::Gauge, "metanode.consensus.round", "{round}",
            "Highest round that this authority has reached.";
        last_committed_round: Gauge = Kind::Gauge, "metanode.consensus.last_committed_round", "{round}",
            "Round of the last committed leader.";
        commit_index: Gauge = Kind::Gauge, "metanode.consensus.commit_index", "{commit}",
            "Index of the last durable commit.";
        certified_index: Gauge = Kind::Gauge, "metanode.consensus.certified_index", "{commit}",
            "Highest commit that a quorum has voted for, or that came certified.";
        votes_held: Gauge = Kind::Gauge, "metanode.consensus.votes.held", "{vote}",
            "Votes held for commits that are not certified.";
        evidence_held: Gauge = Kind::Gauge, "metanode.consensus.evidence.held", "{proof}",
            "Proofs of equivocation kept in this epoch.";
        agreed_root_index: Gauge = Kind::Gauge, "metanode.consensus.agreed_root_index", "{commit}",
            "Newest commit after which a quorum agrees on the state root.";
        root_votes_held: Gauge = Kind::Gauge, "metanode.consensus.root_votes.held", "{vote}",
            "Votes for state roots that wait for a quorum, and own state roots that wait.";
        root_contradicted: Gauge = Kind::Gauge, "metanode.consensus.root_contradicted", "{executor}",
            "1 once a quorum contradicts the state root of the own executor in this process.";
        conflicting_root_votes: Counter = Kind::Counter, "metanode.consensus.root_votes.conflicting", "{vote}",
            "Votes for a state root by authorities that had voted for another one at the same commit.";
        dissenting_root_votes: Counter = Kind::Counter, "metanode.consensus.root_votes.dissenting", "{vote}",
            "Votes for another state root than the agreed one.";
        blocks_accepted: Counter = Kind::Counter, "metanode.consensus.blocks.accepted", "{block}",
            "Blocks of other authorities accepted into the DAG.";
        blocks_rejected: LabelledCounter<BlockRejection> = Kind::Counter, "metanode.consensus.blocks.rejected",
            "{block}", "Blocks, and messages in place of blocks, of other authorities that were not accepted, by reason.", by BlockRejection;
        blocks_proposed: Counter = Kind::Counter, "metanode.consensus.blocks.proposed", "{block}",
            "Own blocks proposed.";
        waiting_blocks: Gauge = Kind::Gauge, "metanode.consensus.blocks.waiting", "{block}",
            "Blocks that wait for missing ancestors.";
        waiting_bytes: Gauge = Kind::Gauge, "metanode.consensus.blocks.waiting_size", "By",
            "Bytes of the blocks that wait for missing ancestors.";
        peer_events: Gauge = Kind::Gauge, "metanode.consensus.driver.peer_events", "{event}",
            "Events of other authorities that wait for the machine.";
        submissions: Gauge = Kind::Gauge, "metanode.consensus.driver.submissions", "{batch}",
            "Batches of transactions that wait for the machine.";
        executor_words: Gauge = Kind::Gauge, "metanode.consensus.driver.executor_words", "{root}",
            "State roots of the executor that wait for the machine.";
        effects: Gauge = Kind::Gauge, "metanode.consensus.driver.effects", "{effect}",
            "Effects of the machine that wait for what is ahead of them to be durable.";
        batches_in_flight: Gauge = Kind::Gauge, "metanode.consensus.driver.batches", "{batch}",
            "Batches on their way to the disk.";
        waits: Gauge = Kind::Gauge, "metanode.consensus.submit.waits", "{transaction}",
            "Transactions that a call of Submit waits for.";
        watches: Gauge = Kind::Gauge, "metanode.consensus.submit.watches", "{transaction}",
            "Transactions that are watched.";
        commit_streams: ObservedGauge = Kind::Gauge, "metanode.consensus.api.commit_streams", "{stream}",
            "Readers of StreamCommits.";
        commit_answers: ObservedGauge = Kind::Gauge, "metanode.consensus.api.commit_answers", "{answer}",
            "Answers of GetCommit and GetCommitRange that their readers have not taken yet.";
        node_answers: ObservedGauge = Kind::Gauge, "metanode.consensus.api.node_answers", "{answer}",
            "Answers of Explain and ListEquivocations that are composed, or that their readers have not taken yet.";
        connections: ObservedGauge = Kind::Gauge, "metanode.consensus.api.connections", "{connection}",
            "Connections to the API.";
        incomplete_bytes: ObservedGauge = Kind::Gauge, "metanode.consensus.api.incomplete_size", "By",
            "Bytes of messages to the API that are not complete, without the first KiB of each call.";
        fetch_requests: Counter = Kind::Counter, "metanode.consensus.fetch.requests", "{request}",
            "Fetches of missing blocks sent to other authorities.";
        fetch_answers: LabelledCounter<FetchResult> = Kind::Counter, "metanode.consensus.fetch.answers", "{answer}",
            "Fetches of missing blocks that ended or were overdue, by result.", by FetchResult;
        catch_ups: Counter = Kind::Counter, "metanode.consensus.catch_up.begun", "{catch_up}",
            "Times that this authority was too far behind to go on by blocks and began to fetch certified commits.";
        ranges: Counter = Kind::Counter, "metanode.consensus.catch_up.ranges", "{range}",
            "Ranges of certified commits that this authority fetched and took over.";
        leader_timeouts: Counter = Kind::Counter, "metanode.consensus.leader.timeouts", "{timeout}",
            "Own blocks proposed without a leader of the round before, which did not come in time.";
        leaders_skipped: Counter = Kind::Counter, "metanode.consensus.leader.skipped", "{slot}",
            "Leader slots decided as skipped.";
        equivocations: Counter = Kind::Counter, "metanode.consensus.equivocations", "{block}",
            "Second blocks of an authority for a slot.";
        commit_latency: Histogram = Kind::Histogram(LATENCY), "metanode.consensus.commit.latency", "s",
            "Time from the timestamp of an own block until its commit is durable.";
        transactions_submitted: Counter = Kind::Counter, "metanode.consensus.transactions.submitted",
            "{transaction}", "Transactions taken into the pool.";
        transactions_refused: LabelledCounter<TransactionRefusal> = Kind::Counter,
            "metanode.consensus.transactions.refused", "{transaction}",
            "Transactions not taken into the pool, by reason.", by TransactionRefusal;
        transactions_dropped: LabelledCounter<TransactionDrop> = Kind::Counter,
            "metanode.consensus.transactions.dropped", "{transaction}",
            "Accepted transactions that this authority gave up, by reason.", by TransactionDrop;
        transactions_committed: Counter = Kind::Counter, "metanode.consensus.transactions.committed",
            "{transaction}", "Transactions in durable commits, of all authorities, duplicates included.";
        pool_transactions: Gauge = Kind::Gauge, "metanode.consensus.pool.transactions", "{transaction}",
            "Transactions in the pool.";
        pool_bytes: Gauge = Kind::Gauge, "metanode.consensus.pool.size", "By",
            "Bytes of the transactions in the pool.";
        storage_sync_duration: Histogram = Kind::Histogram(STEP), "metanode.consensus.storage.sync.duration", "s",
            "Time of one sync of the store; its count is the number of syncs.";
        storage_batches: Counter = Kind::Counter, "metanode.consensus.storage.batches", "{batch}",
            "Batches made durable; over the number of syncs it is the size of a group.";
        executed_index: Gauge = Kind::Gauge, "metanode.consensus.executor.executed_index", "{commit}",
            "Index of the last commit that the executor told as executed, at a handshake or by acknowledging.";
        executor_lag: Gauge = Kind::Gauge, "metanode.consensus.executor.lag", "{commit}",
            "Durable commits that the executor has not acknowledged.";
        commits_sent: Counter = Kind::Counter, "metanode.consensus.executor.commits_sent", "{commit}",
            "Commits sent to the executor, replay included.";
        commits_in_flight: Gauge = Kind::Gauge, "metanode.consensus.executor.in_flight", "{commit}",
            "Commits sent on the open stream and not acknowledged.";
        executor_duplicates: Counter = Kind::Counter, "metanode.consensus.executor.duplicates", "{commit}",
            "Commits that the executor had executed before.";
        handshakes: Counter = Kind::Counter, "metanode.consensus.executor.handshakes", "{handshake}",
            "Handshakes with the executor that ended in an open stream.";
    }
}

catalogue! {
    /// Metrics of executor-proxy.
    ExecutorMetrics,
    /// Declarations of [`ExecutorMetrics`], in order of its fields.
    EXECUTOR {
        connections: ObservedGauge = Kind::Gauge, "metanode.executor.api.connections", "{connection}",
            "Connections to the API.";
        executed_index: Gauge = Kind::Gauge, "metanode.executor.executed_index", "{commit}",
            "Index of the last commit that is executed and durable.";
        execution_duration: Histogram = Kind::Histogram(STEP), "metanode.executor.execution.duration", "s",
            "Time from a commit in its turn until its execution is durable.";
        transactions_executed: Counter = Kind::Counter, "metanode.executor.transactions.executed", "{transaction}",
            "Transactions executed with effect.";
        transactions_rejected: Counter = Kind::Counter, "metanode.executor.transactions.rejected", "{transaction}",
            "Transactions recorded as rejected, with a code and a reason.";
        commits_executed: Counter = Kind::Counter, "metanode.executor.commits.executed", "{commit}",
            "Commits executed by this process.";
        duplicates: Counter = Kind::Counter, "metanode.executor.commits.duplicates", "{commit}",
            "Commits that came again and were not executed again.";
        gaps: Counter = Kind::Counter, "metanode.executor.commits.gaps", "{commit}",
            "Commits and openings refused because an earlier commit is missing.";
        fences: Counter = Kind::Counter, "metanode.executor.streams.fenced", "{stream}",
            "Streams ended, and openings refused, because a newer one had taken over.";
        sync_duration: Histogram = Kind::Histogram(STEP), "metanode.executor.storage.sync.duration", "s",
            "Time of one sync of the store; its count is the number of syncs.";
    }
}
