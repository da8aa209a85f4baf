//! A line as small as a word: one kernel's paired ratios over the runs of a group, on a band of the differences that
//! would not count.

use crate::document::Drawing;
use crate::history::{Line, Panel};
use receipt::figures;

const WIDTH: f64 = 200.0;
const HEIGHT: f64 = 20.0;
const EDGE: f64 = 3.0;

/// The newest run's ratio, absent where that run lacks the kernel, and the line as a drawing. None without any figure.
pub fn spark(panel: &Panel, line: &Line) -> Option<(Option<f64>, Drawing)> {
    let logs: Vec<Option<f64>> = line.values.iter().map(|v| v.map(f64::ln).filter(|l| l.is_finite())).collect();
    let present: Vec<f64> = logs.iter().flatten().copied().collect();
    let middle = figures::median(present.iter().copied())?;
    let floor = figures::median(panel.floors.iter().flatten().copied()).unwrap_or(0.0).max(0.0);
    let noise = floor.ln_1p();
    let fold = |f: fn(f64, f64) -> f64, from: f64| present.iter().copied().fold(from, f);
    // At least 3% of room, so that nothing is drawn larger than it is worth.
    let room = noise.max(0.03);
    let (low, high) = (fold(f64::min, middle - room), fold(f64::max, middle + room));
    let y = |log: f64| EDGE + (HEIGHT - 2.0 * EDGE) * (high - log) / (high - low);
    let n = logs.len();
    let x = |i: usize| if n < 2 { WIDTH / 2.0 } else { EDGE + (WIDTH - 2.0 * EDGE) * i as f64 / (n - 1) as f64 };
    let points: Vec<(usize, f64)> = logs.iter().enumerate().filter_map(|(i, l)| Some((i, (*l)?))).collect();
    let (mut lines, mut dots) = (Vec::new(), Vec::new());
    for piece in points.chunk_by(|a, b| b.0 == a.0 + 1) {
        match piece {
            [(i, log)] => dots.push((x(*i), y(*log), false)),
            piece => lines.push(piece.iter().map(|(i, l)| (x(*i), y(*l))).collect()),
        }
    }
    let last = points.last().map(|(i, log)| (x(*i), y(*log), false))?;
    if !dots.contains(&last) {
        dots.push(last);
    }
    let text = |log: f64| figures::ratio(log.exp());
    let (least, most) = (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY));
    let newest = logs.last().copied().flatten().map(f64::exp);
    let gaps = match n - present.len() {
        0 => String::new(),
        1 => "; 1 run lacks it".into(),
        gaps => format!("; {gaps} runs lack it"),
    };
    let said = newest.map_or_else(|| "not run".into(), figures::ratio);
    let label = format!("{n} runs, {} to {}, newest {said}{gaps}", text(least), text(most));
    let band = (noise > 0.0).then(|| (y(middle + noise), y(middle - noise) - y(middle + noise)));
    Some((newest, Drawing { label, lines, dots, band, middle: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[Option<f64>]) -> (Option<f64>, Drawing) {
        let panel = Panel::of_one_kernel(values.to_vec());
        spark(&panel, &panel.lines[0]).unwrap()
    }

    #[test]
    fn gaps_break_it_and_are_said() {
        let (_, s) = of(&[Some(2.0), Some(2.1), None, Some(2.0)]);
        assert_eq!((s.lines.len(), s.dots.len()), (1, 1));
        assert_eq!(s.label, "4 runs, 2.00× to 2.10×, newest 2.00×; 1 run lacks it");
        let (newest, s) = of(&[Some(2.0), Some(2.2), None]);
        assert_eq!((newest, s.lines.len(), s.dots.len()), (None, 1, 1));
    }

    #[test]
    fn noise_fills_the_band_and_stays_on_the_picture() {
        let (_, s) = of(&[Some(2.0), Some(2.01), Some(1.99)]);
        let (top, height) = s.band.unwrap();
        assert!(top >= 0.0 && top + height <= HEIGHT && height > 13.0, "{s:?}");
        let (_, s) = of(&[Some(2.0), Some(200.0), Some(0.001)]);
        assert!(s.lines[0].iter().all(|(_, y)| (0.0..=HEIGHT).contains(y)));
    }
}
