//! "Instructions per 64 weights": what each kernel executes, by class, whole call and multiplying loop.

use super::{anchors, of_family};
use crate::assembly;
use crate::document::{Block, Cell, Column, Item, Paragraph, Row, Section, Table, Value};
use crate::words::count;
use receipt::{CountRecord, Family, LoopRecord, Mix, PortCycles, Receipt, Scaling, figures, titles};

/// A column and where its figure is.
type Counted = (&'static str, fn(&Mix<f64>) -> f64);

const COLUMNS: [Counted; 11] = [
    ("All", |m| m.instructions),
    ("Vector", Mix::vector),
    ("Memory reads", |m| m.memory.reads),
    ("Multiply", |m| m.classes.multiply_add),
    ("Shuffle", |m| m.classes.shuffle),
    ("Shift", |m| m.classes.shift),
    ("Logic", |m| m.classes.logic),
    ("Arithmetic", |m| m.classes.arithmetic),
    ("Convert", |m| m.classes.convert),
    ("Scalar and branch", |m| m.classes.scalar + m.classes.branch),
    ("Bytes read", |m| m.memory.bytes_loaded),
];

/// The section on instruction counts; absent when the run did not try to count.
pub fn section(receipt: &Receipt) -> Option<Section> {
    if receipt.counts.is_empty() && receipt.counts_skipped.is_none() && receipt.counts_failed.is_empty() {
        return None;
    }
    let family = |c: &CountRecord| receipt.kernels.iter().find(|k| k.id == c.kernel).map(|k| k.family);
    let families = Family::ALL.map(Some).into_iter().chain([None]);
    let tables = families.filter_map(|wanted| {
        let records: Vec<&CountRecord> = receipt.counts.iter().filter(|c| family(c) == wanted).collect();
        table(wanted, &records)
    });
    let failed = receipt.counts_failed.iter();
    let failed: Vec<Item> = failed
        .map(|f| Item { strong: f.kernel.clone(), ..Item::text(format!("was not counted: {}", f.reason)) })
        .collect();
    let mut section = Section::new("counts", "Instructions per 64 weights");
    section.lead.extend(receipt.counts_skipped.iter().map(|why| (Paragraph::Text, why.clone())));
    let section = section.with((!failed.is_empty()).then_some(Block::List(failed))).tables(tables);
    Some(section.with(receipt.counts.iter().filter_map(|record| loop_of(receipt, record)).map(Block::Section)))
}

fn table(family: Option<Family>, records: &[&CountRecord]) -> Option<Table> {
    let first = records.first()?;
    let mut columns = vec![Column::words("Kernel"), Column::number("Whole call")];
    columns.extend(COLUMNS.iter().map(|c| Column::number(c.0)));
    let model = records.iter().find_map(|r| ports(r)).map(PortCycles::model);
    let table = match family {
        Some(family) => of_family("counts", family, columns),
        None => Table::new("counts-other", "other", columns),
    };
    let scaling = first.weight_group.zip(first.activations);
    let scaling = scaling.map(|(weight_group, activations)| Scaling { weight_group, activations });
    let note = format!(
        "One {}, by one thread. Counted one by one, so equal on every run of this build; fewer is not always \
         faster. The second line of a row is its multiplying loop alone.",
        titles::scaled(format!("{} of {}×{}", first.op, first.m, first.k), scaling)
    );
    let by = model.map(|model| {
        format!(" Cycles by ports, under a name: of that loop for 64 weights, by {model}; no figure of this machine.")
    });
    let rows: Vec<Row> = records.iter().map(|r| row(r)).collect();
    Some(table.note(note + &by.unwrap_or_default()).rows(rows))
}

/// The instructions of a kernel's loop, folded; beside them those of the kernel that it builds on.
fn loop_of(receipt: &Receipt, record: &CountRecord) -> Option<Section> {
    let hot = listed(record)?;
    let known = receipt.kernels.iter().find(|k| k.id == record.kernel);
    let before = known.and_then(|k| k.builds_on.as_ref());
    let before = before.and_then(|id| receipt.counts.iter().find(|c| c.kernel == *id && c.op == record.op));
    let before = before.and_then(|record| Some((record.kernel.as_str(), listed(record)?)));
    let kernel = record.kernel.as_str();
    let (lines, title) = match before {
        Some((id, other)) => (
            assembly::side_by_side((kernel, &hot.listing), (id, &other.listing)),
            format!("The loop of {kernel} beside that of {id}"),
        ),
        None => (assembly::lines(&hot.listing, &[]), format!("The loop of {kernel}")),
    };
    let gist = format!("{}, passes: {}", count(hot.listing.len(), "instruction"), figures::integer(hot.passes));
    let id = format!("asm-{}", anchors::slug(kernel));
    let listing = Block::Listing { label: title.clone(), lines };
    Some(Section::new(id, title).folded(gist).with([listing]))
}

fn listed(record: &CountRecord) -> Option<&LoopRecord> {
    record.hot_loop.as_ref().filter(|hot| !hot.listing.is_empty())
}

fn ports(record: &CountRecord) -> Option<&PortCycles> {
    record.hot_loop.as_ref()?.ports.as_ref()
}

fn row(record: &CountRecord) -> Row {
    // Counts are exact; a zero is a zero.
    let number = |x: f64| if x == 0.0 { Value::Integer(0) } else { Value::Decimals(x, 2) };
    let figures = COLUMNS.iter().map(|(_, figure)| {
        let cell = Cell::from(number(figure(&record.per_64_weights)));
        match &record.hot_loop {
            Some(hot) => cell.under(number(figure(&hot.per_64_weights))),
            None => cell,
        }
    });
    let name = Cell::from(record.kernel.as_str());
    // A column of its own does not fit on paper.
    let name = match ports(record) {
        Some(ports) => name.under(format!("{:.2} cycles by ports", ports.cycles_per_64_weights)),
        None => name,
    };
    let first = [name, Value::Integer(record.total.instructions).into()];
    Row::new(anchors::count(&record.kernel), first.into_iter().chain(figures).collect())
}
