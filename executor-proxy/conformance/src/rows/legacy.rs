//! All checks of the framed protocol, in the order in which they are taken.

mod blocks;
mod epochs;
mod queries;

use crate::row::Row;

/// The row that waits for connections to be closed: only where the command was told to close them soon.
pub const IDLE: &str = "idle";

/// The checks of the framed protocol.
pub const UDS: &[Row] = &[
    row!(
        "handshake",
        "X01",
        "ask a new master for its last block",
        "say 0 and, where is_ready means something, true",
        queries::handshake
    ),
    row!(
        "validators",
        "F05 F06",
        "ask for the validators of block 0, of today, and of a block that is not there",
        "block 0 answers from genesis, with keys as base64 or bytes; a block above the last is an error",
        queries::at_block
    ),
    row!(
        "queries",
        "D13",
        "send four queries at once",
        "answer one after the other, in order: no number says which answer is whose",
        queries::in_order
    ),
    row!(
        "late-answer",
        "D13",
        "give a query up while the process stands still (SIGSTOP), and ask on a new connection",
        "an answer goes out on the connection of its query, and on no other",
        queries::late
    ),
    row!(
        "query-framing",
        "D13",
        "send lengths and bytes that are no query",
        "bound the length before reading; close the connection, go on with others",
        queries::framing
    ),
    row!(
        "order",
        "D04 X05",
        "send 16 blocks, empty ones among them, each when the one before is reported",
        "count empty blocks too; report a number when it is executed, never above what came",
        blocks::order
    ),
    row!(
        "resend",
        "D09",
        "send blocks again that are executed",
        "drop what is at or below the last, in silence",
        blocks::resend
    ),
    row!(
        "ahead",
        "D08",
        "send a block above the next one",
        "hold it or drop it; a number never jumps over one that is missing",
        blocks::ahead
    ),
    row!(
        "in-pieces",
        "D05",
        "end connections within a block, and send one byte by byte",
        "execute whole frames only, and drop what a connection has left when it ends",
        blocks::in_pieces
    ),
    row!(
        "block-framing",
        "D10",
        "send lengths and bytes that are no block",
        "close the connection; nothing behind what cannot be read is executed",
        blocks::framing
    ),
    row!(
        "two-feeds",
        "D12",
        "send blocks on two connections",
        "compare-and-set on the number, whichever connection brings the block",
        blocks::two
    ),
    row!(
        "hang-up",
        "D11 D05",
        "end connections behind a block, and send it again",
        "a block of a connection that has gone is executed once or not at all",
        blocks::hang_up
    ),
    row!(
        "freeze",
        "X08",
        "stop the process (SIGSTOP) behind a block, give up, let it go on",
        "a block of a connection that has gone is executed once or not at all",
        blocks::freeze
    ),
    row!(
        "idle",
        "D14",
        "wait until silent connections are closed, and connect anew",
        "close connections that are silent, lose nothing",
        blocks::idle
    ),
    row!(
        "epoch",
        "E04 E02",
        "call AdvanceEpoch, again, backwards, and again after kill -9",
        "equal is fine and changes nothing, backwards is an error; the epoch is durable",
        epochs::epoch
    ),
    row!(
        "restart",
        "X05 S01 X02",
        "kill -9 twice, and compare what is reported",
        "report after a restart what is durable, and only that",
        blocks::restart
    ),
    row!(
        "kill",
        "X05 S01 D01",
        "kill -9 at random points behind a block",
        "number and state are one durable write; a number that is not reported after a restart is executed again",
        blocks::kill
    ),
];
