//! Prints what one dead authority of four costs in commit latency, and what is left of it after one window of the leader
//! schedule: `cargo run --release -p consensus-sim --example one_down -- [SEEDS] [WINDOW_ROUNDS]`.
//!
//! Exits with 1 if a run violates an invariant, or if the median after one window is over 1.3 times the healthy one.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use consensus_sim::{
    Signatures,
    one_down::{Phase, measure},
};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seeds, window_rounds): (u64, u64) = (number(3), number(120));
    println!(
        "4 authorities, links 50-100 ms, windows of {window_rounds} leader rounds; commit latency in ms"
    );
    println!(
        "{:>4}  {:<28}{:>7}{:>8}{:>8}{:>8}{:>9}",
        "seed", "phase", "rounds", "blocks", "median", "p95", "median x"
    );
    let mut good = true;
    for seed in 0..seeds {
        let outcome = measure(seed, window_rounds, Signatures::Shared);
        for phase in Phase::ALL {
            let (measured, percent) = (outcome.phase(phase), outcome.percent_of_healthy(phase));
            println!(
                "{seed:>4}  {:<28}{:>7}{:>8}{:>8}{:>8}{:>6}.{:02}",
                phase.name(),
                measured.rounds,
                measured.latencies_ms.len(),
                measured.percentile_ms(50),
                measured.percentile_ms(95),
                percent / 100,
                percent % 100
            );
        }
        println!("{seed:>4}  switched {} leader rounds after the crash", outcome.rounds_to_switch);
        if let Some(violation) = &outcome.report.violation {
            println!("{seed:>4}  FAIL {violation}");
        }
        let restored = (1..=130).contains(&outcome.percent_of_healthy(Phase::Replaced));
        good &= restored && outcome.report.violation.is_none();
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
