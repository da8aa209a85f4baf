//! Output heads and what lies between the products: how fast each way moves its bytes.

use super::anchors;
use crate::document::{Cell, Column, Row, Section, Table, Value};
use receipt::judge::beside::{fastest, figures};
use receipt::{BesideCell, Receipt, titles};

const NOTE: &str = "A head reads each of its rows once a token, so its limit is reading: the share is the time of a \
                    loop that only reads as many bytes, in the same rounds, over its own. Heads come from memory: \
                    each call's rows are taken out of the caches first. What lies between the products works on a few \
                    KiB in the first-level cache, so that its share says how much of its time is arithmetic. All ways \
                    of an operation gave the same bits.";

/// The section, where a run timed such operations.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let columns = vec![
        Column::words("Operation"),
        Column::words("Way"),
        Column::number("Time"),
        Column::number("GB/s"),
        Column::number("Share of a plain read"),
    ];
    let rows: Vec<Row> = receipt.beside.iter().flat_map(rows).collect();
    let table = Table::new("beside-ways", "Output heads and what lies between the products", columns).rows(rows);
    let section = Section::new("beside", "Beside the ternary products").note(NOTE);
    (!receipt.beside.is_empty()).then(|| section.tables([table].into_iter().chain(choices(receipt))))
}

/// What was chosen at the start of texts, and how.
fn choices(receipt: &Receipt) -> Option<Table> {
    let columns = vec![Column::words("Choice"), Column::words("Taken"), Column::words("Why")];
    let row = |(i, choice): (usize, &receipt::Choice)| {
        let cells = [&choice.what, &choice.chosen, &choice.reason].map(|text| Cell::from(text.as_str()));
        Row::new(format!("choice-{}", i + 1), cells.into())
    };
    let rows = receipt.choices.iter().enumerate().map(row);
    let note = "Each by a probe with the threads of the run; the receipt has the candidates and their times.";
    let table = Table::new("choices", "Chosen at the start of texts", columns).note(note).rows(rows);
    (!table.rows.is_empty()).then_some(table)
}

fn rows(cell: &BesideCell) -> Vec<Row> {
    let best = fastest(cell);
    let where_ = titles::residency(cell.residency);
    let row = |(i, (entry, figures)): (usize, (&receipt::BesideEntry, Option<receipt::judge::beside::Figures>))| {
        let what = Cell::from(cell.what.as_str()).under(format!("{}, {where_}", cell.shape.replace('x', "×")));
        let way = Cell::from(entry.name.as_str());
        let way = if best == Some(i) { way.under("fastest here") } else { way };
        let mut cells = vec![what, way];
        cells.extend(match figures {
            Some(f) => {
                let ends = f.share.low.zip(f.share.high);
                [Value::Time(f.ns), Value::Number(f.gb_s), Value::Shares(f.share.median, ends)].map(Cell::from)
            }
            None => [Value::Absent("not run"), Value::Nothing, Value::Nothing].map(Cell::from),
        });
        Row::new(format!("beside-{}-{}", anchors::slug(&cell.what), i + 1), cells)
    };
    cell.entries.iter().zip(figures(cell)).enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use receipt::{BesideEntry, Residency};

    #[test]
    fn each_way_has_a_row_and_one_is_the_fastest() {
        let mut receipt = crate::fixture::complete();
        assert!(section(&receipt).is_none(), "an old receipt has no such operations");
        let entry = |name: &str, ns: [u64; 3]| BesideEntry { name: name.into(), ns: ns.to_vec() };
        receipt.beside.push(BesideCell {
            what: "q8 output head".into(),
            shape: "16x2560".into(),
            threads: 1,
            residency: Residency::Dram,
            bytes_per_call: 41_000,
            oracle: "equal".into(),
            entries: vec![entry("q8-avx512-vnni, two levels", [4000, 4100, 4200]), entry("q8-avx2", [5000; 3])],
            read_ns: vec![3900; 3],
        });
        let section = section(&receipt).expect("a section");
        let table = section.all_tables()[0];
        let text = |row: usize, column: usize| table.rows[row].cells[column].value.short();
        assert_eq!((table.rows.len(), text(0, 1)), (2, "q8-avx512-vnni, two levels".to_owned()));
        assert_eq!(table.rows.iter().filter(|row| !row.cells[1].sub.is_empty()).count(), 1);
        assert!(text(0, 4).starts_with("95"), "{}", text(0, 4));
    }
}
