//! What is kept of one run: small, so that thousands of receipts can be read one after the other.

use crate::document::{Cell, Tone, Value};
use crate::history::Point;
use crate::lead::Lead;
use crate::{gate_words, query, words};
use receipt::{Outcome, Ratio, Receipt, Status, figures};

/// What is kept of one run.
#[derive(Debug)]
pub struct Entry {
    /// Where it is below the folder.
    pub(super) name: String,
    pub(super) links: Links,
    pub(super) point: Point,
    pub(super) status: (String, Tone),
    /// What else must be said of it.
    pub(super) remark: Option<String>,
    pub(super) leader: Option<Leader>,
    pub(super) counts_from: Cell,
}

/// Where a run's files are, as links from the page.
#[derive(Clone, Debug)]
pub struct Links {
    /// Address of the run's own page, if it has one.
    pub report: Option<String>,
    /// Address of the run's receipt.
    pub receipt: String,
}

impl Entry {
    /// What is kept of the run with this receipt. `name` is the run's place below the folder.
    pub fn new(name: String, links: Links, r: &Receipt) -> Self {
        let (status, remark) = status(r);
        let (point, leader, counts_from) = (Point::new(r), Leader::of(r), counts_from(r));
        Self { name, links, point, status, remark, leader, counts_from }
    }
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
