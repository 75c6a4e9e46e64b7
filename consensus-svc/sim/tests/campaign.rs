//! A short campaign over all weathers, in the ordinary test command. The long ones are `cargo run --release -p
//! consensus-sim`.

#![allow(missing_docs)]

use consensus_sim::{Kind, Plan, Report, Signatures, Summary, Weather, run};

/// Virtual seconds of a run here.
const DURATION_MS: u64 = 8_000;

fn plan(seed: u64) -> Plan {
    let sizes = [4, 5, 7];
    let size = sizes[usize::try_from(seed / Weather::ALL.len() as u64 % 3).expect("small")];
    Plan { duration_ms: DURATION_MS, ..Plan::new(seed, size, Weather::of_seed(seed)) }
}

fn assert_passes(report: &Report) {
    if let Some(violation) = &report.violation {
        let seconds = format!(" --duration-s {}", DURATION_MS / 1_000);
        panic!("{violation}\n{}", report.repro(&seconds));
    }
}

#[test]
fn seeds_of_all_weathers_pass_and_every_weather_makes_commits() {
    let mut summary = Summary::default();
    let seeds = 4 * Weather::ALL.len() as u64;
    for seed in 0..seeds {
        let report = run(&plan(seed));
        assert_passes(&report);
        assert!(report.commits > 0 && report.transactions > 0, "seed {seed} commits nothing");
        summary.add(&report);
    }
    assert!(summary.is_good());
    let expected = format!("seeds={seeds} pass={seeds} no_progress=0 diverged=0 invariant=0 speed=");
    let last_line = summary.last_line(std::time::Duration::from_millis(1));
    assert!(last_line.starts_with(&expected), "{last_line}");
}

#[test]
fn the_same_seed_runs_the_same_way_and_another_seed_another_way() {
    for seed in [6, 12] {
        let (once, again) = (run(&plan(seed)), run(&plan(seed)));
        assert_eq!(once.digest, again.digest);
        assert_eq!((once.faults, once.inputs, once.commits), (again.faults, again.inputs, again.commits));
        assert_ne!(once.digest, run(&plan(seed + Weather::ALL.len() as u64)).digest);
    }
}

#[test]
fn how_signatures_are_judged_changes_nothing_that_happens() {
    // Equivocation, and everything at once in two committees.
    for seed in [8, 12, 12 + Weather::ALL.len() as u64] {
        let digest = |signatures| run(&Plan { signatures, ..plan(seed) }).digest;
        assert_eq!(digest(Signatures::Shared), digest(Signatures::Each));
        assert_eq!(digest(Signatures::Shared), digest(Signatures::Skipped));
    }
}

#[test]
fn a_promised_fault_that_never_happened_fails_the_campaign() {
    let calm = run(&Plan { duration_ms: 500, ..Plan::new(1, 4, Weather::Calm) });
    let mut summary = Summary::default();
    for _ in 0..8 {
        summary.add(&Report { weather: Weather::Lossy, ..calm.clone() });
    }
    assert_eq!(summary.missing_faults().len(), Weather::Lossy.promised().len());
    assert!(!summary.is_good());
}

#[test]
fn a_violation_is_counted_by_its_kind_and_named_with_its_command() {
    let mut report = run(&Plan { duration_ms: 500, ..Plan::new(3, 4, Weather::Calm) });
    report.violation = Some(consensus_sim::Violation {
        invariant: "agreement",
        kind: Kind::Diverged,
        at_ms: 7,
        detail: "by hand".to_owned(),
    });
    let mut summary = Summary::default();
    summary.add(&report);
    assert!(!summary.is_good());
    assert!(
        summary
            .last_line(std::time::Duration::from_millis(1))
            .starts_with("seeds=1 pass=0 no_progress=0 diverged=1 invariant=0")
    );
    let command = "cargo run --release -p consensus-sim -- --seeds 3..4 --authorities 4..4 --weather calm";
    assert_eq!(report.repro(""), command);
}

#[test]
fn a_recorded_run_is_drawn_with_leaders_commits_and_faults() {
    let report = run(&Plan { record: true, duration_ms: 4_000, ..Plan::new(4, 4, Weather::Crashes) });
    assert_passes(&report);
    let picture = consensus_sim::explain::svg(&report).expect("it was recorded");
    for part in
        ["<svg", "seed 4, 4 authorities, crashes", "C1</text>", "#27ae60", "crash", "healed", "</svg>"]
    {
        assert!(picture.contains(part), "{part} is missing");
    }
    assert!(consensus_sim::explain::svg(&run(&Plan { duration_ms: 500, ..plan(0) })).is_none());
}
