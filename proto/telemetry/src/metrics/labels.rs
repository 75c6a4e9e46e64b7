//! Closed sets of label values.

/// A label whose values are known when the program is written.
pub trait Label: Copy + 'static {
    /// Text of every value, in lower snake case.
    const TEXTS: &'static [&'static str];

    /// Text of this value.
    fn text(self) -> &'static str;

    /// The value with this text.
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$value_doc])* $value,)+
        }

        impl Label for $name {
            const TEXTS: &'static [&'static str] = &[$($text),+];

            fn text(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }

            fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$value),)+
                    _ => None,
                }
            }
        }
    };
}

label! {
    /// Why what another authority sent as a block is not accepted. The texts are those by which `consensus_core` and the peer
    /// network of consensus-svc name the fault.
    BlockRejection {
        /// It cannot be decoded, or its message is not what the contract says.
        Malformed = "malformed",
        /// It exceeds a limit of bytes.
        Oversized = "oversized",
        /// It belongs to another chain.
        WrongChain = "wrong_chain",
        /// It belongs to another epoch.
        WrongEpoch = "wrong_epoch",
        /// Its author, or that of an ancestor, is not in the committee.
        UnknownAuthority = "unknown_authority",
        /// Its signature is wrong.
        BadSignature = "bad_signature",
        /// Any other rule of validity, such as those of its ancestors.
        Invalid = "invalid",
        /// It was streamed by another authority than its author.
        WrongAuthor = "wrong_author",
        /// It was streamed after one of the same or a higher round.
        StreamOrder = "stream_order",
        /// It came in answer to a fetch that did not ask for it, or twice.
        Unrequested = "unrequested",
        /// Its round is too far ahead.
        TooFarAhead = "too_far_ahead",
        /// Its author's share of the room for blocks with missing ancestors is full.
        WaitingRoomFull = "waiting_room_full",
        /// It waited for an ancestor that none of the peers asked has.
        AncestorNotFound = "ancestor_not_found",
    }
}

label! {
    /// How a fetch of missing blocks ended.
    FetchResult {
        /// It brought at least one block that was asked for.
        Useful = "useful",
        /// The peer holds none of them.
        Empty = "empty",
        /// No connection, a refusal, an answer that was at fault, or a peer's quota.
        Failed = "failed",
        /// There was no answer within the time-out; one that comes later is not counted again.
        Overdue = "overdue",
    }
}

label! {
    /// Why a transaction is not taken into the pool.
    TransactionRefusal {
        /// The pool has no room.
        PoolFull = "pool_full",
        /// The executor is too far behind.
        ExecutorLags = "executor_lags",
        /// One with this digest waits already.
        Pooled = "pooled",
        /// It is empty or over the limit of bytes.
        InvalidSize = "invalid_size",
        /// This authority does not propose.
        NotProposing = "not_proposing",
        /// The service shuts down.
        Draining = "draining",
    }
}

label! {
    /// Why an accepted transaction is given up.
    TransactionDrop {
        /// Its lifetime ended while it waited to be proposed.
        Expired = "expired",
        /// Its block was collected uncommitted, after its lifetime had ended.
        NotReproposed = "not_reproposed",
    }
}
