//! The table that matters: one product where most is read, a table a family. Tokens a second are not in it: they are a
//! model's, not a kernel's.

use super::{anchors, of_family, percent};
use crate::document::{Cell, Column, Row, Section, Table, Tone, Value};
use crate::{query, seed};
use receipt::{Family, MicroCell, Receipt, figures, titles};

/// The section with a table for every family of which a product was timed.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let tables = query::products(receipt).into_iter().map(|(family, cell)| table(family, cell));
    let note = "Speed-up over the family's first row, share of what the machine allows, and the judge's word against \
                the kernel that each builds on. A claim is the analysis's, cumulative over scalar dequantisation.";
    Section::new("products", "Products in figures").note(note).tables(tables).if_any()
}

fn table(family: Family, cell: &MicroCell) -> Table {
    let claimed = family == query::LADDER;
    let mut columns = vec![
        Column::words("kernel"),
        Column::number("over the first row"),
        Column::number("of limit"),
        Column::words("against the kernel it builds on"),
    ];
    columns.extend(claimed.then(|| Column::number("claimed")));
    let fastest = query::fastest(cell).map(|s| &s.kernel);
    let row = |s: &receipt::MicroSummary| {
        let tone = if fastest == Some(&s.kernel) { Tone::Best } else { Tone::Plain };
        let against = s.vs_previous.as_ref().or(s.vs_baseline.as_ref());
        let mut cells = vec![
            Cell::from(s.kernel.as_str()),
            Cell::from(Value::over(s.vs_baseline.as_ref())).tone(tone),
            percent(s.bound.as_ref().map(|bound| bound.share)).into(),
            against.map_or_else(Cell::default, |r| {
                Cell::from(Value::Judged(r.clone())).under(format!("over {}", r.partner))
            }),
        ];
        let claim = seed::claim(&s.kernel).map_or(Value::Nothing, |claim| Value::Factor(claim.expected));
        cells.extend(claimed.then(|| claim.into()));
        Row::new(format!("product-{}", anchors::slug(&s.kernel)), cells)
    };
    let counts = query::threshold(cell).map(|t| format!("Differences count from ±{}.", figures::percent(t)));
    let notes: Vec<String> = counts.into_iter().chain(query::port_mixes(std::iter::once(cell))).collect();
    let table = of_family("products", family, columns).rows(query::kernels(cell).map(|(_, s)| row(s)));
    Table { title: format!("{}, {}", table.title, titles::cell_of_a_run(cell)), ..table }.note(notes.join(" "))
}
