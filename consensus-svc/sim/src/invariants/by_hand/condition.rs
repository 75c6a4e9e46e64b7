//! What machines show of themselves, and where they stand at the end.

use std::collections::BTreeSet;

use consensus_core::{CoreStatus, FetchStatus, Params, Round};

use super::hand;
use crate::invariants::{Kind, Record, Standing};

#[test]
fn t06_each_queue_over_its_bound_breaks_bounded_memory() {
    let base = CoreStatus::default();
    let params = Params::default();
    let over = [
        CoreStatus { dag_blocks: 17, ..base.clone() },
        CoreStatus { waiting_blocks: params.max_waiting_blocks + 1, ..base.clone() },
        CoreStatus { waiting_bytes: params.max_waiting_bytes + 1, ..base.clone() },
        CoreStatus { missing_blocks: params.max_waiting_blocks * 4 + 1, ..base.clone() },
        CoreStatus { round: Round::new(10_000), ..base.clone() },
        CoreStatus { fetches: FetchStatus { under_way: 17, ..FetchStatus::default() }, ..base.clone() },
        CoreStatus { unpersisted_blocks: 1_001, ..base.clone() },
        CoreStatus { unpersisted_bytes: (8 << 20) + 1, ..base.clone() },
        CoreStatus { pooled_transactions: params.max_pool_transactions + 1, ..base.clone() },
        CoreStatus { pooled_bytes: params.max_pool_bytes + 1, ..base.clone() },
    ];
    for status in &over {
        assert_eq!(hand().see(&Record::Probed { node: 0, status }), Some("bounded-memory"), "{status:?}");
    }
    let full = CoreStatus {
        dag_blocks: 16,
        waiting_blocks: params.max_waiting_blocks,
        pooled_bytes: params.max_pool_bytes,
        ..base
    };
    assert_eq!(hand().see(&Record::Probed { node: 0, status: &full }), None);
}

#[test]
fn t01_a_node_down_or_behind_or_in_debt_at_the_end_breaks_progress() {
    let standing = |is_up, delivered| Standing { node: 0, is_up, delivered };
    let see = |standing: Standing, owed| {
        let nodes = [standing];
        hand().watch.observe(0, &Record::Ended { nodes: &nodes, target: 5, owed, waited_ms: 1 })
    };
    let names: BTreeSet<_> =
        [see(standing(false, 5), 0), see(standing(true, 4), 0), see(standing(true, 5), 1)]
            .into_iter()
            .map(|violation| {
                violation.map(|violation| (violation.invariant, violation.kind == Kind::NoProgress))
            })
            .collect();
    assert_eq!(names, BTreeSet::from([Some(("progress", true))]));
    assert_eq!(see(standing(true, 5), 0), None);
}
