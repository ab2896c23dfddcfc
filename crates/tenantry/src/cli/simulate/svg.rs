//! A simulation as a picture: sums, how many tenants pay how much more or less, and the largest changes.
//!
//! One file without scripts, fonts or links; light or dark as the viewer's system is. Coordinates are whole numbers,
//! scaled from whole minor units.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::summary::{Both, Parts, Summary, TenantSum, amount, percent, signed};

const WIDTH: i128 = 960;
/// Where bars begin and how long they may be.
const LEFT: i128 = 150;
const LENGTH: i128 = 560;
/// Tenants that are drawn by name.
const NAMED: usize = 10;

const STYLE: &str = "
svg { --paper: #ffffff; --ink: #1b2330; --soft: #667085; --line: #dfe3ea; --plan: #5b7fd6; --over: #2a9d8f;
      --more: #d9662b; --less: #2f80ed; --none: #98a2b3; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #12161d; --ink: #e9edf3; --soft: #98a2b3; --line: #2b3340; --plan: #7f9ff0; --over: #45c4b4;
        --more: #f08a4b; --less: #6cb0ff; --none: #667085; }
}
text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif; font-size: 13px; fill: var(--ink); }
.title { font-size: 22px; font-weight: 600; }
.head { font-size: 15px; font-weight: 600; }
.big { font-size: 26px; font-weight: 600; }
.soft { fill: var(--soft); }
.end { text-anchor: end; }
.mid { text-anchor: middle; }
.num { font-variant-numeric: tabular-nums; }
.line { stroke: var(--line); stroke-width: 1; }
";

/// How tenants are sorted by what changes for them; bounds are percents of what they pay now.
const BUCKETS: [(&str, &str); 10] = [
    ("below -50 %", "less"),
    ("to -20 %", "less"),
    ("to -5 %", "less"),
    ("to 0 %", "less"),
    ("same", "none"),
    ("to +5 %", "more"),
    ("to +20 %", "more"),
    ("to +50 %", "more"),
    ("above", "more"),
    ("paid 0", "more"),
];

/// The place of a tenant in the buckets.
fn bucket(both: Both) -> usize {
    let (current, difference) = (both.current.sum(), both.difference());
    if difference == 0 {
        return 4;
    }
    if current <= 0 {
        return 9;
    }
    // Multiplied rather than divided, so that a bound is a bound.
    let (is_less, hundredths) = (difference < 0, difference.abs() * 100);
    let step = [5, 20, 50].iter().filter(|bound| hundredths > current * **bound).count();
    if is_less { 3 - step } else { 5 + step }
}

/// The picture. Where there are several currencies, of the one that the most tenants pay in.
pub(super) fn draw(summary: &Summary) -> String {
    let main = summary.totals.iter().max_by_key(|(currency, (count, _))| (*count, Reverse(currency.as_str())));
    let (currency, count, both) =
        main.map_or(("usd", 0, Both::default()), |(currency, (count, both))| (currency.as_str(), *count, *both));
    let tenants: Vec<&TenantSum> =
        summary.tenants.iter().filter(|sum| sum.currency == currency && sum.compared > 0).collect();
    let mut body = String::new();
    let mut y = head(&mut body, summary, (currency, count), both);
    y = sums(&mut body, y, currency, both);
    y = histogram(&mut body, y, &tenants);
    y = largest(&mut body, y, currency, &tenants);
    let title = format!("Simulated billing of {}", summary.month);
    let told = format!(
        "{} now, {} under the other catalog: {}",
        amount(both.current.sum(), currency),
        amount(both.simulated.sum(), currency),
        signed(both.difference(), currency)
    );
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" \
         aria-labelledby=\"title told\">\n<title id=\"title\">{}</title>\n<desc id=\"told\">{}</desc>\n\
         <style>{STYLE}</style>\n<rect width=\"{WIDTH}\" height=\"{y}\" fill=\"var(--paper)\"/>\n{body}</svg>\n",
        escaped(&title),
        escaped(&told)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

// Writing to a String cannot fail, here and below.
fn text(body: &mut String, (x, y): (i128, i128), class: &str, words: &str) {
    let _ = writeln!(body, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>", escaped(words));
}

fn bar(body: &mut String, (x, y): (i128, i128), (width, height): (i128, i128), colour: &str, told: &str) {
    let _ = writeln!(
        body,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"2\" fill=\"var(--{colour})\"><title>{}</title></rect>",
        escaped(told)
    );
}

fn line(body: &mut String, (x1, y1): (i128, i128), (x2, y2): (i128, i128)) {
    let _ = writeln!(body, "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" class=\"line\"/>");
}

/// A length in proportion; at least one where there is something to be seen.
fn scaled(value: i128, most: i128, length: i128) -> i128 {
    if value <= 0 || most <= 0 { 0 } else { (value * length / most).max(1) }
}

fn head(body: &mut String, summary: &Summary, (currency, count): (&str, usize), both: Both) -> i128 {
    text(body, (40, 48), "title", &format!("Simulated billing, periods of {}", summary.month));
    let tenants = if count == 1 { "tenant" } else { "tenants" };
    let below =
        format!("{} against the present terms, {count} {tenants}, {}", summary.catalog, currency.to_uppercase());
    text(body, (40, 72), "soft", &below);
    text(body, (920, 48), "big end num", &signed(both.difference(), currency));
    let percent = percent(both);
    if !percent.is_empty() {
        text(body, (920, 72), "soft end num", &format!("{percent} %"));
    }
    line(body, (40, 92), (920, 92));
    92
}

/// Two bars: now and simulated, each of prices of plans and overage.
fn sums(body: &mut String, top: i128, currency: &str, both: Both) -> i128 {
    let y = top + 34;
    text(body, (40, y), "head", "In sum");
    for (index, (colour, words)) in (0..).zip([("plan", "prices of plans"), ("over", "overage")]) {
        let x = LEFT + index * 140;
        bar(body, (x, y - 11), (12, 12), colour, words);
        text(body, (x + 18, y), "soft", words);
    }
    let most = both.current.sum().max(both.simulated.sum());
    for (index, (words, parts)) in (0..).zip([("now", both.current), ("simulated", both.simulated)]) {
        let y = y + 20 + index * 40;
        text(body, (LEFT - 14, y + 19), "end", words);
        stacked(body, y, (parts, most), currency);
    }
    let end = y + 120;
    line(body, (40, end), (920, end));
    end
}

fn stacked(body: &mut String, y: i128, (parts, most): (Parts, i128), currency: &str) {
    let plan = scaled(parts.plan.into(), most, LENGTH);
    let overage = scaled(parts.overage.into(), most, LENGTH);
    let told = |what: &str, minor: i64| format!("{what}: {}", amount(minor.into(), currency));
    if plan > 0 {
        bar(body, (LEFT, y), (plan, 28), "plan", &told("prices of plans", parts.plan));
    }
    if overage > 0 {
        bar(body, (LEFT + plan, y), (overage, 28), "over", &told("overage", parts.overage));
    }
    text(body, (LEFT + plan + overage + 10, y + 19), "num", &amount(parts.sum(), currency));
}

/// How many tenants pay how much more or less.
fn histogram(body: &mut String, top: i128, tenants: &[&TenantSum]) -> i128 {
    let (y, height, step) = (top + 34, 130, 86);
    text(body, (40, y), "head", "Tenants by what changes for them");
    let mut counts = [0_i128; BUCKETS.len()];
    for tenant in tenants {
        counts[bucket(tenant.both)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    let floor = y + 40 + height;
    line(body, (40, floor), (920, floor));
    for (index, ((words, colour), count)) in (0..).zip(BUCKETS.iter().zip(counts)) {
        let (x, tall) = (50 + index * step, scaled(count, most, height));
        if count > 0 {
            bar(body, (x, floor - tall), (step - 14, tall), colour, &format!("{words}: {count}"));
            text(body, (x + (step - 14) / 2, floor - tall - 7), "mid num", &count.to_string());
        }
        text(body, (x + (step - 14) / 2, floor + 20), "mid soft", words);
    }
    let end = floor + 40;
    line(body, (40, end), (920, end));
    end
}

/// The tenants for whom the most changes, to the left and right of nothing.
fn largest(body: &mut String, top: i128, currency: &str, tenants: &[&TenantSum]) -> i128 {
    let y = top + 34;
    text(body, (40, y), "head", "Largest changes");
    let mut changed: Vec<&TenantSum> = tenants.iter().copied().filter(|sum| sum.both.difference() != 0).collect();
    changed.sort_by_key(|sum| (Reverse(sum.both.difference().abs()), sum.tenant));
    changed.truncate(NAMED);
    if changed.is_empty() {
        text(body, (40, y + 30), "soft", "Nobody pays another amount.");
        return y + 60;
    }
    let most = changed.first().map_or(0, |sum| sum.both.difference().abs());
    let (middle, half) = (620, 170);
    let rows = i128::try_from(changed.len()).unwrap_or_default();
    line(body, (middle, y + 14), (middle, y + 18 + rows * 28));
    for (index, sum) in (0..).zip(changed) {
        let (y, difference) = (y + 20 + index * 28, sum.both.difference());
        let length = scaled(difference.abs(), most, half);
        let (words, percent) = (signed(difference, currency), percent(sum.both));
        let told = if percent.is_empty() { words.clone() } else { format!("{words} ({percent} %)") };
        text(body, (40, y + 15), "num", &sum.tenant.to_string());
        if difference > 0 {
            bar(body, (middle, y), (length, 20), "more", &told);
            text(body, (middle + length + 8, y + 15), "num", &words);
        } else {
            bar(body, (middle - length, y), (length, 20), "less", &told);
            text(body, (middle - length - 8, y + 15), "num end", &words);
        }
    }
    y + 20 + rows * 28 + 24
}
