//! The comparison as one page.

use super::change::{self, Change, Found};
use super::gate_rows::GateRow;
use super::history_view::{HistoryView, charts_of};
use super::identity;
use super::parts::{Against, Cell, Row, Table};
use super::side_by_side::Comparison;
use super::status::status;
use crate::history::{Point, groups};
use crate::html;
use crate::index::answers;
use receipt::Result;
use receipt::judge::Direction;
use serde::Serialize;

#[derive(Debug, Serialize)]
struct View<'a> {
    title: String,
    opening: &'a str,
    against: Vec<AgainstView<'a>>,
    runs: Vec<RunView>,
    changed: Vec<ChangedView>,
    remarks: &'a [String],
    tables: Vec<TableView<'a>>,
    gates: &'a [GateRow],
    history: Vec<HistoryView>,
    confidence: &'static str,
    has_next: bool,
}

#[derive(Debug, Serialize)]
struct AgainstView<'a> {
    #[serde(flatten)]
    against: &'a Against,
    tiles: Vec<Tile>,
}

#[derive(Debug, Serialize)]
struct Tile {
    count: usize,
    word: &'static str,
    marker: &'static str,
    class: &'static str,
}

#[derive(Debug, Serialize)]
struct RunView {
    letter: String,
    name: String,
    link: Option<String>,
    started: String,
    status: &'static str,
    commit: String,
    host: String,
    scenario: String,
    fastest: String,
    counts: String,
}

#[derive(Debug, Serialize)]
struct ChangedView {
    word: &'static str,
    marker: &'static str,
    class: &'static str,
    kernel: String,
    family: String,
    place: String,
    letter: String,
    range: String,
    anchor: String,
}

#[derive(Debug, Serialize)]
struct ChangeView {
    word: &'static str,
    marker: &'static str,
    class: &'static str,
    figure: Option<String>,
    reason: String,
}

#[derive(Debug, Serialize)]
struct TableView<'a> {
    title: &'a str,
    unit: &'static str,
    id: String,
    /// Rows of one place together.
    rows: Vec<RowView<'a>>,
}

#[derive(Debug, Serialize)]
struct RowView<'a> {
    id: String,
    kernel: &'a str,
    place: &'a str,
    first_of_place: bool,
    cells: Vec<CellView<'a>>,
}

#[derive(Debug, Serialize)]
struct CellView<'a> {
    #[serde(flatten)]
    cell: &'a Cell,
    change: Option<ChangeView>,
}

impl ChangeView {
    fn new(c: &Change) -> Self {
        let found = c.direction;
        let (word, marker, class) = (change::words(found), change::marker(found), change::class(found));
        Self { word, marker, class, figure: c.figure(), reason: c.reason.clone() }
    }
}

/// The page; `links` lead from it to the runs' own pages, where there are any, in the order of the runs.
pub fn page(comparison: &Comparison, links: &[Option<String>]) -> Result<String> {
    html::comparison(&view(comparison, links))
}

fn view<'a>(c: &'a Comparison, links: &[Option<String>]) -> View<'a> {
    let tables: Vec<TableView<'a>> = c.tables.iter().enumerate().map(|(i, t)| table(i, t)).collect();
    let changed = c.changed().into_iter().map(|x| ChangedView {
        word: change::words(x.direction),
        marker: change::marker(x.direction),
        class: change::class(x.direction),
        range: x.range(),
        place: x.place(),
        anchor: row_id(x.table, x.row),
        family: c.tables[x.table].title.clone(),
        kernel: x.kernel,
        letter: x.letter,
    });
    View {
        title: c.runs.iter().map(|r| r.letter.as_str()).collect::<Vec<_>>().join(" and "),
        opening: &c.opening,
        against: c.against.iter().map(against).collect(),
        runs: c.runs.iter().enumerate().map(|(i, r)| run(r, links.get(i).cloned().flatten())).collect(),
        changed: changed.collect(),
        remarks: &c.remarks,
        tables,
        gates: &c.gates,
        history: history(c),
        confidence: "99%",
        has_next: c.against.iter().any(|a| a.next.is_some()),
    }
}

fn against(a: &Against) -> AgainstView<'_> {
    let tile = |(found, count): &(Found, usize)| {
        let always = found.is_some_and(Direction::is_settled);
        (always || *count > 0).then(|| Tile {
            count: *count,
            word: change::words(*found),
            marker: change::marker(*found),
            class: change::class(*found),
        })
    };
    let none = a.counts.iter().all(|(_, n)| *n == 0) || !a.comparable;
    AgainstView { tiles: if none { Vec::new() } else { a.counts.iter().filter_map(tile).collect() }, against: a }
}

fn run(r: &super::parts::Run, link: Option<String>) -> RunView {
    let point = Point::new(&r.receipt);
    RunView {
        letter: r.letter.clone(),
        name: r.name.clone(),
        link,
        started: point.when,
        status: status(r.receipt.status),
        commit: point.commit,
        host: point.host,
        scenario: identity::scenario(&r.receipt),
        fastest: answers::fastest(&r.receipt).unwrap_or_else(|| "nothing timed".into()),
        counts: answers::counts_from(&r.receipt).unwrap_or_else(|| "unknown".into()),
    }
}

fn table(i: usize, t: &Table) -> TableView<'_> {
    let row = |(r, row): (usize, &'_ Row)| (row_id(i, r), r > 0 && t.rows[r - 1].place == row.place);
    let rows = t.rows.iter().enumerate().map(|(r, x)| {
        let (id, again) = row((r, x));
        let cells = x.cells.iter().map(|cell| CellView { cell, change: cell.change.as_ref().map(ChangeView::new) });
        RowView { id, kernel: &x.kernel, place: &x.place, first_of_place: !again, cells: cells.collect() }
    });
    TableView { title: &t.title, unit: t.unit, id: format!("table-{}", i + 1), rows: rows.collect() }
}

fn row_id(table: usize, row: usize) -> String {
    format!("r{}-{}", table + 1, row + 1)
}

/// The first cell of each family over the runs, one chart for each machine that has at least two of them.
fn history(c: &Comparison) -> Vec<HistoryView> {
    let points: Vec<Point> = c.runs.iter().map(|r| Point::new(&r.receipt)).collect();
    groups(&points).iter().enumerate().flat_map(|(g, group)| charts_of(&points, group, g)).collect()
}
