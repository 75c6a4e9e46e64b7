use super::{labels::*, *};
use crate::Telemetry;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

fn all() -> impl Iterator<Item = &'static Metric> {
    CONSENSUS.iter().chain(EXECUTOR)
}

#[test]
fn names_are_unique() {
    let names: BTreeSet<_> = all().map(|metric| metric.name).collect();
    assert_eq!(names.len(), CONSENSUS.len() + EXECUTOR.len());
}

#[test]
fn declarations_are_valid() {
    for metric in all() {
        let name = metric.name;
        assert!(name.starts_with("metanode.") && name.len() <= 255, "{name}");
        assert!(
            name.split('.').all(|word| {
                word.starts_with(|first: char| first.is_ascii_lowercase())
                    && word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
            }),
            "{name}"
        );
        let unit = metric.unit;
        let annotation = unit.starts_with('{') && unit.ends_with('}') && unit.len() > 2;
        assert!(annotation || ["s", "By"].contains(&unit), "{name}: {unit}");
        assert!(metric.description.ends_with('.'), "{name}");
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(!bounds.is_empty() && bounds.is_sorted_by(|low, high| low < high), "{name}");
            assert_eq!(unit, "s", "{name}");
        }
    }
}

#[test]
fn label_values_are_unique_and_few() {
    for metric in all() {
        let distinct: BTreeSet<_> = metric.reasons.iter().collect();
        assert_eq!(distinct.len(), metric.reasons.len(), "{}", metric.name);
        assert!(distinct.len() <= 16, "{}", metric.name);
    }
    assert_eq!(BlockRejection::BadSignature.text(), "bad_signature");
    assert_eq!(BlockRejection::from_text("bad_signature"), Some(BlockRejection::BadSignature));
    assert_eq!(BlockRejection::from_text("bad_ancestors"), None);
}

#[test]
fn every_consensus_metric_is_exported_under_its_name() {
    let telemetry = Telemetry::for_test().unwrap();
    let metrics = ConsensusMetrics::new(&telemetry.meter());
    metrics.round.set(9);
    metrics.commit_index.set(3);
    metrics.blocks_rejected.increment(BlockRejection::BadSignature);
    metrics.transactions_refused.add(5, TransactionRefusal::PoolFull);
    metrics.blocks_accepted.add(2);
    metrics.pool_bytes.set(512);
    metrics.commit_latency.record(Duration::from_millis(120));
    let text = telemetry.render().unwrap();
    for line in [
        "metanode_consensus_round 9",
        "metanode_consensus_commit_index 3",
        "metanode_consensus_blocks_rejected_total{reason=\"bad_signature\"} 1",
        "metanode_consensus_blocks_rejected_total{reason=\"malformed\"} 0",
        "metanode_consensus_transactions_refused_total{reason=\"pool_full\"} 5",
        "metanode_consensus_blocks_accepted_total 2",
        "metanode_consensus_blocks_proposed_total 0",
        "metanode_consensus_pool_size_bytes 512",
        "metanode_consensus_commit_latency_seconds_bucket{le=\"0.1\"} 0",
        "metanode_consensus_commit_latency_seconds_bucket{le=\"0.15\"} 1",
        "metanode_consensus_commit_latency_seconds_count 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_is_looked_at_is_looked_at_whenever_the_metrics_are_read() {
    let telemetry = Telemetry::for_test().unwrap();
    let metrics = ConsensusMetrics::new(&telemetry.meter());
    let shown = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("metanode_consensus_api_commit_streams "));
        line.map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    assert_eq!(shown(&telemetry.render().unwrap()), None, "nobody looks yet");
    let streams = Arc::new(AtomicU64::new(7));
    let looked_at = Arc::clone(&streams);
    metrics.commit_streams.watch(move || looked_at.load(Ordering::Relaxed));
    assert_eq!(shown(&telemetry.render().unwrap()).as_deref(), Some("7"));
    streams.store(2, Ordering::Relaxed);
    metrics.commit_streams.watch(|| 1_000);
    assert_eq!(shown(&telemetry.render().unwrap()).as_deref(), Some("2"), "the first one counts");
}

#[test]
fn executor_counters_are_there_before_the_first_event() {
    let telemetry = Telemetry::for_test().unwrap();
    let metrics = ExecutorMetrics::new(&telemetry.meter());
    metrics.sync_duration.record(Duration::from_micros(700));
    let text = telemetry.render().unwrap();
    for line in [
        "metanode_executor_transactions_executed_total 0",
        "metanode_executor_commits_duplicates_total 0",
        "metanode_executor_streams_fenced_total 0",
        "metanode_executor_storage_sync_duration_seconds_bucket{le=\"0.001\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
