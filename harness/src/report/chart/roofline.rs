//! The roofline: what memory and multipliers allow at each number of weights a byte, and where every kernel stands under it. Families
//! have plots of their own.

use super::canvas::{Anchor, Canvas, GRID, INK, MUTED, SERIES, SURFACE, Scale, draw};
use super::{Chart, WIDTH, legend};
use crate::bound;
use crate::receipt::{Bound, Limits, MicroCell, MicroSummary, Receipt, Residency};
use crate::report::{figures, query};

const PANEL: i32 = 400;
const PLOT: (i32, i32) = (52, 884);

/// One family's plot.
struct Panel<'a> {
    title: String,
    kernels: Vec<String>,
    points: Vec<Point<'a>>,
    roofs: Vec<Roof>,
    ceilings: Vec<Ceiling>,
}

/// A kernel at a headline shape.
struct Point<'a> {
    kernel: usize,
    cell: &'a MicroCell,
    summary: &'a MicroSummary,
    bound: &'a Bound,
}

/// A bandwidth: a slope.
struct Roof {
    name: String,
    gb_s: f64,
}

/// A peak of products: a level.
struct Ceiling {
    name: String,
    gmac_s: f64,
}

/// The chart, if the receipt has limits and a kernel with a bound.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let limits = receipt.limits.as_ref()?;
    let panels: Vec<Panel<'_>> =
        query::families(receipt).into_iter().filter_map(|f| panel(receipt, limits, f)).collect();
    if panels.is_empty() {
        return None;
    }
    let total = 44 + (PANEL + 84) * panels.len() as i32;
    let svg = draw(
        "roofline",
        (WIDTH, total),
        "How far each kernel is from the machine's limit",
        &description(&panels),
        |c| {
            let mut y = 52;
            for panel in &panels {
                c.text((0, y), Anchor::Start, 13, INK, true, &panel.title);
                let used = legend(c, (0, y + 24), panel.kernels.iter().map(String::as_str).enumerate(), true);
                paint(c, panel, y + 36 + used);
                y += PANEL + 84;
            }
        },
    );
    let caption = "Both axes are logarithmic. Slopes: streaming read of this machine from each level, on the threads of the run. Levels: the \
                   multiply instruction alone, in registers, for the kernels' instructions. Filled marks: weights in cache; hollow: from \
                   memory. A mark under a slope is bound by memory, one under a level by its multiply; the distance to the nearer of the two is \
                   what better code could still gain. Batches use a weight once a token, which moves them to the right. dequantize multiplies \
                   nothing and is not drawn."
        .into();
    Some(Chart { file: "roofline.svg", caption, svg })
}

fn panel<'a>(receipt: &'a Receipt, limits: &Limits, family: String) -> Option<Panel<'a>> {
    let kernels = query::kernel_ids(receipt, &family);
    let heads = query::headlines(receipt, &family).into_iter().filter(|c| c.op != "dequantize");
    let points =
        heads.flat_map(|cell| query::kernels(cell).map(move |(_, s)| (cell, s))).filter_map(|(cell, summary)| {
            let kernel = kernels.iter().position(|k| *k == summary.kernel)?;
            let bound = summary.bound.as_ref()?;
            Some(Point { kernel, cell, summary, bound })
        });
    let points: Vec<Point<'a>> = points.collect();
    let threads = points.first()?.cell.threads;
    let mut roofs: Vec<Roof> = Vec::new();
    for b in limits.bandwidth.iter().filter(|b| b.threads == threads) {
        match roofs.iter_mut().find(|r| r.name == b.level) {
            Some(roof) => roof.gb_s = roof.gb_s.max(b.read_gb_s.high),
            None => roofs.push(Roof { name: b.level.clone(), gb_s: b.read_gb_s.high }),
        }
    }
    let mut ceilings: Vec<Ceiling> = Vec::new();
    for kernel in &kernels {
        let Some(peak) = bound::multiply(limits, kernel) else { continue };
        if !ceilings.iter().any(|c| c.name == peak.id) {
            ceilings.push(Ceiling { name: peak.id.clone(), gmac_s: bound::peak_gmac_s(peak, threads) });
        }
    }
    Some(Panel { title: query::family_title(&family), kernels, points, roofs, ceilings })
}

fn paint(c: &mut Canvas<'_>, panel: &Panel<'_>, top: i32) {
    let bottom = top + PANEL - 70;
    let intensity = || panel.points.iter().map(|p| p.bound.weights_per_byte);
    let rates = || panel.points.iter().map(|p| p.summary.gelem_s);
    // Far enough to the left for every slope to be seen below the ceilings.
    let x = Scale::log(range(intensity(), 40.0, 2.5), PLOT);
    let highest = panel.ceilings.iter().map(|r| r.gmac_s);
    let y = Scale::log(range(rates().chain(highest), 1.6, 1.5), (bottom, top + 14));
    for tick in y.ticks(22) {
        c.line((PLOT.0, y.at(tick)), (PLOT.1, y.at(tick)), GRID, 1);
        c.text((PLOT.0 - 6, y.at(tick)), Anchor::End, 11, MUTED, false, &figures::number(tick));
    }
    for tick in x.ticks(52) {
        c.line((x.at(tick), bottom), (x.at(tick), bottom + 4), MUTED, 1);
        c.text((x.at(tick), bottom + 14), Anchor::Middle, 11, MUTED, false, &figures::number(tick));
    }
    c.line((PLOT.0, bottom), (PLOT.1, bottom), MUTED, 1);
    let roofs: Vec<String> = panel.roofs.iter().map(|r| format!("{} {}", r.name, figures::number(r.gb_s))).collect();
    let units = format!("GMAC/s, log scale · slopes: streaming read in GB/s, {}", roofs.join(", "));
    c.text((PLOT.0, top - 6), Anchor::Start, 11, MUTED, false, &units);
    let middle = (PLOT.0 + PLOT.1) / 2;
    c.text(
        (middle, bottom + 32),
        Anchor::Middle,
        11,
        MUTED,
        false,
        "weights (MAC) per byte of packed weights, log scale",
    );
    for roof in &panel.roofs {
        slope(c, roof, &x, &y);
    }
    let mut labelled: Vec<i32> = Vec::new();
    for ceiling in &panel.ceilings {
        let at = y.at(ceiling.gmac_s);
        c.dashed((PLOT.0, at), (PLOT.1, at), MUTED);
        // Instructions with nearly the same peak share a place: the label steps left.
        let taken = labelled.iter().filter(|l| (**l - at).abs() < 13).count() as i32;
        labelled.push(at);
        let text = format!("{} {}", ceiling.name, figures::number(ceiling.gmac_s));
        c.text((PLOT.1 - 2 - 176 * taken, at - 8), Anchor::End, 11, MUTED, false, &text);
    }
    for point in &panel.points {
        let at = (x.at(point.bound.weights_per_byte), y.at(point.summary.gelem_s));
        c.marker(point.kernel, at, SERIES[point.kernel % SERIES.len()]);
        if point.cell.residency == Residency::Dram {
            c.rect((at.0 - 2, at.1 - 2), (at.0 + 2, at.1 + 2), SURFACE);
        }
    }
}

/// A bandwidth's line as far as it is inside the plot, with its name at the upper end.
fn slope(c: &mut Canvas<'_>, roof: &Roof, x: &Scale, y: &Scale) {
    let steps = 200;
    let inside: Vec<(i32, i32)> = (0..=steps)
        .map(|i| x.value(f64::from(i) / f64::from(steps)))
        .filter(|at| y.holds(at * roof.gb_s))
        .map(|at| (x.at(at), y.at(at * roof.gb_s)))
        .collect();
    let (Some(first), Some(last)) = (inside.first(), inside.last()) else { return };
    c.line(*first, *last, INK, 1);
    c.text((last.0, last.1 - 8), Anchor::Middle, 11, INK, false, &roof.name);
}

fn range(values: impl Iterator<Item = f64>, below: f64, above: f64) -> std::ops::RangeInclusive<f64> {
    let values = values.filter(|v| v.is_finite() && *v > 0.0);
    let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    low / below..=high * above
}

fn description(panels: &[Panel<'_>]) -> String {
    let one = |p: &Point<'_>| {
        format!(
            "{} at {}: {} GMAC/s, {} of its {} bound",
            p.summary.kernel,
            query::cell_title(p.cell),
            figures::number(p.summary.gelem_s),
            figures::percent(p.bound.share),
            query::bound(p.bound.bound)
        )
    };
    let all: Vec<String> = panels.iter().flat_map(|p| p.points.iter().map(one)).collect();
    format!("Products a second against weights per byte, both on log scales. {}.", all.join("; "))
}
