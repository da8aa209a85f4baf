//! Gates side by side. Each gate has judged two builds in turns already; what is shown is what each one said.

use super::parts::Run;
use crate::gate_words::{columns, outcome_word};
use receipt::GateRecord;
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
