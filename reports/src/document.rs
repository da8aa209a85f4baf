//! What a run's folder holds besides its receipt, as names and bytes.

use crate::{chart, csv, html};
use receipt::{Receipt, Result};

/// One file to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its name below the run's folder, with `/` between folders.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// `measurements.csv`, `charts/*.svg` and `report.html` of a run.
///
/// The page is last, so that one that exists has everything it links to.
pub fn run_documents(receipt: &Receipt) -> Result<Vec<Document>> {
    let document = |name: &str, bytes: Vec<u8>| Document { name: name.into(), bytes };
    let drawn = chart::all(receipt);
    let mut documents = vec![document("measurements.csv", csv::measurements(receipt)?)];
    documents.extend(drawn.iter().map(|c| document(&format!("charts/{}", c.file), c.svg.clone().into_bytes())));
    documents.push(document("report.html", html::report(receipt, &drawn)?.into_bytes()));
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Comparison, Look, comparison_page, fixture, summary};

    #[test]
    fn the_documents_of_a_run_hold_what_the_page_links_to() {
        let documents = run_documents(&fixture::complete()).unwrap();
        let names: Vec<&str> = documents.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("charts/")).count(), 6);
        let page = String::from_utf8(documents.last().unwrap().bytes.clone()).unwrap();
        for link in page.split("href=\"").skip(1).map(|l| l.split('"').next().unwrap()) {
            match link.strip_prefix('#') {
                Some(id) => assert!(page.contains(&format!("id=\"{id}\"")), "#{id}"),
                None => assert!(names.contains(&link) || link == receipt::RECEIPT_FILE, "{link}"),
            }
        }
    }

    /// To look at with eyes: `cargo test -p reports -- --ignored write_fixtures_to_look_at`.
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
            for document in run_documents(&receipt).unwrap() {
                let path = folder.join(name).join(document.name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, document.bytes).unwrap();
            }
            println!("{name}\n{}", summary(&receipt, Look::plain()));
        }
        let runs = vec![("monday".to_string(), fixture::complete()), ("tuesday".to_string(), fixture::complete())];
        let page = comparison_page(&Comparison::new(runs).unwrap(), &[]).unwrap();
        std::fs::write(folder.join("compare.html"), page).unwrap();
    }
}
