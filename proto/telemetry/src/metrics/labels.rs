//! Closed sets of label values.

/// A label whose values are known when the program is written.
pub trait Label: Copy + 'static {
    /// Text of every value, in lower snake case.
    const TEXTS: &'static [&'static str];

    /// Text of this value.
    fn text(self) -> &'static str;
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
        }
    };
}

label! {
    /// Why a block of another authority is not accepted.
    BlockRejection {
        /// Its bytes cannot be decoded.
        Malformed = "malformed",
        /// Its signature is wrong.
        BadSignature = "bad_signature",
        /// Its author is not in the committee, or not who sent it.
        UnknownAuthority = "unknown_authority",
        /// It belongs to another chain or epoch.
        WrongChain = "wrong_chain",
        /// Its ancestors break the rules: quorum, order, own previous block.
        BadAncestors = "bad_ancestors",
        /// It exceeds a limit of bytes, transactions or ancestors.
        OverLimit = "over_limit",
        /// Its round is too far ahead or already garbage-collected.
        RoundOutOfRange = "round_out_of_range",
        /// Its timestamp is too far ahead.
        TimestampAhead = "timestamp_ahead",
        /// The waiting room for blocks with missing ancestors is full.
        WaitingRoomFull = "waiting_room_full",
        /// Any other rule of validity.
        Invalid = "invalid",
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
