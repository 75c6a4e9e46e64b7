//! Genesis and local parameters: each bound on both sides, all problems at once, and what the chain id covers.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeSet, time::Duration};

use consensus_core::{
    Epoch, Genesis, GenesisError, Params, ParamsError, ProtocolParameters, Timestamp, testkit,
};

type Change = fn(&mut ProtocolParameters, u64);

fn small(value: u64) -> u32 {
    u32::try_from(value).expect("a test value in range")
}

fn genesis(name: &str, parameters: ProtocolParameters) -> Result<Genesis, Vec<GenesisError>> {
    Genesis::new(name.to_owned(), Timestamp::from_millis(1), parameters, testkit::committee(&[1; 4]).0)
}

/// Field, least, greatest, how to set it. Other parameters stand at their defaults.
const FIELDS: [(&str, u64, u64, Change); 13] = [
    ("leaders_per_round", 1, 4, |p, v| p.leaders_per_round = u16::try_from(v).expect("small")),
    // Below twice `heartbeat_rounds` that one is out of range, so it moves along.
    ("gc_depth", 10, 10_000, |p, v| (p.gc_depth, p.heartbeat_rounds) = (v, 1)),
    ("heartbeat_interval_ms", 100, 3_600_000, |p, v| p.heartbeat_interval = Duration::from_millis(v)),
    ("heartbeat_rounds", 1, 30, |p, v| p.heartbeat_rounds = v),
    ("max_commit_transactions", 1, 1_000_000, |p, v| {
        (p.max_commit_transactions, p.max_block_transactions) = (small(v), 1);
    }),
    ("max_commit_bytes", 64 << 10, 64 << 20, |p, v| {
        (p.max_commit_bytes, p.max_block_bytes, p.max_transaction_bytes) = (v, 1024, 1);
    }),
    ("max_block_transactions", 1, 10_000, |p, v| p.max_block_transactions = small(v)),
    ("max_block_bytes", 1024, 4 << 20, |p, v| (p.max_block_bytes, p.max_transaction_bytes) = (v, 1)),
    ("max_transaction_bytes", 1, (2 << 20) - 128 - 16, |p, v| p.max_transaction_bytes = small(v)),
    ("duplicate_window_ms", 1, 3_600_000, |p, v| p.duplicate_window = Duration::from_millis(v)),
    ("max_duplicate_entries", 1, 10_000_000, |p, v| p.max_duplicate_entries = v),
    ("schedule_window_rounds", 10, 100_000, |p, v| p.schedule_window_rounds = v),
    ("root_interval", 1, 100_000, |p, v| p.root_interval = v),
];

#[test]
fn the_defaults_are_in_range() {
    assert!(genesis("test", ProtocolParameters::default()).is_ok());
}

#[test]
fn each_genesis_parameter_holds_its_bounds() {
    for (field, minimum, maximum, set) in FIELDS {
        let with = |value| {
            let mut parameters = ProtocolParameters::default();
            set(&mut parameters, value);
            genesis("test", parameters)
        };
        for value in [minimum, maximum] {
            assert!(with(value).is_ok(), "{field} {value}: {:?}", with(value).err());
        }
        for value in [minimum - 1, maximum + 1] {
            let problems = with(value).expect_err(field);
            let problem = problems.iter().find(|problem| problem.field == field);
            assert_eq!(problem, Some(&GenesisError { field, value, minimum, maximum }));
        }
    }
}

#[test]
fn the_network_name_has_1_to_64_bytes() {
    let with = |length| genesis(&"n".repeat(length), ProtocolParameters::default());
    let refused = |value| vec![GenesisError { field: "name bytes", value, minimum: 1, maximum: 64 }];
    assert_eq!(with(0).err(), Some(refused(0)));
    assert!(with(1).is_ok());
    assert!(with(64).is_ok());
    assert_eq!(with(65).err(), Some(refused(65)));
}

#[test]
fn bounds_follow_the_committee_and_each_other() {
    let (one, _) = testkit::committee(&[1]);
    let parameters = ProtocolParameters { leaders_per_round: 2, ..ProtocolParameters::default() };
    let problems =
        Genesis::new("test".to_owned(), Timestamp::from_millis(1), parameters, one).expect_err("two");
    let expected = GenesisError { field: "leaders_per_round", value: 2, minimum: 1, maximum: 1 };
    assert_eq!(problems, [expected]);

    let odd = ProtocolParameters { gc_depth: 21, heartbeat_rounds: 11, ..ProtocolParameters::default() };
    let expected = GenesisError { field: "heartbeat_rounds", value: 11, minimum: 1, maximum: 10 };
    assert_eq!(genesis("test", odd).expect_err("half of 21 is 10"), [expected]);
}

/// All commits of a group name all its leaders, and must still fit a message.
#[test]
fn d15_the_leaders_of_a_group_are_bounded() {
    let with = |heartbeat_rounds| {
        let parameters = ProtocolParameters {
            leaders_per_round: 4,
            gc_depth: 10_000,
            heartbeat_rounds,
            ..ProtocolParameters::default()
        };
        genesis("test", parameters)
    };
    assert!(with(2_500).is_ok());
    let field = "heartbeat_rounds * leaders_per_round";
    let expected = GenesisError { field, value: 10_004, minimum: 0, maximum: 10_000 };
    assert_eq!(with(2_501).expect_err("too many"), [expected]);
}

#[test]
fn every_genesis_problem_is_listed() {
    let wrong = ProtocolParameters {
        leaders_per_round: 0,
        gc_depth: 0,
        heartbeat_interval: Duration::ZERO,
        heartbeat_rounds: 0,
        max_commit_transactions: 0,
        max_commit_bytes: 0,
        max_block_transactions: 0,
        max_block_bytes: 0,
        max_transaction_bytes: 0,
        duplicate_window: Duration::ZERO,
        max_duplicate_entries: 0,
        schedule_window_rounds: 0,
        root_interval: 0,
    };
    let problems = genesis("", wrong).expect_err("all wrong");
    let fields: Vec<_> = problems.iter().map(|problem| problem.field).collect();
    assert_eq!(fields, ["name bytes"].into_iter().chain(FIELDS.map(|(field, ..)| field)).collect::<Vec<_>>());
    assert_eq!(problems[1].to_string(), "leaders_per_round is 0, allowed is 1 to 4");
}

#[test]
fn the_chain_id_covers_every_parameter_name_time_and_committee() {
    let mut chain_ids = BTreeSet::new();
    let mut add = |genesis: Result<Genesis, _>| assert!(chain_ids.insert(genesis.expect("valid").chain_id()));
    let defaults = ProtocolParameters::default;
    add(genesis("test", defaults()));
    add(genesis("other", defaults()));
    let committee = |stakes| testkit::committee(stakes).0;
    let at = Timestamp::from_millis;
    add(Genesis::new("test".to_owned(), at(2), defaults(), committee(&[1; 4])));
    add(Genesis::new("test".to_owned(), at(1), defaults(), committee(&[1, 1, 1, 2])));
    let later = consensus_core::Committee::new(Epoch::new(1), committee(&[1; 4]).authorities().to_vec());
    add(Genesis::new("test".to_owned(), at(1), defaults(), later.expect("valid")));
    for changed in [
        ProtocolParameters { leaders_per_round: 2, ..defaults() },
        ProtocolParameters { gc_depth: 61, ..defaults() },
        ProtocolParameters { heartbeat_interval: Duration::from_millis(4_999), ..defaults() },
        ProtocolParameters { heartbeat_rounds: 21, ..defaults() },
        ProtocolParameters { max_commit_transactions: 9_999, ..defaults() },
        ProtocolParameters { max_commit_bytes: (4 << 20) + 1, ..defaults() },
        ProtocolParameters { max_block_transactions: 4_999, ..defaults() },
        ProtocolParameters { max_block_bytes: (2 << 20) + 1, ..defaults() },
        ProtocolParameters { max_transaction_bytes: (512 << 10) + 1, ..defaults() },
        ProtocolParameters { duplicate_window: Duration::from_millis(59_999), ..defaults() },
        ProtocolParameters { max_duplicate_entries: 499_999, ..defaults() },
        ProtocolParameters { schedule_window_rounds: 121, ..defaults() },
        ProtocolParameters { root_interval: 99, ..defaults() },
    ] {
        add(genesis("test", changed));
    }
}

#[test]
fn each_local_parameter_holds_its_bounds() {
    let (genesis, _) = testkit::genesis(4);
    type Set = fn(&mut Params, u64);
    let least_waiting = ((2 << 20) + (64 << 10)) * 4;
    let fields: [(&str, u64, u64, Set); 10] = [
        ("leader_timeout_ms", 10, 60_000, |p, v| p.leader_timeout = Duration::from_millis(v)),
        ("min_round_interval_ms", 0, 10_000, |p, v| p.min_round_interval = Duration::from_millis(v)),
        ("idle_delay_ms", 0, 1_666, |p, v| p.idle_delay = Duration::from_millis(v)),
        ("fetch_timeout_ms", 10, 60_000, |p, v| p.fetch_timeout = Duration::from_millis(v)),
        ("max_waiting_blocks", 40, 10_000_000, |p, v| {
            p.max_waiting_blocks = usize::try_from(v).expect("small");
        }),
        ("max_waiting_bytes", least_waiting, u64::MAX, |p, v| p.max_waiting_bytes = v),
        ("max_rounds_ahead", 10, 10_000, |p, v| p.max_rounds_ahead = v),
        ("max_pool_transactions", 1, 10_000_000, |p, v| {
            p.max_pool_transactions = usize::try_from(v).expect("small");
        }),
        ("max_pool_bytes", (512 << 10) + 16, u64::MAX, |p, v| p.max_pool_bytes = v),
        ("transaction_lifetime_ms", 100, 86_400_000, |p, v| {
            p.transaction_lifetime = Duration::from_millis(v);
        }),
    ];
    for (field, minimum, maximum, set) in fields {
        let with = |value| {
            let mut params = Params::default();
            set(&mut params, value);
            params.validate(&genesis)
        };
        assert_eq!(with(minimum), Ok(()), "{field}");
        assert_eq!(with(maximum), Ok(()), "{field}");
        for value in [minimum.checked_sub(1), maximum.checked_add(1)].into_iter().flatten() {
            assert_eq!(with(value), Err(vec![ParamsError { field, value, minimum, maximum }]));
        }
    }
}

#[test]
fn every_local_problem_is_listed() {
    let (genesis, _) = testkit::genesis(4);
    let wrong = Params {
        leader_timeout: Duration::ZERO,
        min_round_interval: Duration::MAX,
        idle_delay: Duration::MAX,
        fetch_timeout: Duration::ZERO,
        max_waiting_blocks: 0,
        max_waiting_bytes: 0,
        max_rounds_ahead: 0,
        max_pool_transactions: 0,
        max_pool_bytes: 0,
        transaction_lifetime: Duration::ZERO,
    };
    assert_eq!(wrong.validate(&genesis).expect_err("all wrong").len(), 10);
    assert_eq!(Params::default().validate(&genesis), Ok(()));
}
