//! All checks, in the order in which they are taken.

/// One line of the tables.
macro_rules! row {
    ($name:literal, $ids:literal, $does:literal, $advice:literal, $check:path) => {
        crate::row::Row {
            name: $name,
            ids: $ids,
            does: $does,
            advice: $advice,
            check: |bench| Box::pin($check(bench)),
        }
    };
}

mod breaks;
mod delivery;
mod epochs;
mod handshake;
mod legacy;
mod malformed;
mod refusals;
mod senders;
mod window;

pub use legacy::{IDLE, UDS};

use crate::row::Row;

/// The checks of `executor.v1.ExecutorService`.
pub const GRPC: &[Row] = &[
    row!(
        "handshake",
        "X01 D03",
        "ask where a new master stands",
        "say block 0 with a digest of 32 zero bytes, epoch 0, the chain of genesis and, with a ledger, its root",
        handshake::handshake
    ),
    row!(
        "committee",
        "F05 F06",
        "ask for the committee of epoch 0, and for one that is not known",
        "answer by epoch, not by \"latest\", in the order of genesis; UNKNOWN_EPOCH for others",
        handshake::committee
    ),
    row!(
        "health",
        "X01",
        "ask grpc.health.v1",
        "set SERVING for \"\" and for the service's full name when the state is loaded, NOT_SERVING before",
        handshake::health
    ),
    row!(
        "reflection",
        "",
        "ask grpc.reflection.v1",
        "register reflection v1: operators call the master with grpcurl",
        handshake::reflection
    ),
    row!(
        "order",
        "D04 D06",
        "send 24 commits ahead, read acknowledgements and position",
        "acknowledge a commit when it is executed and durable, never those behind it; one global index",
        delivery::order
    ),
    row!(
        "duplicate",
        "D09 D16",
        "send executed commits again, on the same stream and on a new one",
        "keep digest, root and results by index, and answer from there with duplicate = true",
        delivery::duplicate
    ),
    row!(
        "in-flight",
        "D09",
        "send each commit twice at once",
        "compare with what is taken and not yet durable too, not only with what is executed",
        delivery::in_flight
    ),
    row!(
        "fork",
        "D07",
        "send another commit at an executed index",
        "compare the digest before a commit is called a duplicate; COMMIT_FORK, and keep what is there",
        refusals::fork
    ),
    row!(
        "gap",
        "D08",
        "send a commit whose index is not the next",
        "compare the index with last + 1; COMMIT_GAP with expected_index, never a jump or a hold",
        refusals::gap
    ),
    row!(
        "predecessor",
        "D07",
        "send the next index with another previous digest",
        "compare previous_digest with the digest of the last commit, in the transaction that executes",
        refusals::predecessor
    ),
    row!(
        "later-epoch",
        "E01",
        "send a commit of the next epoch before AdvanceEpoch",
        "compare the epoch with the one in force; WRONG_EPOCH",
        refusals::later_epoch
    ),
    row!(
        "opening",
        "X06 D08",
        "open a stream at another digest, and ahead of the master",
        "compare after_index and after_digest; a refused opening leaves the open stream alone",
        refusals::opening
    ),
    row!(
        "malformed",
        "D10",
        "send commits whose form is wrong, and bytes that are none",
        "check lengths, counts and marks before executing; MALFORMED_COMMIT at that index, never skip it",
        malformed::malformed
    ),
    row!(
        "stream-order",
        "D10",
        "send a commit before the opening, a second opening, empty messages",
        "the first message, and only the first, is the opening; MALFORMED_STREAM",
        malformed::stream_order
    ),
    row!(
        "oversize",
        "D15",
        "send a commit of max_commit_bytes, and larger ones",
        "set the decode limit to max_commit_bytes + 1 MiB (defaults are 4 MiB), and survive what is above",
        malformed::oversize
    ),
    row!(
        "incarnation",
        "D12 S01",
        "ask for incarnations, with kill -9 right after the answer",
        "store the incarnation before the opening is answered; issue the stored one plus 1",
        senders::incarnation
    ),
    row!(
        "fencing",
        "D12",
        "let a newer process open while the older one sends",
        "end the older stream with FENCED before the newer opening is answered; refuse lower incarnations",
        senders::fencing
    ),
    row!(
        "takeover",
        "D11",
        "open a second stream with the same incarnation",
        "one stream at a time: a new opening ends the one before it with FENCED",
        senders::takeover
    ),
    row!(
        "authority",
        "D12",
        "open as another authority",
        "record the authority of the first opening, durable, and refuse all others with WRONG_AUTHORITY",
        senders::authority
    ),
    row!(
        "chain",
        "X06",
        "open as a sender of another chain",
        "compare chain_id with that of genesis; WRONG_CHAIN",
        senders::chain
    ),
    row!(
        "hang-up",
        "D11 D05",
        "break connections with commits in flight, and take up again",
        "finish or drop what a broken stream sent before the next opening is answered with the position",
        breaks::hang_up
    ),
    row!(
        "freeze",
        "X08",
        "stop the process (SIGSTOP) with commits in flight, give up, let it go on",
        "what a stream sent whose client has gone is executed or dropped, never mixed with the next stream's",
        breaks::freeze
    ),
    row!(
        "quiet",
        "D17",
        "open a stream and send nothing for a while",
        "do not end a stream because nothing comes on it",
        window::quiet
    ),
    row!(
        "unread",
        "D17",
        "send many commits without reading an acknowledgement",
        "bound what is taken in commits and bytes; let HTTP/2 flow control hold back the rest",
        window::unread
    ),
    row!(
        "epoch-refused",
        "E03 F06",
        "call AdvanceEpoch too early, too far, backwards, with other digests",
        "the boundary is the last executed commit, by index and digest, and the epoch the next one",
        epochs::refused
    ),
    row!(
        "epoch",
        "E04 E02",
        "call AdvanceEpoch, again, and again after kill -9; execute in the new epoch",
        "make the epoch durable before answering; the epoch in force is answered with success, unchanged",
        epochs::advance
    ),
    row!(
        "restart",
        "X05 S01",
        "kill -9 when all is acknowledged, and compare",
        "index, digest, root, results and lease are one durable state, read back as a whole",
        breaks::restart
    ),
    row!(
        "kill",
        "X05 S01 D01 D05",
        "kill -9 at random points in mid-stream",
        "sync before you acknowledge, and before GetLastBlockNumber tells it",
        breaks::kill
    ),
    row!(
        "loading",
        "X02",
        "ask from the first moment of a start on",
        "ready = false, or no listener, until the state is loaded; never a position that is not yet known",
        breaks::loading
    ),
];
