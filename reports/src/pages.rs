//! Whole pages of every kind of run, held against what any page must be, and their first sentences against expected
//! texts.
//!
//! `INSTA_UPDATE=always cargo test -p reports pages` writes the texts anew, to be read as a user would.

use super::{chart, fixture, html, verdict};
use receipt::Receipt;
use std::collections::HashSet;
use std::fmt::Write;

/// Every kind of run by name.
fn kinds() -> Vec<(&'static str, Receipt)> {
    vec![
        ("complete", fixture::complete()),
        ("unstable", fixture::unstable()),
        ("unstable-headline", fixture::unstable_headline()),
        ("no-avx2", fixture::no_avx2()),
        ("regression", fixture::regression()),
        ("no-regression", fixture::no_regression()),
        ("interrupted", fixture::interrupted()),
        ("empty", fixture::empty()),
    ]
}

fn rendered(receipt: &Receipt) -> String {
    html::report(receipt, &chart::all(receipt)).expect("renders")
}

/// What the top of a page says, as text.
fn top(receipt: &Receipt) -> String {
    let mut out = verdict::answer(receipt) + "\n";
    let caveats = verdict::caveats(receipt);
    if !caveats.is_empty() {
        let _ = writeln!(out, "{}", caveats.join(" "));
    }
    if verdict::opening(receipt) != verdict::answer(receipt) {
        let _ = writeln!(out, "({})", verdict::opening(receipt));
    }
    for s in verdict::statements(receipt) {
        let _ = write!(out, "\n{}: {} | {}\n{}\n", s.label, s.figure, s.subject, s.text);
    }
    out
}

/// The text of the first element of a kind, entities resolved.
fn element(page: &str, name: &str) -> String {
    let after = page.split(&format!("<{name}")).nth(1).expect("there is one");
    let text = after.split_once('>').and_then(|(_, rest)| rest.split(&format!("</{name}>")).next()).unwrap_or_default();
    text.replace("&quot;", "\"").replace("&#x27;", "'").replace("&#x2f;", "/").replace("&amp;", "&")
}

#[test]
fn each_kind_of_run_says_the_right_thing_first() {
    for (name, receipt) in kinds() {
        insta::assert_snapshot!(name, top(&receipt));
        assert_eq!(element(&rendered(&receipt), "h1"), verdict::answer(&receipt), "{name}: the page begins otherwise");
    }
}

#[test]
fn the_first_sentences_are_about_what_went_wrong() {
    let first = |name: &str| verdict::answer(&kinds().into_iter().find(|k| k.0 == name).expect("a kind").1);
    // The cell that others would speak of first is unstable; the answer is of one that is not.
    let other = first("unstable-headline");
    assert!(other.starts_with("avx2-i8 is the fastest exact kernel: "), "{other}");
    assert!(first("no-avx2").starts_with("Only scalar kernels could run here: this CPU lacks AVX2"));
    assert!(first("regression").starts_with("FAIL: avx2-i8 gemv 256x2560 from L2: "), "{}", first("regression"));
    assert!(first("no-regression").starts_with("PASS: "));
    assert!(first("interrupted").starts_with("This run was interrupted."));
    assert!(first("complete").starts_with("avx2-i8 is the fastest exact kernel: "));
    let caveats = verdict::caveats(&fixture::unstable()).join(" ");
    assert_eq!(
        caveats,
        "9 of 17 comparisons are settled; 2 are undecided (the interval reaches across the smallest difference that \
         counts) and 6 are unstable (the same code differed from itself: gemv 6912×2560). 1 of 9 kernels could not run \
         here."
    );
}

#[test]
fn every_link_leads_somewhere_and_no_name_is_given_twice() {
    let mut zeros = fixture::complete();
    zeros.micro[0].rounds.iter_mut().for_each(|r| r.ns[1] = 0);
    for (name, receipt) in kinds().into_iter().chain([("hostile", fixture::hostile()), ("zeros", zeros)]) {
        let page = rendered(&receipt);
        assert!(page.len() < 2_000_000, "{name}: {} bytes", page.len());
        let ids: Vec<&str> = page.split(" id=\"").skip(1).map(|t| t.split('"').next().unwrap_or_default()).collect();
        let distinct: HashSet<&str> = ids.iter().copied().collect();
        // A hostile receipt may name two kernels so that nothing is left of their difference.
        assert!(distinct.len() == ids.len() || name == "hostile", "{name}: {:?}", twice(&ids));
        for link in page.split("href=\"#").skip(1).map(|t| t.split('"').next().unwrap_or_default()) {
            assert!(distinct.contains(link), "{name}: #{link}");
        }
    }
}

fn twice<'t>(ids: &[&'t str]) -> Vec<&'t str> {
    let mut seen = HashSet::new();
    ids.iter().copied().filter(|id| !seen.insert(*id)).collect()
}

#[test]
fn every_heading_table_and_row_has_an_anchor() {
    for (name, receipt) in kinds() {
        let page = rendered(&receipt);
        for level in ["h2", "h3"] {
            for heading in page.split(&format!("<{level}")).skip(1) {
                let heading = heading.split(&format!("</{level}>")).next().unwrap_or_default();
                assert!(heading.contains("href=\"#"), "{name}: <{level}{heading}");
            }
        }
        let tables = page.matches("<table>").count();
        assert_eq!(page.matches("id=\"table-").count(), tables, "{name}");
        assert_eq!(page.matches("href=\"#table-").count(), tables, "{name}");
        for body in page.split("<tbody>").skip(1).map(|t| t.split("</tbody>").next().unwrap_or_default()) {
            assert_eq!(body.matches("<tr").count(), body.matches("<tr id=\"").count(), "{name}: {body}");
        }
    }
}

#[test]
fn each_finding_has_evidence_that_can_be_followed() {
    let mut receipt = fixture::unstable();
    receipt.findings = receipt::judge::findings::findings(&receipt);
    let page = rendered(&receipt);
    let list = page.split_once("<ul class=\"findings\">").and_then(|(_, t)| t.split("<h2").next()).expect("findings");
    let mut found = 0;
    for item in list.split("<li id=\"finding-").skip(1) {
        let links = item.matches("href=\"#").count();
        assert!(links >= 2, "nothing but its own anchor: {item}");
        found += 1;
    }
    assert!(found >= 8, "{found}");
    for title in
        ["Cells that decide nothing", "How small a difference counts", "What the analysis claims", "could not run here"]
    {
        assert!(list.contains(title), "{title}");
    }
}
