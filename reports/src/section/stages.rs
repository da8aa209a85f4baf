//! "Which kernel is faster?": one table a family, a row a kernel, a column an operation and place at its largest shape.

use super::{anchors, of_family};
use crate::document::{Cell, Column, Row, Section, Table, Tone, Value};
use crate::{query, seed};
use receipt::{Family, MicroCell, Receipt, figures};

const NOTE: &str = "Speed-up over the family's first row, with its interval, at the largest shape of each kind; \
                    under it the speed-up over the kernel it builds on. ▸ is the fastest of its column. Each figure \
                    leads to its measurement. The analysis's column is quoted: cumulative factors for scalar \
                    dequantisation.";

/// The section with a table of kernels for each family; without any it says that nothing was timed.
pub fn section(receipt: &Receipt) -> Section {
    let tables: Vec<Table> = Family::ALL.into_iter().filter_map(|family| table(receipt, family)).collect();
    let section = Section::new("stages", "Which kernel is faster");
    if tables.is_empty() { section.say("No kernel was timed in this run.") } else { section.note(NOTE).tables(tables) }
}

fn table(receipt: &Receipt, family: Family) -> Option<Table> {
    let mut heads = query::timed_headlines(receipt, family);
    heads.first()?;
    // Stable: operations stay in their order.
    heads.sort_by_key(|(_, c)| (c.op != receipt::Operation::Gemv, query::places_for_answers(c.residency)));
    let head = |(index, c): &(usize, &MicroCell)| {
        let counts = query::threshold(c)
            .map_or_else(String::new, |t| format!("differences count from ±{}", figures::percent(t)));
        let unstable = if query::unstable(c) { ", unstable" } else { "" };
        let column = Column::number(query::cell_title(c)).under(counts + unstable);
        Column { link: Some(anchors::cell(*index)), ..column }
    };
    let mut columns = vec![Column::words("Kernel")];
    columns.extend(heads.iter().map(head));
    let claimed = family == query::LADDER;
    columns.extend(claimed.then(|| Column::words("Analysis says")));
    let rows = query::kernel_ids(receipt, family).into_iter().map(|kernel| {
        let summary = receipt.kernels.iter().find(|k| k.id == kernel).map(|k| k.summary.clone());
        let mut cells = vec![Cell::from(kernel.as_str()).under(summary.unwrap_or_default())];
        cells.extend(heads.iter().map(|(index, c)| cell(*index, c, &kernel)));
        let claim = seed::claim(&kernel);
        let claim = claim.map_or(Value::Absent("no claim"), |c| {
            Value::Text(format!("{} ({}, §{})", figures::ratio(c.expected), c.standing.words(), c.section))
        });
        cells.extend(claimed.then(|| claim.into()));
        Row::new(format!("stage-{}", anchors::slug(&kernel)), cells)
    });
    let title = query::family_in(receipt, family);
    Some(Table { title, ..of_family("stages", family, columns).rows(rows) })
}

fn cell(index: usize, c: &MicroCell, kernel: &str) -> Cell {
    let Some((entry, s)) = query::kernels(c).find(|(_, s)| s.kernel == kernel) else {
        return Value::Absent("not run").into();
    };
    let best = query::fastest(c).is_some_and(|f| f.kernel == kernel);
    let cell = Cell::from(Value::over(s.vs_baseline.as_ref())).link(anchors::measurement(index, entry));
    let cell = cell.tone(if best { Tone::Best } else { Tone::Plain });
    // Of the first stage both are the same ratio; once is enough.
    let base = s.vs_baseline.as_ref().map(|base| &base.partner);
    match s.vs_previous.as_ref().filter(|previous| base != Some(&previous.partner)) {
        Some(previous) => cell.under(Value::Judged(previous.clone())),
        None => cell,
    }
}
