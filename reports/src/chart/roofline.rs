//! The roofline: what memory and multipliers allow at each number of weights a byte, and where every kernel stands
//! under it. Families have plots of their own.

use super::canvas::{Anchor, Canvas, GRID, HEADING, INK, LABEL, MUTED, NOTE, SERIES, Scale, draw};
use super::parts::{Chart, WIDTH, head, key, legend, legend_height, say, tick, ticks};
use super::text::{self, Taken};
use crate::query;
use receipt::figures;
use receipt::judge::bound;
use receipt::{Bound, Family, Limits, MicroCell, MicroSummary, Operation, Receipt, Residency};

const PANEL: i32 = 420;
/// Right of the plot stand the names of the ceilings.
const PLOT: (i32, i32) = (52, 690);
/// Room for the name of a kernel beside its mark.
const NAME: i32 = 176;

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

/// The roofline chart, if the receipt has limits and a kernel with a bound.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let limits = receipt.limits.as_ref()?;
    let panels: Vec<Panel<'_>> = Family::ALL.into_iter().filter_map(|f| panel(receipt, limits, f)).collect();
    if panels.is_empty() {
        return None;
    }
    let found = panels.iter().map(finding).collect::<Vec<_>>().join(" ");
    let top = head(&found) + 30;
    let legends: Vec<i32> = panels.iter().map(|p| legend_height(p.kernels.iter().map(String::as_str))).collect();
    let total = top + panels.iter().zip(&legends).map(|(_, l)| PANEL + 44 + l).sum::<i32>();
    let description = format!("{found} {}", description(&panels));
    let title = nearest(panels.iter().flat_map(|panel| &panel.points)).map_or_else(
        || "No bound is known".into(),
        |p| {
            let (kernel, share) = (&p.summary.kernel, figures::percent(p.bound.share));
            format!("{kernel} comes nearest to a limit: {share} of what {} allows", query::limiter(p.bound.bound))
        },
    );
    let svg = draw("roofline", (WIDTH, total), &title, &description, |c| {
        say(c, &found);
        key(
            c,
            (0, head(&found)),
            &[
                (&|c, x, y| c.marker(0, (x + 12, y), INK), "weights in cache (names right)"),
                (&|c, x, y| c.hollow(0, (x + 12, y), INK), "from memory (names left)"),
                (&|c, x, y| c.line((x, y + 5), (x + 24, y - 5), INK, 1), "streaming read"),
                (&|c, x, y| c.dashed((x, y), (x + 24, y), MUTED), "multiply alone"),
            ],
        );
        let mut y = top;
        for (panel, room) in panels.iter().zip(&legends) {
            c.text((0, y), Anchor::Start, HEADING, &text::fit(&panel.title, 13, true, WIDTH));
            legend(c, (0, y + 22), panel.kernels.iter().map(String::as_str).enumerate(), true);
            paint(c, panel, y + 26 + room);
            y += PANEL + 44 + room;
        }
    });
    let caption = "Both axes are logarithmic. Slopes: streaming read of this machine from each level, on the threads \
                   of the run. Levels: the multiply instruction alone, in registers, for the kernels' instructions. \
                   Percentages: share of the bound that binds; for weights from memory that is the stream of the same \
                   rounds, which other load may have held below the slope. A mark under a slope is bound by memory, \
                   one under a level by its multiply; the distance to the nearer of the two is what better code could \
                   still gain. A port mix that binds a loop in cache has no line: only another loop goes beyond it. \
                   Batches use a weight once a token, which moves them to the right. dequantize multiplies nothing \
                   and is not drawn."
        .into();
    Some(Chart { file: "roofline.svg".into(), title, caption, svg, saved: true })
}

fn panel<'a>(receipt: &'a Receipt, limits: &Limits, family: Family) -> Option<Panel<'a>> {
    let kernels = query::kernel_ids(receipt, family);
    let heads = query::headlines(receipt, family).into_iter().filter(|c| c.op != Operation::Dequantize);
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
    Some(Panel { title: query::family_title(family).into(), kernels, points, roofs, ceilings })
}

fn paint(c: &mut Canvas, panel: &Panel<'_>, top: i32) {
    let (top, bottom) = (top + 34, top + PANEL - 62);
    let (x, y) = scales(panel, top, bottom);
    for value in y.ticks(22) {
        c.line((PLOT.0, y.at(value)), (PLOT.1, y.at(value)), GRID, 1);
        c.text((PLOT.0 - 6, y.at(value)), Anchor::End, NOTE, &tick(value));
    }
    for (value, label) in ticks(&x, 56, "") {
        c.line((x.at(value), bottom), (x.at(value), bottom + 4), MUTED, 1);
        c.text((x.at(value), bottom + 15), Anchor::Middle, NOTE, &label);
    }
    c.line((PLOT.0, bottom), (PLOT.1, bottom), MUTED, 1);
    let roofs: Vec<String> = panel.roofs.iter().map(|r| format!("{} {}", r.name, figures::number(r.gb_s))).collect();
    let units = format!("GMAC/s, log scale · streaming read in GB/s: {}", roofs.join(", "));
    c.text((0, top - 30), Anchor::Start, NOTE, &text::fit(&units, 12, false, WIDTH));
    let middle = (PLOT.0 + PLOT.1) / 2;
    let axis = "weights (MAC) per byte of packed weights, log scale";
    c.text((middle, bottom + 34), Anchor::Middle, NOTE, axis);
    slopes(c, panel, &x, &y, top);
    ceilings(c, panel, &y, (top, bottom));
    let mut taken = Taken::new((PLOT.0, top), (PLOT.1, bottom));
    let place = |p: &Point<'_>| (x.at(p.bound.weights_per_byte), y.at(p.summary.gelem_s));
    for (from_memory, right) in [(false, true), (true, false)] {
        let mut ops: Vec<Operation> = Vec::new();
        for p in panel.points.iter().filter(|p| (p.cell.residency == Residency::Dram) == from_memory) {
            if !ops.contains(&p.cell.op) {
                ops.push(p.cell.op);
            }
        }
        for op in ops {
            let here = |p: &&Point<'_>| (p.cell.residency == Residency::Dram) == from_memory && p.cell.op == op;
            let group = panel.points.iter().filter(here);
            names(c, &group.map(|p| (p, place(p))).collect::<Vec<_>>(), right, (top, bottom), &mut taken);
        }
    }
    for point in &panel.points {
        let color = SERIES[point.kernel % SERIES.len()];
        match point.cell.residency {
            Residency::Dram => c.hollow(point.kernel, place(point), color),
            _ => c.marker(point.kernel, place(point), color),
        }
    }
}

/// Far enough to the left for slopes to be seen below the ceilings, and to the right for names.
fn scales(panel: &Panel<'_>, top: i32, bottom: i32) -> (Scale, Scale) {
    let intensity = range(panel.points.iter().map(|p| p.bound.weights_per_byte), 1.0, 1.0);
    let (first, last) = (*intensity.start(), *intensity.end());
    let side = f64::from(NAME + 24) / f64::from(PLOT.1 - PLOT.0);
    let low = first / (last / first).powf(side / (1.0 - 2.0 * side)).max(20.0);
    let x = Scale::log(low..=low * (last / low).powf(1.0 / (1.0 - side)), PLOT);
    let rates = panel.points.iter().map(|p| p.summary.gelem_s).chain(panel.ceilings.iter().map(|r| r.gmac_s));
    (x, Scale::log(range(rates, 1.6, 1.3), (bottom, top)))
}

/// The kernels' names beside their marks, with the share of what binds them.
fn names(c: &mut Canvas, group: &[(&Point<'_>, (i32, i32))], right: bool, room: (i32, i32), taken: &mut Taken) {
    let column = if right { group.iter().map(|g| g.1.0).max() } else { group.iter().map(|g| g.1.0).min() };
    let Some(column) = column.map(|x| if right { x + 18 } else { x - 18 }) else { return };
    let wanted: Vec<i32> = group.iter().map(|g| g.1.1).collect();
    let places = text::apart(&wanted, 15, (room.0 + 8, room.1 - 8));
    for ((point, at), y) in group.iter().zip(places) {
        let share = figures::percent(point.bound.share);
        let name = text::fit(&point.summary.kernel, 12, false, NAME - 12 - text::width(&share, 12, false));
        let label = text::fit(&format!("{name} {share}"), 12, false, NAME);
        let width = text::width(&label, 12, false);
        if taken.take((if right { column } else { column - width }, y), width, 12) {
            c.line(*at, (if right { column - 2 } else { column + 2 }, y), MUTED, 1);
            c.plated((column, y), if right { Anchor::Start } else { Anchor::End }, LABEL, &label);
        }
    }
}

/// The multiplies' levels with their names at the right; those of one height share a name.
fn ceilings(c: &mut Canvas, panel: &Panel<'_>, y: &Scale, room: (i32, i32)) {
    let mut levels: Vec<(i32, String)> = Vec::new();
    for ceiling in &panel.ceilings {
        let at = y.at(ceiling.gmac_s);
        match levels.iter_mut().find(|l| l.0 == at) {
            Some((_, names)) => *names = format!("{names}, {}", ceiling.name),
            None => levels.push((at, format!("{} {}", figures::number(ceiling.gmac_s), ceiling.name))),
        }
    }
    let wanted: Vec<i32> = levels.iter().map(|l| l.0).collect();
    let mut taken = Taken::new((PLOT.1, room.0 - 8), (WIDTH, room.1 + 8));
    for ((at, names), label) in levels.iter().zip(text::apart(&wanted, 15, room)) {
        c.dashed((PLOT.0, *at), (PLOT.1, *at), MUTED);
        let names = text::fit(names, 12, false, WIDTH - PLOT.1 - 18);
        if taken.take((PLOT.1 + 16, label), text::width(&names, 12, false), 12) {
            c.line((PLOT.1, *at), (PLOT.1 + 14, label), MUTED, 1);
            c.text((PLOT.1 + 16, label), Anchor::Start, NOTE, &names);
        }
    }
}

/// The bandwidths' lines as far as they are inside the plot, with their names above.
fn slopes(c: &mut Canvas, panel: &Panel<'_>, x: &Scale, y: &Scale, top: i32) {
    let mut ends: Vec<(i32, String)> = Vec::new();
    for roof in &panel.roofs {
        let steps = 400;
        let inside: Vec<(i32, i32)> = (0..=steps)
            .map(|i| x.value(f64::from(i) / f64::from(steps)))
            .filter(|at| y.holds(at * roof.gb_s))
            .map(|at| (x.at(at), y.at(at * roof.gb_s)))
            .collect();
        let (Some(first), Some(last)) = (inside.first(), inside.last()) else { continue };
        c.line(*first, *last, INK, 1);
        // One that leaves at the side has no end above which a name could stand.
        if last.1 <= top + 12 {
            ends.push((last.0, text::fit(&roof.name, 12, false, 80)));
        }
    }
    let wanted: Vec<i32> = ends.iter().map(|e| e.0).collect();
    let mut taken = Taken::new((0, top - 20), (WIDTH, top));
    for ((_, name), at) in ends.iter().zip(text::apart(&wanted, 22, (PLOT.0 + 10, PLOT.1))) {
        let width = text::width(name, 12, false);
        if taken.take((at - width / 2, top - 9), width, 12) {
            c.text((at, top - 9), Anchor::Middle, LABEL, name);
        }
    }
}

fn range(values: impl Iterator<Item = f64>, below: f64, above: f64) -> std::ops::RangeInclusive<f64> {
    let values = values.filter(|v| v.is_finite() && *v > 0.0);
    let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    low / below..=high * above
}

fn is_real(p: &&Point<'_>) -> bool {
    p.bound.share.is_finite() && p.summary.gelem_s.is_finite()
}

fn nearest<'p, 'a>(points: impl Iterator<Item = &'p Point<'a>>) -> Option<&'p Point<'a>>
where
    'a: 'p,
{
    points.filter(is_real).max_by(|a, b| a.bound.share.total_cmp(&b.bound.share))
}

/// Who comes nearest to its limit and who is fastest.
fn finding(panel: &Panel<'_>) -> String {
    let fastest = panel.points.iter().filter(is_real).max_by(|a, b| a.summary.gelem_s.total_cmp(&b.summary.gelem_s));
    let (Some(nearest), Some(fastest)) = (nearest(panel.points.iter()), fastest) else {
        return format!("{}: no bound is known.", panel.title);
    };
    let of = |p: &Point<'_>| {
        format!(
            "{} for {} with {} of what {} allows",
            p.summary.kernel,
            query::cell_title(p.cell),
            figures::percent(p.bound.share),
            query::limiter(p.bound.bound)
        )
    };
    let mut said = format!("{}: nearest to its limit is {}", panel.title, of(nearest));
    if !std::ptr::eq(nearest, fastest) {
        said += &format!("; the fastest, {}", of(fastest));
    }
    said + "."
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
