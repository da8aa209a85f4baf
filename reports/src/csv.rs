//! `measurements.csv`: one row per (cell, entry) or (kernel, end-to-end operation). Units are in the column names, and
//! a kernel's throughput and end-to-end tokens/s have columns of their own, so that no spreadsheet adds them up.

use super::query;
use receipt::judge::coverage;
use receipt::{
    Error, GateCell, GenerationKernel, GenerationRecord, LeftOut, MicroCell, Operation, Ratio, Receipt, Residency,
    Result,
};
use serde::Serialize;

/// One row. `kind` says which of the optional columns are filled.
#[derive(Debug, Default, Serialize)]
struct Row<'a> {
    kind: &'a str,
    scenario: &'a str,
    run_status: &'a str,
    family: &'a str,
    kernel: &'a str,
    op: &'a str,
    m: Option<usize>,
    k: Option<usize>,
    tokens: Option<usize>,
    elements: Option<u64>,
    residency: &'a str,
    threads: usize,
    self_pair: Option<bool>,
    rounds: usize,
    calls_per_epoch: Option<u32>,
    median_ns_per_call: Option<f64>,
    gelem_s: Option<f64>,
    gb_s: Option<f64>,
    share_of_stream: Option<f64>,
    end_to_end_tokens_per_s: Option<f64>,
    time_to_first_token_ms: Option<f64>,
    ratio_vs_baseline: Option<f64>,
    ratio_vs_baseline_low: Option<f64>,
    ratio_vs_baseline_high: Option<f64>,
    baseline: &'a str,
    ratio_vs_previous: Option<f64>,
    ratio_vs_previous_low: Option<f64>,
    ratio_vs_previous_high: Option<f64>,
    previous: &'a str,
    confidence: Option<f64>,
    direction_vs_baseline: &'a str,
    direction_vs_previous: &'a str,
    threshold: Option<f64>,
    bound: &'a str,
    bound_set_by: &'a str,
    bound_gelem_s: Option<f64>,
    share_of_bound: Option<f64>,
    mac_per_cycle: Option<f64>,
    verdict: &'a str,
    change: Option<f64>,
}

/// The whole file as bytes.
pub fn measurements(receipt: &Receipt) -> Result<Vec<u8>> {
    // Headers by hand: a receipt with no measurement still makes a file that says what would be in it.
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let broken = |e: &dyn std::fmt::Display| Error::input(format!("cannot write measurements.csv: {e}"));
    csv.write_record(HEADER).map_err(|e| broken(&e))?;
    let status = status_name(receipt);
    for cell in &receipt.micro {
        for i in 0..cell.summaries.len() {
            csv.serialize(micro_row(receipt, &status, cell, i)).map_err(|e| broken(&e))?;
        }
    }
    for cell in receipt.gate.iter().flat_map(|g| &g.cells) {
        csv.serialize(gate_row(receipt, &status, cell)).map_err(|e| broken(&e))?;
    }
    for left_out in receipt.gate.iter().flat_map(coverage::by_gravity) {
        csv.serialize(left_out_row(receipt, &status, left_out)).map_err(|e| broken(&e))?;
    }
    if let Some(generation) = &receipt.generation {
        for kernel in &generation.kernels {
            for op in [Operation::Prefill, Operation::Decode] {
                csv.serialize(generation_row(receipt, &status, generation, kernel, op)).map_err(|e| broken(&e))?;
            }
        }
    }
    csv.into_inner().map_err(|e| broken(&e))
}

/// Column names in the order of [`Row`]'s fields (a test compares them).
const HEADER: [&str; 40] = [
    "kind",
    "scenario",
    "run_status",
    "family",
    "kernel",
    "op",
    "m",
    "k",
    "tokens",
    "elements",
    "residency",
    "threads",
    "self_pair",
    "rounds",
    "calls_per_epoch",
    "median_ns_per_call",
    "gelem_s",
    "gb_s",
    "share_of_stream",
    "end_to_end_tokens_per_s",
    "time_to_first_token_ms",
    "ratio_vs_baseline",
    "ratio_vs_baseline_low",
    "ratio_vs_baseline_high",
    "baseline",
    "ratio_vs_previous",
    "ratio_vs_previous_low",
    "ratio_vs_previous_high",
    "previous",
    "confidence",
    "direction_vs_baseline",
    "direction_vs_previous",
    "threshold",
    "bound",
    "bound_set_by",
    "bound_gelem_s",
    "share_of_bound",
    "mac_per_cycle",
    "verdict",
    "change",
];

fn micro_row<'a>(receipt: &'a Receipt, status: &'a str, cell: &'a MicroCell, i: usize) -> Row<'a> {
    let summary = &cell.summaries[i]; // the caller counts the summaries
    let measured = !cell.rounds.is_empty();
    let base = summary.vs_baseline.as_ref();
    let previous = summary.vs_previous.as_ref();
    let bound = summary.bound.as_ref();
    let kernel = cell.entries.get(i).is_some_and(|e| !e.self_pair);
    Row {
        kind: "kernel",
        scenario: &receipt.scenario.name,
        run_status: status,
        family: cell.family.name(),
        kernel: &summary.kernel,
        op: cell.op.name(),
        m: Some(cell.m),
        k: Some(cell.k),
        tokens: Some(cell.tokens),
        elements: Some(cell.weights_per_call),
        residency: residency(cell.residency),
        threads: cell.threads,
        self_pair: cell.entries.get(i).map(|e| e.self_pair),
        rounds: cell.rounds.len(),
        calls_per_epoch: Some(cell.calls_per_epoch),
        median_ns_per_call: measured.then_some(summary.median_ns_per_call),
        gelem_s: measured.then_some(summary.gelem_s),
        gb_s: measured.then_some(summary.gb_s),
        share_of_stream: summary.share_of_stream.filter(|_| measured),
        bound: bound.map_or("", |b| query::bound(b.bound)),
        bound_set_by: bound.map_or("", |b| &b.what),
        bound_gelem_s: bound.map(|b| b.gelem_s),
        share_of_bound: bound.map(|b| b.share),
        mac_per_cycle: bound.and_then(|b| b.mac_per_cycle),
        // The A/A pair is no comparison.
        threshold: base.or(previous).and_then(Ratio::threshold).filter(|_| kernel),
        change: summary.verdict.as_ref().map(|v| v.change),
        ..ratios(base, previous, kernel)
    }
}

/// The current build's time against the baseline's, with the verdict over process pairs.
fn gate_row<'a>(receipt: &'a Receipt, status: &'a str, cell: &'a GateCell) -> Row<'a> {
    let speed = receipt::judge::gate::tokens_per_s(cell).map(|[_, current]| current);
    Row {
        kind: "gate",
        scenario: &receipt.scenario.name,
        run_status: status,
        family: cell.family.name(),
        kernel: &cell.kernel,
        op: cell.op.name(),
        m: Some(cell.m).filter(|_| speed.is_none()),
        k: Some(cell.k).filter(|_| speed.is_none()),
        tokens: Some(cell.tokens),
        residency: residency(cell.residency),
        threads: cell.threads,
        rounds: cell.pairs.iter().map(|pair| pair.rounds.len()).sum(),
        calls_per_epoch: Some(cell.calls_per_epoch),
        median_ns_per_call: Some(cell.current_ns_per_call).filter(|_| speed.is_none()),
        end_to_end_tokens_per_s: speed.filter(|speed| *speed > 0.0),
        baseline: &cell.verdict.partner,
        threshold: Some(cell.verdict.delta_eff),
        verdict: super::outcome_word(cell.verdict.outcome),
        change: Some(cell.verdict.change),
        ..Row::default()
    }
}

/// What a gate did not compare: its name and what that means for the gate.
fn left_out_row<'a>(receipt: &'a Receipt, status: &'a str, left_out: &'a LeftOut) -> Row<'a> {
    Row {
        kind: "gate",
        scenario: &receipt.scenario.name,
        run_status: status,
        kernel: &left_out.kernel,
        threads: receipt.settings.threads,
        verdict: super::outcome_word(coverage::outcome(left_out)),
        ..Row::default()
    }
}

fn residency(residency: Residency) -> &'static str {
    match residency {
        Residency::L2 => "l2",
        Residency::Llc => "llc",
        Residency::Cache => "cache",
        Residency::Dram => "dram",
    }
}

fn generation_row<'a>(
    receipt: &'a Receipt,
    status: &'a str,
    generation: &'a GenerationRecord,
    kernel: &'a GenerationKernel,
    op: Operation,
) -> Row<'a> {
    let decode = op == Operation::Decode;
    let speed = if decode { kernel.decode_tokens_per_s } else { kernel.prefill_tokens_per_s };
    Row {
        kind: "end_to_end",
        scenario: &receipt.scenario.name,
        run_status: status,
        family: kernel.family.name(),
        kernel: &kernel.kernel,
        op: op.name(),
        threads: generation.threads,
        rounds: kernel.rounds.len(),
        // Zero stands for "fewer than two tokens", which is no speed.
        end_to_end_tokens_per_s: (speed > 0.0).then_some(speed),
        time_to_first_token_ms: Some(kernel.time_to_first_token_ms).filter(|ms| !decode && *ms > 0.0),
        threshold: kernel.decode_vs_baseline.as_ref().filter(|_| decode).and_then(Ratio::threshold),
        ..ratios(kernel.decode_vs_baseline.as_ref().filter(|_| decode), None, true)
    }
}

fn ratios<'a>(base: Option<&'a Ratio>, previous: Option<&'a Ratio>, judged: bool) -> Row<'a> {
    let word = |ratio: Option<&Ratio>| ratio.filter(|_| judged).map_or("", |r| r.direction().word());
    Row {
        direction_vs_baseline: word(base),
        direction_vs_previous: word(previous),
        ratio_vs_baseline: base.map(|r| r.median),
        ratio_vs_baseline_low: base.and_then(|r| r.low),
        ratio_vs_baseline_high: base.and_then(|r| r.high),
        baseline: base.map_or("", |r| &r.partner),
        ratio_vs_previous: previous.map(|r| r.median),
        ratio_vs_previous_low: previous.and_then(|r| r.low),
        ratio_vs_previous_high: previous.and_then(|r| r.high),
        previous: previous.map_or("", |r| &r.partner),
        confidence: base.or(previous).map(|r| r.confidence),
        ..Row::default()
    }
}

fn status_name(receipt: &Receipt) -> String {
    format!("{:?}", receipt.status).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn parsed(receipt: &Receipt) -> (csv::StringRecord, Vec<csv::StringRecord>) {
        let bytes = measurements(receipt).unwrap();
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader.headers().unwrap().clone();
        (header, reader.records().map(|r| r.unwrap()).collect())
    }

    #[test]
    fn header_names_the_fields_in_order() {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.serialize(Row::default()).unwrap();
        let text = String::from_utf8(csv.into_inner().unwrap()).unwrap();
        assert_eq!(text.lines().next().unwrap(), HEADER.join(","));
    }

    #[test]
    fn every_entry_has_a_row_and_throughputs_never_share_one() {
        let receipt = fixture::complete();
        let (header, rows) = parsed(&receipt);
        let entries: usize = receipt.micro.iter().map(|c| c.entries.len()).sum();
        assert_eq!(rows.len(), entries + 2 * receipt.generation.as_ref().unwrap().kernels.len());
        let column = |name: &str| header.iter().position(|h| h == name).unwrap();
        for row in &rows {
            let kernel = &row[column("kind")] == "kernel";
            assert_eq!(row[column("gelem_s")].is_empty(), !kernel);
            assert_eq!(row[column("share_of_bound")].is_empty(), !kernel, "no row without its bound");
            assert_eq!(row[column("bound")].is_empty(), !kernel);
            assert_eq!(row[column("end_to_end_tokens_per_s")].is_empty(), kernel);
        }
        let first: f64 = rows[1][column("ratio_vs_baseline")].parse().unwrap();
        assert_eq!(first, receipt.micro[0].summaries[1].vs_baseline.as_ref().unwrap().median);
    }

    #[test]
    fn empty_and_interrupted_runs_parse_too() {
        assert_eq!(parsed(&fixture::empty()).1.len(), 0);
        let (header, rows) = parsed(&fixture::interrupted());
        let low = header.iter().position(|h| h == "ratio_vs_baseline_low").unwrap();
        assert!(rows.iter().all(|r| r[low].is_empty()));
    }
}
