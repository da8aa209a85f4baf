//! Every claim of the seed analysis with its verdict, by section.

use super::explained::VerdictView;
use receipt::figures;
use receipt::judge::claims::{Judged, Verdict};
use serde::Serialize;

/// The table and its sums.
#[derive(Debug, Serialize)]
pub struct ClaimsView {
    summary: String,
    rows: Vec<ClaimRow>,
}

#[derive(Debug, Serialize)]
struct ClaimRow {
    id: String,
    section: String,
    text: String,
    standing: &'static str,
    expected: String,
    measured: Option<String>,
    verdict: VerdictView,
    anchor: Option<String>,
}

impl ClaimsView {
    /// From the judged claims; `anchor` turns a JSON pointer into a place on the page.
    pub fn new(judged: &[Judged], anchor: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            summary: summary(judged),
            rows: judged
                .iter()
                .enumerate()
                .map(|(i, j)| ClaimRow {
                    id: self::anchor(i),
                    section: j.claim.section.clone(),
                    text: j.claim.text.clone(),
                    standing: j.claim.standing.words(),
                    expected: format!("{} {}", j.claim.expected, j.claim.unit),
                    measured: j.measured.map(|m| measured(m, j.low.zip(j.high))),
                    anchor: j.evidence.as_deref().and_then(&anchor),
                    verdict: VerdictView::new(j),
                })
                .collect(),
        }
    }
}

/// The row of a claim, by its place in the file.
pub fn anchor(index: usize) -> String {
    format!("claim-{}", index + 1)
}

/// `66 claims: 20 hold, 19 fail, 27 cannot be measured by this run`.
pub fn summary(judged: &[Judged]) -> String {
    let count = |v: Verdict| judged.iter().filter(|j| j.verdict == v).count();
    let (holds, fails, open) = (count(Verdict::Holds), count(Verdict::Fails), count(Verdict::NotMeasurable));
    format!("{} claims: {holds} hold, {fails} fail, {open} cannot be measured by this run", judged.len())
}

fn measured(value: f64, interval: Option<(f64, f64)>) -> String {
    match interval {
        Some((low, high)) => {
            format!("{} [{}, {}]", figures::measured(value), figures::measured(low), figures::measured(high))
        }
        None => figures::measured(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use receipt::judge::claims::judge_all;

    #[test]
    fn sums_and_rows_agree() {
        let judged = judge_all(crate::seed::claims(), &fixture::complete());
        let view = ClaimsView::new(&judged, |at| Some(at.into()));
        assert_eq!(view.rows.len(), judged.len());
        let fails = view.rows.iter().filter(|r| r.verdict_is("fails")).count();
        assert!(view.summary.starts_with(&format!("{} claims: ", judged.len())));
        assert!(view.summary.contains(&format!(" {fails} fail")), "{}", view.summary);
    }

    impl ClaimRow {
        fn verdict_is(&self, words: &str) -> bool {
            serde_json::to_value(&self.verdict).expect("serialises")["verdict"] == words
        }
    }
}
