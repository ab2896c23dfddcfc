//! A run as a page with bars: one file, nothing to load, readable in light and dark.

use std::fmt::Write as _;

use super::lines::Line;
use super::suite::Suite;

/// Pixels: a bar with its gap, what stands left of the bars, the longest bar, what stands right of them.
const ROW: usize = 26;
const LEFT: usize = 270;
const BARS: usize = 480;
const RIGHT: usize = 150;

const STYLE: &str = ":root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--quiet:#6b7280;--bar:#3b6ea5;--bound:#a9b4c2}\
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#15181c;--quiet:#9aa3ae;--bar:#79a7d8;--bound:#4b5563}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:940px;margin:2rem auto;padding:0 1rem}\
text{fill:var(--ink);font:13px system-ui,sans-serif}.quiet{fill:var(--quiet)}p.quiet{color:var(--quiet)}rect{fill:var(--bar)}rect.bound{fill:var(--bound)}\
line{stroke:var(--bound);stroke-width:.5}polyline{fill:none;stroke:var(--bar);stroke-width:2}\
h1{font-size:1.4rem}h2{font-size:1.05rem;margin-top:2rem}";

/// The page.
pub(super) fn page(suite: &Suite) -> String {
    let mut html = head("Tenantry benchmark", &format!("{}, {}", suite.machine, suite.taken_at));
    let mut counts: Vec<usize> = suite.lines.iter().map(|line| line.tenants).collect();
    counts.sort_unstable();
    counts.dedup();
    for tenants in counts {
        let lines: Vec<&Line> = suite.lines.iter().filter(|line| line.tenants == tenants).collect();
        // Writing to a String cannot fail.
        let _ = write!(html, "<h2>{tenants} {}</h2>", if tenants == 1 { "tenant" } else { "tenants" });
        bars(&mut html, &lines);
    }
    foot(&html, &suite.method)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "pixels")]
fn bars(html: &mut String, lines: &[&Line]) {
    let longest = lines.iter().map(|line| line.figure.per_second).fold(1.0, f64::max);
    let (width, height) = (LEFT + BARS + RIGHT, lines.len() * ROW);
    // Writing to a String cannot fail.
    let _ = write!(html, "<svg viewBox=\"0 0 {width} {height}\" width=\"100%\" role=\"img\">");
    for (row, line) in lines.iter().enumerate() {
        let figure = &line.figure;
        let (top, base) = (row * ROW + 4, row * ROW + 17);
        let length = (figure.per_second / longest * BARS as f64).max(1.0) as usize;
        let class = if line.what.is_bound() { " class=\"bound\"" } else { "" };
        let _ = write!(
            html,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect{class} x=\"{LEFT}\" y=\"{top}\" width=\"{length}\" height=\"{}\" rx=\"2\"/>\
             <text x=\"{}\" y=\"{base}\">{} <tspan class=\"quiet\">p99 {:.1} ms</tspan></text>",
            LEFT - 10,
            escape(line.what.title()),
            ROW - 9,
            LEFT + length + 8,
            thousands(figure.per_second as u64),
            figure.p99_ms,
        );
    }
    html.push_str("</svg>");
}

/// A page with one curve: events a second over events that are there.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels and whole events")]
pub(super) fn curve(title: &str, about: &str, method: &str, points: &[(f64, f64)]) -> String {
    const WIDTH: f64 = 880.0;
    const HEIGHT: f64 = 300.0;
    const EDGE: f64 = 70.0;
    let farthest = points.iter().map(|point| point.0).fold(1.0, f64::max);
    let highest = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let place = |(events, speed): (f64, f64)| {
        (EDGE + events / farthest * (WIDTH - 2.0 * EDGE), HEIGHT - speed / highest * (HEIGHT - 30.0))
    };
    let path: Vec<String> = points.iter().map(|point| place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let mut html = head(title, about);
    // Writing to a String cannot fail.
    let _ = write!(html, "<svg viewBox=\"0 0 {WIDTH} {}\" width=\"100%\" role=\"img\">", HEIGHT + 40.0);
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (x, y) = (place((farthest * share, 0.0)).0, place((0.0, highest * share)).1);
        let _ = write!(
            html,
            "<line x1=\"{EDGE}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"quiet\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text class=\"quiet\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            WIDTH - EDGE,
            EDGE - 8.0,
            y + 4.0,
            thousands((highest * share) as u64),
            HEIGHT + 22.0,
            thousands((farthest * share) as u64),
        );
    }
    let _ = write!(
        html,
        "<polyline points=\"{}\"/></svg><p>Events a second over events that are there.</p>",
        path.join(" ")
    );
    foot(&html, method)
}

fn head(title: &str, about: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1><p>{}</p>",
        escape(about),
    )
}

fn foot(html: &str, method: &str) -> String {
    format!("{html}<h2>Method</h2><p class=\"quiet\">{}</p></html>\n", escape(method))
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{escape, thousands};

    #[test]
    fn numbers_and_texts_are_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(escape("<a & b>"), "&lt;a &amp; b&gt;");
    }
}
