//! Rounds as they came: the ratio of each round of one cell in the order measured, where in its round the kernel ran,
//! which rounds are outliers and in which of them the thread was preempted. Drawn for the cell that headlines speak of
//! and for each family's noisiest one.

use super::canvas::{Anchor, BAND, CLAIM, Canvas, GRID, HEADING, INK, MUTED, NOTE, SERIES, Scale, draw};
use super::parts::{Chart, WIDTH, head, key, say, tick};
use super::text;
use crate::query;
use receipt::figures;
use receipt::{Family, MicroCell, MicroSummary, Ratio, Receipt};

const PLOT: (i32, i32) = (56, 690);
/// The small plot of positions.
const ORDER: (i32, i32) = (752, 884);
const PANEL: i32 = 252;
/// Rounds drawn of a cell; of more, every second or third.
const MOST: usize = 1500;

/// One pair of kernels, round by round.
struct Trace<'a> {
    title: String,
    summary: &'a Ratio,
    points: Vec<Point>,
    /// Positions that an entry can have in a round.
    places: usize,
    /// The A/A pair: its band is the smallest difference that counts.
    same: bool,
}

/// One round's ratio.
struct Point {
    round: usize,
    ratio: f64,
    /// Position of the kernel in its round, from 0; absent where the order was not kept.
    place: Option<usize>,
    preempted: bool,
    outlier: bool,
}

/// The charts of rounds as they came: the headline cell, then the noisiest cell of each family where that is another.
pub fn charts(receipt: &Receipt) -> Vec<Chart> {
    let headline = [query::EXACT, query::GROUPED, query::LADDER].into_iter().find_map(|f| {
        let heads = query::headlines(receipt, f);
        heads.into_iter().find(|c| !traces(c).is_empty())
    });
    let noisiest = |family: Family| {
        let all = query::cells(receipt, family).filter(|c| c.noise_floor.is_finite() && !traces(c).is_empty());
        all.max_by(|a, b| a.noise_floor.total_cmp(&b.noise_floor))
    };
    let mut candidates = vec![(headline, "trace-headline.svg", "the cell of the headline".to_string())];
    for family in Family::ALL {
        let file = match family {
            Family::W2A32 => "trace-w2a32.svg",
            Family::W2A8 => "trace-w2a8.svg",
            Family::W2gA8 => "trace-w2ga8.svg",
        };
        candidates.push((noisiest(family), file, format!("the noisiest {family} cell")));
    }
    let mut drawn: Vec<&MicroCell> = Vec::new();
    let mut out = Vec::new();
    for (cell, file, why) in candidates {
        let Some(cell) = cell.filter(|c| !drawn.iter().any(|d| std::ptr::eq(*d, *c))) else { continue };
        drawn.push(cell);
        out.push(chart(cell, file, &why));
    }
    out
}

/// The A/A pair and the fastest kernel over the baseline.
fn traces(cell: &MicroCell) -> Vec<Trace<'_>> {
    let mut out = Vec::new();
    if let Some(own) = cell.entries.iter().position(|e| e.self_pair) {
        let kernel = &cell.entries[own].kernel;
        let partner = cell.entries.iter().position(|e| e.kernel == *kernel && !e.self_pair);
        out.extend(partner.and_then(|p| trace(cell, own, p, format!("{kernel} against itself (A/A)"), true)));
    }
    let fastest: Option<&MicroSummary> = query::fastest(cell);
    let row = fastest.and_then(|f| query::kernels(cell).find(|(_, s)| s.kernel == f.kernel));
    if let Some((own, s)) = row.filter(|(i, _)| *i > 0) {
        let partner = s.vs_baseline.as_ref().map_or("", |r| r.partner.as_str());
        out.extend(trace(cell, own, 0, format!("{} over {partner} (the fastest)", s.kernel), false));
    }
    out
}

fn trace(cell: &MicroCell, own: usize, partner: usize, title: String, same: bool) -> Option<Trace<'_>> {
    let summary = cell.summaries.get(own)?.vs_baseline.as_ref()?;
    let mut points: Vec<Point> = Vec::new();
    for (round, r) in cell.rounds.iter().enumerate() {
        let (Some(&base), Some(&ns)) = (r.ns.get(partner), r.ns.get(own)) else { continue };
        if base == 0 || ns == 0 {
            continue;
        }
        let switches = |i: usize| r.involuntary_switches.get(i).is_some_and(|n| *n > 0);
        points.push(Point {
            round,
            ratio: base as f64 / ns as f64,
            place: r.order.iter().position(|e| usize::from(*e) == own),
            preempted: switches(own) || switches(partner),
            outlier: false,
        });
    }
    if points.len() < 2 {
        return None;
    }
    // Of fewer rounds nobody can say which is the odd one.
    if points.len() >= 8 {
        let (low, high) = fences(&points);
        points.iter_mut().for_each(|p| p.outlier = p.ratio < low || p.ratio > high);
    }
    Some(Trace { title, summary, points, places: cell.entries.len(), same })
}

/// Tukey's fences: one and a half interquartile ranges beyond the quartiles, of the ratios' logarithms, so that twice
/// as fast and half as fast lie equally far out.
fn fences(points: &[Point]) -> (f64, f64) {
    let mut logs: Vec<f64> = points.iter().map(|p| p.ratio.ln()).collect();
    logs.sort_by(f64::total_cmp);
    let quartile = |share: f64| logs[((logs.len() - 1) as f64 * share).round() as usize];
    let (q1, q3) = (quartile(0.25), quartile(0.75));
    let reach = 1.5 * (q3 - q1).max(1e-12);
    ((q1 - reach).exp(), (q3 + reach).exp())
}

/// The ratios' axis: all that is no outlier and, for the A/A pair, the smallest difference that counts. Logarithmic
/// where it spans more than a factor of 3.
fn axis(trace: &Trace<'_>, counts: f64, pixels: (i32, i32)) -> (Scale, &'static str) {
    let inside = trace.points.iter().filter(|p| !p.outlier).map(|p| p.ratio);
    let (mut low, mut high) = inside.fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    if trace.same && counts.is_finite() && counts < 0.9 {
        (low, high) = (low.min(1.0 / (1.0 + counts)), high.max(1.0 + counts));
    }
    if high > 3.0 * low {
        let room = (high / low).powf(0.08);
        return (Scale::log(low / room..=high * room, pixels), "ratio of times, ×, log scale");
    }
    let reach = (high - low).max(0.002 * high) * 0.12;
    (Scale::between((low - reach).max(low * 0.5), high + reach, pixels), "ratio of times, ×")
}

fn chart(cell: &MicroCell, file: &'static str, why: &str) -> Chart {
    let traces = traces(cell);
    let found = traces.iter().map(|t| finding(t, cell)).collect::<Vec<_>>().join(" ");
    let top = head(&found) + 44;
    let total = top + PANEL * traces.len() as i32;
    let counts = query::threshold(cell)
        .map_or_else(String::new, |t| format!(": differences count from {}", figures::percent(t)));
    let title = format!("{}, {why}{counts}", query::cell_title(cell));
    let svg = draw(file.trim_end_matches(".svg"), (WIDTH, total), &title, &found, |c| {
        say(c, &found);
        legend(c, head(&found));
        for (i, trace) in traces.iter().enumerate() {
            panel(c, trace, cell, top + PANEL * i as i32);
        }
    });
    let step = cell.rounds.len().div_ceil(MOST);
    let thinned = if step > 1 { format!(" One round in {step} is drawn, and every outlier.") } else { String::new() };
    let caption = format!(
        "Outliers lie more than 1.5 interquartile ranges beyond the quartiles (of logarithms); those beyond the plot \
         are at its edge. Preempted: the measuring thread lost its CPU while one of the two ran. Right: median by the \
         position that the kernel had in its round, which balanced orders make equal unless the position itself \
         matters. Medians and sign-test intervals are over all rounds, outliers included.{thinned}"
    );
    Chart { file: file.into(), title, caption, svg, saved: true }
}

fn legend(c: &mut Canvas, y: i32) {
    let signs: [(Place, &str); 3] =
        [(Place::First, "ran first in its round"), (Place::Between, "between"), (Place::Last, "last")];
    let first = |c: &mut Canvas, x: i32, y: i32| dot(c, signs[0].0, (x + 12, y));
    let between = |c: &mut Canvas, x: i32, y: i32| dot(c, signs[1].0, (x + 12, y));
    let last = |c: &mut Canvas, x: i32, y: i32| dot(c, signs[2].0, (x + 12, y));
    key(
        c,
        (0, y),
        &[
            (&first, signs[0].1),
            (&between, signs[1].1),
            (&last, signs[2].1),
            (&|c, x, y| c.ring((x + 12, y), 6, CLAIM), "outlier"),
            (&|c, x, y| c.line((x + 12, y - 5), (x + 12, y + 5), CLAIM, 2), "preempted"),
            (&|c, x, y| c.line((x, y), (x + 24, y), INK, 1), "median"),
            (&|c, x, y| c.rect((x, y - 8), (x + 24, y + 8), BAND), "its interval"),
            (&|c, x, y| c.dashed((x, y), (x + 24, y), MUTED), "smallest difference that counts"),
        ],
    );
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    First,
    Between,
    Last,
}

fn place(point: &Point, places: usize) -> Place {
    match point.place {
        Some(0) => Place::First,
        Some(p) if p + 1 >= places => Place::Last,
        _ => Place::Between,
    }
}

fn dot(c: &mut Canvas, place: Place, at: (i32, i32)) {
    match place {
        Place::First => c.marker(2, at, SERIES[4]),
        Place::Between => c.dot(at, 2, MUTED),
        Place::Last => c.marker(4, at, SERIES[1]),
    }
}

fn panel(c: &mut Canvas, trace: &Trace<'_>, cell: &MicroCell, top: i32) {
    let (from, to) = (top + 40, top + PANEL - 70);
    let counts = query::threshold(cell).unwrap_or(0.0);
    let (y, units) = axis(trace, counts, (to, from));
    let middle = trace.summary.median;
    let last = trace.points.iter().map(|p| p.round + 1).max().unwrap_or(1);
    let x = Scale::linear(last as f64 + 0.5, PLOT);
    let title = format!("{}: {}", trace.title, figures::ratio_with_interval(trace.summary));
    c.text((0, top + 8), Anchor::Start, HEADING, &text::fit(&title, 13, true, ORDER.0 - 14));
    c.text((ORDER.0, top + 8), Anchor::Start, NOTE, "median by position");
    for value in y.ticks(28) {
        for (left, right) in [PLOT, ORDER] {
            c.line((left, y.at(value)), (right, y.at(value)), GRID, 1);
        }
        c.text((PLOT.0 - 6, y.at(value)), Anchor::End, NOTE, &format!("{}×", round_tick(value)));
    }
    if let (Some(low), Some(high)) = (trace.summary.low, trace.summary.high) {
        let (a, b) = (y.at(high), y.at(low));
        c.rect((PLOT.0, a), (PLOT.1, b.max(a + 2)), BAND);
    }
    if trace.same {
        for edge in [1.0 / (1.0 + counts), 1.0 + counts].into_iter().filter(|v| y.holds(*v)) {
            c.dashed((PLOT.0, y.at(edge)), (PLOT.1, y.at(edge)), MUTED);
        }
    }
    c.line((PLOT.0, y.at(middle)), (PLOT.1, y.at(middle)), INK, 1);
    let step = trace.points.len().div_ceil(MOST).max(1);
    let shown = || trace.points.iter().enumerate().filter(move |(i, p)| i % step == 0 || p.outlier).map(|(_, p)| p);
    let at = |p: &Point| (x.at(p.round as f64 + 1.0), y.at(p.ratio));
    for kind in [Place::Between, Place::First, Place::Last] {
        shown().filter(|p| place(p, trace.places) == kind).for_each(|p| dot(c, kind, at(p)));
    }
    shown().filter(|p| p.outlier).for_each(|p| c.ring(at(p), 6, CLAIM));
    for p in trace.points.iter().filter(|p| p.preempted) {
        c.line((at(p).0, to + 3), (at(p).0, to + 12), CLAIM, 1);
    }
    for value in x.ticks(70).into_iter().filter(|v| *v >= 1.0 && v.fract() == 0.0) {
        c.line((x.at(value), to + 14), (x.at(value), to + 18), MUTED, 1);
        c.text((x.at(value), to + 27), Anchor::Middle, NOTE, &tick(value));
    }
    c.text((0, top + 27), Anchor::Start, NOTE, units);
    let axis = "round, in the order measured";
    c.text(((PLOT.0 + PLOT.1) / 2, to + 46), Anchor::Middle, NOTE, axis);
    order(c, trace, &y, to);
}

/// Medians by position in the round.
fn order(c: &mut Canvas, trace: &Trace<'_>, y: &Scale, to: i32) {
    let by_place = by_place(trace);
    let step = f64::from(ORDER.1 - ORDER.0) / trace.places.max(1) as f64;
    let x = |place: usize| ORDER.0 + (step * (place as f64 + 0.5)) as i32;
    let points: Vec<(i32, i32)> = by_place.iter().map(|(place, median, _)| (x(*place), y.at(*median))).collect();
    if points.len() > 1 {
        c.path(&points, MUTED, 1);
    }
    for (at, (place, _, _)) in points.into_iter().zip(&by_place) {
        let kind = match *place {
            0 => Place::First,
            p if p + 1 >= trace.places => Place::Last,
            _ => Place::Between,
        };
        dot(c, kind, at);
    }
    let mut free = i32::MIN;
    for place in 0..trace.places {
        let (label, at) = ((place + 1).to_string(), x(place));
        let half = text::width(&label, 12, false) / 2 + 3;
        if at - half >= free {
            c.text((at, to + 27), Anchor::Middle, NOTE, &label);
            free = at + half;
        }
    }
    c.text(((ORDER.0 + ORDER.1) / 2, to + 46), Anchor::Middle, NOTE, "position in the round");
}

/// (Position, median ratio, rounds), those positions that occurred.
fn by_place(trace: &Trace<'_>) -> Vec<(usize, f64, usize)> {
    let at = |place: usize| trace.points.iter().filter(move |p| p.place == Some(place)).map(|p| p.ratio);
    (0..trace.places).filter_map(|place| Some((place, figures::median(at(place))?, at(place).count()))).collect()
}

/// Three decimals at most: the plot may span less than a percent.
fn round_tick(value: f64) -> String {
    let text = format!("{value:.3}");
    if value.abs() < 1e4 { text.trim_end_matches('0').trim_end_matches('.').into() } else { tick(value) }
}

fn finding(trace: &Trace<'_>, cell: &MicroCell) -> String {
    let count = |of: fn(&&Point) -> bool| trace.points.iter().filter(of).count();
    let rounds = |n: usize| format!("{n} round{}", if n == 1 { "" } else { "s" });
    let (outliers, preempted, both) =
        (count(|p| p.outlier), count(|p| p.preempted), count(|p| p.outlier && p.preempted));
    let figure = figures::ratio_with_interval(trace.summary);
    let mut said = format!("{}: {figure} over {} rounds", trace.title, trace.points.len());
    if let Some(counts) = query::threshold(cell).filter(|_| trace.same) {
        said += &format!(", so that differences count from {}", figures::percent(counts));
    }
    said += &format!("; {outliers} outlier{}", if outliers == 1 { "" } else { "s" });
    said += &match (preempted, outliers) {
        (0, _) => ", no round preempted".to_string(),
        (n, 0) => format!(", {} preempted", rounds(n)),
        (n, _) if both == 0 => format!(", {} preempted (none of them an outlier)", rounds(n)),
        (n, _) => format!(", {} preempted ({both} of them outliers)", rounds(n)),
    };
    let medians = by_place(trace);
    let extreme = |keep: fn(f64, f64) -> bool| {
        medians.iter().copied().reduce(|a, b| if keep(b.1, a.1) { b } else { a }).filter(|_| medians.len() > 1)
    };
    if let (Some(low), Some(high)) = (extreme(|b, a| b < a), extreme(|b, a| b > a)) {
        said += &format!(
            "; by position the median goes from {} (at {}) to {} (at {})",
            figures::ratio(low.1),
            low.0 + 1,
            figures::ratio(high.1),
            high.0 + 1
        );
    }
    said.push('.');
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn outliers_and_preemptions_are_counted() {
        let mut cell = fixture::complete().micro[0].clone();
        let own = query::fastest(&cell)
            .and_then(|f| query::kernels(&cell).find(|(_, s)| s.kernel == f.kernel))
            .expect("ran")
            .0;
        cell.rounds.iter_mut().for_each(|r| r.involuntary_switches.fill(0));
        let sudden = cell.rounds[7].ns[own] * 3;
        cell.rounds[7].ns[own] = sudden;
        cell.rounds[7].involuntary_switches[own] = 2;
        let traces = traces(&cell);
        let fastest = traces.iter().find(|t| !t.same).expect("a pair");
        assert!(fastest.points[7].outlier && fastest.points[7].preempted);
        assert_eq!(fastest.points.iter().filter(|p| p.preempted).count(), 1);
        let said = finding(fastest, &cell);
        assert!(said.contains("1 round preempted (1 of them outliers)"), "{said}");
        assert!(traces.iter().any(|t| t.same));
    }

    #[test]
    fn a_position_that_matters_is_seen() {
        let mut cell = fixture::complete().micro[0].clone();
        let own = query::fastest(&cell)
            .and_then(|f| query::kernels(&cell).find(|(_, s)| s.kernel == f.kernel))
            .expect("ran")
            .0;
        for r in &mut cell.rounds {
            if r.order.first().map(|e| usize::from(*e)) == Some(own) {
                r.ns[own] = r.ns[own] * 6 / 5;
            }
        }
        let traces = traces(&cell);
        let medians = by_place(traces.iter().find(|t| !t.same).expect("a pair"));
        let lowest = medians.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("some");
        assert_eq!(lowest.0, 0, "{medians:?}");
    }

    #[test]
    fn long_runs_are_thinned_and_say_so() {
        let mut receipt = fixture::complete();
        let rounds = receipt.micro[1].rounds.clone();
        receipt.micro.truncate(2);
        receipt.micro[1].rounds = rounds.iter().cycle().take(4000).cloned().collect();
        let charts = charts(&receipt);
        let long = charts.iter().find(|c| c.caption.contains("One round in 3 is drawn")).expect("thinned");
        assert!(long.svg.len() < 120_000, "{}", long.svg.len());
    }
}
