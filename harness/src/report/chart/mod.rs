//! The charts of a report. Each is an SVG that stands alone on white; inside the page, `theme_css` hands the neutral
//! colours over to the page's own variables, so that the same file follows dark mode.

mod calibration;
mod canvas;
mod history;
mod ladder;
mod phases;
mod roofline;
mod sparsity;
mod throughput;
mod tokens;

use crate::receipt::Receipt;
pub use history::chart as history;
pub use sparsity::crossover_in_words;

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

/// Every chart for which the receipt has data.
pub fn all(receipt: &Receipt) -> Vec<Chart> {
    [
        ladder::chart,
        roofline::chart,
        throughput::chart,
        tokens::decode,
        tokens::prefill,
        phases::budget,
        phases::forward,
        calibration::chart,
        sparsity::chart,
    ]
    .into_iter()
    .filter_map(|chart| chart(receipt))
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
        .collect()
}

/// A legend of colour swatches or markers (index into the series, name), wrapped to the chart's width; returns the
/// height it took.
fn legend<'n>(
    canvas: &mut Canvas<'_>,
    at: (i32, i32),
    items: impl Iterator<Item = (usize, &'n str)>,
    markers: bool,
) -> i32 {
    let (mut x, mut y) = at;
    for (i, name) in items {
        let name = super::figures::label(name, 28);
        let width = 36 + 15 * name.chars().count() as i32 / 2;
        if x > at.0 && x + width > WIDTH {
            x = at.0;
            y += 20;
        }
        let color = SERIES[i % SERIES.len()];
        if markers {
            canvas.line((x, y), (x + 16, y), color, 2);
            canvas.marker(i, (x + 8, y), color);
        } else {
            canvas.rect((x + 2, y - 6), (x + 14, y + 6), color);
        }
        canvas.text((x + 21, y), canvas::Anchor::Start, 12, MUTED, false, &name);
        x += width;
    }
    y - at.1 + 20
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

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
                "roofline.svg",
                "throughput.svg",
                "decode.svg",
                "prefill.svg",
                "phases.svg",
                "forward.svg",
                "sparsity.svg",
            ];
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
    fn less_data_makes_fewer_charts() {
        assert!(all(&fixture::empty()).is_empty());
        for chart in all(&fixture::interrupted()) {
            well_formed(&chart.svg);
        }
    }

    #[test]
    fn every_neutral_colour_follows_the_page() {
        assert_eq!(theme_css().lines().count(), 10);
        assert!(theme_css().contains("[fill=\"#FFFFFF\"]{fill:var(--surface)}"));
    }
}
