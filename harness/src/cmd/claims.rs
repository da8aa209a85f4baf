//! `list claims`: every figure of the analysis, and with a run each one's verdict.

use crate::error::Result;
use crate::output::{Output, table};
use crate::receipt_file::read_receipt;
use receipt::figures::measured;
use receipt::judge::claims::{self, Claim, Judged};
use reports::claims_summary;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Listing<T> {
    title: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    claims: Vec<T>,
}

/// Prints the claims; with a run folder in `run` also each claim's verdict on that run.
pub fn list(run: Option<&Path>, json: bool, out: &Output) -> Result<()> {
    let Some(run) = run else { return stated(json, out) };
    let judged = claims::judge_all(reports::seed::claims(), &read_receipt(run)?);
    let run = Some(run.display().to_string());
    if json {
        return out.json(&listing(run, judged));
    }
    let rows = judged.iter().map(|j: &Judged| {
        let found = match (j.measured, j.low.zip(j.high)) {
            (Some(m), Some((low, high))) => format!("{} [{}, {}]", measured(m), measured(low), measured(high)),
            (Some(m), None) => measured(m),
            (None, _) => "-".into(),
        };
        let mut row = columns(&j.claim);
        row.extend([found, j.verdict.words().into(), j.why.clone()]);
        row
    });
    out.line(table(&["claim", "§", "says", "stated", "measured", "verdict", "why"], &[], rows))?;
    out.line(claims_summary(&judged))
}

fn stated(json: bool, out: &Output) -> Result<()> {
    let claims = reports::seed::claims();
    if json {
        return out.json(&listing(None, claims.iter().collect()));
    }
    let rows = claims.iter().map(|c| {
        let mut row = columns(c);
        row.push(c.standing.words().into());
        row
    });
    out.line(table(&["claim", "§", "says", "stated", "there"], &[], rows))?;
    let analysis = reports::seed::analysis();
    let (title, source) = (&analysis.title, &analysis.source);
    out.line(format!("{} claims of: {title} ({source}); --run RUN_DIR judges them by a run", claims.len()))
}

fn listing<T>(run: Option<String>, claims: Vec<T>) -> Listing<T> {
    let analysis = reports::seed::analysis();
    Listing { title: &analysis.title, source: &analysis.source, run, claims }
}

fn columns(c: &Claim) -> Vec<String> {
    vec![c.id.clone(), c.section.clone(), c.text.clone(), format!("{} {}", c.expected, c.unit)]
}
