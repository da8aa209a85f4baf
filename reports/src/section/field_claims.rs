//! Published figures of others against the machines that they name: a section of runs with engines, and a page of its
//! own beside the index of runs. It follows from the built-in file alone.

use crate::document::{Cell, Column, Page, Row, Section, Table, Tone, Value};
use crate::field;
use receipt::judge::field::{Judged, summary};
use receipt::judge::physics::Verdict;

/// Name of the page in the folder of the index.
pub const FIELD_FILE: &str = "field-claims.html";

const TITLE: &str = "Published claims against physics";
const LEAD: &str = "A decoded token must read the model's weights and multiply each; a prompt reads them once and \
                    multiplies each once a token. Bytes against the memory bandwidth that the machine's maker states, \
                    and products against the peak of its multiply instruction, bound every figure without a run. A \
                    figure beyond the nearer bound is impossible as labelled; below, its share of the bound stands. \
                    Possible is not right: only the scenario beside it, on that machine, decides.";
const NOTE: &str = "Every bound errs upwards: the highest clock on all named cores, each memory channel at its \
                    full rate, nothing but the multiply. What the last-level cache can hold is not counted as read \
                    from memory. Kernels that look products up have no bound by the multiply. Machines and models are \
                    in `scenarios/field-claims.toml`, each with where its numbers are from; `tritbench list claims \
                    --field --json` prints them.";

/// The section of a run's page, folded away: it says nothing about the run.
pub fn section() -> Section {
    let judged = field::judged();
    open(judged).folded(summary(judged))
}

/// The page of all published figures.
pub fn page() -> Page {
    let judged = field::judged();
    let worst = judged.iter().filter_map(|j| match j.verdict {
        Some(Verdict::Impossible { factor, .. }) => Some((factor, j)),
        _ => None,
    });
    let worst = worst.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, j)| {
        format!(
            "Farthest from what its machine can do: {}, {} on {}: {}.",
            j.claim.title,
            j.stated(),
            j.machine_title,
            j.why
        )
    });
    Page {
        title: TITLE.into(),
        kind: "tritbench · published claims".into(),
        answer: summary(judged) + ".",
        caveats: worst.into_iter().collect(),
        sections: vec![open(judged)],
        ..Page::default()
    }
}

/// The section of the index that leads to the page.
pub fn link() -> Section {
    let columns = vec![Column::words("Page"), Column::words("What it says")];
    let cells = vec![Cell::from(TITLE).to(Some(FIELD_FILE.into())), summary(field::judged()).into()];
    let table = Table::new("field", TITLE, columns).rows([Row::new("field-1", cells)]);
    let what = "What others publish, held against the machines that they name. It is about none of these runs.";
    Section::new("field-claims", TITLE).say(what).tables([table])
}

fn open(judged: &[Judged]) -> Section {
    let columns = vec![
        Column::words("Claim").under("source, date"),
        Column::number("Figure"),
        Column::words("Times").filter(),
        Column::words("Machine").under("threads").filter(),
        Column::words("Verdict").under("share of the bound, or factor").filter(),
        Column::words("Because it"),
        Column::words("What would decide it"),
    ];
    let table = Table::new("field-claims", TITLE, columns).rows(judged.iter().map(row));
    Section::new("field-claims", TITLE).say(LEAD).note(NOTE).tables([table])
}

fn row(j: &Judged) -> Row {
    let claim = &j.claim;
    // As text: a page loads nothing and leads nowhere outside.
    let address = claim.address.as_deref().map(|address| address.trim_start_matches("https://").to_string());
    let mut said = Cell::from(claim.title.as_str()).under(format!("{}, {}", claim.source, claim.date));
    said.sub.extend(address.map(Value::Text));
    let threads = match claim.threads {
        Some(1) => "1 thread".into(),
        Some(n) => format!("{n} threads"),
        None => "all of it".into(),
    };
    let because = claim.note.iter().fold(Cell::from(j.why.as_str()), |cell, note| cell.under(note.as_str()));
    let tone = match j.verdict {
        Some(Verdict::Impossible { .. }) => Tone::Bad,
        Some(Verdict::Possible { .. }) => Tone::Good,
        None => Tone::Open,
    };
    let cells = vec![
        said,
        j.stated().into(),
        claim.measures.words().into(),
        Cell::from(j.machine_title.as_str()).under(threads),
        Cell::from(Value::word(j.words())).tone(tone),
        because.under(j.model_title.as_str()),
        Cell::from(Value::Code(j.decided_by())),
    ];
    Row::new(format!("field-claim-{}", claim.id.replace('.', "-")), cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    #[test]
    fn the_page_says_first_how_many_are_impossible_and_lists_every_claim() {
        let page = page();
        let impossible = field::judged().iter().filter(|j| j.is_impossible()).count();
        assert!(impossible >= 3 && page.answer.contains(&format!(": {impossible} impossible as labelled, ")));
        assert!(page.caveats[0].contains("Litespark-Inference") && page.caveats[0].contains("520.96 tokens/s"));
        let rows = &page.sections[0].all_tables()[0].rows;
        assert_eq!(rows.len(), field::field().claims.len());
        let html = document::html(&page);
        for j in field::judged() {
            let verdict = j.words();
            assert!(html.contains(&verdict), "{}: {verdict}", j.claim.id);
        }
        // It loads nothing from elsewhere.
        assert!(!html.contains("http://") && !html.contains("https://"));
    }

    #[test]
    fn the_section_of_a_run_is_folded_and_its_link_leads_to_the_page() {
        let section = section();
        assert!(section.fold.as_deref().is_some_and(|gist| gist.contains("impossible as labelled")), "{section:?}");
        let index = Page { sections: vec![link()], ..Page::default() };
        assert!(document::html(&index).contains("href=\"field-claims.html\""));
    }
}
