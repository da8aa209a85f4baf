//! The end of a run: everything is written, whatever the outcome, and what is wrong is an error.

use super::args::MeasureArgs;
use crate::error::{Error, Result};
use crate::machine::host;
use crate::output::{Output, note};
use crate::runs::{self, RunFolder};
use receipt::judge::amdahl::AmdahlRow;
use receipt::judge::findings::findings;
use receipt::judge::{amdahl, claims, rows};
use receipt::{Family, Outcome, RECEIPT_FILE, Receipt, RowStatus, Status, Verdict, VerifyRecord, figures, titles};
use reports::export;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// What a run leaves behind, whatever it was about: a receipt and the folder that holds it.
pub struct Ended {
    pub folder: RunFolder,
    pub receipt: Receipt,
    /// When the run began.
    pub start: Instant,
}

impl Ended {
    /// Writes the receipt as it is now to the run's folder.
    #[cfg(feature = "gpu")]
    pub fn save(&mut self) -> Result<()> {
        self.receipt.elapsed_s = self.start.elapsed().as_secs_f64();
        self.folder.save(&self.receipt).map(|_| ())
    }
}

/// With `--strict` what was unstable is an error.
pub fn strictly(unstable: Option<String>, strict: bool) -> Result<()> {
    match unstable {
        Some(what) if strict => Err(Error::verdict(
            Outcome::Unstable,
            format!("--strict: {what}; stop what else runs on this machine and run again"),
        )),
        _ => Ok(()),
    }
}

/// Ends a run: writes receipt and report, also of a failed run, and prints table and path. Returns what was unstable.
pub fn finish(mut run: Ended, outcome: Result<()>, args: &MeasureArgs, out: &Output) -> Result<Option<String>> {
    runs::close(&mut run.receipt, outcome.as_ref().err());
    run.receipt.host.load_after = Some(host::load());
    // Findings speak of the run's length: it is what is stored with them.
    run.receipt.elapsed_s = run.start.elapsed().as_secs_f64();
    run.receipt.findings = findings(&run.receipt);
    run.folder.save(&run.receipt)?;
    let paths = match runs::render_run(&run.folder.path) {
        Ok(paths) => paths,
        // The receipt has everything. What the run came to is graver than a page that could not be written.
        Err(error) => {
            out.line(reports::summary(&run.receipt, out.look()).trim_end())?;
            return outcome.and_then(|()| checks(&run.receipt)).and(Err(error));
        }
    };
    if args.json {
        let (receipt, shown) = (&run.receipt, |path: &Path| path.display().to_string());
        out.json(&Printed {
            status: receipt.status,
            run_folder: shown(&run.folder.path),
            receipt: shown(&run.folder.path.join(RECEIPT_FILE)),
            report: shown(&paths.html),
            csv: shown(&paths.csv),
            charts: paths.charts.iter().map(|chart| shown(chart)).collect(),
            elapsed_s: receipt.elapsed_s,
            findings: &receipt.findings,
            amdahl: amdahl::rows(receipt),
            claims: claims::judge_all(reports::seed::claims(), receipt),
        })?;
    } else if args.markdown {
        // Only what goes into the comment.
        out.line(export::markdown(&run.receipt).trim_end())?;
        note(paths.html.display().to_string());
    } else {
        out.line(reports::summary(&run.receipt, out.look()).trim_end())?;
        out.line(paths.html.display().to_string())?;
    }
    outcome?;
    checks(&run.receipt)?;
    Ok(unstable(&run.receipt))
}

/// The first comparison of a machine that differs from itself.
fn unstable(receipt: &Receipt) -> Option<String> {
    let reason = |verdict: &Option<Verdict>| {
        verdict.as_ref().filter(|v| v.outcome == Outcome::Unstable).map(|verdict| verdict.reason.clone())
    };
    let cells = receipt.micro.iter().find_map(|cell| {
        let reason = cell.summaries.iter().find_map(|s| reason(&s.verdict))?;
        Some(format!("{} {}x{} {}: {reason}", cell.op, cell.m, cell.k, titles::residency(cell.residency)))
    });
    cells.or_else(|| {
        receipt.generation.iter().flat_map(|g| &g.blocks).find_map(|blocks| {
            let reason = blocks.summaries.iter().find_map(|s| reason(&s.verdict))?;
            Some(format!("{} decoding: {reason}", blocks.family))
        })
    })
}

/// A complete run still fails when something in it is wrong.
fn checks(receipt: &Receipt) -> Result<()> {
    let wrong = receipt.verify.iter().filter(|v| v.row_status() == RowStatus::Wrong);
    let wrong: Vec<&VerifyRecord> = wrong.collect();
    if let Some(first) = wrong.first() {
        let ids = wrong.iter().map(|v| v.id.as_str()).collect::<Vec<_>>().join(", ");
        let why = first.first_mismatch.as_ref().map(|why| format!(" ({}: {why})", first.id)).unwrap_or_default();
        return Err(Error::failed(format!("mismatches in {ids}; see /verify in the receipt{why}")));
    }
    // A kernel that refuses a shape, or cannot multiply the weights of this model, and says so, does nothing wrong.
    let said = |row: &&rows::Row| matches!(row.status, RowStatus::Refused | RowStatus::Unsupported);
    let without_time = rows::without_time(receipt);
    let faults: Vec<&rows::Row> = without_time.iter().filter(|row| !said(row)).collect();
    if let Some(first) = faults.first() {
        let (kernel, n) = (&first.kernel, faults.len());
        let more = if n > 1 { format!(" ({n} such rows)") } else { String::new() };
        return Err(Error::failed(format!("{kernel}, {}: {}: {}{more}", first.place, first.status, first.why)));
    }
    let failed: Vec<&str> = receipt.counts_failed.iter().map(|f| f.reason.as_str()).collect();
    if !failed.is_empty() {
        return Err(Error::failed(format!("not counted: {}", failed.join("; "))));
    }
    let kernels = receipt.generation.iter().flat_map(|g| &g.kernels);
    let failed = kernels.flat_map(|k| k.goldens.iter().filter(|g| !g.passed).map(move |g| (k, g)));
    let failed: Vec<String> = failed.map(|(k, g)| format!("{} on {}", k.kernel, figures::prompt(&g.prompt))).collect();
    if !failed.is_empty() {
        return Err(Error::failed(format!("known answers are not reproduced: {}", failed.join("; "))));
    }
    if receipt.settings.deterministic { deterministic(receipt) } else { Ok(()) }
}

/// What `--deterministic` promises.
fn deterministic(receipt: &Receipt) -> Result<()> {
    let Some(generation) = &receipt.generation else { return Ok(()) };
    if let Some(k) = generation.kernels.iter().find(|k| k.ids_equal_in_rounds == Some(false)) {
        return Err(Error::failed(format!("--deterministic: {} gave other tokens in another round", k.kernel)));
    }
    for family in [Family::W2A8, Family::W2gA8] {
        let exact: Vec<_> = generation.kernels.iter().filter(|k| k.family == family).collect();
        if let Some(other) = exact.iter().find(|k| k.token_ids != exact[0].token_ids) {
            let (one, other) = (&exact[0].kernel, &other.kernel);
            let what = format!("the exact kernels {one} and {other} gave different tokens");
            return Err(Error::failed(format!("--deterministic: {what}")));
        }
    }
    Ok(())
}

/// What `compare --json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    status: Status,
    run_folder: String,
    receipt: String,
    report: String,
    csv: String,
    charts: Vec<String>,
    elapsed_s: f64,
    findings: &'a [receipt::Finding],
    amdahl: Vec<AmdahlRow>,
    claims: Vec<claims::Judged>,
}
