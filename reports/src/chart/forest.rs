//! Ratios under each other, each with its interval and the band of what does not count: changes between two runs or
//! builds, the leaders of many runs, figures against what was claimed.

use super::canvas::{
    Anchor, BAND, Canvas, GRID, INK, LABEL, MUTED, NOTE, Pattern, SERIES, STRONG, SURFACE, Scale, draw,
};
use super::parts::{Chart, not_drawn};
use super::text;
use receipt::figures;
use receipt::judge::Direction;

/// As wide as the pictures of a run's first screen.
const WIDTH: i32 = 576;
const ROW: i32 = 22;
const PLOT: (i32, i32) = (262, 512);
const HEAD: i32 = 60;
const FOOT: i32 = 66;
/// Rows of a picture; the table has all.
const MOST: usize = 18;

/// One ratio.
#[derive(Clone, Debug)]
pub struct Moved {
    /// What it is of.
    pub name: String,
    /// Above 1 is faster, or more than was claimed.
    pub ratio: f64,
    /// Its ends.
    pub interval: Option<(f64, f64)>,
    /// The smallest difference from 1 that counts, as a share.
    pub counts: f64,
    /// What it came to; none where nothing could be said.
    pub direction: Option<Direction>,
}

/// How the axis and the figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaled {
    /// `1.12×`
    Factor,
    /// `-10.7%`: of a time, so that the ratio is turned over.
    Time,
}

/// The picture under its finding; none without rows.
pub fn moved(file: &'static str, title: &str, note: &str, rows: &[Moved], scaled: Scaled) -> Option<Chart> {
    let usable = |row: &&Moved| row.ratio.is_finite() && row.ratio > 0.0;
    let all: Vec<&Moved> = rows.iter().filter(usable).collect();
    let shown = &all[..all.len().min(MOST)];
    let ends = |row: &Moved| [row.ratio, 1.0 + row.counts.clamp(0.0, 1.0), 1.0 / (1.0 + row.counts.clamp(0.0, 1.0))];
    let (low, high) = shown.iter().flat_map(|r| ends(r)).fold((1.0f64, 1.0f64), |(l, h), v| (l.min(v), h.max(v)));
    if shown.is_empty() {
        return None;
    }
    let room = (high / low).powf(0.08).max(1.02);
    let scale = Scale::log(low / room..=high * room, PLOT);
    let plot = ROW * shown.len() as i32;
    let words: Vec<String> = shown.iter().map(|r| format!("{} {}{}", r.name, r.figure(scaled), r.word())).collect();
    let id = file.trim_end_matches(".svg");
    let svg = draw(id, (WIDTH, HEAD + plot + FOOT), title, &format!("{note}: {}.", words.join("; ")), |c| {
        c.text((0, 42), Anchor::Start, NOTE, note);
        for value in scale.ticks(54) {
            let label = written(value, scaled);
            c.line((scale.at(value), HEAD), (scale.at(value), HEAD + plot), GRID, 1);
            c.text((scale.at(value), HEAD + plot + 13), Anchor::Middle, NOTE, &label);
        }
        c.line((scale.at(1.0), HEAD), (scale.at(1.0), HEAD + plot), MUTED, 1);
        for (i, row) in shown.iter().enumerate() {
            row.draw(c, &scale, HEAD + ROW * i as i32 + ROW / 2, scaled);
        }
        let key = HEAD + plot + 44;
        c.rect((0, key - 6), (16, key + 6), BAND);
        c.text((22, key), Anchor::Start, NOTE, "differences that do not count");
        c.whisker((206, 222), key, 3, INK);
        c.text((228, key), Anchor::Start, NOTE, "interval");
        c.patterned((296, key - 6), (312, key + 6), SERIES[6], Pattern::Falling);
        c.text((318, key), Anchor::Start, NOTE, "slower, or less than claimed");
    });
    let caption = format!("{note}.{}", not_drawn(all.len(), MOST));
    Some(Chart { file, title: title.into(), caption, svg, saved: false })
}

fn written(ratio: f64, scaled: Scaled) -> String {
    match scaled {
        Scaled::Factor => figures::ratio(ratio),
        Scaled::Time => {
            // Adding 0 turns a rounded -0 into 0.
            let share = (1000.0 * (1.0 / ratio - 1.0)).round() / 10.0 + 0.0;
            format!("{share:+.1}%")
        }
    }
}

impl Moved {
    fn figure(&self, scaled: Scaled) -> String {
        written(self.ratio, scaled)
    }

    fn word(&self) -> String {
        self.direction.map_or_else(String::new, |d| format!(", {}", d.word()))
    }

    fn draw(&self, c: &mut Canvas, scale: &Scale, y: i32, scaled: Scaled) {
        c.text((PLOT.0 - 10, y), Anchor::End, LABEL, &text::fit(&self.name, 12, false, PLOT.0 - 12));
        let counts = if self.counts.is_finite() { self.counts.clamp(0.0, 1.0) } else { 0.0 };
        c.rect((scale.at(1.0 / (1.0 + counts)), y - 9), (scale.at(1.0 + counts), y + 9), BAND);
        let (one, at) = (scale.at(1.0), scale.at(self.ratio));
        let (left, right) = (one.min(at), one.max(at).max(one.min(at) + 2));
        match self.direction {
            Some(Direction::Faster) => c.rect((left, y - 6), (right, y + 6), SERIES[3]),
            Some(Direction::Slower) => c.patterned((left, y - 6), (right, y + 6), SERIES[6], Pattern::Falling),
            _ => {
                c.rect((left, y - 6), (right, y + 6), SURFACE);
                c.outline((left, y - 6), (right, y + 6), MUTED);
            }
        }
        if let Some((low, high)) = self.interval.filter(|(low, high)| *low > 0.0 && high.is_finite()) {
            c.whisker((scale.at(low), scale.at(high)), y, 3, INK);
        }
        c.text((WIDTH - 2, y), Anchor::End, STRONG, &text::fit(&self.figure(scaled), 12, true, WIDTH - PLOT.1 - 6));
    }
}
