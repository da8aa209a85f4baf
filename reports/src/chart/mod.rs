//! The charts of a report. Each is an SVG that stands alone on white; inside the page, `theme_css` hands the neutral
//! colours over to the page's own variables, so that the same file follows dark mode.

mod canvas;
mod claims;
mod engines;
mod first;
mod forest;
mod gate;
#[cfg(test)]
mod layout;
mod parts;
mod phases;
mod roofline;
mod rules;
mod scale;
mod shares;
mod svg;
mod text;
mod trace;

pub use canvas::START;
pub use claims::chart as claims;
pub use engines::{FILE as ENGINES, chart as engines};
pub use forest::{Frame, Moved, Scaled, moved};
pub use parts::Chart;
pub use phases::budget as phases;
pub use roofline::chart as roofline;
pub use rules::{FILE as RULES, chart as rules, name as rule_name};
pub use shares::{OneMachine, shares};
pub use trace::charts as traces;

use parts::WIDTH;
use receipt::Receipt;

/// The pictures of a page's first screen: of a gate its comparisons, else products and whole text, else rules of
/// activations, else engines.
pub fn first(receipt: &Receipt) -> Vec<Chart> {
    let gate = gate::chart(receipt).map(|chart| Chart { saved: true, ..chart });
    let charts: Vec<Chart> = gate.into_iter().chain(first::charts(receipt)).collect();
    match charts.is_empty() {
        true => rules::chart(receipt).or_else(|| engines::chart(receipt)).into_iter().collect(),
        false => charts,
    }
}

/// Every chart of a run's page, traces last.
#[cfg(test)]
pub fn all(receipt: &Receipt) -> Vec<Chart> {
    let mut charts: Vec<Chart> = crate::run::page(receipt).charts().cloned().collect();
    charts.sort_by_key(|chart| chart.file.starts_with("trace-"));
    charts
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

    /// What stands before a ratio for its direction, where a table has the word.
    const SIGNS: [char; 4] = ['▼', '=', '?', '!'];

    /// Texts of the columns of figures of a picture of the first screen, in the order drawn.
    pub fn figures_of(svg: &str) -> Vec<String> {
        let ends = svg
            .split("<text ")
            .skip(1)
            .filter(|tag| tag.contains("text-anchor=\"end\"") && (tag.contains("x=\"5") || tag.contains("x=\"7")));
        let words = ends.filter_map(|tag| tag.split_once('>')?.1.split("</text>").next());
        let figures = words.map(|words| words.trim_start_matches(SIGNS).to_owned());
        figures.filter(|words| words.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c))).collect()
    }

    #[test]
    fn a_complete_run_has_all_charts_and_they_are_well_formed() {
        for receipt in [fixture::complete(), fixture::hostile()] {
            let charts = all(&receipt);
            let files: Vec<&str> = charts.iter().map(|c| &*c.file).collect();
            let first = ["products.svg", "whole-text.svg", "roofline.svg", "phases.svg", "claims.svg"];
            assert_eq!(files[..5], first);
            assert!(files[5..].iter().all(|file| file.starts_with("trace-")) && files.len() > 5, "{files:?}");
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
            let units = ["×", "tokens/s", "weights/s", "GMAC/s", "%", "microseconds"];
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
