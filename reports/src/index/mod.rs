//! All runs below a folder on one page, from one machine or from many. Only what the page shows of each receipt is
//! kept, so that thousands of them fit.

mod across;
mod entry;
mod figures;
mod left_out;
mod machines;
mod runs;
mod spark;
mod times;

pub use entry::{Entry, Leader, Links, counts_from, speed_up};

use crate::document::terminal::{self, Look};
use crate::document::{Block, Item, Page, Section};
use crate::history::{self, Group, Point};
use crate::section::field_claims;
use crate::words::count;
use across::Across;
use machines::{Leading, Machines};
use receipt::figures::ratio_with_interval;
use receipt::recheck::Checked;
use serde::Serialize;

/// Name of the index page in its folder.
pub const INDEX_FILE: &str = "index.html";
/// Most rows of a table in the terminal's summary, and most runs of the picture; the page has all.
const RUNS: usize = 20;
const RULE: &str = "Every receipt was rechecked before anything of it was shown: what does not hold is listed and \
                    counts nowhere. A machine is what it says about itself: CPU family, model and stepping, CPUs, \
                    caches, memory in GiB, hypervisor; its name is not asked. Every ratio here is a paired one: \
                    partner and kernel took turns inside one run. Lines join only runs that say the same about \
                    machine, threads, feature mask and scenario. The grey band of a small line is the smallest \
                    difference that counts in its runs, around their median: what stays inside it is no change. A \
                    gap is a run without that kernel.";

/// A folder that is no run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Path of the folder, below the indexed folder.
    pub path: String,
    /// Why it is no run.
    pub reason: String,
}

/// The page over all runs, the newest first: of those that hold. `checked` has a row for every receipt.
pub fn page(mut entries: Vec<Entry>, checked: &[Checked], others: &[Unreadable]) -> Page {
    // Of equal times by name.
    entries.sort_by(|a, b| b.point.time.cmp(&a.point.time).then_with(|| a.name.cmp(&b.name)));
    let points: Vec<Point> = entries.iter().map(|e| e.point.clone()).collect();
    let groups = history::groups(&points);
    let machines = by_machine(&points, &groups);
    let across = Across::of(&entries, &machines);
    let others_list = others.iter().map(|u| Item { strong: u.path.clone(), ..Item::text(u.reason.as_str()) });
    let no_runs = Section::new("unreadable", "No runs").with([Block::List(others_list.collect())]);
    let method = Section::new("method", "How to read it").say(RULE).say(
        "What two of these runs say about each other: `tritbench report RUN RUN`. Whether a build is slower: \
         `tritbench gate`.",
    );
    let first = [left_out::section(checked), machines::section(&entries, &machines)].into_iter().flatten();
    let leading = machines::leader(&entries, &machines);
    let leads = leading.as_ref().map(|leading| leading.kernel.as_str());
    let side_by_side = across.as_ref().and_then(|across| across.section(leads));
    let first = first.chain(side_by_side).chain([runs::section(&entries)]);
    let sections = first.chain(times::section(&entries, &machines)).chain((!others.is_empty()).then_some(no_runs));
    let several = across.as_ref().zip(leads).and_then(|(across, kernel)| across.picture(kernel));
    Page {
        title: count(entries.len(), "run"),
        kind: "tritbench · all runs below a folder".into(),
        answer: answer(&entries, leading.as_ref()),
        caveats: spread(&entries, &machines, checked, others.len()),
        pictures: several.or_else(|| runs::picture(&entries)).into_iter().collect(),
        sections: sections.chain([field_claims::link(), method]).collect(),
        ..Page::default()
    }
}

/// The groups by machine. Groups have the one with the newest run first, so machines do too.
fn by_machine<'a>(points: &'a [Point], groups: &'a [Group]) -> Machines<'a> {
    let mut machines: Machines<'_> = Vec::new();
    for group in groups {
        let Some(newest) = group.runs.last().map(|&i| &points[i]) else { continue };
        match machines.iter_mut().find(|(point, _)| point.machine.id == newest.machine.id) {
            Some((_, own)) => own.push(group),
            None => machines.push((newest, vec![group])),
        }
    }
    machines
}

/// Sections of the terminal's summary.
const SHOWN: [&str; 3] = ["left-out", "machines", "runs"];

/// The list of all runs in a terminal; with `look.full` their histories too.
pub fn summary(page: &Page, look: Look) -> String {
    let mut out = terminal::opening(page, look);
    let is_shown = |id: &str| if look.full { id != "method" } else { SHOWN.contains(&id) };
    for section in page.sections.iter().filter(|section| is_shown(&section.id)) {
        let tables = section.all_tables();
        out.extend(tables.iter().map(|table| {
            let mut shown = (*table).clone();
            shown.rows.truncate(if look.full { usize::MAX } else { RUNS });
            let more = table.rows.len() - shown.rows.len();
            let more = if more > 0 { format!("\n{more} more are on the page") } else { String::new() };
            terminal::text(&shown, look) + &more
        }));
    }
    out.join("\n\n") + "\n"
}

/// The answer: who leads on most machines; of one machine, who leads in the newest run that timed something.
fn answer(entries: &[Entry], leading: Option<&Leading>) -> String {
    let failed = entries.iter().filter(|e| e.status.0 == "FAIL").count();
    let gates = if failed > 0 { format!(" {} said FAIL.", count(failed, "gate")) } else { String::new() };
    if let Some(leading) = leading {
        return format!("{}{gates}", leading.sentence());
    }
    let Some((leader, same, of)) = runs::leader(entries) else {
        return format!("{}; none timed an exact kernel.{gates}", count(entries.len(), "run"));
    };
    let figure = leader
        .ratio
        .as_ref()
        .map_or_else(String::new, |ratio| format!(": {} as fast as {}", ratio_with_interval(ratio), ratio.partner));
    let (kernel, runs) = (&leader.kernel, count(of, "run"));
    format!("{kernel} is the fastest exact kernel of {same} of {runs}, in the newest{figure}.{gates}")
}

/// How many runs from when to when, on how many machines, and what did not end, does not hold or is no run.
fn spread(entries: &[Entry], machines: &Machines<'_>, checked: &[Checked], others: usize) -> Vec<String> {
    let mut hosts: Vec<&str> = entries.iter().map(|e| e.point.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let day = |e: &Entry| e.point.time.map(|t| t.strftime("%Y-%m-%d").to_string());
    let span = match (entries.iter().rev().find_map(day), entries.iter().find_map(day)) {
        (Some(a), Some(b)) if a == b => format!(" of {a}"),
        (Some(a), Some(b)) => format!(" from {a} to {b}"),
        _ => String::new(),
    };
    let on = match (machines.len(), hosts.len()) {
        (_, 0) => String::new(),
        (0 | 1, 1) => ", all with one machine and setting".into(),
        (0 | 1, n) => format!(", with {n} machines or settings"),
        (machines, _) => format!(", on {} by what they say about themselves", count(machines, "machine")),
    };
    let stopped =
        entries.iter().filter(|e| ["interrupted", "failed", "never finished"].contains(&e.status.0.as_str())).count();
    let part = if stopped > 0 { format!("; {stopped} did not end") } else { String::new() };
    let mut out = vec![format!("{}{span}{on}{part}.", count(entries.len(), "run"))];
    out.extend(left_out::sentence(checked));
    if others > 0 {
        let verb = if others == 1 { "holds" } else { "hold" };
        out.push(format!("{} {verb} no run; see the end.", count(others, "folder")));
    }
    out
}
