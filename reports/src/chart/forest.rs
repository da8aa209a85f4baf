//! Ratios under each other, each with its interval and the band of what does not count: changes between two runs or
//! builds, the leaders of many runs, figures against what was claimed.

use super::canvas::{Anchor, BAND, Canvas, GRID, INK, LABEL, MUTED, NOTE, Pattern, SERIES, STRONG, Scale, draw};
use super::parts::{Chart, Sign, bar, key, not_drawn};
use super::text;
use receipt::figures;
use receipt::judge::Direction;

const WIDTH: i32 = 760;
const ROW: i32 = 22;
const PLOT: (i32, i32) = (346, 690);
const HEAD: i32 = 60;
const FOOT: i32 = 66;
/// Rows of a picture; the table has all.
const MOST: usize = 18;

/// One row of a picture: a figure with its interval and direction.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Name of the row: what the figure is of.
    pub name: String,
    /// A ratio, or a change as a share.
    pub value: f64,
    /// Ends of the figure's interval, in its unit.
    pub interval: Option<(f64, f64)>,
    /// The smallest difference that counts, as a share.
    pub counts: f64,
    /// The judge's direction for the figure; none where nothing could be said.
    pub direction: Option<Direction>,
}

/// Whether a picture's figures are ratios or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaled {
    /// Ratios around 1: `1.12×`.
    Ratio,
    /// Changes around 0: `+10.7%`.
    Change,
}

/// The texts around the figures of a picture, and its scale.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// File name inside `charts/`.
    pub file: &'static str,
    /// The finding, which is the picture's title.
    pub title: &'a str,
    /// What the figures are, in words.
    pub note: &'a str,
    /// What a hatched bar stands for, in words.
    pub hatched: &'a str,
    /// Whether the figures are ratios or changes.
    pub scaled: Scaled,
}

/// The picture of `rows`, with its finding as the title; none without rows.
pub fn moved(frame: Frame<'_>, rows: &[Moved]) -> Option<Chart> {
    let Frame { file, title, note, hatched, scaled } = frame;
    let usable = |row: &&Moved| row.value.is_finite() && (row.value > 0.0 || scaled == Scaled::Change);
    let all: Vec<&Moved> = rows.iter().filter(usable).collect();
    let shown = &all[..all.len().min(MOST)];
    if shown.is_empty() {
        return None;
    }
    let scale = scaled.axis(shown);
    let plot = ROW * shown.len() as i32;
    let words: Vec<String> =
        shown.iter().map(|r| format!("{} {}{}", r.name, scaled.written(r.value), r.word())).collect();
    let id = file.trim_end_matches(".svg");
    let svg = draw(id, (WIDTH, HEAD + plot + FOOT), title, &format!("{note}: {}.", words.join("; ")), |c| {
        c.text((0, 42), Anchor::Start, NOTE, note);
        for value in scale.ticks(58) {
            c.line((scale.at(value), HEAD), (scale.at(value), HEAD + plot), GRID, 1);
            c.text((scale.at(value), HEAD + plot + 13), Anchor::Middle, NOTE, &scaled.written(value));
        }
        c.line((scale.at(scaled.none()), HEAD), (scale.at(scaled.none()), HEAD + plot), MUTED, 1);
        for (i, row) in shown.iter().enumerate() {
            row.draw(c, &scale, HEAD + ROW * i as i32 + ROW / 2, scaled);
        }
        let y = HEAD + plot + 44;
        let slower =
            |c: &mut Canvas, x: i32, y: i32| c.patterned((x, y - 6), (x + 24, y + 6), SERIES[6], Pattern::Falling);
        let slower = (&slower as &dyn Fn(&mut Canvas, i32, i32), hatched);
        let mut signs: Vec<Sign<'_>> = vec![(&|c, x, y| c.whisker((x, x + 24), y, 3, INK), "interval")];
        if shown.iter().any(|row| row.counts > 0.0) {
            signs.push((&|c, x, y| c.rect((x, y - 6), (x + 24, y + 6), BAND), "differences that do not count"));
        }
        signs.extend(shown.iter().any(|row| row.direction == Some(Direction::Slower)).then_some(slower));
        key(c, (0, y), &signs);
    });
    let caption = format!("{note}.{}", not_drawn(all.len(), MOST));
    Some(Chart { file: file.into(), title: title.into(), caption, svg, saved: false })
}

impl Scaled {
    /// The figure of what did not move.
    fn none(self) -> f64 {
        if self == Self::Ratio { 1.0 } else { 0.0 }
    }

    /// The band in which a difference does not count.
    fn band(self, counts: f64) -> (f64, f64) {
        let counts = if counts.is_finite() { counts.clamp(0.0, 1.0) } else { 0.0 };
        if self == Self::Ratio { (1.0 / (1.0 + counts), 1.0 + counts) } else { (-counts, counts) }
    }

    fn written(self, value: f64) -> String {
        match self {
            Self::Ratio => figures::ratio(value),
            // Adding 0 turns a rounded -0 into 0.
            Self::Change => format!("{:+.1}%", (1000.0 * value).round() / 10.0 + 0.0),
        }
    }

    /// Everything that is drawn, and a little room; logarithmic where ratios span more than a factor of 2.5.
    fn axis(self, shown: &[&Moved]) -> Scale {
        let ends = |row: &&Moved| {
            let (low, high) = self.band(row.counts);
            let interval =
                row.interval.filter(|(low, high)| low.is_finite() && high.is_finite() && *low > self.none() - 1.0);
            let (from, to) = interval.unwrap_or((row.value, row.value));
            [low, high, row.value, from, to]
        };
        let none = self.none();
        let (low, high) = shown.iter().flat_map(ends).fold((none, none), |(l, h), v| (l.min(v), h.max(v)));
        if self == Self::Ratio && high > 2.5 * low {
            let room = (high / low).powf(0.06);
            return Scale::log(low / room..=high * room, PLOT);
        }
        let room = (high - low).max(0.02) * 0.06;
        Scale::between(low - room, high + room, PLOT)
    }
}

impl Moved {
    fn word(&self) -> String {
        self.direction.map_or_else(String::new, |d| format!(", {}", d.word()))
    }

    fn draw(&self, c: &mut Canvas, scale: &Scale, y: i32, scaled: Scaled) {
        c.text((PLOT.0 - 10, y), Anchor::End, LABEL, &text::fit(&self.name, 12, false, PLOT.0 - 12));
        let (low, high) = scaled.band(self.counts);
        if high > low {
            c.rect((scale.at(low), y - 9), (scale.at(high), y + 9), BAND);
        }
        let (none, at) = (scale.at(scaled.none()), scale.at(self.value));
        let (left, right) = (none.min(at), none.max(at).max(none.min(at) + 2));
        bar(c, (left, right), y, SERIES[3], self.direction.unwrap_or(Direction::Undecided));
        if let Some((low, high)) = self.interval.filter(|(low, high)| low.is_finite() && high.is_finite()) {
            c.whisker((scale.at(low), scale.at(high)), y, 3, INK);
        }
        c.text(
            (WIDTH - 2, y),
            Anchor::End,
            STRONG,
            &text::fit(&scaled.written(self.value), 12, true, WIDTH - PLOT.1 - 6),
        );
    }
}
