//! What failed and what is undecided, and how much passed: for a comment that is read alone.

use crate::document::{Block, Column, Row, Section, Table};
use crate::export::{State, cases};
use receipt::Receipt;

/// Most rows of cases that are not passed: a comment is no log.
const MOST: usize = 30;

/// The section on a run's checks: how many of each result; the failed ones as a table, the undecided ones in a fold.
pub fn section(receipt: &Receipt) -> Section {
    let cases = cases(receipt);
    let of = |id: &str, word: &str, keep: fn(&State) -> Option<&String>| {
        let rows: Vec<Row> = cases
            .iter()
            .filter_map(|c| {
                let name = format!("{}: {}", c.suite, c.name);
                Some(Row::new("", vec![word.into(), name.into(), keep(&c.state)?.as_str().into()]))
            })
            .collect();
        Table::new(id, word, ["", "check", "why"].map(Column::words).into()).rows(rows)
    };
    let failed = of("failed", "failed", |s| if let State::Failed(why) = s { Some(why) } else { None });
    let undecided = of("undecided", "undecided", |s| if let State::Warned(why) = s { Some(why) } else { None });
    let passed = cases.iter().filter(|c| c.state == State::Passed).count();
    let (wrong, open) = (failed.rows.len(), undecided.rows.len());
    let skipped = cases.len() - passed - wrong - open;
    let says = format!("Checks: {passed} passed, {wrong} failed, {open} undecided, {skipped} not possible here.");
    let cut = |mut table: Table| {
        let left = table.rows.len().saturating_sub(MOST);
        table.rows.truncate(MOST);
        if left > 0 { table.note(format!("{left} more in the receipt")) } else { table }
    };
    let fold = Section::new("undecided", format!("{open} undecided")).tables([cut(undecided)]).folded("");
    let section = Section::new("checks", "Checks").say(says).tables((wrong > 0).then(|| cut(failed)));
    section.with((open > 0).then_some(Block::Section(fold)))
}
