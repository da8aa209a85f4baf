//! What stands below the pictures: what to use when, what is worth knowing, what is not settled and what would
//! settle it.

use super::anchors;
use super::findings::FindingView;
use crate::query;
use crate::words::count;
use receipt::judge::Direction;
use receipt::{MicroCell, Operation, Receipt, Residency, Verdict, figures};
use serde::Serialize;

/// Lines of a card; the tables have the rest.
const LINES: usize = 4;

/// A few lines under one heading.
#[derive(Debug, Serialize)]
pub struct Card {
    id: &'static str,
    title: &'static str,
    lines: Vec<Line>,
}

/// What it comes to, which leads to the place that shows it, and the words around it.
#[derive(Debug, Default, Serialize)]
struct Line {
    before: String,
    strong: String,
    after: String,
    anchor: String,
}

/// The three cards, those that have a line.
pub fn cards(receipt: &Receipt, findings: &[FindingView]) -> Vec<Card> {
    let cards = [
        Card { id: "use", title: "Use", lines: uses(receipt) },
        Card { id: "worth-knowing", title: "Worth knowing", lines: worth_knowing(findings) },
        Card { id: "not-settled", title: "Not settled", lines: not_settled(receipt) },
    ];
    cards.into_iter().filter(|card| !card.lines.is_empty()).collect()
}

/// The fastest exact kernel of each situation that a model has.
fn uses(receipt: &Receipt) -> Vec<Line> {
    let cell = |op, place| query::headline(receipt, query::EXACT, op, place);
    let prompts = [Residency::Dram, Residency::Llc, Residency::L2].map(|place| cell(Operation::Gemm, place));
    let prompts = prompts.into_iter().flatten().next();
    let tokens = prompts.map_or(0, |cell| cell.tokens);
    let situations = [
        (cell(Operation::Gemv, Residency::Dram), "Decode, weights in memory".to_owned()),
        (cell(Operation::Gemv, Residency::Llc), "Decode, weights in the last-level cache".into()),
        (prompts, format!("Prompts, {tokens} tokens at once")),
    ];
    situations.iter().filter_map(|(cell, words)| use_of(receipt, (*cell)?, words)).collect()
}

fn use_of(receipt: &Receipt, cell: &MicroCell, words: &str) -> Option<Line> {
    let lead = cell.lead.as_ref()?;
    let fastest = cell.summaries.get(lead.fastest)?;
    let (kernel, other) = (&fastest.kernel, &lead.over_next.partner);
    let strong = match lead.over_next.direction() {
        Direction::Same => format!("{kernel} or {other}, which are as fast"),
        Direction::Undecided | Direction::Unstable => format!("{kernel} or {other}, which is undecided"),
        Direction::Faster | Direction::Slower => kernel.clone(),
    };
    let index = receipt.micro.iter().position(|c| std::ptr::eq(c, cell))?;
    let anchor = anchors::measurement(index, lead.fastest);
    Some(Line { before: format!("{words}:"), strong, anchor, ..Line::default() })
}

/// The first findings that are about kernels and not about the run.
fn worth_knowing(findings: &[FindingView]) -> Vec<Line> {
    let about_kernels = findings.iter().filter(|finding| !finding.is_about_the_run());
    let line = |finding: &FindingView| {
        let (id, title, text) = finding.in_short();
        Line { strong: format!("{title}."), after: text, anchor: id.into(), ..Line::default() }
    };
    about_kernels.take(LINES - 1).map(line).collect()
}

/// Comparisons without an answer, those from memory first, and what would give one.
fn not_settled(receipt: &Receipt) -> Vec<Line> {
    let open = query::comparisons(receipt).filter(|(.., verdict)| !verdict.direction().is_settled());
    let mut open: Vec<(usize, usize, &Verdict)> = open.collect();
    open.sort_by_key(|(cell, _, verdict)| {
        let unstable = verdict.direction() == Direction::Unstable;
        (unstable, query::places_for_answers(receipt.micro[*cell].residency))
    });
    let line = |&(cell, entry, verdict): &(usize, usize, &Verdict)| {
        let of = &receipt.micro[cell];
        let summary = &of.summaries[entry];
        let ratio = summary.vs_previous.as_ref().or(summary.vs_baseline.as_ref());
        let figure = ratio.map_or_else(String::new, |ratio| format!(" {}", figures::ratio_with_interval(ratio)));
        Line {
            strong: format!("{} {}", summary.kernel, verdict.direction().word()),
            after: format!("against {}, {}:{figure}", verdict.partner, query::cell_title(of)),
            anchor: anchors::measurement(cell, entry),
            ..Line::default()
        }
    };
    let mut lines: Vec<Line> = open.iter().take(LINES - 2).map(line).collect();
    if let Some((.., first)) = open.first() {
        let more = open.len() - lines.len();
        let more = if more > 0 { format!("{} more. ", count(more, "comparison")) } else { String::new() };
        lines.push(Line {
            before: format!("{more}What would settle it:"),
            strong: first.next_step.clone(),
            anchor: "findings".into(),
            ..Line::default()
        });
    }
    lines
}
