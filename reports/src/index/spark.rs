//! A line as small as a word: one kernel's paired ratios over the runs of a group, on a band of the differences that
//! would not count.

use crate::history::{Line, Panel};
use receipt::figures;
use serde::Serialize;

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 28.0;
const EDGE: f64 = 3.0;

/// A sparkline in pixels, and what a listener hears.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spark {
    /// The newest run's ratio; a dash where that run lacks it.
    pub newest: String,
    /// Points of each unbroken piece, as `polyline` wants them.
    pub pieces: Vec<String>,
    /// Points without a neighbour, and the newest.
    pub dots: Vec<(f64, f64)>,
    /// Top and height of the noise band.
    pub band: Option<(f64, f64)>,
    /// In words.
    pub label: String,
}

/// None where the cell has no figure of this kernel in any run.
pub fn spark(panel: &Panel, line: &Line) -> Option<Spark> {
    let logs: Vec<Option<f64>> =
        line.values.iter().map(|v| v.map(|v| v.median.ln()).filter(|l| l.is_finite())).collect();
    let present: Vec<f64> = logs.iter().flatten().copied().collect();
    let middle = figures::median(present.iter().copied())?;
    let floor = figures::median(panel.floors.iter().flatten().copied()).unwrap_or(0.0).max(0.0);
    let noise = floor.ln_1p();
    let fold = |f: fn(f64, f64) -> f64, from: f64| present.iter().copied().fold(from, f);
    // At least 3% of room, so that nothing is drawn larger than it is worth.
    let room = noise.max(0.03);
    let (low, high) = (fold(f64::min, middle - room), fold(f64::max, middle + room));
    let y = |log: f64| round(EDGE + (HEIGHT - 2.0 * EDGE) * (high - log) / (high - low));
    let n = logs.len();
    let x = |i: usize| {
        if n < 2 { round(WIDTH / 2.0) } else { round(EDGE + (WIDTH - 2.0 * EDGE) * i as f64 / (n - 1) as f64) }
    };
    let points: Vec<(usize, f64)> = logs.iter().enumerate().filter_map(|(i, l)| Some((i, (*l)?))).collect();
    let (mut pieces, mut dots) = (Vec::new(), Vec::new());
    for piece in points.chunk_by(|a, b| b.0 == a.0 + 1) {
        if let [(i, log)] = piece {
            dots.push((x(*i), y(*log)));
        } else {
            pieces.push(piece.iter().map(|(i, l)| format!("{},{}", x(*i), y(*l))).collect::<Vec<_>>().join(" "));
        }
    }
    let last = *points.last()?;
    if !dots.contains(&(x(last.0), y(last.1))) {
        dots.push((x(last.0), y(last.1)));
    }
    let text = |log: f64| figures::ratio(log.exp());
    let (least, most) = (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY));
    let newest = logs.last().copied().flatten().map_or_else(|| "not run".into(), text);
    let gaps = match n - present.len() {
        0 => String::new(),
        1 => "; 1 run lacks it".into(),
        gaps => format!("; {gaps} runs lack it"),
    };
    let label = format!("{} runs, {} to {}, newest {newest}{gaps}", n, text(least), text(most));
    let band = (noise > 0.0).then(|| (y(middle + noise), round(y(middle - noise) - y(middle + noise))));
    Some(Spark { newest, pieces, dots, band, label })
}

fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Value;

    fn of(values: &[Option<f64>]) -> Spark {
        let values = values.iter().map(|v| v.map(|median| Value { median, interval: None })).collect::<Vec<_>>();
        let panel = Panel::of_one_kernel(values);
        spark(&panel, &panel.lines[0]).unwrap()
    }

    #[test]
    fn gaps_break_it_and_are_said() {
        let s = of(&[Some(2.0), Some(2.1), None, Some(2.0)]);
        assert_eq!((s.pieces.len(), s.dots.len()), (1, 1));
        assert_eq!(s.label, "4 runs, 2.00× to 2.10×, newest 2.00×; 1 run lacks it");
        let s = of(&[Some(2.0), Some(2.2), None]);
        assert_eq!(s.newest, "not run");
        assert_eq!((s.pieces.len(), s.dots.len()), (1, 1));
    }

    #[test]
    fn noise_fills_the_band_and_stays_on_the_picture() {
        let s = of(&[Some(2.0), Some(2.01), Some(1.99)]);
        let (top, height) = s.band.unwrap();
        assert!(top >= 0.0 && top + height <= HEIGHT && height > 20.0, "{s:?}");
        for point in of(&[Some(2.0), Some(200.0), Some(0.001)]).pieces[0].split(' ') {
            let y: f64 = point.split(',').nth(1).unwrap().parse().unwrap();
            assert!((0.0..=HEIGHT).contains(&y));
        }
    }
}
