//! A run as a picture: authorities are rows, rounds are columns, faults stand above and on the blocks' rows.
//!
//! Squares are leader slots: green for a committed leader, red for a skipped one, grey for one not decided. Dots are other
//! blocks: dark when committed, light when not; a ring marks transactions. Twins stand one above the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use consensus_core::{BlockRef, Round};

use crate::{chronicle::Chronicle, fault::Fault, report::Report};

const COLUMN: u64 = 26;
const ROW: u64 = 64;
const LEFT: u64 = 90;
const TOP: u64 = 150;
const TWIN: u64 = 14;
/// Marks drawn in one place at most; the rest is a number.
const MARKS_A_PLACE: u64 = 4;

/// Draws a run; `None` if its plan did not record.
pub fn svg(report: &Report) -> Option<String> {
    let chronicle = report.chronicle.as_ref()?;
    let last_round =
        chronicle.blocks.keys().map(|block| block.round.get()).filter(|round| *round <= report.rounds + 2);
    let rounds = last_round.max().unwrap_or_default() + 2;
    let width = LEFT + rounds * COLUMN + 60;
    let height = TOP + chronicle.nodes as u64 * ROW + 60;
    let mut out = String::new();
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="10">
<rect width="100%" height="100%" fill="#ffffff"/>"##
    );
    let picture = Picture { chronicle, places: places(chronicle), rounds };
    picture.header(report, &mut out);
    picture.grid(&mut out);
    picture.edges(&mut out);
    picture.blocks(&mut out);
    picture.marks(&mut out);
    out.push_str("</svg>\n");
    Some(out)
}

/// Where each block stands; twins apart.
fn places(chronicle: &Chronicle) -> BTreeMap<BlockRef, (u64, u64)> {
    let mut twins: BTreeMap<(Round, u16), u64> = BTreeMap::new();
    chronicle
        .blocks
        .keys()
        .map(|block| {
            let twin = twins.entry((block.round, block.author.get())).or_default();
            *twin += 1;
            let y = TOP + u64::from(block.author.get()) * ROW + (*twin - 1) * TWIN;
            (*block, (LEFT + block.round.get() * COLUMN, y))
        })
        .collect()
}

struct Picture<'a> {
    chronicle: &'a Chronicle,
    places: BTreeMap<BlockRef, (u64, u64)>,
    rounds: u64,
}

impl Picture<'_> {
    fn header(&self, report: &Report, out: &mut String) {
        let outcome = report.violation.as_ref().map_or("all invariants hold".to_owned(), ToString::to_string);
        let _ = writeln!(
            out,
            r##"<text x="10" y="20" font-size="16">seed {}, {} authorities, {}: {} rounds, {} commits, {} transactions</text>
<text x="10" y="40" font-size="13">{}</text>
<text x="10" y="58">green square: committed leader; red: skipped; grey: undecided; dark dot: committed; light dot: not; ring: transactions; red triangle: fault</text>"##,
            report.seed,
            report.authorities,
            report.weather.name(),
            report.rounds,
            report.commits,
            report.transactions,
            escape(&outcome)
        );
    }

    fn grid(&self, out: &mut String) {
        for node in 0..self.chronicle.nodes {
            let y = TOP + node as u64 * ROW;
            let (kind, fill) =
                if self.chronicle.liars.contains(&node) { ("liar", "#c0392b") } else { ("", "#222222") };
            let _ = writeln!(out, r##"<text x="10" y="{}" fill="{fill}">node {node} {kind}</text>"##, y + 4);
            let end = LEFT + self.rounds * COLUMN;
            let _ = writeln!(out, r##"<line x1="{LEFT}" y1="{y}" x2="{end}" y2="{y}" stroke="#eeeeee"/>"##);
        }
        for round in (0..self.rounds).step_by(5) {
            let x = LEFT + round * COLUMN;
            let _ = writeln!(out, r##"<text x="{x}" y="{}" fill="#888888">{round}</text>"##, TOP - 20);
        }
        let x = LEFT + self.chronicle.healed_at.get() * COLUMN;
        let bottom = TOP + self.chronicle.nodes as u64 * ROW;
        let _ = writeln!(
            out,
            r##"<line x1="{x}" y1="70" x2="{x}" y2="{bottom}" stroke="#2980b9" stroke-dasharray="4"/><text x="{x}" y="80" fill="#2980b9">healed</text>"##
        );
    }

    fn edges(&self, out: &mut String) {
        out.push_str("<g stroke=\"#cccccc\" stroke-width=\"0.6\">\n");
        for (block, drawn) in &self.chronicle.blocks {
            let Some((x, y)) = self.places.get(block) else { continue };
            for (to_x, to_y) in drawn.ancestors.iter().filter_map(|ancestor| self.places.get(ancestor)) {
                let _ = writeln!(out, r##"<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}"/>"##);
            }
        }
        out.push_str("</g>\n");
    }

    fn blocks(&self, out: &mut String) {
        let committed_slots: BTreeSet<_> = self.chronicle.leaders.keys().map(BlockRef::slot).collect();
        let decided = self.chronicle.leaders.keys().map(|leader| leader.round).max().unwrap_or_default();
        for (block, drawn) in &self.chronicle.blocks {
            let Some((x, y)) = self.places.get(block) else { continue };
            if *x > LEFT + self.rounds * COLUMN {
                continue;
            }
            let title = format!("{block:?} at {} ms, {} transactions", drawn.at_ms, drawn.transactions);
            let _ = write!(out, "<g><title>{}</title>", escape(&title));
            if drawn.transactions > 0 {
                let _ = write!(out, r##"<circle cx="{x}" cy="{y}" r="8" fill="none" stroke="#8e44ad"/>"##);
            }
            if let Some(index) = self.chronicle.leaders.get(block) {
                let _ = write!(out, "{}", square(*x, *y, "#27ae60"));
                let _ = write!(out, r##"<text x="{}" y="{}" fill="#27ae60">C{index}</text>"##, x - 6, y - 9);
            } else if self.leads(block) && !committed_slots.contains(&block.slot()) {
                let fill = if block.round < decided { "#e74c3c" } else { "#95a5a6" };
                let _ = write!(out, "{}", square(*x, *y, fill));
            } else {
                let fill = if self.chronicle.committed.contains(block) { "#34495e" } else { "#bdc3c7" };
                let _ = write!(out, r##"<circle cx="{x}" cy="{y}" r="4" fill="{fill}"/>"##);
            }
            out.push_str("</g>\n");
        }
    }

    /// Round-robin over slots (protocol, Committee).
    fn leads(&self, block: &BlockRef) -> bool {
        let nodes = self.chronicle.nodes as u64;
        (0..u64::from(self.chronicle.leaders_per_round))
            .any(|offset| (block.round.get() + offset) % nodes == u64::from(block.author.get()))
    }

    fn marks(&self, out: &mut String) {
        let mut counts: BTreeMap<(Round, Option<usize>), u64> = BTreeMap::new();
        for mark in self.chronicle.marks.iter().filter(|mark| mark.fault != Fault::Reordered) {
            let count = counts.entry((mark.round, mark.node)).or_default();
            *count += 1;
            if *count > MARKS_A_PLACE {
                continue;
            }
            let x = LEFT + mark.round.get() * COLUMN + (*count - 1) * 5;
            let y = mark.node.map_or(100, |node| TOP + node as u64 * ROW + 34);
            let _ = writeln!(
                out,
                r##"<g><title>{} at {} ms</title><path d="M{x} {} l5 9 l-10 0 z" fill="#e74c3c"/></g>"##,
                mark.fault.name(),
                mark.at_ms,
                y - 8
            );
        }
        for ((round, node), count) in counts.into_iter().filter(|(_, count)| *count > MARKS_A_PLACE) {
            let x = LEFT + round.get() * COLUMN;
            let y = node.map_or(112, |node| TOP + node as u64 * ROW + 46);
            let _ = writeln!(out, r##"<text x="{x}" y="{y}" fill="#e74c3c">{count}</text>"##);
        }
    }
}

fn square(x: u64, y: u64, fill: &str) -> String {
    format!(r##"<rect x="{}" y="{}" width="12" height="12" fill="{fill}"/>"##, x - 6, y - 6)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
