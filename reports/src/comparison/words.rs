//! The sentences about two runs.

use super::change::{ALL, Change, Found};
use super::parts::{Comparison, Pair, Run};
use crate::gate_words::outcome_word;
use crate::query::family_title;
use crate::words::{count, join, status};
use receipt::figures;
use receipt::judge::Direction;

/// The answer of a comparison: how many figures moved and which way, or why nothing is compared; and what gates said.
pub fn answer(comparison: &Comparison) -> String {
    let mut out = Vec::new();
    if comparison.runs().into_iter().any(|run| !untimed(run)) {
        out.push(moved(comparison));
    }
    let gates = comparison.runs().into_iter().filter_map(|run| Some((run.letter, run.receipt.gate.as_ref()?)));
    let gates: Vec<String> =
        gates.map(|(letter, gate)| format!("{letter} is {}", outcome_word(gate.outcome))).collect();
    if !gates.is_empty() {
        out.push(format!("Gates: {}.", join(&gates)));
    }
    if out.is_empty() {
        return "None of these runs timed anything: there is nothing to compare.".into();
    }
    out.join(" ")
}

fn moved(comparison: &Comparison) -> String {
    if let Some(run) = [&comparison.other, &comparison.first].into_iter().find(|run| untimed(run)) {
        let what = if run.receipt.gate.is_some() {
            "a gate".into()
        } else {
            format!("its run is {}", status(run.receipt.status))
        };
        return format!("{} holds no kernel timings to compare ({what}).", run.letter);
    }
    let all: Vec<&Change> = comparison.pairs.iter().filter_map(|pair| pair.change.as_ref()).collect();
    if all.is_empty() {
        return "B and A have nothing in common to compare.".into();
    }
    if !comparison.differences.is_empty() {
        let facts: Vec<&str> = comparison.differences.iter().map(|d| d.what).collect();
        let differ = if facts.len() == 1 { "differs" } else { "differ" };
        let facts = join(&facts);
        return format!("B is not from the machine and setting of A ({facts} {differ}), so nothing is compared.");
    }
    let alone = comparison.pairs.iter().filter(|pair| pair.figures[0].is_ok() != pair.figures[1].is_ok()).count();
    let word = |found: Found| {
        let n = all.iter().filter(|change| change.direction == found).count();
        let word = found.map_or("not comparable", Direction::word);
        let alone =
            if found.is_none() && alone > 0 { format!(" ({alone} of them in one run only)") } else { String::new() };
        (n > 0).then(|| format!("{n} {word}{alone}"))
    };
    let tally = join(&ALL.into_iter().filter_map(word).collect::<Vec<_>>());
    let wrong = match comparison.pairs.iter().filter(|pair| pair.note.is_some()).count() {
        0 => String::new(),
        1 => " One row gives another result than A.".into(),
        n => format!(" {n} rows give other results than A."),
    };
    let suspect = suspects(comparison).into_iter().next().map_or_else(String::new, |s| {
        format!(" Every kernel over {0} moved the same way in some cells, so it may be {0} that changed.", s.partner)
    });
    format!("B against A: of {}, {tally}.{wrong}{suspect}", count(all.len(), "comparison"))
}

/// Whether a run has no timings of its own.
fn untimed(run: &Run) -> bool {
    run.receipt.micro.iter().all(|c| c.rounds.is_empty()) && run.receipt.generation.is_none()
}

/// What only one of the two runs has, a line a cell.
pub fn lacking(comparison: &Comparison) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for cell in cells(comparison) {
        let title = format!("{}, {}", family_title(cell[0].family), cell[0].place);
        for (lacks, has) in [(1, 0), (0, 1)] {
            let missing: Vec<&Pair> =
                cell.iter().filter(|p| p.figures[lacks].is_err() && p.figures[has].is_ok()).collect();
            let present = cell.iter().filter(|p| p.figures[has].is_ok()).count();
            let letters = comparison.runs().map(|run| run.letter);
            let Some(Err(why)) = missing.first().map(|pair| &pair.figures[lacks]) else { continue };
            let names = join(&missing.iter().map(|pair| pair.kernel.as_str()).collect::<Vec<_>>());
            out.push(match missing.len() {
                n if n == present => format!("{title}: only in {}", letters[has]),
                1 => format!("{title}: {names}: {why}"),
                _ => format!("{title}: {names}: not in {}", letters[lacks]),
            });
        }
    }
    out
}

/// Pairs of one cell or phase, together.
fn cells(comparison: &Comparison) -> impl Iterator<Item = &[Pair]> {
    comparison.pairs.chunk_by(|a, b| (a.family, a.text, &a.place) == (b.family, b.text, &b.place))
}

/// A partner whose own change would explain that all kernels over it moved the same way.
struct Suspect<'c> {
    pair: &'c Pair,
    partner: &'c str,
    /// What the partner would have become.
    way: &'static str,
    places: Vec<&'c str>,
    ratios: Vec<f64>,
}

fn suspects(comparison: &Comparison) -> Vec<Suspect<'_>> {
    let mut out: Vec<Suspect<'_>> = Vec::new();
    for cell in cells(comparison) {
        let changes: Vec<&Change> = cell.iter().filter_map(|pair| pair.change.as_ref()).collect();
        let all = |d: Direction| changes.len() >= 3 && changes.iter().all(|c| c.direction == Some(d));
        let way = if all(Direction::Slower) {
            "faster"
        } else if all(Direction::Faster) {
            "slower"
        } else {
            continue;
        };
        let Some(partner) = cell.iter().find(|pair| pair.change.is_none()) else { continue };
        let ratios = changes.iter().filter_map(|c| c.ratio);
        let same = |s: &&mut Suspect<'_>| s.partner == partner.kernel && s.way == way && s.pair.text == partner.text;
        match out.iter_mut().find(same) {
            Some(known) => {
                known.places.push(&partner.place);
                known.ratios.extend(ratios);
            }
            None => out.push(Suspect {
                pair: partner,
                partner: &partner.kernel,
                way,
                places: vec![&partner.place],
                ratios: ratios.collect(),
            }),
        }
    }
    out
}

/// A sentence for each cell in which every kernel moved the same way: more likely it was their partner that changed.
pub fn remarks(comparison: &Comparison) -> Vec<String> {
    let remark = |s: Suspect<'_>| {
        let (low, high) = s.ratios.iter().fold((f64::INFINITY, 0.0f64), |(low, high), r| (low.min(*r), high.max(*r)));
        let range = format!("{} to {}", figures::ratio(low), figures::ratio(high));
        let places = match &s.places[..] {
            [one] => (*one).into(),
            several => format!("{} cells", several.len()),
        };
        format!(
            "{}, {places}: in B every kernel changed the same way ({range}). Their common partner {} having become {} \
             explains that as well.",
            family_title(s.pair.family),
            s.partner,
            s.way
        )
    };
    suspects(comparison).into_iter().map(remark).collect()
}
