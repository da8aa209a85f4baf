//! Throughput against size: one panel an operation and residency, one line a kernel, families in panels of their own.

use super::canvas::{Anchor, CLAIM, Canvas, GRID, INK, MUTED, SERIES, Scale, draw};
use super::{Chart, WIDTH, legend};
use crate::receipt::{MicroCell, Receipt, Residency};
use crate::report::{figures, query, seed};

const PANEL: (i32, i32) = (430, 270);
const GAP: i32 = 40;

/// One panel's cells, smallest first.
struct Panel<'a> {
    title: String,
    cells: Vec<&'a MicroCell>,
}

/// One family's panels with the kernels that share its legend.
struct Group<'a> {
    family: String,
    kernels: Vec<String>,
    panels: Vec<Panel<'a>>,
}

/// The throughput chart, if any kernel was timed.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let groups: Vec<Group<'_>> = query::families(receipt).into_iter().filter_map(|f| group(receipt, f)).collect();
    if groups.is_empty() {
        return None;
    }
    let height = |g: &Group<'_>| 78 + (g.panels.len() as i32 + 1) / 2 * PANEL.1;
    let total = 40 + groups.iter().map(height).sum::<i32>();
    let description = "Weights handled per nanosecond (Gelem/s) against weights per call, both on log scales. The figures \
                       are in the tables of the report and in measurements.csv.";
    let svg = draw("throughput", (WIDTH, total), "Throughput by size", description, |c| {
        let mut y = 52;
        for group in &groups {
            c.text((0, y), Anchor::Start, 13, INK, true, &query::family_title(&group.family));
            let top = y + 24 + legend(c, (0, y + 24), group.kernels.iter().map(String::as_str).enumerate(), true);
            for (i, panel) in group.panels.iter().enumerate() {
                let corner = (i as i32 % 2 * (PANEL.0 + GAP), top + i as i32 / 2 * PANEL.1);
                paint(c, panel, group, &receipt.host.caches_bytes, corner);
            }
            y += height(group);
        }
    });
    let caption =
        "Each point is one shape's median. Dashed lines mark where what a call touches (packed weights, and for \
                   dequantize its f32 output) outgrows a cache of this machine. Open diamonds on dequantize: the seed's \
                   published scalar and AVX2 figures (section 2.4), from another machine."
            .into();
    Some(Chart { file: "throughput.svg", caption, svg })
}

fn group(receipt: &Receipt, family: String) -> Option<Group<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for head in query::headlines(receipt, &family) {
        let same = |c: &&MicroCell| c.op == head.op && c.residency == head.residency && !c.rounds.is_empty();
        let mut cells: Vec<&MicroCell> = query::cells(receipt, &family).filter(same).collect();
        cells.sort_by_key(|c| (c.weights_per_call, c.m));
        if !cells.is_empty() {
            panels.push(Panel { title: format!("{}, {}", head.op, query::residency(head.residency)), cells });
        }
    }
    let kernels = query::kernel_ids(receipt, &family);
    (!panels.is_empty()).then_some(Group { family, kernels, panels })
}

fn paint(c: &mut Canvas<'_>, panel: &Panel<'_>, group: &Group<'_>, caches: &[u64], corner: (i32, i32)) {
    let (left, top) = (corner.0 + 44, corner.1 + 26);
    let (right, bottom) = (corner.0 + PANEL.0, corner.1 + PANEL.1 - 64);
    let sizes = || panel.cells.iter().map(|c| c.weights_per_call as f64);
    let measured = || panel.cells.iter().flat_map(|c| query::kernels(c)).map(|(_, s)| s.gelem_s).filter(|s| *s > 0.0);
    // The seed's points belong on the chart, however far below they are.
    let quoted = panel.cells.iter().all(|c| c.op == "dequantize");
    let published = || seed::dequantize_gelem_s().map(|(_, gelem_s)| gelem_s).filter(|_| quoted);
    let speeds = || measured().chain(published());
    let x = Scale::log(padded(sizes(), 1.6), (left, right));
    let y = Scale::log(padded(speeds(), 1.35), (bottom, top));
    c.text((corner.0, corner.1 + 8), Anchor::Start, 12, INK, true, &panel.title);
    c.text((right, corner.1 + 8), Anchor::End, 11, MUTED, false, "Gelem/s, log scale");
    for tick in y.ticks(24) {
        c.line((left, y.at(tick)), (right, y.at(tick)), GRID, 1);
        c.text((left - 6, y.at(tick)), Anchor::End, 11, MUTED, false, &tick_label(tick));
    }
    cache_marks(c, panel, caches, &x, (top, bottom));
    shape_ticks(c, panel, &x, bottom);
    c.text(((left + right) / 2, bottom + 34), Anchor::Middle, 11, MUTED, false, "weights per call, log scale");
    if quoted {
        c.open_diamond((corner.0 + 172, corner.1 + 8), CLAIM);
        c.text((corner.0 + 184, corner.1 + 8), Anchor::Start, 11, MUTED, false, "seed, published (§2.4)");
        for (elements, value) in seed::dequantize_gelem_s() {
            let size = elements as f64;
            if x.holds(size) && y.holds(value) {
                c.open_diamond((x.at(size), y.at(value)), CLAIM);
            }
        }
    }
    for (i, kernel) in group.kernels.iter().enumerate() {
        let color = SERIES[i % SERIES.len()];
        let points: Vec<(i32, i32)> = panel
            .cells
            .iter()
            .filter_map(|cell| {
                let (_, s) = query::kernels(cell).find(|(_, s)| s.kernel == *kernel && s.gelem_s > 0.0)?;
                Some((x.at(cell.weights_per_call as f64), y.at(s.gelem_s)))
            })
            .collect();
        if points.len() > 1 {
            c.path(&points, color, 2);
        }
        for at in points {
            c.marker(i, at, color);
        }
    }
}

/// Labels at the sizes that were measured, as far as there is room.
fn shape_ticks(c: &mut Canvas<'_>, panel: &Panel<'_>, x: &Scale, bottom: i32) {
    let mut last = i32::MIN / 2;
    let mut sizes: Vec<u64> = panel.cells.iter().map(|c| c.weights_per_call).collect();
    sizes.dedup();
    for size in sizes {
        let at = x.at(size as f64);
        c.line((at, bottom), (at, bottom + 4), MUTED, 1);
        if at - last >= 52 {
            c.text((at, bottom + 14), Anchor::Middle, 11, MUTED, false, &size_label(size));
            last = at;
        }
    }
    c.line((x.at(0.0), bottom), (x.at(f64::MAX), bottom), MUTED, 1);
}

fn cache_marks(c: &mut Canvas<'_>, panel: &Panel<'_>, caches: &[u64], x: &Scale, span: (i32, i32)) {
    let Some(cell) = panel.cells.first().filter(|c| c.residency == Residency::Cache) else { return };
    let Some(entry) = cell.entries.first() else { return };
    let output = if cell.op == "dequantize" { 4.0 } else { 0.0 };
    let per_weight = entry.bytes_per_call as f64 / cell.weights_per_call.max(1) as f64 + output;
    for (level, bytes) in caches.iter().enumerate() {
        let weights = *bytes as f64 / per_weight;
        if per_weight > 0.0 && x.holds(weights) {
            c.dashed((x.at(weights), span.0), (x.at(weights), span.1), MUTED);
            let text = format!("L{} {}", level + 1, figures::bytes(*bytes));
            // Towards the middle, so that the label stays in its panel.
            let room_right = x.at(f64::MAX) - x.at(weights);
            let (anchor, dx) = if room_right > 80 { (Anchor::Start, 4) } else { (Anchor::End, -4) };
            c.text((x.at(weights) + dx, span.0 + 6), anchor, 11, MUTED, false, &text);
        }
    }
}

fn padded(values: impl Iterator<Item = f64>, factor: f64) -> std::ops::RangeInclusive<f64> {
    let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    low / factor..=high * factor
}

fn tick_label(v: f64) -> String {
    if v >= 1.0 { figures::integer(v.round() as u64).to_string() } else { format!("{v:.2}") }
}

fn size_label(n: u64) -> String {
    match n {
        n if n >= 1_000_000 => format!("{:.1} M", n as f64 / 1e6),
        n if n >= 10_000 => format!("{:.1} k", n as f64 / 1e3),
        n => n.to_string(),
    }
}
