//! The reference ledger: accounts, nonces and signed transfers, pure.
