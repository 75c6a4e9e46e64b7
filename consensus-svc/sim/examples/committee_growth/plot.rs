//! Lines over committee sizes as an SVG: four panels, two by two.

use std::fmt::Write as _;

const WIDTH: f64 = 470.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 55.0;
const TOP: f64 = 40.0;
const INNER_WIDTH: f64 = 390.0;
const INNER_HEIGHT: f64 = 210.0;
const COLORS: [&str; 2] = ["#1f5fa8", "#c0571b"];

/// A named line; points by committee size.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// One picture of the four.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// Draws panels, two a row.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2) as f64;
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#ffffff"/>
"##,
        WIDTH * 2.0,
        HEIGHT * rows
    );
    for (place, panel) in panels.iter().enumerate() {
        let (x, y) = ((place % 2) as f64 * WIDTH, (place / 2) as f64 * HEIGHT);
        let _ = writeln!(out, r##"<g transform="translate({x} {y})">"##);
        panel.draw(&mut out);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

impl Panel {
    fn draw(&self, out: &mut String) {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let top = round_up(all().map(|(_, y)| *y).fold(0.0, f64::max));
        let right = all().map(|(x, _)| *x).fold(0.0, f64::max);
        let place = |(x, y): (f64, f64)| {
            (LEFT + x / right * INNER_WIDTH, TOP + INNER_HEIGHT - y / top * INNER_HEIGHT)
        };
        let _ = writeln!(out, r##"<text x="{LEFT}" y="20" font-size="13">{}</text>"##, self.title);
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let (x, y) = place((0.0, value));
            let end = x + INNER_WIDTH;
            let _ = writeln!(out, r##"<line x1="{x}" y1="{y}" x2="{end}" y2="{y}" stroke="#dddddd"/>"##);
            let _ = writeln!(
                out,
                r##"<text x="{}" y="{}" text-anchor="end" fill="#555555">{value}</text>"##,
                x - 6.0,
                y + 4.0
            );
        }
        for (size, _) in self.lines.first().into_iter().flat_map(|line| &line.points) {
            let (x, y) = place((*size, 0.0));
            let _ = writeln!(
                out,
                r##"<text x="{x}" y="{}" text-anchor="middle" fill="#555555">{size}</text>"##,
                y + 16.0
            );
        }
        let (x, y) = (LEFT + INNER_WIDTH / 2.0, TOP + INNER_HEIGHT + 34.0);
        let _ = writeln!(out, r##"<text x="{x}" y="{y}" text-anchor="middle">authorities</text>"##);
        for ((line, color), row) in self.lines.iter().zip(COLORS).zip(0u8..) {
            let points: Vec<_> = line.points.iter().map(|point| place(*point)).collect();
            let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let path = path.join(" ");
            let _ = writeln!(
                out,
                r##"<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>"##
            );
            for (x, y) in points {
                let _ = writeln!(out, r##"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{color}"/>"##);
            }
            // Every line rises from the left or stays low: the legend's corner is free where it starts above them.
            let y = TOP + 12.0 + f64::from(row) * 15.0;
            let _ =
                writeln!(out, r##"<text x="{}" y="{y}" fill="{color}">{}</text>"##, LEFT + 12.0, line.name);
        }
    }
}

/// The next of 1, 2, 4, 6, 8, 10, 12, 16 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0];
    steps.into_iter().map(|step| step * power).find(|step| *step * 0.95 >= value).unwrap_or(value)
}
