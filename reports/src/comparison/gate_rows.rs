//! Gates and calibrations side by side. Each gate has judged two builds in turns already; what is shown is what each
//! one said.

use super::parts::Run;
use crate::calibration::{interval, rates};
use crate::gate_words::{columns, outcome_word};
use receipt::GateRecord;
use receipt::figures;
use receipt::judge::gate::title;
use serde::Serialize;

/// One comparison of the gates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateRow {
    /// Kernel and cell.
    pub title: String,
    /// Outcome word and change, one a run; none where a run has no such comparison.
    pub cells: Vec<Option<(String, String)>>,
}

/// One planted slowdown of the calibrations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RateRow {
    /// Planted slowdown.
    pub effect: String,
    /// How many gates found it, one a run.
    pub cells: Vec<Option<String>>,
}

/// The whole gate first, then each comparison.
pub fn gates(runs: &[Run]) -> Vec<GateRow> {
    let records: Vec<Option<&GateRecord>> = runs.iter().map(|r| r.receipt.gate.as_ref()).collect();
    if records.iter().all(Option::is_none) {
        return Vec::new();
    }
    let whole = |g: &GateRecord| (outcome_word(g.outcome).to_string(), g.reason.clone());
    let mut out =
        vec![GateRow { title: "The whole gate".into(), cells: records.iter().map(|r| r.map(whole)).collect() }];
    let mut titles: Vec<String> = Vec::new();
    for title in records.iter().flatten().flat_map(|g| g.cells.iter().map(title)) {
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    out.extend(titles.into_iter().map(|wanted| {
        let find = |g: &GateRecord| {
            let cell = g.cells.iter().find(|c| title(c) == wanted)?;
            let [change, most, threshold, ..] = columns(cell);
            let word = outcome_word(cell.verdict.outcome).to_string();
            Some((word, format!("{change}, at most {most}, threshold {threshold}")))
        };
        GateRow { cells: records.iter().map(|r| r.and_then(find)).collect(), title: wanted }
    }));
    out
}

/// One row a planted slowdown.
pub fn calibrations(runs: &[Run]) -> Vec<RateRow> {
    let all: Vec<_> = runs.iter().map(|r| r.receipt.calibration.as_ref().map(rates).unwrap_or_default()).collect();
    let mut effects: Vec<f64> = all.iter().flatten().map(|r| r.effect).collect();
    effects.sort_by(f64::total_cmp);
    effects.dedup();
    let row = |effect: f64| {
        let find = |rates: &Vec<crate::calibration::Rate>| {
            let rate = rates.iter().find(|r| r.effect == effect && r.gates > 0)?;
            let (low, high) = interval(rate.detected, rate.gates);
            let range = format!("95% interval {} to {}", figures::percent(low), figures::percent(high));
            Some(format!("{} of {} ({range})", rate.detected, rate.gates))
        };
        let effect = if effect == 0.0 { "none (false alarms)".into() } else { format!("{effect}%") };
        RateRow { effect, cells: all.iter().map(find).collect() }
    };
    effects.into_iter().map(row).filter(|r| r.cells.iter().any(Option::is_some)).collect()
}
