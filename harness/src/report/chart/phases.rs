//! Where the time of a decoded token goes: the seed's published budget above what was measured here, and the operations
//! inside `forward`. Shares, because the totals differ by orders of magnitude; the totals stand at the right.

use super::canvas::{Anchor, Canvas, GRID, INK, MUTED, SERIES, SURFACE, Scale, draw, text_on};
use super::{Chart, WIDTH, legend};
use crate::claims::Phase;
use crate::receipt::{ForwardMs, GenerationKernel, PhasesMs, Receipt};
use crate::report::{figures, query, seed};

const ROW: i32 = 30;
const PLOT: (i32, i32) = (160, 760);

/// One stacked bar: its parts are indices into the legend, with milliseconds.
struct Bar {
    name: String,
    parts: Vec<(usize, f64)>,
}

const PHASES: [&str; 6] = ["stop check", "logits", "embedding", "sample", "forward", "other (seed only)"];
const OPERATIONS: [&str; 7] =
    ["norms", "gate and up", "attention", "down", "q, k, v", "attention out", "activation quantising"];

/// Shares by phase, the seed's budget first.
pub fn budget(receipt: &Receipt) -> Option<Chart> {
    let parts = |k: &GenerationKernel| {
        let PhasesMs { embed, forward, logits, sample, stop_check } = k.phases_ms_per_token;
        vec![(2, embed), (4, forward), (1, logits), (3, sample), (0, stop_check)]
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
    let caption = "Share of the time of one decoded token, as medians over rounds; milliseconds a token at the right. The \
                   seed's line is its section 1.3 (95 / 4 / 0.5 / 0.5%), published for a 2B model: shares move with the \
                   model's size, because the output head and attention grow differently from the ternary matrices."
        .into();
    Some(stacked("phases", "phases.svg", "Where a decoded token's time goes", &PHASES, &groups, caption))
}

/// Shares by operation inside the blocks.
pub fn forward(receipt: &Receipt) -> Option<Chart> {
    let parts = |k: &GenerationKernel| {
        let ForwardMs { qkv, attention, attn_out, gate_up, down, norms, activation_quant } = k.forward_ms_per_token;
        vec![(4, qkv), (2, attention), (5, attn_out), (1, gate_up), (3, down), (0, norms), (6, activation_quant)]
    };
    let groups = bars(receipt, parts);
    if groups.is_empty() {
        return None;
    }
    let caption =
        "Share of the time inside forward() of one decoded token. Query/key/value, attention out, gate/up and down \
                   are the ternary matrices; the rest does not get faster with a faster kernel."
            .into();
    Some(stacked("forward", "forward.svg", "Inside the forward pass", &OPERATIONS, &groups, caption))
}

fn bars(receipt: &Receipt, parts: impl Fn(&GenerationKernel) -> Vec<(usize, f64)>) -> Vec<(String, Vec<Bar>)> {
    let Some(generation) = &receipt.generation else { return Vec::new() };
    let bar = |k: &GenerationKernel| Bar { name: k.kernel.clone(), parts: parts(k) };
    let groups = query::families(receipt).into_iter().map(|f| {
        let own = generation.kernels.iter().filter(|k| k.family == f);
        let bars: Vec<Bar> = own.map(bar).filter(|b| total(b) > 0.0).collect();
        (query::family_title(&f), bars)
    });
    groups.filter(|g| !g.1.is_empty()).collect()
}

fn total(bar: &Bar) -> f64 {
    bar.parts.iter().map(|p| p.1).filter(|ms| ms.is_finite() && *ms > 0.0).sum()
}

fn stacked(
    id: &'static str,
    file: &'static str,
    title: &str,
    names: &[&str],
    groups: &[(String, Vec<Bar>)],
    caption: String,
) -> Chart {
    let height = |bars: &[Bar]| 38 + ROW * bars.len() as i32;
    let total_height = 100 + groups.iter().map(|g| height(&g.1)).sum::<i32>();
    let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
    let svg = draw(id, (WIDTH, total_height), title, &describe(&names, groups), |c| {
        let mut y = 44 + legend(c, (0, 44), shown(&names, groups), false) + 12;
        let scale = Scale::linear(1.0, PLOT);
        for (family, bars) in groups {
            c.text((0, y), Anchor::Start, 13, INK, true, family);
            for (i, bar) in bars.iter().enumerate() {
                row(c, bar, &scale, y + 12 + i as i32 * ROW + ROW / 2);
            }
            y += height(bars);
        }
        for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
            c.line((scale.at(share), y - 20), (scale.at(share), y - 14), GRID, 1);
            let percent = format!("{:.0}%", share * 100.0);
            c.text((scale.at(share), y - 6), Anchor::Middle, 11, MUTED, false, &percent);
        }
    });
    Chart { file, caption, svg }
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

fn row(c: &mut Canvas<'_>, bar: &Bar, scale: &Scale, y: i32) {
    let sum = total(bar);
    c.text((PLOT.0 - 10, y), Anchor::End, 12, INK, false, &figures::label(&bar.name, 22));
    let mut before = 0.0;
    for (index, ms) in bar.parts.iter().filter(|p| p.1.is_finite() && p.1 > 0.0) {
        let (from, to) = (scale.at(before / sum), scale.at((before + ms) / sum));
        before += ms;
        let color = SERIES[index % SERIES.len()];
        c.rect((from, y - 10), (to, y + 10), color);
        if to < PLOT.1 {
            c.line((to, y - 10), (to, y + 10), SURFACE, 1);
        }
        if to - from >= 42 {
            let text = figures::percent(ms / sum);
            c.text(((from + to) / 2, y), Anchor::Middle, 11, text_on(color), false, &text);
        }
    }
    c.text((PLOT.1 + 14, y), Anchor::Start, 12, INK, true, &format!("{} ms", figures::number(sum)));
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
