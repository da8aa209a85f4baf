//! What the page's template gets: the receipt's figures, already in words. The template lays out and computes nothing.

mod amdahl;
mod anchors;
mod cards;
mod cells;
mod claims;
mod counts;
mod end_to_end;
mod explained;
mod facts;
mod findings;
mod gate;
mod kernels;
mod limits;
mod rows;
mod stages;

use super::chart::Chart;
use super::verdict;
use crate::seed;
use receipt::judge::claims::judge_all;
use receipt::{Family, Receipt};
use serde::Serialize;

/// The whole page.
#[derive(Debug, Serialize)]
pub struct View {
    title: String,
    complete: bool,
    answer: String,
    caveats: Vec<String>,
    opening: String,
    statements: Vec<verdict::Statement>,
    findings: Vec<findings::FindingView>,
    facts: facts::Facts,
    stages: Vec<stages::StageTable>,
    explained: Option<explained::LadderView>,
    limits: Option<limits::LimitsView>,
    amdahl: Vec<amdahl::AmdahlTable>,
    claims: Option<claims::ClaimsView>,
    /// Those of the first screen.
    pictures: Vec<ChartView>,
    cards: Vec<cards::Card>,
    charts: Vec<ChartView>,
    measurements: Vec<rows::FamilyRows>,
    families: Vec<cells::FamilyCells>,
    counts: Option<counts::CountsView>,
    generation: Option<end_to_end::GenerationView>,
    perplexity: Option<end_to_end::PerplexityView>,
    kernels: Vec<kernels::FamilyKernels>,
    checked: bool,
    gate: Option<gate::GateView>,
}

pub use claims::summary as claims_summary;
pub use end_to_end::lut_sentence;
pub use kernels::source as kernel_source;

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
        let families = Family::ALL;
        let judged = judge_all(seed::claims(), receipt);
        let nothing = receipt.micro.is_empty() && receipt.generation.is_none();
        let (pictures, charts): (Vec<&Chart>, Vec<&Chart>) = charts.iter().partition(|c| c.is_first());
        let shown =
            |chart: &Chart| ChartView { file: chart.file, caption: chart.caption.clone(), svg: chart.svg.clone() };
        let findings = findings::findings(receipt, &judged);
        Self {
            title: format!("{} on {}", receipt.scenario.name, receipt.host.cpu),
            complete: receipt.status == receipt::Status::Complete,
            answer: verdict::answer(receipt),
            caveats: verdict::caveats(receipt),
            opening: verdict::opening(receipt),
            statements: verdict::statements(receipt),
            cards: cards::cards(receipt, &findings),
            findings,
            facts: facts::Facts::new(receipt),
            stages: families.into_iter().filter_map(|f| stages::StageTable::new(receipt, f)).collect(),
            explained: explained::LadderView::new(receipt, &judged),
            limits: limits::LimitsView::new(receipt),
            amdahl: amdahl::tables(receipt),
            claims: (!nothing)
                .then(|| claims::ClaimsView::new(&judged, |pointer| anchors::of_pointer(receipt, pointer))),
            pictures: pictures.into_iter().map(shown).collect(),
            charts: charts.into_iter().map(shown).collect(),
            measurements: families.into_iter().filter_map(|f| rows::FamilyRows::new(receipt, f)).collect(),
            families: families.into_iter().filter_map(|f| cells::FamilyCells::new(receipt, f)).collect(),
            counts: counts::CountsView::new(receipt),
            generation: end_to_end::GenerationView::new(receipt),
            perplexity: receipt.perplexity.as_ref().map(|p| end_to_end::PerplexityView::new(receipt, p)),
            kernels: kernels::families(receipt),
            checked: receipt.verify.iter().any(|v| v.available),
            gate: gate::GateView::new(receipt),
        }
    }
}
