//! The charts of a report. Each is an SVG that stands alone on white; inside the page, `theme_css` hands the neutral
//! colours over to the page's own variables, so that the same file follows dark mode.

mod calibration;
mod canvas;
mod compact;
mod history;
mod ladder;
#[cfg(test)]
mod layout;
mod phases;
mod ratios;
mod roofline;
mod scale;
mod sparsity;
mod text;
mod throughput;
mod tokens;
mod trace;

pub use history::chart as history;
use receipt::Receipt;

use canvas::{Canvas, MUTED, SERIES};

/// Width of every chart in pixels.
const WIDTH: i32 = 900;

/// A finished chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// File name inside `charts/`, and the anchor in the page.
    pub file: &'static str,
    /// Shown under the chart.
    pub caption: String,
    /// The drawing.
    pub svg: String,
}

/// Every chart for which the receipt has data, those first that answer first.
pub fn all(receipt: &Receipt) -> Vec<Chart> {
    let one = |chart: Option<Chart>| chart.into_iter();
    one(ladder::chart(receipt))
        .chain(one(tokens::decode(receipt)))
        .chain(one(roofline::chart(receipt)))
        .chain(one(calibration::chart(receipt)))
        .chain(ratios::charts(receipt))
        .chain(throughput::charts(receipt))
        .chain(one(tokens::prefill(receipt)))
        .chain(one(phases::budget(receipt)))
        .chain(one(phases::forward(receipt)))
        .chain(one(sparsity::chart(receipt)))
        .chain(trace::charts(receipt))
        .collect()
}

/// Style rules that let the page recolour an inlined chart's neutral colours.
pub fn theme_css() -> String {
    canvas::THEMED
        .iter()
        .map(|(color, variable)| {
            let hex = canvas::hex(*color);
            format!(
                ".chart [fill=\"{hex}\"]{{fill:var({variable})}}\n.chart [stroke=\"{hex}\"]{{stroke:var({variable})}}\n"
            )
        })
        .chain([format!("@media screen{{.chart{{min-width:{WIDTH}px}}}}\n")])
        .collect()
}

/// The lines of what a chart found, six at most: names in it are a receipt's own.
fn lines(finding: &str) -> Vec<String> {
    let mut lines = text::wrap(finding, 13, WIDTH);
    if lines.len() > 6 {
        lines.truncate(6);
        lines[5] = text::fit(&format!("{} …", lines[5]), 13, false, WIDTH);
    }
    lines
}

/// Where a chart's drawing begins below its title and what it found.
fn head(finding: &str) -> i32 {
    44 + 18 * lines(finding).len() as i32
}

/// What a chart found, in words below the title.
fn say(canvas: &mut Canvas<'_>, finding: &str) {
    for (i, line) in lines(finding).iter().enumerate() {
        canvas.text((0, 40 + 18 * i as i32), canvas::Anchor::Start, 13, canvas::INK, false, line);
    }
}

/// What a caption says of kernels beyond those that a chart has room for.
fn not_drawn(kernels: usize, most: usize) -> String {
    match kernels.saturating_sub(most) {
        0 => String::new(),
        left => format!(" {left} more kernels are not drawn; they are in the tables and in measurements.csv."),
    }
}

/// One entry of a key: what is drawn for it at (x, y), and its words.
type Sign<'s> = (&'s dyn Fn(&mut Canvas<'_>, i32, i32), &'s str);

/// A key of signs, each about 24 pixels wide, wrapped to the chart's width; returns the height it took.
fn key(canvas: &mut Canvas<'_>, at: (i32, i32), signs: &[Sign<'_>]) -> i32 {
    let (mut x, mut y) = at;
    for (sign, words) in signs {
        let room = 30 + text::width(words, 12, false) + 18;
        if x > at.0 && x + room > WIDTH {
            (x, y) = (at.0, y + 20);
        }
        sign(canvas, x, y);
        canvas.text((x + 30, y), canvas::Anchor::Start, 12, MUTED, false, words);
        x += room;
    }
    y - at.1 + 20
}

/// A value on an axis, without zeros at its end.
fn tick(value: f64) -> String {
    match value.abs() {
        v if (1e4..1e6).contains(&v) => receipt::figures::integer(value.round() as u64),
        v if v != 0.0 && !(1e-3..1e6).contains(&v) => format!("{value:.1e}").replace(".0e", "e"),
        _ => format!("{value}"),
    }
}

/// The name in a legend and the place of each entry, wrapped to the chart's width.
fn legend_places<'n>(at: (i32, i32), names: impl Iterator<Item = &'n str>) -> Vec<(String, (i32, i32))> {
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

/// The height of a legend of these names.
fn legend_height<'n>(names: impl Iterator<Item = &'n str>) -> i32 {
    legend_places((0, 0), names).last().map_or(0, |(_, (_, y))| y + 20)
}

/// Values and labels of a horizontal axis, as many as have room: at least `gap` pixels from each other.
fn ticks(scale: &canvas::Scale, gap: i32, unit: &str) -> Vec<(f64, String)> {
    let of = |gap: i32| -> Vec<(f64, String)> {
        scale.ticks(gap).into_iter().map(|v| (v, format!("{}{unit}", tick(v)))).collect()
    };
    let first = of(gap);
    let widest = first.iter().map(|(_, label)| text::width(label, 12, false)).max().unwrap_or(0);
    if widest + 6 > gap { of(widest + 10) } else { first }
}

/// A legend of colour swatches or markers (index into the series, name), wrapped to the chart's width; returns the
/// height it took.
fn legend<'n>(
    canvas: &mut Canvas<'_>,
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
        canvas.text((x + 22, y), canvas::Anchor::Start, 12, MUTED, false, &name);
    }
    height
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::fixture;

    /// Tags nest and close, attributes are quoted, every `&` starts an entity: enough to catch unescaped text.
    pub fn well_formed(xml: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = xml;
        while let Some(start) = rest.find('<') {
            check_text(&rest[..start]);
            let end = start + rest[start..].find('>').expect("a tag ends");
            let tag = &rest[start + 1..end];
            rest = &rest[end + 1..];
            assert_eq!(tag.matches('"').count() % 2, 0, "quotes in <{tag}>");
            check_text(tag);
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().expect("a tag has a name"));
            }
        }
        check_text(rest);
        assert!(open.is_empty(), "{open:?}");
    }

    fn check_text(text: &str) {
        assert!(!text.contains('<') && !text.chars().any(|c| c.is_control() && !c.is_whitespace()), "{text:?}");
        for after in text.split('&').skip(1) {
            let entity = after.split(';').next().unwrap_or_default();
            assert!(["amp", "lt", "gt", "quot", "apos"].contains(&entity), "&{after}");
        }
    }

    #[test]
    fn a_complete_run_has_all_charts_and_they_are_well_formed() {
        for receipt in [fixture::complete(), fixture::hostile()] {
            let charts = all(&receipt);
            let files: Vec<&str> = charts.iter().map(|c| c.file).collect();
            let known = [
                "ladder.svg",
                "decode.svg",
                "roofline.svg",
                "ratios-w2a32.svg",
                "ratios-w2a32-2.svg",
                "ratios-w2a8.svg",
                "throughput-w2a32.svg",
                "throughput-w2a8.svg",
                "prefill.svg",
                "phases.svg",
                "forward.svg",
                "sparsity.svg",
                "trace-headline.svg",
                "trace-w2a32.svg",
                "trace-w2a8.svg",
            ];
            // A family of another name has charts of another name.
            let files: Vec<String> = files.iter().map(|f| f.replace("other", "w2a8")).collect();
            assert_eq!(files, known);
            for chart in charts {
                well_formed(&chart.svg);
                assert!(chart.svg.contains("<title ") && chart.svg.contains("<desc "));
                assert!(!chart.svg.contains("<script"), "{}", chart.file);
                assert!(!chart.svg.contains("NaN") && !chart.svg.contains("inf\""), "{}", chart.file);
            }
        }
    }

    #[test]
    fn text_is_never_smaller_than_11_pixels() {
        for chart in all(&fixture::complete()) {
            for size in chart.svg.split("font-size=\"").skip(1) {
                let px: f64 = size.split('"').next().unwrap().parse().unwrap();
                assert!(px >= 10.99, "{px} in {}", chart.file);
            }
        }
    }

    #[test]
    fn a_chart_says_what_it_found_in_which_units_and_is_small() {
        for chart in all(&fixture::complete()) {
            let described = chart.svg.split("<desc").nth(1).and_then(|d| d.split("</desc>").next()).expect("described");
            assert!(described.chars().filter(char::is_ascii_digit).count() > 3, "{}: {described}", chart.file);
            let drawn = chart.svg.split("</desc>").nth(1).expect("drawn");
            let units = ["×", "tokens/s", "Gelem/s", "GMAC/s", "%", "microseconds"];
            assert!(units.iter().any(|unit| drawn.contains(unit)), "{}", chart.file);
            assert!(chart.svg.len() < 60_000, "{}: {} bytes", chart.file, chart.svg.len());
            assert!(!chart.caption.is_empty());
        }
    }

    #[test]
    fn less_data_makes_fewer_charts() {
        assert!(all(&fixture::empty()).is_empty());
        for chart in all(&fixture::interrupted()) {
            well_formed(&chart.svg);
        }
    }

    #[test]
    fn every_neutral_colour_follows_the_page() {
        assert_eq!(theme_css().lines().count(), 11);
        assert!(theme_css().contains("[fill=\"#FFFFFF\"]{fill:var(--surface)}"));
    }
}
