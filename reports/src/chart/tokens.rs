//! End-to-end speed by kernel: one chart for decode, one for prefill, a panel a family, a tick for every round, and
//! what reading the weights would allow at most. Logarithmic, so that kernels and bound fit one axis and equal
//! distances are equal factors.

use super::canvas::{Anchor, Canvas, GRID, HEADING, INK, LABEL, MUTED, NOTE, SERIES, STRONG, Scale, draw};
use super::parts::{Chart, WIDTH, head, key, say, ticks};
use super::text;
use crate::query;
use receipt::figures;
use receipt::judge::bound;
use receipt::{Family, GenerationKernel, GenerationRecord, GenerationRound, Operation, Receipt};

const ROW: i32 = 26;
const PLOT: (i32, i32) = (160, 640);
const FIGURE: i32 = 664;
const SHARE: i32 = 744;

/// What a chart of this kind shows.
struct Metric {
    id: &'static str,
    file: &'static str,
    title: &'static str,
    median: fn(&GenerationKernel) -> f64,
    round: fn(&GenerationRound, &GenerationRecord) -> f64,
    decode: bool,
}

/// One kernel's row.
struct Row<'a> {
    kernel: &'a GenerationKernel,
    speed: f64,
    rounds: Vec<f64>,
    /// Tokens a second at which its bytes stream; absent where no bandwidth is known or weights are read once a batch.
    bound: Option<f64>,
    batched: bool,
}

/// Decode speed, if anything was generated.
pub fn decode(receipt: &Receipt) -> Option<Chart> {
    chart(
        receipt,
        &Metric {
            id: "decode",
            file: "decode.svg",
            title: "Decode: generated tokens per second, end to end",
            median: |k| k.decode_tokens_per_s,
            round: |r, _| speed(r.decode_tokens, r.decode_ns),
            decode: true,
        },
    )
}

/// Prefill speed, if anything was generated.
pub fn prefill(receipt: &Receipt) -> Option<Chart> {
    chart(
        receipt,
        &Metric {
            id: "prefill",
            file: "prefill.svg",
            title: "Prefill: prompt tokens per second, end to end",
            median: |k| k.prefill_tokens_per_s,
            round: |r, g| speed(r.prefill_tokens.unwrap_or(g.prompt_ids.len()), r.prefill_ns),
            decode: false,
        },
    )
}

fn speed(tokens: usize, ns: u64) -> f64 {
    if ns == 0 { 0.0 } else { tokens as f64 * 1e9 / ns as f64 }
}

fn chart(receipt: &Receipt, metric: &Metric) -> Option<Chart> {
    let generation = receipt.generation.as_ref()?;
    let panels: Vec<(&str, Vec<Row<'_>>)> = Family::ALL
        .into_iter()
        .map(|f| (query::family_title(f), rows(receipt, generation, metric, f)))
        .filter(|p| !p.1.is_empty())
        .collect();
    if panels.is_empty() {
        return None;
    }
    let height = |rows: &[Row<'_>]| 104 + ROW * rows.len() as i32;
    let found = panels.iter().filter_map(|(family, rows)| finding(family, rows)).collect::<Vec<_>>().join(" ");
    let top = head(&found) + 34;
    let total = top + panels.iter().map(|p| height(&p.1)).sum::<i32>();
    let threads = format!("{} thread{}", generation.threads, if generation.threads == 1 { "" } else { "s" });
    let title = format!("{}, {threads}", metric.title);
    let svg = draw(metric.id, (WIDTH, total), &title, &format!("{found} {}", describe(&panels)), |c| {
        say(c, &found);
        key(
            c,
            (0, head(&found)),
            &[
                (&|c, x, y| c.marker(0, (x + 12, y), SERIES[4]), "median"),
                (&|c, x, y| c.line((x + 12, y - 6), (x + 12, y + 6), INK, 1), "one round"),
                (&|c, x, y| limit(c, (x + 12, y)), "bandwidth bound: bytes a token reads / streaming read"),
            ],
        );
        let mut y = top;
        for (family, rows) in &panels {
            panel(c, family, rows, &bounds(receipt, generation, rows), y);
            y += height(rows);
        }
    });
    let mut caption = format!(
        "Logarithmic: equal distances are equal factors. Each panel has its own scale: the families compute different \
         things and are not ranked against each other. Everything is counted (embedding, attention, the shared {} \
         output head), so these figures are not comparable with a kernel's own throughput.",
        figures::label(&generation.head, 40)
    );
    if !metric.decode {
        caption += " Kernels with a batched product read the weights once for many prompt tokens, so that reading does \
                    not bound them; for the others the bound counts the output head for every token, of which a prompt \
                    needs it once.";
    }
    Some(Chart { file: metric.file, caption, svg })
}

fn rows<'a>(receipt: &Receipt, generation: &'a GenerationRecord, metric: &Metric, family: Family) -> Vec<Row<'a>> {
    let own = generation.kernels.iter().filter(|k| k.family == family && (metric.median)(k) > 0.0);
    let batches = |id: &str| receipt.kernels.iter().any(|k| k.id == id && k.ops.contains(&Operation::Gemm));
    own.map(|k| {
        let prefill = k.prefill.as_ref().map_or(k.kernel.as_str(), |p| p.executed.as_str());
        let batched = !metric.decode && batches(prefill);
        let rounds = k.rounds.iter().map(|r| (metric.round)(r, generation)).filter(|v| v.is_finite() && *v > 0.0);
        Row {
            kernel: k,
            speed: (metric.median)(k),
            rounds: rounds.collect(),
            bound: bound::tokens(receipt, k.bytes_per_token, generation.threads)
                .map(|b| b.tokens_s)
                .filter(|_| !batched),
            batched,
        }
    })
    .collect()
}

/// `L3 read 130 GB/s on 1 thread: 46 000 tokens/s`, for each thread count that the limits were measured with.
fn bounds(receipt: &Receipt, generation: &GenerationRecord, rows: &[Row<'_>]) -> String {
    let bytes = rows.iter().map(|r| r.kernel.bytes_per_token).max().unwrap_or(0);
    let mut counts = vec![generation.threads];
    for b in receipt.limits.iter().flat_map(|l| &l.bandwidth) {
        if !counts.contains(&b.threads) {
            counts.push(b.threads);
        }
    }
    let said = counts.iter().take(4).filter_map(|&threads| {
        let bound::Tokens { level, tokens_s, read_gb_s } = bound::tokens(receipt, bytes, threads)?;
        let count = format!("{threads} thread{}", if threads == 1 { "" } else { "s" });
        Some(format!(
            "{level} read {} GB/s on {count}: {} tokens/s",
            figures::number(read_gb_s),
            figures::number(tokens_s)
        ))
    });
    let said: Vec<String> = said.collect();
    match said.is_empty() {
        true => "no bandwidth bound: this run did not measure the machine's limits".into(),
        false => format!("{} a token; {}", figures::bytes(bytes), said.join("; ")),
    }
}

fn panel(c: &mut Canvas, family: &str, rows: &[Row<'_>], bounds: &str, top: i32) {
    let all = rows.iter().flat_map(|r| r.rounds.iter().copied().chain([r.speed]).chain(r.bound));
    let (low, high) =
        all.filter(|v| v.is_finite() && *v > 0.0).fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    let scale = Scale::log(low / 1.25..=high * 1.15, PLOT);
    let (from, to) = (top + 40, top + 40 + ROW * rows.len() as i32);
    c.text((0, top), Anchor::Start, HEADING, &text::fit(family, 13, true, WIDTH));
    c.text((0, top + 20), Anchor::Start, NOTE, &text::fit(bounds, 12, false, WIDTH));
    for (value, label) in ticks(&scale, 56, "") {
        c.line((scale.at(value), from), (scale.at(value), to), GRID, 1);
        c.text((scale.at(value), to + 13), Anchor::Middle, NOTE, &label);
    }
    let axis = "tokens/s, log scale";
    c.text(((PLOT.0 + PLOT.1) / 2, to + 31), Anchor::Middle, NOTE, axis);
    for (i, row) in rows.iter().enumerate() {
        let y = from + i as i32 * ROW + ROW / 2;
        let name = text::fit(&row.kernel.kernel, 12, false, PLOT.0 - 12);
        c.text((PLOT.0 - 10, y), Anchor::End, LABEL, &name);
        c.line((PLOT.0, y), (scale.at(row.speed), y), MUTED, 1);
        for value in &row.rounds {
            c.line((scale.at(*value), y - 8), (scale.at(*value), y + 8), INK, 1);
        }
        c.marker(0, (scale.at(row.speed), y), SERIES[4]);
        let figure = text::fit(&figures::number(row.speed), 12, true, SHARE - FIGURE - 6);
        c.text((FIGURE, y), Anchor::Start, STRONG, &figure);
        let share = match row.bound {
            Some(bound) => {
                limit(c, (scale.at(bound), y));
                format!("{} of bound", figures::percent(row.speed / bound))
            }
            None if row.batched => "weights once a batch".into(),
            None => String::new(),
        };
        c.text((SHARE, y), Anchor::Start, NOTE, &text::fit(&share, 12, false, WIDTH - SHARE));
    }
    c.line((PLOT.0, from), (PLOT.0, to), MUTED, 1);
}

/// The mark of a bound: a wall.
fn limit(c: &mut Canvas, at: (i32, i32)) {
    c.line((at.0, at.1 - 11), (at.0, at.1 + 11), INK, 2);
    for step in [-9, -3, 3, 9] {
        c.line((at.0, at.1 + step + 2), (at.0 + 5, at.1 + step - 3), INK, 1);
    }
}

fn finding(family: &str, rows: &[Row<'_>]) -> Option<String> {
    // What skips work has rows of its own, not the first place.
    let real = rows.iter().filter(|r| r.speed.is_finite() && r.kernel.sparse_ffn.is_none());
    let best = real.max_by(|a, b| a.speed.total_cmp(&b.speed))?;
    let mut said = format!("{family}: {} is fastest, {} tokens/s", best.kernel.kernel, figures::number(best.speed));
    if let Some(bound) = best.bound {
        said += &format!(", {} of what reading its weights allows", figures::percent(best.speed / bound));
    }
    if let Some(first) = rows.first().filter(|f| f.kernel.kernel != best.kernel.kernel && f.speed.is_finite()) {
        said += &format!("; {} reaches {}", first.kernel.kernel, figures::number(first.speed));
    }
    Some(said + ".")
}

fn describe(panels: &[(&str, Vec<Row<'_>>)]) -> String {
    let row = |r: &Row<'_>| {
        let bound = r.bound.map_or_else(String::new, |b| format!(" (bound {})", figures::number(b)));
        format!("{} {}{bound}", r.kernel.kernel, figures::number(r.speed))
    };
    let panel = |(family, rows): &(&str, Vec<Row<'_>>)| {
        format!("{family}, tokens per second: {}.", rows.iter().map(row).collect::<Vec<_>>().join(", "))
    };
    panels.iter().map(panel).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_bound_is_bytes_over_bandwidth_of_the_level_that_holds_them() {
        let receipt = fixture::complete();
        let generation = receipt.generation.as_ref().expect("there");
        let rows = rows(
            &receipt,
            generation,
            &Metric { id: "", file: "", title: "", median: |k| k.decode_tokens_per_s, round: |_, _| 0.0, decode: true },
            query::EXACT,
        );
        // 2 450 000 bytes fit the 32 MiB of L3, which reads 100 GB/s.
        assert!((rows[0].bound.expect("a bound") - 1e11 / 2.45e6).abs() < 1e-6);
        let said = bounds(&receipt, generation, &rows);
        assert_eq!(said, "2.34 MiB a token; L3 read 100 GB/s on 1 thread: 40,816 tokens/s");
        // Other thread counts that the limits were measured with are said beside it.
        let mut more = receipt.clone();
        let two = |b: &receipt::Bandwidth| {
            let mut b = receipt::Bandwidth { threads: 2, ..b.clone() };
            b.read_gb_s.high *= 2.0;
            b
        };
        let limits = more.limits.as_mut().expect("there");
        limits.bandwidth.extend(limits.bandwidth.iter().map(two).collect::<Vec<_>>());
        let said = bounds(&more, generation, &rows);
        assert!(said.ends_with("; L3 read 200 GB/s on 2 threads: 81,633 tokens/s"), "{said}");
        let chart = decode(&receipt).expect("drawn");
        assert!(chart.svg.contains("of bound<"));
        let mut none = receipt.clone();
        none.limits = None;
        assert!(decode(&none).expect("drawn").svg.contains("no bandwidth bound"));
    }
}
