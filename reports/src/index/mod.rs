//! All runs below a folder on one page. Receipts are read one after the other and only what the page shows is kept, so
//! that hundreds of them fit.

mod history;
mod spark;

use crate::chart::{self, Moved};
use crate::document::terminal::{self, Look};
use crate::document::{Block, Cell, Column, Item, Page, Row, Section, Table, Tone, Value};
use crate::history::Point;
use crate::lead::Lead;
use crate::section::field_claims;
use crate::words::count;
use crate::{gate_words, query, words};
use receipt::{Outcome, Ratio, Receipt, Status, figures};
use serde::Serialize;

/// Name of the index page in its folder.
pub const INDEX_FILE: &str = "index.html";
/// Most runs of a summary and of the picture; the page has all.
const RUNS: usize = 20;
const RULE: &str = "Every ratio here is a paired one: partner and kernel took turns inside one run. Lines join only \
                    runs that say the same about machine, threads, feature mask and scenario, and times of different \
                    days are on none of them. The grey band of a small line is the smallest difference that counts \
                    in its runs, around their median: what stays inside it is no change. A gap is a run without that \
                    kernel.";

/// What is kept of one run.
#[derive(Debug)]
struct Entry {
    /// Where it is below the folder.
    name: String,
    links: Links,
    point: Point,
    status: (String, Tone),
    /// What else must be said of it.
    remark: Option<String>,
    leader: Option<Leader>,
    counts_from: Cell,
}

/// Where a run's files are, as links from the page.
#[derive(Clone, Debug)]
pub struct Links {
    /// Address of the run's own page, if it has one.
    pub report: Option<String>,
    /// Address of the run's receipt.
    pub receipt: String,
}

/// A folder that is no run, or a receipt that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Path of the folder or receipt, below the indexed folder.
    pub path: String,
    /// Why it could not be read.
    pub reason: String,
}

/// The runs below a folder, added one after the other as they are read.
#[derive(Debug, Default)]
pub struct Listing {
    entries: Vec<Entry>,
}

impl Listing {
    /// Adds one run. `name` is the run's place below the folder.
    pub fn add(&mut self, name: String, links: Links, r: &Receipt) {
        let (status, remark) = status(r);
        let (point, leader, counts_from) = (Point::new(r), Leader::of(r), counts_from(r));
        self.entries.push(Entry { name, links, point, status, remark, leader, counts_from });
    }

    /// The page over all runs, the newest first.
    pub fn page(self, unreadable: &[Unreadable]) -> Page {
        let mut entries = self.entries;
        // Of equal times by name.
        entries.sort_by(|a, b| b.point.time.cmp(&a.point.time).then_with(|| a.name.cmp(&b.name)));
        let points: Vec<Point> = entries.iter().map(|e| e.point.clone()).collect();
        let unread = unreadable.iter().map(|u| Item { strong: u.path.clone(), ..Item::text(u.reason.as_str()) });
        let unread = Section::new("unreadable", "Not read").with([Block::List(unread.collect())]);
        let method = Section::new("method", "How to read it").say(RULE).say(
            "What two of these runs say about each other: `tritbench report RUN RUN`. Whether a build is slower: \
             `tritbench gate`.",
        );
        let histories = history::sections(&points);
        let sections = [runs(&entries)].into_iter().chain(histories).chain((!unreadable.is_empty()).then_some(unread));
        Page {
            title: count(entries.len(), "run"),
            kind: "tritbench · all runs below a folder".into(),
            answer: answer(&entries),
            caveats: spread(&entries, unreadable.len()),
            pictures: picture(&entries).into_iter().collect(),
            sections: sections.chain([field_claims::link(), method]).collect(),
            ..Page::default()
        }
    }
}

/// The list of all runs in a terminal; with `look.full` their histories too.
pub fn summary(page: &Page, look: Look) -> String {
    let mut out = terminal::opening(page, look);
    for section in page.sections.iter().filter(|s| if look.full { s.id != "method" } else { s.id == "runs" }) {
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

/// The answer: who leads in the newest run that timed something, and in how many.
fn answer(entries: &[Entry]) -> String {
    let failed = entries.iter().filter(|e| e.status.0 == "FAIL").count();
    let gates = if failed > 0 { format!(" {} said FAIL.", count(failed, "gate")) } else { String::new() };
    let Some((leader, same, of)) = leader(entries) else {
        return format!("{}; none timed an exact kernel.{gates}", count(entries.len(), "run"));
    };
    let figure = leader.ratio.as_ref().map_or_else(String::new, |ratio| {
        format!(": {} as fast as {}", figures::ratio_with_interval(ratio), ratio.partner)
    });
    let (kernel, runs) = (&leader.kernel, count(of, "run"));
    format!("{kernel} is the fastest exact kernel of {same} of {runs}, in the newest{figure}.{gates}")
}

/// The leader of the newest run that timed an exact kernel, in how many runs it leads, and of how many.
fn leader(entries: &[Entry]) -> Option<(&Leader, usize, usize)> {
    let led: Vec<&Leader> = entries.iter().filter_map(|e| e.leader.as_ref()).collect();
    let newest = *led.first()?;
    Some((newest, led.iter().filter(|other| other.kernel == newest.kernel).count(), led.len()))
}

/// How many runs from when to when, on how many machines, and what did not end or could not be read.
fn spread(entries: &[Entry], unreadable: usize) -> Vec<String> {
    let mut hosts: Vec<&str> = entries.iter().map(|e| e.point.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let day = |e: &Entry| e.point.time.map(|t| t.strftime("%Y-%m-%d").to_string());
    let span = match (entries.iter().rev().find_map(day), entries.iter().find_map(day)) {
        (Some(a), Some(b)) if a == b => format!(" of {a}"),
        (Some(a), Some(b)) => format!(" from {a} to {b}"),
        _ => String::new(),
    };
    let on = match hosts.len() {
        0 => String::new(),
        1 => ", all with one machine and setting".into(),
        n => format!(", with {n} machines or settings"),
    };
    let stopped =
        entries.iter().filter(|e| ["interrupted", "failed", "never finished"].contains(&e.status.0.as_str())).count();
    let part = if stopped > 0 { format!("; {stopped} did not end") } else { String::new() };
    let mut out = vec![format!("{}{span}{on}{part}.", count(entries.len(), "run"))];
    if unreadable > 0 {
        let is = if unreadable == 1 { "is" } else { "are" };
        out.push(format!("{} could not be read or {is} no run; see the end.", count(unreadable, "folder")));
    }
    out
}

/// How far a run got, or what its gate came to; and what is wrong with it.
fn status(r: &Receipt) -> ((String, Tone), Option<String>) {
    if let Some(g) = r.gate.as_ref().filter(|_| r.status == Status::Complete) {
        let remark = (g.outcome != Outcome::Pass).then(|| g.reason.clone());
        return ((gate_words::outcome_word(g.outcome).into(), gate_words::tone(g.outcome)), remark);
    }
    let wrong: Vec<&str> = r.verify.iter().filter(|v| v.mismatches > 0).map(|v| v.id.as_str()).collect();
    let unstable = r.micro.iter().filter(|c| query::unstable(c)).count();
    let remarks = [
        r.error.as_ref().filter(|_| r.status == Status::Failed).map(|error| figures::label(error, 160)),
        (!wrong.is_empty()).then(|| format!("wrong results: {}", wrong.join(", "))),
        (unstable > 0).then(|| format!("{unstable} of {} cells unstable", r.micro.len())),
    ];
    let remarks: Vec<String> = remarks.into_iter().flatten().collect();
    let tone = match r.status {
        Status::Complete => Tone::Good,
        Status::Failed => Tone::Bad,
        _ => Tone::Open,
    };
    ((words::status(r.status).into(), tone), (!remarks.is_empty()).then(|| remarks.join("; ")))
}

/// The fastest exact kernel of a run, memory first.
#[derive(Debug)]
pub struct Leader {
    /// Id of the kernel.
    pub kernel: String,
    /// Its speed over the family's first row; none where it is that row.
    pub ratio: Option<Ratio>,
}

impl Leader {
    /// None where no exact kernel was timed.
    pub fn of(r: &Receipt) -> Option<Self> {
        let leads =
            [query::EXACT, query::GROUPED].into_iter().flat_map(|family| Lead::all(r, family)).collect::<Vec<_>>();
        let best = leads.iter().find(|l| l.is_faster()).or(leads.first())?.best;
        Some(Self { kernel: best.kernel.clone(), ratio: best.vs_baseline.clone() })
    }
}

/// A cell with a leader's speed over its family's first row.
pub fn speed_up(leader: Option<&Leader>) -> Cell {
    leader.map_or(Value::Absent("none timed"), |leader| Value::over(leader.ratio.as_ref())).into()
}

/// A cell with the smallest difference that counts in a run: from the quietest cell to the noisiest.
pub fn counts_from(r: &Receipt) -> Cell {
    query::threshold_range(r).map_or(Value::Absent("unknown"), |range| query::percent_range(range).into()).into()
}

fn runs(entries: &[Entry]) -> Section {
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
            e.point.host.as_str().into(),
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

/// The fastest exact kernel of each run over its family's first row.
fn picture(entries: &[Entry]) -> Option<chart::Chart> {
    let row = |e: &Entry| {
        let leader = e.leader.as_ref()?;
        let ratio = leader.ratio.as_ref()?;
        Some(Moved {
            name: format!("{} {}", leader.kernel, figures::label(&e.name, 30)),
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
