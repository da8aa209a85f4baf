//! End-to-end speed by kernel: one chart for decode, one for prefill, a panel a family, a thin line for every round.

use super::canvas::{Anchor, Canvas, GRID, INK, MUTED, SERIES, Scale, draw};
use super::{Chart, WIDTH};
use crate::receipt::{GenerationKernel, GenerationRecord, GenerationRound, Receipt};
use crate::report::{figures, query};

const ROW: i32 = 28;
const PLOT: (i32, i32) = (160, 760);

/// What a chart of this kind shows.
struct Metric {
    id: &'static str,
    file: &'static str,
    title: &'static str,
    median: fn(&GenerationKernel) -> f64,
    round: fn(&GenerationRound, &GenerationRecord) -> f64,
}

/// Decode speed, if anything was generated.
pub fn decode(receipt: &Receipt) -> Option<Chart> {
    let per_round = |r: &GenerationRound, _: &GenerationRecord| speed(r.decode_tokens, r.decode_ns);
    chart(
        receipt,
        &Metric {
            id: "decode",
            file: "decode.svg",
            title: "Decode: generated tokens per second, end to end",
            median: |k| k.decode_tokens_per_s,
            round: per_round,
        },
    )
}

/// Prefill speed, if anything was generated.
pub fn prefill(receipt: &Receipt) -> Option<Chart> {
    let per_round = |r: &GenerationRound, g: &GenerationRecord| speed(g.prompt_ids.len(), r.prefill_ns);
    chart(
        receipt,
        &Metric {
            id: "prefill",
            file: "prefill.svg",
            title: "Prefill: prompt tokens per second, end to end",
            median: |k| k.prefill_tokens_per_s,
            round: per_round,
        },
    )
}

fn speed(tokens: usize, ns: u64) -> f64 {
    if ns == 0 { 0.0 } else { tokens as f64 * 1e9 / ns as f64 }
}

fn chart(receipt: &Receipt, metric: &Metric) -> Option<Chart> {
    let generation = receipt.generation.as_ref()?;
    let of = |family: &str| -> Vec<&GenerationKernel> {
        generation.kernels.iter().filter(|k| k.family == family && (metric.median)(k) > 0.0).collect()
    };
    let panels: Vec<(String, Vec<&GenerationKernel>)> = query::families(receipt)
        .into_iter()
        .map(|f| (query::family_title(&f), of(&f)))
        .filter(|p| !p.1.is_empty())
        .collect();
    if panels.is_empty() {
        return None;
    }
    let height = |kernels: &[&GenerationKernel]| 76 + ROW * kernels.len() as i32;
    let total = 40 + panels.iter().map(|p| height(&p.1)).sum::<i32>();
    let said: Vec<String> = panels
        .iter()
        .map(|(family, kernels)| {
            let each: Vec<String> =
                kernels.iter().map(|k| format!("{} {}", k.kernel, figures::number((metric.median)(k)))).collect();
            format!("{family}: {}.", each.join(", "))
        })
        .collect();
    let svg = draw(metric.id, (WIDTH, total), metric.title, &said.join(" "), |c| {
        let mut y = 50;
        for (family, kernels) in &panels {
            panel(c, family, kernels, generation, metric, y);
            y += height(kernels);
        }
    });
    let caption = format!(
        "Bars are medians over rounds, thin lines the rounds. Each panel has its own scale: the families compute different things \
         and are not ranked against each other. Everything is counted (embedding, attention, the shared {} output head), so \
         these figures are not comparable with a kernel's own throughput.",
        generation.head
    );
    Some(Chart { file: metric.file, caption, svg })
}

fn panel(
    c: &mut Canvas<'_>,
    family: &str,
    kernels: &[&GenerationKernel],
    generation: &GenerationRecord,
    metric: &Metric,
    top: i32,
) {
    let rounds =
        |k: &GenerationKernel| -> Vec<f64> { k.rounds.iter().map(|r| (metric.round)(r, generation)).collect() };
    let all = kernels.iter().flat_map(|k| rounds(k).into_iter().chain([(metric.median)(k)]));
    let scale = Scale::linear(all.filter(|v| v.is_finite()).fold(0.0, f64::max) * 1.05, PLOT);
    let (from, to) = (top + 18, top + 18 + ROW * kernels.len() as i32);
    c.text((0, top), Anchor::Start, 13, INK, true, family);
    for tick in scale.ticks(90) {
        c.line((scale.at(tick), from), (scale.at(tick), to), GRID, 1);
        c.text((scale.at(tick), to + 12), Anchor::Middle, 11, MUTED, false, &format!("{tick}"));
    }
    c.text((PLOT.1 + 14, to + 12), Anchor::Start, 11, MUTED, false, "tokens/s");
    for (i, kernel) in kernels.iter().enumerate() {
        let y = from + i as i32 * ROW + ROW / 2;
        c.text((PLOT.0 - 10, y), Anchor::End, 12, INK, false, &figures::label(&kernel.kernel, 20));
        c.rect((PLOT.0, y - 8), (scale.at((metric.median)(kernel)), y + 8), SERIES[2]);
        for value in rounds(kernel).into_iter().filter(|v| *v > 0.0) {
            c.line((scale.at(value), y - 8), (scale.at(value), y + 8), INK, 1);
        }
        let text = figures::number((metric.median)(kernel));
        c.text((PLOT.1 + 14, y), Anchor::Start, 12, INK, true, &text);
    }
    c.line((PLOT.0, from), (PLOT.0, to), MUTED, 1);
}
