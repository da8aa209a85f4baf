//! The machines of the runs: what each says about itself, and its fastest exact kernel.

use super::entry::{Entry, Leader, speed_up};
use super::times::anchor;
use crate::document::{Cell, Column, Row, Section, Table, Value};
use crate::history::{Group, Point};
use crate::words::count;

const NOTE: &str = "A name leads to the machine's own times. The fastest kernel is that of the machine's newest run.";

/// The machines of the runs, the one with the newest run first, each with its groups of runs.
pub type Machines<'a> = Vec<(&'a Point, Vec<&'a Group>)>;

/// A row for each machine, where there are several.
pub fn section(entries: &[Entry], machines: &Machines<'_>) -> Option<Section> {
    if machines.len() < 2 {
        return None;
    }
    let columns = vec![
        Column::words("CPU").filter(),
        Column::words("Fastest exact kernel").filter(),
        Column::words("ISA").filter(),
        Column::number("Its speed-up"),
        Column::number("Runs"),
        Column::number("Builds"),
        Column::words("Newest (UTC)"),
        Column::words("What it says about itself"),
    ];
    let rows = machines.iter().enumerate().map(|(i, (point, _))| row(i + 1, entries, point));
    let table = Table::new("machines", "Machines", columns).rows(rows);
    Some(Section::new("machines", "Machines").note(NOTE).tables([table]))
}

fn row(i: usize, entries: &[Entry], point: &Point) -> Row {
    let own: Vec<&Entry> = entries.iter().filter(|e| e.point.machine.id == point.machine.id).collect();
    let mut builds: Vec<&str> = own.iter().map(|e| e.point.build.as_str()).collect();
    builds.sort_unstable();
    builds.dedup();
    let leader = newest_leader(entries, point);
    let isa = leader.and_then(|(entry, leader)| isa(&entry.point, &leader.kernel));
    let leader = leader.map(|(_, leader)| leader);
    let cells = vec![
        Cell::from(point.machine.name.as_str())
            .under(Value::Code(point.machine.short().into()))
            .to(Some(format!("#{}", anchor(point)))),
        Value::from(leader.map(|leader| leader.kernel.as_str())).into(),
        isa.map_or(Value::Nothing, Value::from).into(),
        speed_up(leader),
        Value::Integer(own.len() as u64).into(),
        Value::Integer(builds.len() as u64).into(),
        point.when.as_str().into(),
        point.machine.facts.as_str().into(),
    ];
    Row::new(format!("machine-{i}"), cells)
}

fn isa<'p>(point: &'p Point, kernel: &str) -> Option<&'p str> {
    let kernels = point.cells.iter().flat_map(|cell| &cell.kernels);
    kernels.into_iter().find(|k| k.kernel == kernel).map(|k| k.isa.as_str())
}

/// Entries are the newest first.
fn newest_leader<'e>(entries: &'e [Entry], point: &Point) -> Option<(&'e Entry, &'e Leader)> {
    let own = entries.iter().filter(|e| e.point.machine.id == point.machine.id);
    own.filter_map(|e| Some((e, e.leader.as_ref()?))).next()
}

/// Which kernel leads on most machines.
pub struct Leading {
    /// Id of the kernel.
    pub kernel: String,
    on: usize,
    of: usize,
    /// The kernels that lead elsewhere, and on how many machines.
    others: Vec<(String, usize)>,
}

/// The kernel that leads on most machines, of equals the first by name; none of one machine, and where none leads.
pub fn leader(entries: &[Entry], machines: &Machines<'_>) -> Option<Leading> {
    let led = machines.iter().filter_map(|(point, _)| newest_leader(entries, point));
    let mut kernels: Vec<&str> = led.map(|(_, leader)| leader.kernel.as_str()).collect();
    kernels.sort_unstable();
    let mut counts: Vec<(String, usize)> =
        kernels.chunk_by(|a, b| a == b).map(|same| (same[0].to_owned(), same.len())).collect();
    // Stable, so that equals stay in the order of names.
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    if machines.len() < 2 || counts.is_empty() {
        return None;
    }
    let (kernel, on) = counts.remove(0);
    Some(Leading { kernel, on, of: kernels.len(), others: counts })
}

impl Leading {
    /// `a is the fastest exact kernel on 12 of 20 machines, b on 8.`
    pub fn sentence(&self) -> String {
        const MOST: usize = 3;
        let others: String = self.others.iter().take(MOST).map(|(kernel, n)| format!(", {kernel} on {n}")).collect();
        let more = self.others.len().saturating_sub(MOST);
        let more = if more > 0 { format!(", {more} others elsewhere") } else { String::new() };
        let Self { kernel, on, of, .. } = self;
        format!("{kernel} is the fastest exact kernel on {on} of {}{others}{more}.", count(*of, "machine"))
    }
}
