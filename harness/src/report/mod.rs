//! Everything that is made out of a receipt for people: charts, CSV, a page, a table on the terminal. The receipt is the
//! only input, so that any old one renders again.

mod calibration;
mod chart;
mod comparison;
mod csv;
pub mod figures;
#[cfg(test)]
pub mod fixture;
mod gate;
#[cfg(test)]
pub mod gate_fixture;
mod history;
mod html;
mod index;
pub mod markdown;
#[cfg(test)]
mod pages;
pub mod query;
mod seed;
mod terminal;
mod verdict;
mod view;

pub use self::csv::measurements;
pub use calibration::{interval as share_interval, rates as calibration_rates, sentence as calibration_sentence};
pub use chart::crossover_in_words;
pub use comparison::identity::in_words as host_in_words;
pub use comparison::{Comparison, Run, markdown as comparison_markdown, shell_quoted, write_comparison};
pub use figures::{bytes, measured, number};
pub use gate::{annotations as gate_annotations, markdown as gate_markdown, outcome_word, table as gate_table};
pub use index::{INDEX_FILE, IndexRow, Unreadable, write_index};
pub use query::{cell_title, residency, unstable};
pub use terminal::{Look, comparison as comparison_summary, index as index_summary, noise, summary};
pub use verdict::{answer as first_sentence, caveats, in_words, statements};
pub use view::claims_summary;

use crate::error::Result;
use crate::files::write_atomic;
use crate::receipt::Receipt;
use std::path::{Path, PathBuf};

/// Where the parts of a report were written.
#[derive(Clone, Debug)]
pub struct ReportPaths {
    /// The page.
    pub html: PathBuf,
    /// The figures.
    pub csv: PathBuf,
    /// The charts that the receipt had data for.
    pub charts: Vec<PathBuf>,
}

/// Writes `measurements.csv`, `charts/*.svg` and `report.html` beside the run's `receipt.json`.
///
/// The page is last, so that one that exists has everything it links to.
pub fn write_run_folder(receipt: &Receipt, folder: &Path) -> Result<ReportPaths> {
    let csv = folder.join("measurements.csv");
    write_atomic(&csv, &csv::measurements(receipt)?)?;
    let drawn = chart::all(receipt);
    let mut charts = Vec::new();
    for chart in &drawn {
        let path = folder.join("charts").join(chart.file);
        write_atomic(&path, chart.svg.as_bytes())?;
        charts.push(path);
    }
    let html = folder.join("report.html");
    write_atomic(&html, html::report(receipt, &drawn)?.as_bytes())?;
    Ok(ReportPaths { html, csv, charts })
}

/// [`write_run_folder`] of the receipt that `folder` holds: a run's own page is what any later rendering makes, digests included.
pub fn render_run(folder: &Path) -> Result<ReportPaths> {
    write_run_folder(&crate::receipt::read_receipt(folder)?, folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_holds_what_the_page_links_to() {
        let dir = tempfile::tempdir().unwrap();
        let receipt = fixture::complete();
        crate::receipt::write_receipt(&receipt, dir.path()).unwrap();
        let paths = write_run_folder(&receipt, dir.path()).unwrap();
        let page = std::fs::read_to_string(&paths.html).unwrap();
        assert_eq!(paths.charts.len(), 15);
        for link in page.split("href=\"").skip(1).map(|l| l.split('"').next().unwrap()) {
            match link.strip_prefix('#') {
                Some(id) => assert!(page.contains(&format!("id=\"{id}\"")), "#{id}"),
                None => assert!(dir.path().join(link).is_file(), "{link}"),
            }
        }
    }

    /// To look at with eyes: `cargo test -p harness -- --ignored write_fixtures_to_look_at`.
    #[test]
    #[ignore = "writes into the system's temporary folder, for people"]
    fn write_fixtures_to_look_at() {
        let folder = std::env::temp_dir().join("report-fixture");
        let all = [
            ("complete", fixture::complete()),
            ("interrupted", fixture::interrupted()),
            ("empty", fixture::empty()),
            ("hostile", fixture::hostile()),
            ("unstable", fixture::unstable()),
            ("no-avx2", fixture::no_avx2()),
            ("regression", fixture::regression()),
        ];
        for (name, receipt) in all {
            crate::receipt::write_receipt(&receipt, &folder.join(name)).unwrap();
            write_run_folder(&receipt, &folder.join(name)).unwrap();
            println!("{name}\n{}", summary(&receipt, Look::plain()));
        }
        let runs = vec![("monday".to_string(), fixture::complete()), ("tuesday".to_string(), fixture::complete())];
        write_comparison(&Comparison::new(runs).unwrap(), &folder.join("compare.html")).unwrap();
        write_index(&folder, &folder.join(INDEX_FILE), |_, _| {}).unwrap();
    }
}
