//! Pages out of views: one self-contained file each, with escaping on for everything that is not our own markup.

use super::chart::{self, Chart};
use super::view::View;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use receipt::Receipt;
use receipt::{Error, Result};
use serde::Serialize;

const REPORT: &str = include_str!("../templates/report.html");
/// Sections of the report in files of their own, and what they share.
const PARTS: [(&str, &str); 16] = [
    ("head.html", include_str!("../templates/head.html")),
    ("macros.html", include_str!("../templates/macros.html")),
    ("top.html", include_str!("../templates/top.html")),
    ("gate.html", include_str!("../templates/gate.html")),
    ("findings.html", include_str!("../templates/findings.html")),
    ("stages.html", include_str!("../templates/stages.html")),
    ("explained.html", include_str!("../templates/explained.html")),
    ("limits.html", include_str!("../templates/limits.html")),
    ("charts.html", include_str!("../templates/charts.html")),
    ("generation.html", include_str!("../templates/generation.html")),
    ("amdahl.html", include_str!("../templates/amdahl.html")),
    ("claims.html", include_str!("../templates/claims.html")),
    ("measurements.html", include_str!("../templates/measurements.html")),
    ("counts.html", include_str!("../templates/counts.html")),
    ("kernels.html", include_str!("../templates/kernels.html")),
    ("record.html", include_str!("../templates/record.html")),
];
const COMPARE: &str = include_str!("../templates/compare.html");
const INDEX: &str = include_str!("../templates/index.html");
/// What pages over several runs need beyond the report's style.
const PAGES_STYLE: &str = include_str!("../templates/pages.css");
const PAGES_SCRIPT: &str = include_str!("../templates/pages.js");
const STYLE: &str = include_str!("../templates/style.css");
const SCRIPT: &str = include_str!("../templates/report.js");

/// `report.html` of one run.
pub fn report(receipt: &Receipt, charts: &[Chart]) -> Result<String> {
    page("report.html", REPORT, &View::new(receipt, charts))
}

/// The page that puts several runs side by side.
pub fn comparison(view: &impl Serialize) -> Result<String> {
    page("compare.html", COMPARE, view)
}

/// The page over all runs of a folder.
pub fn index(view: &impl Serialize) -> Result<String> {
    page("index.html", INDEX, view)
}

fn page(name: &'static str, template: &'static str, view: &impl Serialize) -> Result<String> {
    let failed = |e: minijinja::Error| Error::input(format!("cannot render {name}: {e:#}"));
    let mut environment = Environment::new();
    // The name's ending turns escaping on; a name that the view lacks is a mistake here, not an empty place there.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template(name, template).map_err(failed)?;
    PARTS.iter().try_for_each(|(part, text)| environment.add_template(part, text)).map_err(failed)?;
    let values = context! {
        view => Value::from(Serde(view)), style => STYLE, theme => chart::theme_css(), script => SCRIPT,
        pages_style => PAGES_STYLE, pages_script => PAGES_SCRIPT,
    };
    environment.get_template(name).and_then(|t| t.render(values)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn rendered(receipt: &Receipt) -> String {
        report(receipt, &chart::all(receipt)).unwrap()
    }

    #[test]
    fn every_kind_of_run_renders_under_the_size_limit() {
        for receipt in [fixture::complete(), fixture::interrupted(), fixture::empty(), fixture::hostile()] {
            let page = rendered(&receipt);
            assert!(page.len() < 2_000_000, "{}", page.len());
            assert!(page.contains("</html>"));
        }
    }

    #[test]
    fn parts_that_are_missing_are_named() {
        let page = rendered(&fixture::empty());
        for part in ["No kernel was timed", "No text was generated", "Perplexity was not measured"] {
            assert!(page.contains(part), "{part}");
        }
        let mut no_seed = fixture::complete();
        no_seed.perplexity.as_mut().unwrap().lut.as_mut().unwrap().seed_perplexity = None;
        assert!(rendered(&no_seed).contains("not even finite"));
    }

    #[test]
    fn nothing_is_loaded_from_anywhere() {
        let page = rendered(&fixture::complete());
        let namespaces = page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
        assert_eq!(page.matches("http://").count() + page.matches("https://").count(), namespaces);
        for loader in ["src=", "@import", "url(", "<link", "<iframe", "fetch("] {
            assert!(!page.contains(loader), "{loader}");
        }
    }

    #[test]
    fn hostile_strings_stay_text() {
        let page = rendered(&fixture::hostile());
        assert_eq!(page.matches("<script").count(), 1, "only our own");
        assert!(page.contains("&lt;script&gt;alert("));
        assert!(!page.contains("\"onmouseover=\""));
    }

    #[test]
    fn families_and_speeds_share_no_table() {
        let page = rendered(&fixture::complete());
        for table in page.split("<table>").skip(1).map(|t| t.split("</table>").next().unwrap()) {
            let both = table.contains("avx2-nibble") && table.contains("avx2-i8");
            // The machine's multiply instructions are no kernels.
            assert!(!both || table.contains("GMAC/s, one thread"), "{table}");
            assert!(!(table.contains("Gelem/s") && table.contains("tokens/s")));
        }
    }
}
