//! What all charts are made of: width, finding, key, legend, ticks.

use super::canvas::{self, Canvas, MUTED, NOTE, Pattern, SERIES, SURFACE};
use super::text;
use plotters::style::RGBColor;
use receipt::judge::Direction;
use serde::Serialize;
use std::borrow::Cow;

/// Width of every chart in pixels.
pub const WIDTH: i32 = 900;

/// A finished chart.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    /// File name inside `charts/`, and the anchor in the page.
    pub file: Cow<'static, str>,
    /// The finding that the chart shows, as its title.
    pub title: String,
    /// The text under the chart.
    pub caption: String,
    /// The drawing as SVG.
    #[serde(skip)]
    pub svg: String,
    /// Whether it is written as a file of its own too.
    #[serde(skip)]
    pub saved: bool,
}

/// A chart's finding broken into lines, six at most: names in it are a receipt's own.
pub fn lines(finding: &str) -> Vec<String> {
    let mut lines = text::wrap(finding, 13, WIDTH);
    if lines.len() > 6 {
        lines.truncate(6);
        lines[5] = text::fit(&format!("{} …", lines[5]), 13, false, WIDTH);
    }
    lines
}

/// Pixels from the top at which a chart's drawing begins, below its title and finding.
pub fn head(finding: &str) -> i32 {
    44 + 18 * lines(finding).len() as i32
}

/// Writes a chart's finding below its title.
pub fn say(canvas: &mut Canvas, finding: &str) {
    for (i, line) in lines(finding).iter().enumerate() {
        canvas.text(
            (0, 40 + 18 * i as i32),
            canvas::Anchor::Start,
            canvas::Font { px: 13, color: canvas::INK, bold: false },
            line,
        );
    }
}

/// A bar of a judged figure: in its colour where it is faster, hatched where it is slower, hollow where it is neither.
pub fn bar(c: &mut Canvas, (left, right): (i32, i32), y: i32, color: RGBColor, direction: Direction) {
    match direction {
        Direction::Faster => c.rect((left, y - 6), (right, y + 6), color),
        Direction::Slower => c.patterned((left, y - 6), (right, y + 6), SERIES[6], Pattern::Falling),
        _ => {
            c.rect((left, y - 6), (right, y + 6), SURFACE);
            c.outline((left, y - 6), (right, y + 6), MUTED);
        }
    }
}

/// The sentence of a caption on kernels beyond the `most` that a chart has room for.
pub fn not_drawn(kernels: usize, most: usize) -> String {
    match kernels.saturating_sub(most) {
        0 => String::new(),
        left => format!(" {left} more are not drawn; the tables have them."),
    }
}

/// One entry of a key: what is drawn for it at (x, y), and its words.
pub type Sign<'s> = (&'s dyn Fn(&mut Canvas, i32, i32), &'s str);

/// A key of signs, each about 24 pixels wide, wrapped to the chart's width; returns the height it took.
pub fn key(canvas: &mut Canvas, at: (i32, i32), signs: &[Sign<'_>]) -> i32 {
    let (mut x, mut y) = at;
    for (sign, words) in signs {
        let room = 30 + text::width(words, 12, false) + 18;
        if x > at.0 && x + room > WIDTH {
            (x, y) = (at.0, y + 20);
        }
        sign(canvas, x, y);
        canvas.text((x + 30, y), canvas::Anchor::Start, NOTE, words);
        x += room;
    }
    y - at.1 + 20
}

/// A number on an axis as text, without zeros at its end.
pub fn tick(value: f64) -> String {
    match value.abs() {
        v if (1e4..1e6).contains(&v) || ((1e3..1e4).contains(&v) && v.fract() == 0.0) => {
            receipt::figures::integer(value.round() as u64)
        }
        v if v != 0.0 && !(1e-3..1e6).contains(&v) => format!("{value:.1e}").replace(".0e", "e"),
        _ => format!("{value}"),
    }
}

/// The name in a legend and the place of each entry in pixels, wrapped to the chart's width.
pub fn legend_places<'n>(at: (i32, i32), names: impl Iterator<Item = &'n str>) -> Vec<(String, (i32, i32))> {
    let (mut x, mut y) = at;
    let place = |name: &str| {
        let name = text::fit(name, 12, false, 220);
        let width = 38 + text::width(&name, 12, false);
        if x > at.0 && x + width > WIDTH {
            (x, y) = (at.0, y + 20);
        }
        x += width;
        (name, (x - width, y))
    };
    names.map(place).collect()
}

/// Height in pixels of a legend of these names.
pub fn legend_height<'n>(names: impl Iterator<Item = &'n str>) -> i32 {
    legend_places((0, 0), names).last().map_or(0, |(_, (_, y))| y + 20)
}

/// Values and labels of a horizontal axis, as many as have room: at least `gap` pixels from each other.
pub fn ticks(scale: &canvas::Scale, gap: i32, unit: &str) -> Vec<(f64, String)> {
    let of = |gap: i32| -> Vec<(f64, String)> {
        scale.ticks(gap).into_iter().map(|v| (v, format!("{}{unit}", tick(v)))).collect()
    };
    let first = of(gap);
    let widest = first.iter().map(|(_, label)| text::width(label, 12, false)).max().unwrap_or(0);
    if widest + 6 > gap { of(widest + 10) } else { first }
}

/// Draws a legend of colour swatches or markers (index into the series, name), wrapped to the chart's width; returns
/// its height in pixels.
pub fn legend<'n>(
    canvas: &mut Canvas,
    at: (i32, i32),
    items: impl Iterator<Item = (usize, &'n str)>,
    markers: bool,
) -> i32 {
    let items: Vec<(usize, &str)> = items.collect();
    let places = legend_places(at, items.iter().map(|i| i.1));
    let height = places.last().map_or(0, |(_, (_, y))| y - at.1 + 20);
    for ((i, _), (name, (x, y))) in items.into_iter().zip(places) {
        let color = SERIES[i % SERIES.len()];
        if markers {
            canvas.line((x, y), (x + 16, y), color, 2);
            canvas.marker(i, (x + 8, y), color);
        } else {
            canvas.patterned((x, y - 7), (x + 17, y + 7), color, canvas::PATTERNS[i % SERIES.len()]);
        }
        canvas.text((x + 22, y), canvas::Anchor::Start, NOTE, &name);
    }
    height
}
