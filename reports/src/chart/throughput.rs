//! Throughput against size: one panel an operation and residency, one line a kernel with its name at its end, families
//! in panels of their own. Where the operand outgrows a cache of the receipt's machine, the panel says so.

use super::canvas::{Anchor, CLAIM, Canvas, GRID, LABEL, MUTED, NOTE, SERIES, STRONG, Scale, draw};
use super::parts::{Chart, WIDTH, head, not_drawn, say, tick};
use super::text::{self, Taken};
use crate::{query, seed};
use receipt::figures;
use receipt::{Family, MicroCell, Operation, Receipt, Residency};

const PANEL: i32 = 430;
const GAP: i32 = 40;
/// Room for kernels' names right of the plot.
const NAMES: i32 = 138;
/// Lines of one panel; a receipt with more kernels has them in its tables.
const MOST: usize = 40;

/// One panel's cells, smallest first.
struct Panel<'a> {
    op: Operation,
    title: String,
    cells: Vec<&'a MicroCell>,
}

/// One family's panels and kernels.
struct Group<'a> {
    family: Family,
    kernels: Vec<String>,
    panels: Vec<Panel<'a>>,
}

/// One chart a family, of those that were timed.
pub fn charts(receipt: &Receipt) -> Vec<Chart> {
    let mut out: Vec<Chart> = Vec::new();
    for group in Family::ALL.into_iter().filter_map(|f| group(receipt, f)) {
        let file = match group.family {
            Family::W2A32 => "throughput-w2a32.svg",
            Family::W2A8 => "throughput-w2a8.svg",
        };
        out.push(chart(receipt, &group, file));
    }
    out
}

fn chart(receipt: &Receipt, group: &Group<'_>, file: &'static str) -> Chart {
    let said: Vec<String> = group.panels.iter().filter_map(finding).collect();
    let found = said.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
    let panel = 138 + (15 * group.kernels.len() as i32).max(150);
    let top = head(&found);
    let total = top + (group.panels.len() as i32 + 1) / 2 * panel;
    let title = format!("Throughput by size: {}", query::family_title(group.family));
    let description = format!(
        "{} Weights handled per nanosecond (Gelem/s) against weights per call, both on log scales; every figure is in \
         the tables and in measurements.csv.",
        said.join(" ")
    );
    let svg = draw(file.trim_end_matches(".svg"), (WIDTH, total), &title, &description, |c| {
        say(c, &found);
        for (i, shown) in group.panels.iter().enumerate() {
            let corner = (i as i32 % 2 * (PANEL + GAP), top + i as i32 / 2 * panel);
            paint(c, shown, group, &receipt.host.caches_bytes, (corner, panel));
        }
    });
    let mut caption = String::from(
        "Each mark is one shape's median; panels of one operation share their scale. Shapes with equally many weights \
         stand above each other. Dashed lines mark where what a call touches (packed weights, and for dequantize its \
         f32 output) outgrows a cache of this machine (the caches of all threads together).",
    );
    if group.panels.iter().any(|p| p.op == Operation::Dequantize) {
        caption += " Open diamonds on dequantize: the seed's published scalar and AVX2 figures (section 2.4), from \
                    another machine.";
    }
    caption += &not_drawn(query::kernel_ids(receipt, group.family).len(), MOST);
    Chart { file, caption, svg }
}

fn group(receipt: &Receipt, family: Family) -> Option<Group<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for shown in query::headlines(receipt, family) {
        let same = |c: &&MicroCell| c.op == shown.op && c.residency == shown.residency && !c.rounds.is_empty();
        let mut cells: Vec<&MicroCell> = query::cells(receipt, family).filter(same).collect();
        cells.sort_by_key(|c| (c.weights_per_call, c.m));
        if !cells.is_empty() {
            panels.push(Panel {
                op: shown.op,
                title: format!("{}, {}", shown.op, query::residency(shown.residency)),
                cells,
            });
        }
    }
    let mut kernels = query::kernel_ids(receipt, family);
    kernels.truncate(MOST);
    (!panels.is_empty()).then_some(Group { family, kernels, panels })
}

/// Speeds that were measured in a panel, and the seed's where it has some.
fn speeds(panel: &Panel<'_>) -> Vec<f64> {
    let measured = panel.cells.iter().flat_map(|c| query::kernels(c)).map(|(_, s)| s.gelem_s);
    // The seed's points belong on the chart, however far below they are.
    let published =
        seed::dequantize_gelem_s().map(|(_, gelem_s)| gelem_s).filter(|_| panel.op == Operation::Dequantize);
    measured.chain(published).filter(|s| s.is_finite() && *s > 0.0).collect()
}

fn paint(c: &mut Canvas, panel: &Panel<'_>, group: &Group<'_>, caches: &[u64], place: ((i32, i32), i32)) {
    let (corner, height) = place;
    let (left, top) = (corner.0 + 46, corner.1 + 58);
    let (right, bottom) = (corner.0 + PANEL - NAMES, corner.1 + height - 64);
    let sizes = panel.cells.iter().map(|c| c.weights_per_call as f64);
    let alike = group.panels.iter().filter(|p| p.op == panel.op).flat_map(speeds);
    let x = Scale::log(padded(sizes, 1.6), (left, right));
    let y = Scale::log(padded(alike, 1.35), (bottom, top));
    let title = text::fit(&panel.title, 12, true, 230);
    c.text((corner.0, corner.1 + 8), Anchor::Start, STRONG, &title);
    c.text((corner.0, corner.1 + 25), Anchor::Start, NOTE, "Gelem/s, log scale");
    for value in y.ticks(24) {
        c.line((left, y.at(value)), (right, y.at(value)), GRID, 1);
        c.text((left - 6, y.at(value)), Anchor::End, NOTE, &text::fit(&tick(value), 12, false, 40));
    }
    zones(c, panel, caches, &x, (top, bottom));
    shape_ticks(c, panel, &x, bottom);
    let axis = "weights per call, log scale";
    c.text(((left + right) / 2, bottom + 35), Anchor::Middle, NOTE, axis);
    if panel.op == Operation::Dequantize {
        c.open_diamond((right + 14, corner.1 + 25), CLAIM);
        c.text((right + 26, corner.1 + 25), Anchor::Start, NOTE, "seed (§2.4)");
        for (elements, value) in seed::dequantize_gelem_s() {
            let size = elements as f64;
            if x.holds(size) && y.holds(value) {
                c.open_diamond((x.at(size), y.at(value)), CLAIM);
            }
        }
    }
    lines(c, panel, group, (&x, &y), (right, (top, bottom)));
}

/// Each kernel's line, and its name where it ends.
fn lines(c: &mut Canvas, panel: &Panel<'_>, group: &Group<'_>, scales: (&Scale, &Scale), room: (i32, (i32, i32))) {
    let (right, span) = room;
    let mut ends: Vec<(usize, (i32, i32))> = Vec::new();
    for (i, kernel) in group.kernels.iter().enumerate() {
        let color = SERIES[i % SERIES.len()];
        let points: Vec<(i32, i32)> = panel
            .cells
            .iter()
            .filter_map(|cell| {
                let (_, s) = query::kernels(cell).find(|(_, s)| s.kernel == *kernel && s.gelem_s > 0.0)?;
                Some((scales.0.at(cell.weights_per_call as f64), scales.1.at(s.gelem_s)))
            })
            .collect();
        if points.len() > 1 {
            c.path(&points, color, 2);
        }
        points.iter().for_each(|at| c.marker(i, *at, color));
        ends.extend(points.last().map(|at| (i, *at)));
    }
    let wanted: Vec<i32> = ends.iter().map(|e| e.1.1).collect();
    for ((i, end), y) in ends.into_iter().zip(text::apart(&wanted, 15, span)) {
        let color = SERIES[i % SERIES.len()];
        c.path(&[(end.0 + 6, end.1), (right, end.1), (right + 6, y)], color, 1);
        c.marker(i, (right + 12, y), color);
        let name = text::fit(&group.kernels[i], 12, false, NAMES - 22);
        c.text((right + 22, y), Anchor::Start, LABEL, &name);
    }
}

/// Labels at the sizes that were measured, as far as there is room.
fn shape_ticks(c: &mut Canvas, panel: &Panel<'_>, x: &Scale, bottom: i32) {
    let mut free = i32::MIN;
    let mut sizes: Vec<u64> = panel.cells.iter().map(|c| c.weights_per_call).collect();
    sizes.dedup();
    for size in sizes {
        let at = x.at(size as f64);
        c.line((at, bottom), (at, bottom + 4), MUTED, 1);
        let label = text::fit(&size_label(size), 12, false, 80);
        let half = text::width(&label, 12, false) / 2 + 2;
        if at - half >= free {
            c.text((at, bottom + 15), Anchor::Middle, NOTE, &label);
            free = at + half;
        }
    }
    c.line((x.at(0.0), bottom), (x.at(f64::MAX), bottom), MUTED, 1);
}

/// The caches that hold what a call touches: a dashed line where it outgrows one, the cache's name between the lines.
fn zones(c: &mut Canvas, panel: &Panel<'_>, caches: &[u64], x: &Scale, span: (i32, i32)) {
    let Some(cell) = panel.cells.first().filter(|c| c.residency != Residency::Dram) else { return };
    let Some(entry) = cell.entries.first() else { return };
    let output = if cell.op == Operation::Dequantize { 4.0 } else { 0.0 };
    let per_weight = entry.bytes_per_call as f64 / cell.weights_per_call.max(1) as f64 + output;
    if per_weight <= 0.0 {
        return;
    }
    let mut taken = Taken::new((x.at(0.0), span.0 - 22), (x.at(f64::MAX), span.0));
    let mut from = x.at(0.0);
    // Threads have caches of their own, but for the last of three or more. `dequantize` runs on one.
    let threads = if cell.op == Operation::Dequantize { 1 } else { cell.threads.max(1) as u64 };
    let capacity = |i: usize| caches[i].saturating_mul(if i >= 2 && i + 1 == caches.len() { 1 } else { threads });
    let levels = (0..caches.len()).map(|i| (format!("L{}", i + 1), Some(capacity(i))));
    for (level, bytes) in levels.chain([("memory".to_string(), None)]) {
        let end = bytes.map(|b| b as f64 / per_weight);
        let to = end.map_or(x.at(f64::MAX), |weights| x.at(weights));
        // A boundary at the very edge would mark no change.
        if end.is_some() && to > x.at(0.0) + 8 && to < x.at(f64::MAX) - 8 {
            c.dashed((to, span.0 - 18), (to, span.1), MUTED);
        }
        let long = bytes.map_or(level.clone(), |b| format!("in {level} ({})", figures::bytes(b)));
        let fitting = [long, level].into_iter().find(|l| text::width(l, 12, false) + 8 <= to - from);
        if let Some(label) = fitting {
            let width = text::width(&label, 12, false);
            if taken.take(((from + to - width) / 2, span.0 - 12), width, 12) {
                c.text(((from + to) / 2, span.0 - 12), Anchor::Middle, NOTE, &label);
            }
        }
        from = from.max(to);
    }
}

fn padded(values: impl Iterator<Item = f64>, factor: f64) -> std::ops::RangeInclusive<f64> {
    let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    low / factor..=high * factor
}

fn size_label(n: u64) -> String {
    match n {
        n if n >= 1_000_000_000 => format!("{:.2} G", n as f64 / 1e9),
        n if n >= 1_000_000 => format!("{:.1} M", n as f64 / 1e6),
        n if n >= 10_000 => format!("{:.1} k", n as f64 / 1e3),
        n => n.to_string(),
    }
}

/// Who leads a panel, and what its speed does from the smallest to the largest size.
fn finding(panel: &Panel<'_>) -> Option<String> {
    let (first, last) = (panel.cells.first()?, panel.cells.last()?);
    let best = query::fastest(last).filter(|s| s.gelem_s.is_finite())?;
    let leads = panel.cells.iter().filter(|c| query::fastest(c).is_some_and(|s| s.kernel == best.kernel)).count();
    let mut said = format!(
        "{}: {} is fastest at the largest size ({} weights a call), {} Gelem/s",
        panel.title,
        best.kernel,
        size_label(last.weights_per_call),
        figures::number(best.gelem_s)
    );
    let small = query::kernels(first).find(|(_, s)| s.kernel == best.kernel && s.gelem_s > 0.0);
    if let Some((_, s)) = small.filter(|_| first.weights_per_call < last.weights_per_call) {
        let (size, speed) = (size_label(first.weights_per_call), figures::number(s.gelem_s));
        said += &format!(", and at the smallest ({size}) {speed}; it leads at {leads} of {} shapes", panel.cells.len());
    }
    Some(said + ".")
}
