//! What the gate finds on this machine: share of gates that said FAIL against the planted slowdown, with exact
//! intervals.

use super::canvas::{Anchor, CLAIM, GRID, NOTE, SERIES, STRONG, draw};
use super::parts::{Chart, WIDTH, head, say};
use super::text;
use crate::calibration::{interval, rates, sentence};
use receipt::Receipt;
use receipt::figures;

/// The chart, if this run was a calibration.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let record = receipt.calibration.as_ref()?;
    let rates: Vec<_> = rates(record).into_iter().filter(|r| r.gates > 0).collect();
    if rates.is_empty() {
        return None;
    }
    let found = sentence(record);
    let top = head(&found) + 34;
    let (left, right, bottom) = (70, WIDTH - 30, top + 260);
    let title = "Gates that said FAIL, by planted slowdown";
    let description = format!(
        "{found} Share of gates of a build against itself that said FAIL of the planted kernel, in percent, with exact \
         95% intervals, for each slowdown planted in percent of time. Where none was planted every FAIL is a false \
         alarm."
    );
    let svg = draw("calibration", (WIDTH, bottom + 76), title, &description, |c| {
        say(c, &found);
        let y = |share: f64| bottom - (f64::from(bottom - top) * share) as i32;
        for tick in 0..=5 {
            let share = f64::from(tick) / 5.0;
            c.line((left, y(share)), (right, y(share)), GRID, 1);
            c.text((left - 8, y(share)), Anchor::End, NOTE, &figures::percent(share));
        }
        c.text((0, top - 22), Anchor::Start, NOTE, "share of gates that said FAIL, %");
        let step = (right - left) / rates.len() as i32;
        for (i, rate) in rates.iter().enumerate() {
            let x = left + step / 2 + step * i as i32;
            let (low, high) = interval(rate.detected, rate.gates);
            let color = if rate.effect == 0.0 { CLAIM } else { SERIES[0] };
            c.line((x, y(low)), (x, y(high)), color, 3);
            for end in [low, high] {
                c.line((x - 8, y(end)), (x + 8, y(end)), color, 2);
            }
            c.marker(0, (x, y(rate.detected as f64 / rate.gates as f64)), color);
            let label = if rate.effect == 0.0 { "none (false alarms)".into() } else { format!("{}%", rate.effect) };
            let room = step - 8;
            c.text((x, bottom + 20), Anchor::Middle, STRONG, &text::fit(&label, 12, true, room));
            let count = format!("{} of {}", rate.detected, rate.gates);
            c.text((x, bottom + 38), Anchor::Middle, NOTE, &text::fit(&count, 12, false, room));
        }
        c.text(((left + right) / 2, bottom + 60), Anchor::Middle, NOTE, "planted slowdown, % of time");
    });
    let caption = "Marks are the shares found, bars their exact 95% intervals (Clopper-Pearson).".into();
    Some(Chart { file: "calibration.svg", caption, svg })
}
