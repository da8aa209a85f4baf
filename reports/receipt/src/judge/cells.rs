//! The pairs of a cell: each kernel against what it builds on and against its family's first row, and the fastest
//! against the next.

use super::Method;
use crate::judge::paired::Paired;
use crate::judge::sequential::{self, DELTA, ROUND_LOOKS, Same, Sample, Side, log_ratios};
use crate::record::{Lead, MicroCell, MicroSummary, Ratio, Receipt, Rule, Verdict};
use std::borrow::Cow;

/// The rounds of one cell, ready to be judged.
pub struct Pairs<'c> {
    cell: &'c MicroCell,
    rule: &'c Rule,
    times: Vec<Vec<u64>>,
    same: Vec<f64>,
}

/// Of a cell under a rule.
pub fn pairs<'c>(cell: &'c MicroCell, rule: &'c Rule) -> Pairs<'c> {
    let times = |entry| cell.method.times(&cell.rounds, entry, cell.threads);
    let times: Vec<Vec<u64>> = (0..cell.entries.len()).map(times).collect();
    let same = twins(cell).map(|(twin, again)| log_ratios(&times[twin], &times[again])).unwrap_or_default();
    Pairs { cell, rule, times, same }
}

/// A kernel and the same kernel once more.
fn twins(cell: &MicroCell) -> Option<(usize, usize)> {
    let again = cell.entries.iter().position(|e| e.self_pair)?;
    let twin = cell.entries.iter().position(|e| !e.self_pair && e.kernel == cell.entries[again].kernel)?;
    Some((twin, again))
}

impl Pairs<'_> {
    /// Entry `own` against entry `partner`, and whether the verdict stands.
    pub fn verdict(&self, own: usize, partner: usize) -> (Verdict, bool) {
        let effect = log_ratios(&self.times[partner], &self.times[own]);
        let id = &self.cell.entries[partner].kernel;
        sequential::decide(self.rule, self.cell.method.until(), Sample::Round, &effect, &self.same, id)
    }

    /// One side of a comparison of two runs.
    pub fn side(&self, own: usize, partner: usize) -> Side<'_> {
        let effect = log_ratios(&self.times[partner], &self.times[own]);
        Side { rule: self.rule, effect, same: Same::of(&self.same, &sequential::blocks(&self.same)) }
    }

    /// The same as a ratio, over all rounds.
    pub fn ratio(&self, own: usize, partner: usize) -> Ratio {
        let paired = Paired::new(self.cell.method, &self.times[partner], &self.times[own]);
        let verdict = Some(Box::new(self.verdict(own, partner).0));
        Ratio { verdict, ..paired.ratio(&self.cell.entries[partner].kernel) }
    }
}

/// Judges every pair that is shown, and fills in what a stored verdict of an older receipt lacks. `rule` is the
/// receipt's, if it has one.
pub fn fill(cell: &mut MicroCell, rule: Option<&Rule>) {
    let rule = &*rule_for(rule, cell);
    let (judged, lead): (Vec<Judged>, Option<Lead>) = {
        let pairs = pairs(cell, rule);
        let index = |id: &str| cell.entries.iter().position(|e| e.kernel == id && !e.self_pair);
        let against = |own: usize, partner: &str| {
            let partner = index(partner).filter(|p| *p != own && own < cell.entries.len());
            partner.filter(|_| !cell.rounds.is_empty()).map(|partner| pairs.verdict(own, partner).0)
        };
        let each = cell.summaries.iter().enumerate().map(|(i, s)| {
            let base = s.vs_baseline.as_ref().and_then(|r| against(i, &r.partner));
            let of = |partner: &str| match &base {
                Some(verdict) if verdict.partner == partner => Some(verdict.clone()),
                _ => against(i, partner),
            };
            let previous = s.vs_previous.as_ref().and_then(|r| of(&r.partner));
            let stored = s.verdict.as_ref().filter(|v| v.alarm_high.is_none()).and_then(|v| of(&v.partner));
            Judged { base, previous, stored }
        });
        (each.collect(), lead(&pairs))
    };
    for (summary, judged) in cell.summaries.iter_mut().zip(judged) {
        set(&mut summary.vs_baseline, judged.base);
        set(&mut summary.vs_previous, judged.previous);
        if let (Some(stored), Some(again)) = (&mut summary.verdict, judged.stored) {
            (stored.alarm_high, stored.pass_low) = (again.alarm_high, again.pass_low);
        }
    }
    cell.lead = lead;
    if let Some(first) = &mut cell.unstable_first {
        fill(first, Some(rule));
    }
}

/// A receipt's rule; before 1.1 there was none, and the one that came with the first verdicts holds.
pub fn rule_for<'r>(rule: Option<&'r Rule>, cell: &MicroCell) -> Cow<'r, Rule> {
    let comparisons = cell.entries.len().saturating_sub(2);
    rule.map_or_else(
        || Cow::Owned(Rule::new(DELTA, "round", &ROUND_LOOKS, cell.rounds.len(), comparisons)),
        Cow::Borrowed,
    )
}

struct Judged {
    base: Option<Verdict>,
    previous: Option<Verdict>,
    stored: Option<Verdict>,
}

/// Hands a ratio its verdict.
pub(super) fn set(ratio: &mut Option<Ratio>, verdict: Option<Verdict>) {
    if let Some(ratio) = ratio {
        ratio.verdict = verdict.map(Box::new);
    }
}

/// The kernel with the smallest median time against the one with the next.
fn lead(pairs: &Pairs<'_>) -> Option<Lead> {
    let cell = pairs.cell;
    let own = cell.summaries.iter().enumerate().filter(|(i, s)| {
        let kernel = cell.entries.get(*i).is_some_and(|e| !e.self_pair);
        kernel && s.median_ns_per_call > 0.0
    });
    let mut own: Vec<(usize, &MicroSummary)> = own.collect();
    own.sort_by(|a, b| a.1.median_ns_per_call.total_cmp(&b.1.median_ns_per_call));
    let [(fastest, _), (next, _), ..] = own[..] else { return None };
    Some(Lead { fastest, over_next: pairs.ratio(fastest, next) })
}

/// Sets what the cells of a receipt are judged by, and judges them.
pub fn complete(receipt: &mut Receipt, method: Method) {
    let rule = receipt.rule.clone();
    for cell in &mut receipt.micro {
        cell.method = method;
        if let Some(first) = &mut cell.unstable_first {
            first.method = method;
        }
        fill(cell, rule.as_ref());
    }
}
