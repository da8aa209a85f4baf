//! The list of all runs, and the picture of who leads in each.

use super::entry::{Entry, Leader, speed_up};
use super::times;
use crate::chart::{self, Moved};
use crate::document::{Cell, Column, Row, Section, Table, Value};
use crate::words::count;
use receipt::figures::label;

/// The leader of the newest run that timed an exact kernel, in how many runs it leads, and of how many.
pub fn leader(entries: &[Entry]) -> Option<(&Leader, usize, usize)> {
    let led: Vec<&Leader> = entries.iter().filter_map(|e| e.leader.as_ref()).collect();
    let newest = *led.first()?;
    Some((newest, led.iter().filter(|other| other.kernel == newest.kernel).count(), led.len()))
}

/// The list of all runs, the newest first.
pub fn section(entries: &[Entry]) -> Section {
    let mut columns =
        vec![Column::words("Run"), Column::words("Status").filter(), Column::words("Fastest exact kernel")];
    columns.extend([Column::number("Its speed-up"), Column::words("Counts from"), Column::words("Started (UTC)")]);
    columns.extend([
        Column::words("Scenario").filter(),
        Column::words("Commit"),
        Column::words("Machine and setting").filter(),
    ]);
    columns.push(Column::words("Receipt"));
    let rows = entries.iter().enumerate().map(|(i, e)| {
        let status = Cell::from(Value::word(e.status.0.as_str())).tone(e.status.1);
        let cells = vec![
            Cell::from(e.name.as_str()).to(e.links.report.clone()),
            e.remark.as_ref().map_or(status.clone(), |remark| status.under(remark.as_str())),
            Value::from(e.leader.as_ref().map(|leader| leader.kernel.as_str())).into(),
            speed_up(e.leader.as_ref()),
            e.counts_from.clone(),
            e.point.when.as_str().into(),
            e.point.scenario.as_str().into(),
            Value::Code(e.point.commit.clone()).into(),
            host(e),
            Cell::from("JSON").to(Some(e.links.receipt.clone())),
        ];
        Row::new(format!("run-{}", i + 1), cells)
    });
    let table = Table::new("runs", "Runs", columns).rows(rows);
    let bare = entries.iter().filter(|e| e.links.report.is_none()).count();
    let bare = if bare > 0 {
        format!(" {} without: `tritbench report RUN_DIR` makes it.", count(bare, "run"))
    } else {
        String::new()
    };
    Section::new("runs", "Runs").note(format!("A name leads to the run's page.{bare}")).tables([table])
}

/// Machine and setting, which lead to the machine's times where the run has any.
fn host(e: &Entry) -> Cell {
    let cell = Cell::from(e.point.host.as_str());
    if e.point.cells.is_empty() { cell } else { cell.link(times::anchor(&e.point)) }
}

/// The fastest exact kernel of each run over its family's first row.
pub fn picture(entries: &[Entry]) -> Option<chart::Chart> {
    let row = |e: &Entry| {
        let leader = e.leader.as_ref()?;
        let ratio = leader.ratio.as_ref()?;
        Some(Moved {
            name: format!("{} {}", leader.kernel, label(&e.name, 30)),
            value: ratio.median,
            interval: ratio.low.zip(ratio.high),
            counts: ratio.threshold().unwrap_or(0.0),
            direction: Some(ratio.direction()),
        })
    };
    let rows: Vec<Moved> = entries.iter().filter_map(row).collect();
    let (leader, same, of) = leader(entries)?;
    let title = format!("{} leads {same} of {}", leader.kernel, count(of, "run"));
    let note = "Fastest exact kernel of each run over its family's first row, the newest run first";
    let (file, scaled) = ("runs.svg", chart::Scaled::Ratio);
    chart::moved(chart::Frame { file, title: &title, note, hatched: "slower", scaled }, &rows)
}
