//! Paired ratios over the runs of one machine and setting, with the interval of each and the smallest difference that
//! counts in its run around the partner's 1×.

use super::canvas::{Anchor, BAND, Canvas, Font, GRID, INK, MUTED, SERIES, Scale, draw};
use super::parts::{WIDTH, legend};
use crate::history::{Panel, Point, Value};
use receipt::figures;

const LEFT: i32 = 64;
const RIGHT: i32 = WIDTH - 24;
const PLOT: i32 = 300;

/// A history of one cell; `runs` are the panel's points, the oldest first. None with fewer than two.
pub fn chart(id: &str, panel: &Panel, runs: &[&Point]) -> Option<(String, String)> {
    if runs.len() < 2 {
        return None;
    }
    let values = || panel.lines.iter().flat_map(|l| l.values.iter().flatten());
    let ends = values().flat_map(|v| v.interval.map_or([v.median; 2], |(l, h)| [l, h]));
    let noise = panel.floors.iter().flatten().flat_map(|f| [1.0 / (1.0 + f), 1.0 + f]);
    let usable = ends.chain(noise).filter(|x| x.is_finite() && *x > 0.0);
    let (low, high) = usable.fold((0.97f64, 1.05f64), |(l, h), x| (l.min(x), h.max(x)));
    let title = format!("{}: {} over {} runs", panel.family, panel.title, runs.len());
    let lines: Vec<&str> = panel.lines.iter().map(|l| l.kernel.as_str()).collect();
    let top = 60 + 20 * (1 + lines.iter().map(|l| l.chars().count() as i32 * 15 / 2 + 36).sum::<i32>() / WIDTH);
    let bottom = top + PLOT;
    let y = Scale::log(low * 0.95..=high * 1.08, (bottom, top));
    let svg = draw(id, (WIDTH, bottom + 66), &title, &description(panel, runs), |c| {
        legend(c, (0, 40), lines.iter().copied().enumerate(), true);
        axes(c, panel, runs, &y, (top, bottom));
        for (i, line) in panel.lines.iter().enumerate() {
            draw_line(c, i, &line.values, runs.len(), &y);
        }
    });
    let caption = format!(
        "{}, {}: speed-up over {}, which took turns with each kernel inside each run; log scale. Whiskers are \
         sign-test intervals, the grey band is the smallest difference that counts in each run, around 1×. Runs are in \
         order of time, evenly spaced; a line is broken where a run lacks the kernel.",
        crate::query::family_title(panel.family),
        panel.title,
        panel.partner
    );
    Some((svg, caption))
}

fn x(i: usize, n: usize) -> i32 {
    // Half a step of room on both sides.
    LEFT + ((RIGHT - LEFT) as f64 * (i as f64 + 0.5) / n.max(1) as f64) as i32
}

fn axes(c: &mut Canvas, panel: &Panel, runs: &[&Point], y: &Scale, (top, bottom): (i32, i32)) {
    let n = runs.len();
    let half = ((RIGHT - LEFT) / n.max(1) as i32 / 2).max(1);
    for (i, floor) in panel.floors.iter().enumerate() {
        if let Some(floor) = floor.filter(|f| f.is_finite()) {
            c.rect((x(i, n) - half, y.at(1.0 + floor)), (x(i, n) + half, y.at(1.0 / (1.0 + floor))), BAND);
        }
    }
    for tick in y.ticks(28) {
        c.line((LEFT, y.at(tick)), (RIGHT, y.at(tick)), GRID, 1);
        c.text((LEFT - 8, y.at(tick)), Anchor::End, Font { px: 11, color: MUTED, bold: false }, &format!("{tick}×"));
    }
    c.line((LEFT, y.at(1.0)), (RIGHT, y.at(1.0)), MUTED, 1);
    let unit = format!("speed-up over {}, ×", figures::label(&panel.partner, 28));
    c.text((0, top - 14), Anchor::Start, Font { px: 11, color: MUTED, bold: false }, &unit);
    // As many labels as fit side by side; the newest always has one.
    let step = n.div_ceil(((RIGHT - LEFT) / 108).max(1) as usize).max(1);
    for (i, run) in runs.iter().enumerate().filter(|(i, _)| (n - 1 - i).is_multiple_of(step)) {
        c.line((x(i, n), bottom), (x(i, n), bottom + 4), MUTED, 1);
        c.text(
            (x(i, n), bottom + 16),
            Anchor::Middle,
            Font { px: 11, color: INK, bold: false },
            &figures::label(&run.when, 17),
        );
        c.text((x(i, n), bottom + 32), Anchor::Middle, Font { px: 11, color: MUTED, bold: false }, &run.commit);
    }
    let axis = "start of the run (UTC) and commit";
    c.text(((LEFT + RIGHT) / 2, bottom + 54), Anchor::Middle, Font { px: 11, color: MUTED, bold: false }, axis);
}

fn draw_line(c: &mut Canvas, series: usize, values: &[Option<Value>], n: usize, y: &Scale) {
    let color = SERIES[series % SERIES.len()];
    let point = |(i, v): (usize, &Option<Value>)| v.filter(|v| y.holds(v.median)).map(|v| (i, v));
    let found: Vec<(usize, Value)> = values.iter().enumerate().filter_map(point).collect();
    for piece in found.chunk_by(|a, b| b.0 == a.0 + 1) {
        let path: Vec<(i32, i32)> = piece.iter().map(|(i, v)| (x(*i, n), y.at(v.median))).collect();
        if path.len() > 1 {
            c.path(&path, color, 2);
        }
    }
    for (i, v) in found {
        if let Some((low, high)) = v.interval {
            c.line((x(i, n), y.at(low)), (x(i, n), y.at(high)), color, 1);
        }
        c.marker(series, (x(i, n), y.at(v.median)), color);
    }
}

fn description(panel: &Panel, runs: &[&Point]) -> String {
    let of = |line: &crate::history::Line| {
        let value = |v: &Option<Value>| v.map_or_else(|| "not run".into(), |v| figures::ratio(v.median));
        // A hundred runs are for the eye; a listener gets the newest.
        let newest: Vec<String> = line.values.iter().rev().take(12).rev().map(value).collect();
        format!("{} {}", line.kernel, newest.join(", "))
    };
    let lines: Vec<String> = panel.lines.iter().map(of).collect();
    let (first, last) = (runs.first().map_or("", |r| &r.when), runs.last().map_or("", |r| &r.when));
    format!(
        "Speed-up over {} from {first} to {last}, the oldest run first{}: {}.",
        panel.partner,
        if runs.len() > 12 { ", the newest 12 of them" } else { "" },
        lines.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::well_formed;
    use super::*;
    use crate::fixture;
    use crate::history::groups;

    fn drawn(n: usize, receipt: &receipt::Receipt) -> Option<(String, String)> {
        let points: Vec<Point> = (0..n).map(|_| Point::new(receipt)).collect();
        let groups = groups(&points);
        chart("history-1", &groups[0].panels[0], &points.iter().collect::<Vec<_>>())
    }

    #[test]
    fn it_is_well_formed_and_legible_however_many_runs() {
        for (n, receipt) in [(2, fixture::hostile()), (3, fixture::complete()), (200, fixture::complete())] {
            let (svg, caption) = drawn(n, &receipt).unwrap();
            well_formed(&svg);
            assert!(svg.contains("<title id=\"history-1-title\">") && svg.contains("<desc id=\"history-1-desc\">"));
            assert!(svg.contains("speed-up over scalar, ×") && svg.contains("start of the run (UTC)"));
            assert!(svg.contains("#E3E8EE"), "the band of what does not count");
            assert!(caption.contains("smallest difference that counts"));
            assert!(!svg.contains("<script") && !svg.contains("NaN"));
            for size in svg.split("font-size=\"").skip(1) {
                assert!(size.split('"').next().unwrap().parse::<f64>().unwrap() >= 10.99);
            }
        }
        assert!(drawn(1, &fixture::complete()).is_none());
    }

    #[test]
    fn gaps_break_the_line() {
        let value = |m: f64| Some(Value { median: m, interval: None });
        let paths = |values: Vec<Option<Value>>| {
            let panel = Panel::of_one_kernel(values);
            let point = Point::new(&fixture::complete());
            let runs = vec![&point; panel.floors.len()];
            let svg = chart("h", &panel, &runs).unwrap().0;
            let drawn = svg.split("<path fill=\"none\"").skip(1).filter_map(|path| path.split("/>").next());
            drawn.map(|path| path.matches('M').count()).sum::<usize>()
        };
        assert_eq!(paths(vec![value(2.0), value(2.1), value(2.2), value(2.1)]), 1);
        assert_eq!(paths(vec![value(2.0), value(2.1), None, value(2.2), value(2.1)]), 2);
        assert_eq!(paths(vec![value(2.0), None, value(2.2)]), 0);
    }
}
