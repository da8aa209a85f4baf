//! Kernels of others: from which library each came, and which rows have no time.

use super::anchors;
use crate::document::{Cell, Column, Row, Section, Table, Tone, Value};
use receipt::Receipt;
use receipt::judge::rows;

/// Characters of a hash that tell one file from another in a table.
const SHORT_HASH: usize = 16;

/// The section; absent where every row has a time and no library was loaded.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let section = Section::new("others", "Libraries and rows without a time");
    section.tables([without_time(receipt), libraries(receipt)].into_iter().flatten()).if_any()
}

fn without_time(receipt: &Receipt) -> Option<Table> {
    let row = |(i, row): (usize, rows::Row)| {
        let status = Cell::from(Value::word(row.status.name())).tone(Tone::Bad);
        Row::new(
            format!("without-time-{i}"),
            vec![row.kernel.as_str().into(), row.place.as_str().into(), status, row.why.as_str().into()],
        )
    };
    let rows: Vec<Row> = rows::without_time(receipt).into_iter().enumerate().map(row).collect();
    let columns = ["Kernel", "Where", "Status", "What happened"].map(Column::words);
    let table = Table::new("without-time", "Rows without a time", columns.into());
    (!rows.is_empty()).then(|| table.note("Only what matches the oracle in this run is timed.").rows(rows))
}

fn libraries(receipt: &Receipt) -> Option<Table> {
    let rows = receipt.kernels.iter().filter_map(|kernel| {
        let foreign = kernel.foreign.as_ref()?;
        let short: String = foreign.sha256.chars().take(SHORT_HASH).collect();
        let cells = vec![
            Cell::from(kernel.id.as_str()).under(kernel.summary.as_str()),
            Cell::from(foreign.library.as_str()).under(Value::Code(short)),
            Value::from(foreign.origin.as_deref()).into(),
            Value::from(foreign.compiler.as_deref()).into(),
            foreign.requires_cpu.as_str().into(),
            foreign.output.as_str().into(),
        ];
        Some(Row::new(anchors::library(&kernel.id), cells))
    });
    let rows: Vec<Row> = rows.collect();
    let columns = ["Kernel", "Library", "Origin", "Compiler", "Compiled for", "Output"].map(Column::words);
    let note = "What a library says of its kernels, and the first characters of its file's SHA-256. Its code ran in a \
                process of its own.";
    let table = Table::new("libraries", "Kernels of libraries", columns.into());
    (!rows.is_empty()).then(|| table.note(note).rows(rows))
}
