//! What can be wrong with a master.

use clap::ValueEnum;

/// One promise of the contract that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// Keeps them all.
    None,
    /// Acknowledges what it has only in memory, and writes sixteen commits at once.
    AcknowledgesBeforeSync,
    /// Tells a position that it has only in memory; acknowledges in order.
    ReportsBeforeSync,
    /// Acknowledges a commit when it comes in, and executes it a little later.
    AcknowledgesBeforeExecuting,
    /// Takes any index above the last.
    AcceptsAGap,
    /// Takes the next index after any predecessor.
    IgnoresThePreviousDigest,
    /// Calls another commit at an executed index a duplicate.
    TakesForks,
    /// Executes a commit again that comes again.
    ExecutesDuplicatesAgain,
    /// Executes transactions that are marked as committed before.
    IgnoresDuplicateMarks,
    /// Gives another root than the ledger's from commit 20 on.
    WrongRoot,
    /// Keeps the incarnation in memory only.
    ForgetsTheIncarnation,
    /// Keeps executing what an older incarnation sends, and lets it come back.
    OldIncarnationGoesOn,
    /// Keeps executing what the stream sends that a newer one of the same incarnation has replaced.
    OldStreamGoesOn,
    /// Serves any authority.
    TakesAnyAuthority,
    /// Serves any chain.
    TakesAnyChain,
    /// Executes commits of any epoch.
    ExecutesAnyEpoch,
    /// Refuses AdvanceEpoch for the epoch that is in force already.
    AdvanceEpochNotIdempotent,
    /// Goes into the next epoch before its boundary is executed.
    AdvancesEarly,
    /// Keeps the epoch in memory only.
    ForgetsTheEpoch,
    /// Answers with the committee of today, whatever epoch is asked for.
    LatestCommittee,
    /// Says at its first question of each life that it is ready and has executed nothing.
    ReadyBeforeLoaded,
    /// Knows its number after a restart, but not the digest.
    PositionWithoutDigest,
    /// Has the digest of the commit before after a restart.
    OtherDigestAfterRestart,
    /// Has lost after a restart what it would answer to a commit that comes again.
    ForgetsResults,
    /// Goes past a commit whose form is wrong.
    SkipsMalformed,
    /// Ends with a message that is too large.
    DiesOnOversize,
    /// Keeps every commit that it ever got in memory.
    HoardsCommits,
    /// Its errors have the right codes and no reasons.
    UntypedErrors,
    /// Never says SERVING.
    NeverHealthy,
    /// Behind the framed protocol: makes no block of a commit without transactions, and counts none.
    IgnoresEmptyBlocks,
    /// Behind the framed protocol: answers a query after the one behind it.
    SwapsAnswers,
}
