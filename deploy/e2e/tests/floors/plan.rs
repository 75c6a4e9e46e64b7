//! The plan, in one place. A new crate is added here, together with the workspace's `members`.

/// The floor of each crate of the workspace.
pub(crate) const FLOORS: [(&str, u8); 15] = [
    ("metanode-proto", 0),
    ("metanode-telemetry", 0),
    // What both services and the client share, since none of them may import another: not part of the contract.
    ("metanode-shell", 0),
    ("metanode-client", 1),
    ("consensus-core", 1),
    // Runs the core in a virtual world; nothing is built on it.
    ("consensus-sim", 1),
    ("sequencer-core", 1),
    ("reference-ledger", 1),
    ("consensus-svc", 2),
    ("executor-proxy", 2),
    // Wires a master to the whole of its contract, and starts the proxy as one in its tests.
    ("executor-conformance", 3),
    ("fault-proxy", 3),
    ("loadgen", 3),
    ("localnet", 3),
    ("e2e", 3),
];

/// Imports within a floor that are allowed: from, to.
pub(crate) const WITHIN_A_FLOOR: [(&str, &str); 7] = [
    ("metanode-telemetry", "metanode-proto"),
    ("metanode-shell", "metanode-proto"),
    ("consensus-sim", "consensus-core"),
    ("localnet", "loadgen"),
    ("e2e", "localnet"),
    ("e2e", "loadgen"),
    ("e2e", "fault-proxy"),
];

/// Crates without clock, IO, threads, async or randomness.
pub(crate) const PURE: [&str; 4] = ["consensus-core", "consensus-sim", "sequencer-core", "reference-ledger"];

/// What no pure crate may be built from.
pub(crate) const NOT_PURE: [&str; 16] = [
    "async-std",
    "chrono",
    "futures-executor",
    "getrandom",
    "hyper",
    "mio",
    "rand",
    "rayon",
    "reqwest",
    "sled",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tonic",
];

/// Names on the top level, beside dotfiles and lock files.
pub(crate) const TOP_LEVEL: [&str; 6] =
    ["Cargo.toml", "proto", "consensus-svc", "executor-proxy", "deploy", "README.md"];

/// May stand on top as well: the licence, and what cargo builds into.
pub(crate) const TOLERATED: [&str; 2] = ["LICENSE", "target"];
