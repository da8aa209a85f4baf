//! Findings in words. Those of the receipt come first; what a page can see of its figures beyond them follows, so that old receipts have
//! it as well. Each names the place on the page that shows it.

use super::anchors;
use super::claims::summary;
use crate::claims::{Judged, Verdict};
use crate::receipt::{Finding, MicroCell, Outcome, Ratio, Receipt};
use crate::report::query::{self, Call};
use crate::report::{figures, verdict};
use serde::Serialize;

/// Items listed under one finding; the rest is counted.
const ITEMS: usize = 8;

/// One finding.
#[derive(Debug, Serialize)]
pub struct FindingView {
    /// Anchor of its own.
    id: String,
    title: String,
    text: String,
    /// JSON pointer into the receipt.
    evidence: Option<String>,
    /// The place on the page.
    anchor: Option<String>,
    items: Vec<Item>,
    /// Items that are not listed.
    more: usize,
}

#[derive(Debug, Serialize)]
struct Item {
    text: String,
    /// Where it is shown, in words, and the place itself.
    links: Vec<(String, String)>,
}

/// All of them.
pub fn findings(receipt: &Receipt, judged: &[Judged]) -> Vec<FindingView> {
    let own = receipt.findings.iter().enumerate().map(|(i, f)| of_receipt(receipt, i, f));
    let seen = [
        slower(receipt),
        crossovers(receipt),
        mixed_stages(receipt),
        unstable(receipt),
        noise(receipt),
        claims(receipt, judged),
        absent(receipt),
    ];
    own.chain(code_table(receipt)).chain(seen.into_iter().flatten()).collect()
}

fn of_receipt(receipt: &Receipt, index: usize, f: &Finding) -> FindingView {
    FindingView {
        id: format!("finding-{}", index + 1),
        title: f.title.clone(),
        text: f.text.clone(),
        evidence: Some(f.evidence.clone()),
        anchor: anchors::of_pointer(receipt, &f.evidence),
        items: Vec::new(),
        more: 0,
    }
}

fn with_items(id: &str, title: &str, text: String, mut items: Vec<Item>) -> FindingView {
    let more = items.len().saturating_sub(ITEMS);
    items.truncate(ITEMS);
    let id = format!("finding-{id}");
    FindingView { id, title: title.into(), text, evidence: None, anchor: None, items, more }
}

/// What the seed's code table does, for receipts that have the figures and no words on them.
fn code_table(receipt: &Receipt) -> Option<FindingView> {
    let lut = receipt.perplexity.as_ref()?.lut.as_ref()?;
    let said = receipt.findings.iter().any(|f| f.evidence == "/perplexity/lut");
    (!said).then(|| FindingView {
        id: "finding-lut".into(),
        title: "What the analysis's code table does".into(),
        text: super::lut_sentence(lut),
        evidence: Some("/perplexity/lut".into()),
        anchor: Some("perplexity".into()),
        items: Vec::new(),
        more: 0,
    })
}

/// A measurement as a link.
fn row_link(cell: usize, entry: usize, c: &MicroCell) -> (String, String) {
    (query::cell_title(c), anchors::measurement(cell, entry))
}

/// Kernels that are slower than the stage they build on.
fn slower(receipt: &Receipt) -> Option<FindingView> {
    let mut failed: Vec<_> = verdict::judged(receipt).filter(|(_, _, v)| v.outcome == Outcome::Fail).collect();
    failed.sort_by(|a, b| b.2.change.total_cmp(&a.2.change));
    let items = failed.iter().map(|(cell, entry, v)| {
        let c = &receipt.micro[*cell];
        Item { text: format!("{}: {}", c.summaries[*entry].kernel, v.reason), links: vec![row_link(*cell, *entry, c)] }
    });
    let items: Vec<Item> = items.collect();
    let text = format!(
        "{} slower than the stage the kernel builds on, by more than the threshold and with the whole interval.",
        match items.len() {
            1 => "One comparison is".into(),
            n => format!("{n} comparisons are"),
        }
    );
    (!items.is_empty()).then(|| with_items("slower", "Slower than the stage before", text, items))
}

/// Pairs of kernels of which each is clearly ahead somewhere, among those that are fastest anywhere.
fn crossovers(receipt: &Receipt) -> Option<FindingView> {
    let mut items = Vec::new();
    for family in query::families(receipt) {
        let cells: Vec<(usize, &MicroCell)> = usable(receipt).filter(|(_, c)| c.family == family).collect();
        let mut winners: Vec<&str> = Vec::new();
        for best in cells.iter().filter_map(|(_, c)| query::fastest(c)) {
            if !winners.contains(&best.kernel.as_str()) {
                winners.push(&best.kernel);
            }
        }
        for (n, a) in winners.iter().enumerate() {
            items.extend(winners[n + 1..].iter().filter_map(|b| crossover(&cells, a, b)));
        }
    }
    let text = "No kernel is the fastest everywhere: of each pair, one is ahead at one place and the other at another, both beyond the noise.";
    (!items.is_empty()).then(|| with_items("crossovers", "Where the fastest kernel changes", text.into(), items))
}

fn crossover(cells: &[(usize, &MicroCell)], a: &str, b: &str) -> Option<Item> {
    let ratios: Vec<(usize, usize, &MicroCell, Ratio)> = cells
        .iter()
        .filter_map(|(i, c)| {
            let at = |id: &str| query::kernels(c).find(|(_, s)| s.kernel == id).map(|(e, _)| e);
            let (own, partner) = (at(a)?, at(b)?);
            Some((*i, own, *c, query::between(c, own, partner)))
        })
        .collect();
    let clear = |want: Call| {
        let strength = |r: &Ratio| r.median.ln().abs();
        let found = ratios.iter().filter(|(_, _, c, r)| query::call(r, c.noise_floor) == want);
        found.max_by(|x, y| strength(&x.3).total_cmp(&strength(&y.3)))
    };
    let (ahead, behind) = (clear(Call::Faster)?, clear(Call::Slower)?);
    let figure = |r: &Ratio| figures::ratio_with_interval(r);
    Some(Item {
        text: format!(
            "{a} runs {} as fast as {b} for {}, but {} for {}",
            figure(&ahead.3),
            query::cell_title(ahead.2),
            figure(&behind.3),
            query::cell_title(behind.2)
        ),
        links: vec![row_link(ahead.0, ahead.1, ahead.2), row_link(behind.0, behind.1, behind.2)],
    })
}

/// Stages that pay in one place and cost in another.
fn mixed_stages(receipt: &Receipt) -> Option<FindingView> {
    let mut items = Vec::new();
    for family in query::families(receipt) {
        for kernel in query::kernel_ids(receipt, &family) {
            let own = usable(receipt).filter(|(_, c)| c.family == family).filter_map(|(i, c)| {
                let (e, s) = query::kernels(c).find(|(_, s)| s.kernel == kernel)?;
                Some((i, e, c, s.vs_previous.as_ref()?))
            });
            let own: Vec<(usize, usize, &MicroCell, &Ratio)> = own.collect();
            let clear = |want: Call| {
                let strength = |r: &Ratio| r.median.ln().abs();
                let found = own.iter().filter(|(_, _, c, r)| query::call(r, c.noise_floor) == want);
                found.max_by(|x, y| strength(x.3).total_cmp(&strength(y.3)))
            };
            if let (Some(pays), Some(costs)) = (clear(Call::Faster), clear(Call::Slower)) {
                items.push(Item {
                    text: format!(
                        "{kernel} runs {} as fast as {} for {}, but {} for {}",
                        figures::ratio_with_interval(pays.3),
                        pays.3.partner,
                        query::cell_title(pays.2),
                        figures::ratio_with_interval(costs.3),
                        query::cell_title(costs.2)
                    ),
                    links: vec![row_link(pays.0, pays.1, pays.2), row_link(costs.0, costs.1, costs.2)],
                });
            }
        }
    }
    let text = "A stage that pays for one operation or size and costs at another, both beyond the noise.";
    (!items.is_empty()).then(|| with_items("mixed", "Stages that do not pay everywhere", text.into(), items))
}

/// Cells that were measured and are not unstable.
fn usable(receipt: &Receipt) -> impl Iterator<Item = (usize, &MicroCell)> {
    receipt.micro.iter().enumerate().filter(|(_, c)| !c.rounds.is_empty() && !query::unstable(c))
}

fn unstable(receipt: &Receipt) -> Option<FindingView> {
    let cells = receipt.micro.iter().enumerate().filter(|(_, c)| query::unstable(c));
    let items = cells.map(|(i, c)| {
        let reason = c.summaries.iter().find_map(|s| s.verdict.as_ref().filter(|v| v.outcome == Outcome::Unstable));
        let reason = reason.map_or_else(|| "its A/A pair came out different".into(), |v| v.reason.clone());
        Item { text: format!("{}: {reason}", c.family), links: vec![(query::cell_title(c), anchors::cell(i))] }
    });
    let items: Vec<Item> = items.collect();
    let text = "There the same code against itself came out different, so no ratio of theirs should be used.".into();
    (!items.is_empty()).then(|| with_items("unstable", "Comparisons that decide nothing", text, items))
}

fn noise(receipt: &Receipt) -> Option<FindingView> {
    let (low, high) = query::noise_range(receipt)?;
    let mut cells: Vec<(usize, &MicroCell)> = receipt
        .micro
        .iter()
        .enumerate()
        .filter(|(_, c)| query::self_pair(c).is_some_and(|r| r.low.is_some()))
        .collect();
    cells.sort_by(|a, b| b.1.noise_floor.total_cmp(&a.1.noise_floor));
    let (noisiest, quietest) = (cells.first()?, cells.last()?);
    let item = |words: &str, (i, c): &(usize, &MicroCell)| Item {
        text: format!("{words}: {} ±{}", c.family, figures::percent(c.noise_floor)),
        links: vec![(query::cell_title(c), anchors::cell(*i))],
    };
    let mut ratios = 0;
    let mut undecided = 0;
    for (_, c) in usable(receipt) {
        for (_, s) in query::kernels(c) {
            let Some(r) = s.vs_previous.as_ref().or(s.vs_baseline.as_ref()) else { continue };
            ratios += 1;
            undecided += usize::from(query::call(r, c.noise_floor) == Call::WithinNoise);
        }
    }
    let verdict = if high <= query::QUIET { "quiet" } else { "noisy" };
    let text = format!(
        "A {verdict} machine: single rounds of a kernel against itself differ by up to {} to {}, by comparison. Of {} with the stage before, {undecided} lie within that and are not called.",
        figures::percent(low),
        figures::percent(high),
        verdict::count(ratios, "ratio"),
    );
    let items = match cells.len() {
        1 => vec![item("only comparison", noisiest)],
        _ => vec![item("noisiest", noisiest), item("quietest", quietest)],
    };
    Some(with_items("noise", "How much of this is noise", text, items))
}

/// The claims that make up the ladder, and the tally of all.
fn claims(receipt: &Receipt, judged: &[Judged]) -> Option<FindingView> {
    if receipt.micro.is_empty() && receipt.generation.is_none() {
        return None;
    }
    let ladder = judged.iter().enumerate().filter(|(_, j)| j.claim.ladder && j.verdict != Verdict::NotMeasurable);
    let items = ladder.map(|(i, j)| {
        let measured = j.measured.map_or_else(String::new, |m| format!(", measured {}", figures::ratio(m)));
        Item {
            text: format!(
                "{}: {} claimed (§{}, {}){measured}",
                j.claim.metric.kernel().unwrap_or("the ladder"),
                figures::ratio(j.claim.expected),
                j.claim.section,
                j.claim.standing.words()
            ),
            links: vec![(j.verdict.words().into(), super::claims::anchor(i))],
        }
    });
    let mut view = with_items("claims", "What the analysis claims", summary(judged) + ".", items.collect());
    view.anchor = Some("claims".into());
    Some(view)
}

fn absent(receipt: &Receipt) -> Option<FindingView> {
    let items = receipt.kernels.iter().filter(|k| !k.available).map(|k| Item {
        text: k.reason.clone().unwrap_or_else(|| "no reason recorded".into()),
        links: vec![(k.id.clone(), anchors::kernel(&k.id))],
    });
    let items: Vec<Item> = items.collect();
    let text = format!(
        "{} of {} could not run, so nothing is said about them.",
        items.len(),
        verdict::count(receipt.kernels.len(), "kernel")
    );
    (!items.is_empty()).then(|| with_items("absent", "Kernels that could not run here", text, items))
}
