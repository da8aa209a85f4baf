//! What the page's template gets: the receipt's figures, already in words. The template lays out and computes nothing.

mod amdahl;
mod calibration;
mod cells;
mod claims;
mod counts;
mod end_to_end;
mod explained;
mod facts;
mod gate;
mod limits;
mod stages;

use super::chart::Chart;
use super::{query, verdict};
use crate::claims::judge_all;
use crate::receipt::{Finding, Receipt};
use serde::Serialize;

/// The whole page.
#[derive(Debug, Serialize)]
pub struct View {
    title: String,
    complete: bool,
    opening: String,
    statements: Vec<verdict::Statement>,
    findings: Vec<FindingView>,
    facts: facts::Facts,
    stages: Vec<stages::StageTable>,
    explained: Option<explained::LadderView>,
    limits: Option<limits::LimitsView>,
    amdahl: Vec<amdahl::AmdahlTable>,
    claims: Option<claims::ClaimsView>,
    charts: Vec<ChartView>,
    families: Vec<cells::FamilyCells>,
    counts: Option<counts::CountsView>,
    generation: Option<end_to_end::GenerationView>,
    perplexity: Option<end_to_end::PerplexityView>,
    verify: Vec<facts::VerifyRow>,
    absent: Vec<facts::AbsentKernel>,
    gate: Option<gate::GateView>,
    calibration: Option<calibration::CalibrationView>,
    noise_rule: String,
}

pub use claims::summary as claims_summary;

/// What the seed's code table does, in one sentence.
pub fn lut_sentence(lut: &crate::receipt::LutFinding) -> String {
    end_to_end::lut(lut).sentence
}

/// A finding with a link to where its figures are on the page.
#[derive(Debug, Serialize)]
struct FindingView {
    title: String,
    text: String,
    evidence: String,
    anchor: Option<String>,
}

/// A chart with its anchor.
#[derive(Debug, Serialize)]
struct ChartView {
    file: &'static str,
    caption: String,
    svg: String,
}

impl View {
    /// Everything the page shows about `receipt`.
    pub fn new(receipt: &Receipt, charts: &[Chart]) -> Self {
        let families = query::families(receipt);
        let judged = judge_all(receipt);
        let nothing = receipt.micro.is_empty() && receipt.generation.is_none();
        let charts = charts.iter().map(|c| ChartView { file: c.file, caption: c.caption.clone(), svg: c.svg.clone() });
        Self {
            title: format!("{} on {}", receipt.scenario.name, receipt.host.cpu),
            complete: receipt.status == crate::receipt::Status::Complete,
            opening: verdict::opening(receipt),
            statements: verdict::statements(receipt),
            findings: receipt.findings.iter().map(|f| finding(receipt, f)).collect(),
            facts: facts::Facts::new(receipt),
            stages: families.iter().filter_map(|f| stages::StageTable::new(receipt, f)).collect(),
            explained: explained::LadderView::new(receipt, &judged),
            limits: limits::LimitsView::new(receipt),
            amdahl: amdahl::tables(receipt),
            claims: (!nothing).then(|| claims::ClaimsView::new(&judged, |pointer| anchor(receipt, pointer))),
            charts: charts.collect(),
            families: families.iter().filter_map(|f| cells::FamilyCells::new(receipt, f)).collect(),
            counts: counts::CountsView::new(receipt),
            generation: end_to_end::GenerationView::new(receipt),
            perplexity: receipt.perplexity.as_ref().map(end_to_end::PerplexityView::new),
            verify: facts::verify(receipt),
            absent: facts::absent(receipt),
            gate: gate::GateView::new(receipt),
            calibration: receipt.calibration.as_ref().map(calibration::CalibrationView::new),
            noise_rule: format!("{}", query::QUIET * 100.0),
        }
    }
}

fn finding(receipt: &Receipt, f: &Finding) -> FindingView {
    FindingView {
        title: f.title.clone(),
        text: f.text.clone(),
        evidence: f.evidence.clone(),
        anchor: anchor(receipt, &f.evidence),
    }
}

/// The part of the page that shows what a JSON pointer points at. Built from known words and checked numbers only.
fn anchor(receipt: &Receipt, pointer: &str) -> Option<String> {
    let mut parts = pointer.split('/').skip(1);
    let part = parts.next()?;
    if part == "micro" {
        let cell = parts.next().and_then(|i| i.parse::<usize>().ok()).filter(|i| *i < receipt.micro.len());
        return Some(cell.map_or_else(|| "micro".into(), |i| format!("cell-{i}")));
    }
    let known = ["generation", "perplexity", "counts", "verify", "host", "build", "model"];
    match part {
        // Kernels have a part of their own only if some did not run.
        "kernels" => receipt.kernels.iter().any(|k| !k.available).then(|| part.to_string()),
        "limits" => receipt.limits.as_ref().map(|_| part.to_string()),
        "sparsity" => Some("chart-sparsity.svg".into()),
        _ => known.contains(&part).then(|| part.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn evidence_links_lead_to_known_places_only() {
        let receipt = fixture::complete();
        let at = |p: &str| anchor(&receipt, p);
        assert_eq!(at("/micro/3/summaries/1").as_deref(), Some("cell-3"));
        assert_eq!(at("/micro/9999").as_deref(), Some("micro"));
        assert_eq!(at("/perplexity/lut").as_deref(), Some("perplexity"));
        assert_eq!(at("/\"onclick=x"), None);
        assert_eq!(at("generation"), None);
    }
}
