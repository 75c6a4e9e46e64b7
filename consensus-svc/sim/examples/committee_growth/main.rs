//! How work, messages and latency grow with the committee: real machines, every link of the same delay, no faults.
//!
//! `cargo run --release -p consensus-sim --example committee_growth -- growth.svg` prints a table (Markdown) and writes a
//! plot. It takes under a minute. Times are processor time on this machine, everything else is the same on any.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::cast_precision_loss)]

mod measure;
mod plot;

use std::process::ExitCode;

use measure::{Growth, measure};
use plot::{Line, Panel};

/// Committees that are measured.
const COMMITTEES: [u16; 5] = [4, 10, 20, 50, 100];

fn main() -> ExitCode {
    println!(
        "| authorities | core, us a round | verifying, us a round | block, bytes | messages a commit | KB a commit | leader blocks, delays | other blocks, delays |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut rows = Vec::new();
    for authorities in COMMITTEES {
        let row = measure(authorities);
        println!("{}", line(&row));
        rows.push(row);
    }
    let Some(path) = std::env::args().nth(1) else { return ExitCode::SUCCESS };
    match std::fs::write(&path, plot::svg(&panels(&rows))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn line(row: &Growth) -> String {
    let Growth { authorities, core_us, verify_us, block_bytes, messages, bytes, leader_delays, other_delays } =
        row;
    format!(
        "| {authorities} | {core_us:.0} | {verify_us:.0} | {block_bytes:.0} | {messages:.0} | {:.1} | {leader_delays:.2} | {other_delays:.2} |",
        bytes / 1e3
    )
}

fn panels(rows: &[Growth]) -> Vec<Panel> {
    let points = |value: fn(&Growth) -> f64| -> Vec<(f64, f64)> {
        rows.iter().map(|row| (f64::from(row.authorities), value(row))).collect()
    };
    let line = |name, points| Line { name, points };
    vec![
        Panel {
            title: "time of one machine a round, ms",
            lines: vec![
                line("core", points(|row| row.core_us / 1e3)),
                line("verifying, off the core's thread", points(|row| row.verify_us / 1e3)),
            ],
        },
        Panel {
            title: "messages a commit, thousands",
            lines: vec![line("all links", points(|row| row.messages / 1e3))],
        },
        Panel { title: "MB a commit", lines: vec![line("all links", points(|row| row.bytes / 1e6))] },
        Panel {
            title: "block made to commit delivered, message delays",
            lines: vec![
                line("leader blocks", points(|row| row.leader_delays)),
                line("other blocks", points(|row| row.other_delays)),
            ],
        },
    ]
}
