//! Whole pages of every kind of run, held against what any page must be, and their first screens against expected
//! texts.
//!
//! `INSTA_UPDATE=always cargo test -p reports pages` writes the texts anew, to be read as a user would.

use super::{answer, chart, document, fixture, run};
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
        ("group-scales", fixture::group_scales()),
        ("regression", fixture::regression()),
        ("no-regression", fixture::no_regression()),
        ("activation-rules", fixture::activation_rules()),
        ("engines", fixture::engines()),
        ("gpu", fixture::gpu()),
        ("arm", fixture::arm()),
        ("interrupted", fixture::interrupted()),
        ("empty", fixture::empty()),
    ]
}

fn rendered(receipt: &Receipt) -> String {
    document::html(&run::page(receipt))
}

/// What the first screen says, as text.
fn first_screen(receipt: &Receipt) -> String {
    let page = run::page(receipt);
    let mut out = format!("{}\n{}\n({})\n", page.answer, page.caveats.join(" "), page.about);
    page.pictures.iter().for_each(|chart| _ = writeln!(out, "\n[{}] {}", chart.file, chart.title));
    for card in &page.cards {
        let _ = writeln!(out, "\n{}", card.title);
        card.items.iter().for_each(|item| _ = writeln!(out, "- {}", item.words()));
    }
    page.warnings.iter().for_each(|warning| _ = writeln!(out, "\n! {warning}"));
    out
}

#[test]
fn each_kind_of_run_says_the_right_thing_first() {
    for (name, receipt) in kinds() {
        insta::assert_snapshot!(name, first_screen(&receipt));
        let page = rendered(&receipt);
        let answer = answer::answer(&receipt);
        assert!(page.contains(&format!("<h1 id=\"answer\">{answer}</h1>")), "{name}: the page begins otherwise");
    }
}

#[test]
fn the_first_sentences_are_about_what_went_wrong() {
    let first = |name: &str| answer::answer(&kinds().into_iter().find(|k| k.0 == name).expect("a kind").1);
    // The cell that others would speak of first is unstable; the answer is of one that is not.
    let (complete, other) = (first("complete"), first("unstable-headline"));
    assert!(complete.contains("from DRAM") && other.contains("from LLC"), "{other}");
    assert!(first("no-avx2").starts_with("Only scalar kernels could run here: this CPU lacks AVX2"));
    assert!(first("regression").starts_with("FAIL: avx2-i8 "), "{}", first("regression"));
    assert!(first("no-regression").starts_with("PASS: "));
    assert!(first("interrupted").starts_with("This run was interrupted."));
    let groups = first("group-scales");
    assert!(groups.contains("group-scale kernel"), "{groups}");
    let caveats = answer::caveats(&fixture::unstable()).join(" ");
    assert!(caveats.contains("unstable (the same code differed from itself: gemv 6912×2560)"), "{caveats}");
}

/// What another architecture measured is rendered as it was written, wherever it is read.
#[test]
fn a_page_of_arm_has_no_words_of_x86() {
    let receipt = fixture::arm();
    let mut page = rendered(&receipt);
    // The claims are about kernels of the analysis, which names them.
    let from = page.find("<h2 id=\"claims\">").expect("a section");
    let length = page[from + 3..].find("<h2").expect("another section");
    page.replace_range(from..from + 3 + length, "");
    let lower = page.to_lowercase();
    for word in ["x86", "avx", "sse", "xmm", "ymm", "zmm", "cpuid", "microcode", "stepping", "intel", "amd "] {
        let at = lower.find(word);
        let around = at.map(|at| lower.get(at.saturating_sub(60)..(at + 60).min(lower.len())));
        assert!(at.is_none(), "{word}: {around:?}");
    }
    for word in ["aarch64", "neon-i8", "4 x ARM Cortex-A76 r4p0, capacity 1,024; 4 x ARM Cortex-A55", "asimd"] {
        assert!(page.contains(word), "{word} is not on the page");
    }
    assert!(rendered(&fixture::complete()).contains("Family / model / stepping"), "of x86");
}

#[test]
fn every_first_screen_shows_a_picture_where_anything_was_compared() {
    for (name, receipt) in kinds() {
        let pictures = run::page(&receipt).pictures.len();
        let compared = receipt.gate.is_some()
            || receipt.activation_rules.is_some()
            || receipt.engines.is_some()
            || receipt.micro.iter().any(|c| !c.rounds.is_empty());
        assert_eq!(pictures > 0, compared, "{name}");
    }
}

#[test]
fn every_link_leads_somewhere_and_no_name_is_given_twice() {
    let mut zeros = fixture::complete();
    zeros.micro[0].rounds.iter_mut().for_each(|r| r.ns[1] = 0);
    for (name, receipt) in kinds().into_iter().chain([("hostile", fixture::hostile()), ("zeros", zeros)]) {
        let page = rendered(&receipt);
        assert!(page.len() < 2_000_000, "{name}: {} bytes", page.len());
        let values = |attribute: &str| -> Vec<String> {
            page.split(attribute).skip(1).map(|t| t.split('"').next().unwrap_or_default().into()).collect()
        };
        let ids = values(" id=\"");
        let distinct: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut seen = HashSet::new();
        let twice: Vec<&String> = ids.iter().filter(|id| !seen.insert(id.as_str())).collect();
        // A hostile receipt may name two kernels so that nothing is left of their difference.
        assert!(twice.is_empty() || name == "hostile", "{name}: {twice:?}");
        values("href=\"#").iter().for_each(|link| assert!(distinct.contains(link.as_str()), "{name}: #{link}"));
    }
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
            assert_eq!(body.matches("<tr").count(), body.matches(" id=\"").count(), "{name}: {body}");
        }
    }
}

#[test]
fn each_finding_has_evidence_that_can_be_followed() {
    let page = rendered(&fixture::unstable());
    let list = page.split_once("<ul class=\"findings\">").and_then(|(_, t)| t.split("<h2").next()).expect("findings");
    let items: Vec<&str> = list.split("<li id=\"finding-").skip(1).collect();
    assert!(items.len() >= 8, "{}", items.len());
    for item in items {
        assert!(item.matches("href=\"#").count() >= 2, "nothing but its own anchor: {item}");
    }
    for title in ["Cells that decide nothing", "How small a difference counts", "What the analysis claims"] {
        assert!(list.contains(title), "{title}");
    }
}

#[test]
fn tables_hold_every_figure_of_the_pictures_and_have_whole_rows() {
    for (name, receipt) in kinds() {
        let page = run::page(&receipt);
        for table in page.sections.iter().flat_map(|s| s.all_tables()) {
            let whole = table.rows.iter().all(|row| row.cells.len() == table.columns.len());
            assert!(whole, "{name}: {}", table.id);
        }
        let html = rendered(&receipt);
        let (_, tables) = html.split_once("<main>").expect("tables");
        let claims = page.charts().filter(|chart| chart.file == "claims.svg");
        for chart in page.pictures.iter().chain(claims) {
            for figure in chart::tests::figures_of(&chart.svg) {
                assert!(tables.contains(&figure), "{name}, {}: {figure}", chart.file);
            }
        }
    }
}

/// No heading of one family above rows of another.
#[test]
fn group_scales_have_tables_of_their_own() {
    let receipt = fixture::group_scales();
    let page = rendered(&receipt);
    assert!(page.contains("W2gA8 (group scales, int8 activations)") && !page.contains("exact int32 sums)"));
    let page = run::page(&receipt);
    let tables: Vec<_> = page.sections.iter().flat_map(|s| s.all_tables()).collect();
    let of = |family: &str| tables.iter().filter(|table| table.family == family).count();
    assert!(of("W2gA8") > 0 && of("W2gA8") == of("W2A32") && of("W2A8") == 0, "{} {}", of("W2gA8"), of("W2A32"));
}

/// Where the family is explained, where its cells are, and in texts; old receipts had groups of 128 and one scale.
#[test]
fn what_shares_a_scale_is_said() {
    let by_32 = fixture::by_rule(receipt::Activations::Per32);
    let said = |receipt: &receipt::Receipt| {
        let look = crate::Look { width: 200, full: true, ..crate::Look::plain() };
        [rendered(receipt), crate::export::markdown(receipt), crate::summary(receipt, look)]
    };
    for text in said(&by_32) {
        assert!(text.contains("groups of 64, activations by 32"), "{text}");
    }
    let [page, ..] = said(&by_32);
    assert!(page.contains("W2gA8 was timed with groups of 64, activations by 32"));
    assert_eq!(page.matches("activations with a scale for each 32 activations").count(), 2, "texts and perplexity");
    let [old, ..] = said(&fixture::group_scales());
    assert!(old.contains("groups of 128, one scale a token") && old.contains("activations with one scale a token"));
    let [without, ..] = said(&fixture::complete());
    assert!(!without.contains("groups of 128"), "no other family has groups");
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    for (name, receipt) in kinds() {
        let page = rendered(&receipt);
        let namespaces = page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
        assert_eq!(page.matches("http://").count() + page.matches("https://").count(), namespaces, "{name}");
        for loader in ["src=\"", "@import", "url(", "<link", "<iframe", "fetch("] {
            assert!(!page.contains(loader), "{name}: {loader}");
        }
    }
}

#[test]
fn the_documents_of_a_run_hold_what_the_page_links_to() {
    for (name, receipt) in kinds() {
        let documents = run::run_documents(&receipt).unwrap();
        let names: Vec<&str> = documents.iter().map(|d| d.name.as_str()).collect();
        let page = String::from_utf8(documents.last().unwrap().bytes.clone()).unwrap();
        let links = page.split("href=\"").skip(1).map(|l| l.split('"').next().unwrap());
        for link in links.filter(|link| !link.starts_with('#')) {
            assert!(names.contains(&link), "{name}: {link}");
        }
    }
}
