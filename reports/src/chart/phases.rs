//! Where the time of a decoded token goes: the seed's published budget above what was measured here, and the operations
//! inside `forward`. Shares, because the totals differ by orders of magnitude; the totals stand at the right.

use super::canvas::{
    Anchor, CLAIM, Canvas, GRID, HEADING, LABEL, NOTE, PATTERNS, SERIES, STRONG, SURFACE, Scale, draw,
};
use super::parts::{Chart, WIDTH, head, legend, legend_height, say};
use super::text;
use crate::{query, seed};
use receipt::figures;
use receipt::judge::claims::Phase;
use receipt::{Family, GenerationKernel, PhasesMs, Receipt};

const ROW: i32 = 30;
const PLOT: (i32, i32) = (160, 760);

/// One stacked bar: its parts are indices into the legend, with milliseconds.
struct Bar {
    name: String,
    parts: Vec<(usize, f64)>,
}

const PHASES: [&str; 6] = ["stop check", "logits", "embedding", "sample", "forward", "other (seed only)"];

/// The chart of each phase's share of a decoded token's time, the seed analysis's budget first.
pub fn budget(receipt: &Receipt) -> Option<Chart> {
    let parts = |k: &GenerationKernel| {
        let PhasesMs { embed, forward, logits, sample, stop_check } = k.phases_ms_per_token;
        vec![(4, forward), (1, logits), (2, embed), (3, sample), (0, stop_check)]
    };
    let place = |phase: Phase| match phase {
        Phase::Forward => 4,
        Phase::Logits => 1,
        Phase::Sampling => 3,
        Phase::Other | Phase::Total => 5,
    };
    let of_seed = seed::budget_ms().map(|(phase, ms)| (place(phase), ms)).collect();
    let published = Bar { name: "seed, scalar (§1.3)".into(), parts: of_seed };
    let mut groups = vec![("Published by the seed, 2B model, another machine".to_string(), vec![published])];
    let measured = bars(receipt, parts);
    if measured.is_empty() {
        return None;
    }
    groups.extend(measured);
    let forward = |bar: &Bar| bar.parts.iter().find(|p| p.0 == 4).map_or(f64::NAN, |p| p.1 / total(bar));
    let of_seed = groups.first().and_then(|g| g.1.first()).map_or(f64::NAN, forward);
    let found = format!(
        "The seed puts {} of a token into the forward pass; here that is {}.",
        figures::percent(of_seed),
        extremes(&groups[1..], 4)
    );
    let caption = "Share of the time of one decoded token, as medians over rounds; milliseconds a token at the right. \
                   The dashed line continues the seed's share of the forward pass. Its bar is its section 1.3 (95 / 4 \
                   / 0.5 / 0.5%), published for a 2B model: shares move with the model's size, because the output head \
                   and attention grow differently from the ternary matrices."
        .into();
    let title = format!("The forward pass takes {} of a token", extremes(&groups[1..], 4));
    Some(stacked(("phases", "phases.svg", &title), &PHASES, &groups, (found, caption), Some(of_seed)))
}

fn bars(receipt: &Receipt, parts: impl Fn(&GenerationKernel) -> Vec<(usize, f64)>) -> Vec<(String, Vec<Bar>)> {
    let Some(generation) = &receipt.generation else { return Vec::new() };
    let bar = |k: &GenerationKernel| Bar { name: k.kernel.clone(), parts: parts(k) };
    let groups = Family::ALL.into_iter().map(|f| {
        let own = generation.kernels.iter().filter(|k| k.family == f);
        let bars: Vec<Bar> = own.map(bar).filter(|b| total(b) > 0.0).collect();
        (query::family_title(f).into(), bars)
    });
    groups.filter(|g| !g.1.is_empty()).collect()
}

fn total(bar: &Bar) -> f64 {
    bar.parts.iter().map(|p| p.1).filter(|ms| ms.is_finite() && *ms > 0.0).sum()
}

/// `98.9% (scalar) to 66.3% (avx512-vnni)`: the largest and the smallest share of a part.
fn extremes(groups: &[(String, Vec<Bar>)], part: usize) -> String {
    let share = |bar: &Bar| bar.parts.iter().find(|p| p.0 == part).map(|p| p.1 / total(bar)).filter(|s| s.is_finite());
    let mut shares: Vec<(f64, &str)> =
        groups.iter().flat_map(|g| &g.1).filter_map(|b| Some((share(b)?, b.name.as_str()))).collect();
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    let said = |s: &(f64, &str)| format!("{} ({})", figures::percent(s.0), s.1);
    match (shares.first(), shares.last()) {
        (Some(most), Some(least)) if shares.len() > 1 => format!("{} to {}", said(most), said(least)),
        (Some(one), _) => said(one),
        _ => "not known".into(),
    }
}

fn stacked(
    (id, file, title): (&'static str, &'static str, &str),
    names: &[&str],
    groups: &[(String, Vec<Bar>)],
    (found, caption): (String, String),
    line: Option<f64>,
) -> Chart {
    let height = |bars: &[Bar]| 40 + ROW * bars.len() as i32;
    let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
    let top = head(&found) + legend_height(shown(&names, groups).map(|s| s.1)) + 14;
    let bottom = top + groups.iter().map(|g| height(&g.1)).sum::<i32>();
    let description = format!("{found} {}", describe(&names, groups));
    let svg = draw(id, (WIDTH, bottom + 36), title, &description, |c| {
        say(c, &found);
        legend(c, (0, head(&found)), shown(&names, groups), false);
        let scale = Scale::linear(1.0, PLOT);
        let mut y = top;
        for (family, bars) in groups {
            c.text((0, y), Anchor::Start, HEADING, &text::fit(family, 13, true, WIDTH));
            for (i, bar) in bars.iter().enumerate() {
                row(c, bar, &scale, y + 12 + i as i32 * ROW + ROW / 2);
            }
            y += height(bars);
        }
        if let Some(share) = line.filter(|s| s.is_finite()) {
            let first = groups.first().map_or(top, |g| top + height(&g.1) - 14);
            for x in [scale.at(share), scale.at(share) + 1] {
                c.dashed((x, first), (x, bottom - 20), CLAIM);
            }
        }
        let mut y = top;
        for (_, bars) in groups {
            for (i, bar) in bars.iter().enumerate() {
                labels(c, bar, &names, &scale, y + 12 + i as i32 * ROW + ROW / 2);
            }
            y += height(bars);
        }
        for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
            c.line((scale.at(share), bottom - 16), (scale.at(share), bottom - 10), GRID, 1);
            let percent = format!("{:.0}%", share * 100.0);
            c.text((scale.at(share), bottom - 2), Anchor::Middle, NOTE, &percent);
        }
        let axis = "share of a token's time, %; right: milliseconds a token";
        c.text(((PLOT.0 + PLOT.1) / 2, bottom + 18), Anchor::Middle, NOTE, axis);
    });
    Chart { file: file.into(), title: title.into(), caption, svg, saved: true }
}

/// The legend in the order in which the bars' parts come.
fn shown<'n>(names: &'n [String], groups: &[(String, Vec<Bar>)]) -> impl Iterator<Item = (usize, &'n str)> {
    let mut order: Vec<usize> = Vec::new();
    // The measured bars last in the list have every part; the seed's has fewer, and one of its own.
    for (index, _) in groups.iter().rev().flat_map(|g| &g.1).flat_map(|b| &b.parts) {
        if !order.contains(index) {
            order.push(*index);
        }
    }
    order.into_iter().filter_map(|i| Some((i, names.get(i)?.as_str())))
}

fn row(c: &mut Canvas, bar: &Bar, scale: &Scale, y: i32) {
    let name = text::fit(&bar.name, 12, false, PLOT.0 - 12);
    c.text((PLOT.0 - 10, y), Anchor::End, LABEL, &name);
    for (index, _, from, to) in segments(bar, scale) {
        c.patterned((from, y - 10), (to, y + 10), SERIES[index % SERIES.len()], PATTERNS[index % SERIES.len()]);
        if to < PLOT.1 {
            c.line((to, y - 10), (to, y + 10), SURFACE, 1);
        }
    }
    let figure = text::fit(&format!("{} ms", figures::number(total(bar))), 12, true, WIDTH - PLOT.1 - 14);
    c.text((PLOT.1 + 14, y), Anchor::Start, STRONG, &figure);
}

/// The bar's parts that are wide enough to be seen: index, share, and where they begin and end.
fn segments(bar: &Bar, scale: &Scale) -> Vec<(usize, f64, i32, i32)> {
    let sum = total(bar);
    let mut before = 0.0;
    let mut out = Vec::new();
    for (index, ms) in bar.parts.iter().filter(|p| p.1.is_finite() && p.1 > 0.0) {
        let (from, to) = (scale.at(before / sum), scale.at((before + ms) / sum));
        before += ms;
        if to > from {
            out.push((*index, ms / sum, from, to));
        }
    }
    out
}

/// Names and shares on the parts that have room for them.
fn labels(c: &mut Canvas, bar: &Bar, names: &[String], scale: &Scale, y: i32) {
    for (index, share, from, to) in segments(bar, scale) {
        let share = figures::percent(share);
        let long = names.get(index).map(|n| format!("{n} {share}")).unwrap_or_default();
        let fitting = [long, share].into_iter().find(|l| !l.is_empty() && text::width(l, 12, false) + 12 <= to - from);
        if let Some(label) = fitting {
            c.plated(((from + to) / 2, y), Anchor::Middle, LABEL, &label);
        }
    }
}

fn describe(names: &[String], groups: &[(String, Vec<Bar>)]) -> String {
    let bar = |b: &Bar| {
        let parts: Vec<String> = b
            .parts
            .iter()
            .filter_map(|(i, ms)| Some(format!("{} {}", names.get(*i)?, figures::percent(ms / total(b)))))
            .collect();
        format!("{}: {}.", b.name, parts.join(", "))
    };
    let all: Vec<String> = groups.iter().flat_map(|g| g.1.iter().map(bar)).collect();
    all.join(" ")
}
