//! What became of each kernel over the runs of one machine: a table a family with a small line a cell.

use super::spark::spark;
use crate::document::{Block, Cell, Column, Item, Row, Section, Table, Value};
use crate::history::{Group, Panel, Point, groups};
use crate::query;
use receipt::Family;

/// A section for each machine, setting and scenario that has two runs, and a list of those that have one.
pub fn sections(points: &[Point]) -> Vec<Section> {
    let all = groups(points);
    let (several, single): (Vec<&Group>, Vec<&Group>) = all.iter().partition(|g| g.runs.len() > 1);
    let alone = single.iter().map(|g| Item::text(format!("{}: {}", g.scenario, g.host)));
    let alone = Section::new("alone", "One run only").with([Block::List(alone.collect())]);
    let alone =
        alone.note("A history needs two runs that say the same about machine, setting and scenario. These have one:");
    let histories = several.iter().enumerate().map(|(i, g)| section(points, g, i));
    histories.chain((!single.is_empty()).then_some(alone)).collect()
}

fn section(points: &[Point], g: &Group, i: usize) -> Section {
    let when = |at: Option<&usize>| at.map_or("", |&i| points[i].when.as_str());
    let (first, last) = (when(g.runs.first()), when(g.runs.last()));
    let families = Family::ALL.into_iter().filter(|family| g.panels.iter().any(|p| p.family == *family));
    let section = Section::new(format!("group-{}", i + 1), format!("History of {}", g.scenario));
    let says = format!("{}. {} runs from {first} to {last}.", g.host, g.runs.len());
    section.say(says).tables(families.map(|family| table(g, family, i)))
}

fn table(g: &Group, family: Family, i: usize) -> Table {
    let panels: Vec<&Panel> = g.panels.iter().filter(|p| p.family == family).collect();
    let mut kernels: Vec<&str> = Vec::new();
    for line in panels.iter().flat_map(|p| &p.lines) {
        if !kernels.contains(&line.kernel.as_str()) {
            kernels.push(&line.kernel);
        }
    }
    let mut columns = vec![Column::words("Kernel")];
    columns.extend(panels.iter().map(|p| Column::number(p.title.as_str()).under(format!("over {}", p.partner))));
    let id = format!("history-{}-{}", i + 1, family.name());
    let cell = |p: &Panel, kernel: &str| match p.lines.iter().find(|l| l.kernel == kernel).and_then(|l| spark(p, l)) {
        Some((newest, drawing)) => {
            Cell::from(newest.map_or(Value::Absent("not run"), Value::Factor)).under(Value::Drawing(drawing))
        }
        None => Value::Absent("not run").into(),
    };
    let rows = kernels.iter().enumerate().map(|(k, kernel)| {
        let figures = panels.iter().map(|p| cell(p, kernel));
        Row::new(format!("{id}-{}", k + 1), [Cell::from(*kernel)].into_iter().chain(figures).collect())
    });
    Table::new(id.as_str(), query::family_title(family), columns).rows(rows)
}
