//! A log of some thousand commits replayed to an empty executor; `e2e -- replay` is the long form, with a picture of its memory.

use e2e::{ReplayOptions, replay};
use localnet::executor::ExecutorKind;

#[tokio::test(flavor = "multi_thread")]
async fn d18_a_log_of_thousands_is_replayed_in_order_through_a_bounded_window() {
    let options = ReplayOptions {
        program: env!("CARGO_BIN_EXE_e2e-service").into(),
        executor: ExecutorKind::Embedded,
        commits: 3000,
        tx_size_bytes: 512,
    };
    let mut told = Vec::new();
    let report = replay(&options, |line| told.push(line.to_owned())).await.unwrap();
    let (last, executed, others) = report.ledger;
    // The authority goes on after its log, with commits that hold nothing.
    assert!(last >= report.commits && executed == report.commits && others == 0, "{report:?}");
    assert!(report.samples.iter().all(|sample| sample.in_flight <= 256), "{report:?}");
    assert!(told.iter().any(|line| line.contains("commits/s")), "progress is told: {told:?}");
}
