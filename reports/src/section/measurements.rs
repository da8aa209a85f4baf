//! Every measurement as one row: a table a family, with links to the raw rounds, the instruction counts and the source
//! of its kernel.

use super::{anchors, of_family};
use crate::document::{Cell, Column, Row, Section, Table, Tone, Value};
use crate::query;
use receipt::{Family, MicroCell, MicroSummary, Prepare, Ratio, Receipt, figures};

const NOTE: &str = "A row is one kernel in one comparison: its median time, and the share of the machine's limit \
                    that it reached. Speed-up is over the first kernel of its comparison, then over the kernel it \
                    builds on; a word says which is faster, and the last column from which difference on it would \
                    say so. The links under a name lead to the raw rounds, to what the compiler made of the kernel, \
                    and to its source.";

/// The section with every measurement as a row; without any it says that nothing was timed.
pub fn section(receipt: &Receipt) -> Section {
    let tables: Vec<Table> = Family::ALL.into_iter().filter_map(|family| table(receipt, family)).collect();
    let section = Section::new("measurements", "Every measurement");
    if tables.is_empty() { section.say("No kernel was timed in this run.") } else { section.note(NOTE).tables(tables) }
}

fn table(receipt: &Receipt, family: Family) -> Option<Table> {
    let columns = vec![
        Column::words("Kernel").filter(),
        Column::words("Op").filter(),
        Column::words("Shape").filter(),
        Column::words("Weights").filter(),
        Column::number("Speed-up"),
        Column::words("Over what it builds on"),
        Column::words("Direction").filter(),
        Column::number("Counts from"),
        Column::number("Limit"),
        Column::number("Time a call"),
        Column::number("G weights/s"),
        Column::number("GB/s"),
    ];
    let own = receipt.micro.iter().enumerate().filter(|(_, c)| c.family == family && !c.rounds.is_empty());
    let rows = own.flat_map(|(i, c)| query::kernels(c).map(move |(entry, s)| row(receipt, (i, c), entry, s)));
    let table = of_family("measurements", family, columns).of(family).rows(rows);
    let title = query::family_in(receipt, family);
    (!table.rows.is_empty()).then_some(Table { title, ..table })
}

fn row(receipt: &Receipt, (index, cell): (usize, &MicroCell), entry: usize, s: &MicroSummary) -> Row {
    // A kernel whose every time is zero has no row among the rounds.
    let rounds = match query::round_ratios(cell, entry).is_empty() {
        true => anchors::cell(index),
        false => anchors::rounds(index, entry),
    };
    let counts = receipt.counts.iter().any(|c| c.kernel == s.kernel).then(|| ("counts", anchors::count(&s.kernel)));
    let source = anchors::source(receipt, &s.kernel).map(|place| ("source", place));
    let links = [("rounds", rounds)].into_iter().chain(counts).chain(source).collect();
    let over = |ratio: Option<&Ratio>| {
        ratio.map(|r| Cell::from(Value::Judged(r.clone())).under(format!("over {}", r.partner))).unwrap_or_default()
    };
    let best = query::fastest(cell).is_some_and(|fastest| fastest.kernel == s.kernel);
    let limit = s.bound.as_ref().map(|b| Cell::from(Value::Percent(b.share)).under(query::bound(b.bound)));
    let verdict = s.verdict.as_ref();
    let time = Cell::from(Value::Time(s.median_ns_per_call));
    let time = match cell.entries.get(entry).and_then(|entry| entry.prepare) {
        Some(prepare) => time.under(preparing(cell, prepare, s.median_ns_per_call)),
        None => time,
    };
    let wall = query::wall_ns_per_call(cell, entry).map(|ns| format!("{} by the host's clock", figures::duration(ns)));
    let time = wall.into_iter().fold(time, |time, wall| time.under(wall));
    let cells = vec![
        Cell { links, ..Cell::from(s.kernel.as_str()) },
        cell.op.name().into(),
        query::shape(cell).into(),
        query::residency(cell.residency).into(),
        if s.vs_baseline.is_some() { over(s.vs_baseline.as_ref()) } else { Value::Factor(1.0).into() },
        over(s.vs_previous.as_ref()),
        verdict.map_or(Value::Nothing, |v| Value::word(v.direction().word())).into(),
        verdict.map_or(Value::Nothing, |v| Value::Counts(v.delta_eff)).into(),
        limit.unwrap_or_default(),
        time.tone(if best { Tone::Best } else { Tone::Plain }),
        Value::Number(s.gelem_s).into(),
        Value::Number(s.gb_s).into(),
    ];
    Row::new(anchors::measurement(index, entry), cells)
}

/// What of a call is its product, and what preparing a token for it takes.
fn preparing(cell: &MicroCell, prepare: Prepare, ns_per_call: f64) -> String {
    let Prepare { ns_per_token, bytes_per_token } = prepare;
    let product = (ns_per_call - ns_per_token * cell.tokens as f64).max(0.0);
    let (op, product, token) = (cell.op.name(), figures::duration(product), figures::duration(ns_per_token));
    format!("{op} alone {product}; prepare {token} and {} a token", figures::bytes(bytes_per_token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_timed_kernel_has_a_row_of_its_family_and_the_self_pair_has_none() {
        let receipt = fixture::complete();
        for table in section(&receipt).all_tables() {
            let cells = receipt.micro.iter().filter(|c| c.family.name() == table.family && !c.rounds.is_empty());
            assert_eq!(table.rows.len(), cells.map(|c| query::kernels(c).count()).sum::<usize>());
            assert!(table.rows.iter().all(|row| row.cells.len() == table.columns.len()));
        }
        assert!(section(&fixture::empty()).all_tables().is_empty());
    }
}
