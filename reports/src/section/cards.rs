//! What stands below the pictures: what to use when, what is worth knowing, what is not settled and what would settle
//! it.

use super::{anchors, findings};
use crate::answer::caveats;
use crate::document::{Card, Item};
use crate::lead::Lead;
use crate::query;
use crate::words::count;
use receipt::judge::{Direction, coverage};
use receipt::{MicroCell, Operation, Outcome, Receipt, Residency, Verdict, figures};

/// Lines of a card; the tables have the rest.
const LINES: usize = 4;

/// The three cards below the pictures, those of them that have a line.
pub fn cards(receipt: &Receipt, findings: &[Item]) -> Vec<Card> {
    // What disturbed the run stands behind the answer already.
    let caveats = caveats(receipt);
    let known = findings::worth_knowing(findings).filter(|item| !caveats.contains(&item.text));
    let known = known.take(LINES - 1).collect();
    let gate = receipt.gate.as_ref();
    let next = gate.filter(|gate| gate.outcome != Outcome::Pass).map(|gate| Item {
        strong: gate.next_step.clone(),
        link: Some("gate".into()),
        ..Item::default()
    });
    let left_out = gate.into_iter().flat_map(coverage::by_gravity).take(LINES);
    let left_out = left_out.map(|left| Item::text(coverage::in_words(left))).collect();
    let cards = [
        ("next", "What next", next.into_iter().collect()),
        ("left-out", "Not compared", left_out),
        ("use", "Use", uses(receipt)),
        ("worth-knowing", "Worth knowing", known),
        ("not-settled", "Not settled", not_settled(receipt)),
    ];
    let card = |(id, title, items): (&str, &str, Vec<Item>)| Card {
        id: id.into(),
        title: title.into(),
        items,
        ..Card::default()
    };
    cards.into_iter().map(card).filter(|card| !card.items.is_empty()).collect()
}

/// The fastest exact kernel of each situation that a model has.
fn uses(receipt: &Receipt) -> Vec<Item> {
    let cell = |op, place| query::headline(receipt, query::EXACT, op, place);
    let prompts = [Residency::Dram, Residency::Llc, Residency::L2].map(|place| cell(Operation::Gemm, place));
    let prompts = prompts.into_iter().flatten().next();
    let tokens = prompts.map_or(0, |cell| cell.tokens);
    let situations = [
        (cell(Operation::Gemv, Residency::Dram), "Decode, weights in memory:".to_owned()),
        (cell(Operation::Gemv, Residency::Llc), "Decode, weights in the last-level cache:".into()),
        (prompts, format!("Prompts, {tokens} tokens at once:")),
    ];
    let used = |(cell, before): (Option<&MicroCell>, String)| {
        let lead = Lead::of(cell?).filter(|lead| lead.over_next.is_some())?;
        let index = receipt.micro.iter().position(|c| std::ptr::eq(c, lead.cell))?;
        let entry = lead.cell.lead.as_ref()?.fastest;
        let link = Some(anchors::measurement(index, entry));
        Some(Item { before, strong: format!("{}{}", lead.names(), lead.open()), link, ..Item::default() })
    };
    situations.into_iter().filter_map(used).collect()
}

/// Comparisons without an answer, those from memory first, and what would give one.
fn not_settled(receipt: &Receipt) -> Vec<Item> {
    let open = query::comparisons(receipt).filter(|(.., verdict)| !verdict.direction().is_settled());
    let mut open: Vec<(usize, usize, &Verdict)> = open.collect();
    open.sort_by_key(|(cell, _, verdict)| {
        let unstable = verdict.direction() == Direction::Unstable;
        (unstable, query::places_for_answers(receipt.micro[*cell].residency))
    });
    let line = |&(index, entry, verdict): &(usize, usize, &Verdict)| {
        let cell = &receipt.micro[index];
        let summary = &cell.summaries[entry];
        let ratio = summary.vs_previous.as_ref().or(summary.vs_baseline.as_ref());
        let figure = ratio.map_or_else(String::new, |ratio| format!(" {}", figures::ratio_with_interval(ratio)));
        let strong = format!("{} {}", summary.kernel, verdict.direction().word());
        let text = format!("against {}, {}:{figure}", verdict.partner, query::cell_title(cell));
        Item { strong, link: Some(anchors::measurement(index, entry)), ..Item::text(text) }
    };
    let mut lines: Vec<Item> = open.iter().take(LINES - 2).map(line).collect();
    if let Some((.., first)) = open.first() {
        let more = open.len() - lines.len();
        let more = if more > 0 { format!("{} more. ", count(more, "comparison")) } else { String::new() };
        let before = format!("{more}What would settle it:");
        lines.push(Item { before, strong: first.next_step.clone(), link: Some("findings".into()), ..Item::default() });
    }
    lines
}
