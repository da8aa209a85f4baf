//! A regression gate: every comparison of two builds, the gravest first, and what was checked exactly.

use super::{anchors, of_family};
use crate::document::{Block, Cell, Column, Drawing, Item, Row, Section, Table, Tone, Value};
use crate::gate_words::{by_gravity, differing, outcome_word, place, planted, sides, tone};
use receipt::judge::{builds, coverage};
use receipt::{ExactCheck, Family, GateCell, GateRecord, Outcome, Receipt, figures};

/// Share at either end of the strip of process pairs.
const STRIP: f64 = 0.1;

/// The section on the gate of `receipt`, if it is one.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let record = receipt.gate.as_ref()?;
    let mut section = Section::new("gate", "Gate");
    if record.outcome != Outcome::Pass {
        section = section.say(format!("Next: {}.", record.next_step));
    }
    if let Some(text) = builds::beside(record) {
        section = section.warn(format!("{text}."));
    }
    if let Some(injection) = &record.inject {
        section = section.warn(planted(injection) + ".");
    }
    let note = format!(
        "{}. “At most” is the upper end of the interval; a change below the threshold with its whole interval \
         passes. Each dot is a fresh process pair between −10% and +10% (right is slower); hollow ones are the \
         baseline against itself.",
        sides(record)
    );
    let (wrong, accepted) = differing(record);
    let agree = record.checks.len() - wrong.len() - accepted.len();
    let none = if wrong.len() + accepted.len() == 0 { ", none differs" } else { "" };
    let checks = format!("Exact checks (outputs, token ids, perplexity, instruction counts): {agree} agree{none}.");
    let left_out = coverage::by_gravity(record).into_iter().map(|l| Item::text(coverage::in_words(l)));
    let left_out = Section::new("unsupported", "Not compared").with([Block::List(left_out.collect())]);
    let section = section.note(note).say(checks).tables(tables(receipt, record)).tables(differences(&wrong, &accepted));
    Some(section.with((!record.unsupported.is_empty()).then_some(Block::Section(left_out))))
}

/// A family a table, each with its gravest comparison first; the gravest family first.
fn tables(receipt: &Receipt, record: &GateRecord) -> Vec<Table> {
    let cells: Vec<(usize, &GateCell)> = by_gravity(record).into_iter().enumerate().collect();
    let table = |family: Family| {
        let columns = vec![
            Column::words("Kernel").filter(),
            Column::words("Verdict").filter(),
            Column::words("Where").filter(),
            Column::number("Change"),
            Column::number("At most"),
            Column::number("Threshold"),
            Column::number("A/A"),
            Column::words("−10% to +10%"),
            Column::number("Pairs"),
            Column::number("Baseline"),
            Column::number("Current"),
        ];
        let rows = cells.iter().filter(|(_, cell)| cell.family == family).map(|(i, cell)| row(receipt, *i, cell));
        of_family("gate", family, columns).of(family).rows(rows)
    };
    let gravest = |family: &Family| cells.iter().position(|(_, cell)| cell.family == *family);
    let mut families = Family::ALL.to_vec();
    families.retain(|family| gravest(family).is_some());
    families.sort_by_key(|family| gravest(family));
    families.into_iter().map(table).collect()
}

fn row(receipt: &Receipt, index: usize, cell: &GateCell) -> Row {
    let v = &cell.verdict;
    let passes = v.outcome == Outcome::Pass;
    let name = Cell::from(cell.kernel.as_str());
    let name = if passes { name } else { name.under(v.reason.as_str()) };
    let source = anchors::source(receipt, &cell.kernel).map(|place| ("source", place));
    let speeds = match receipt::judge::gate::tokens_per_s(cell) {
        Some(rates) => rates.map(|rate| Value::Text(format!("{} tokens/s", figures::number(rate)))),
        None => [cell.baseline_ns_per_call, cell.current_ns_per_call].map(Value::Time),
    };
    let mut cells = vec![
        Cell { links: source.into_iter().collect(), ..name },
        Cell::from(Value::word(outcome_word(v.outcome))).tone(tone(v.outcome)),
        place(cell).into(),
        Value::Change(v.change).into(),
        v.pass_high.map_or(Value::Absent("?"), Value::Change).into(),
        Value::Percent(v.delta_eff).into(),
        Value::Counts(v.aa_p95).into(),
        Value::Drawing(dots(cell)).into(),
        Value::Integer(v.samples as u64).into(),
    ];
    cells.extend(speeds.map(Cell::from));
    Row::new(format!("gated-{}", index + 1), cells)
}

fn dots(cell: &GateCell) -> Drawing {
    let (effect, same) = receipt::judge::gate::samples(&cell.pairs, cell.threads);
    let at = |log: &f64| 100.0 + 100.0 * (log.exp_m1() / STRIP).clamp(-1.0, 1.0);
    let dots = same.iter().map(|log| (at(log), 14.0, true)).chain(effect.iter().map(|log| (at(log), 6.0, false)));
    let label = format!("changes of {} process pairs", cell.verdict.samples);
    Drawing { label, dots: dots.collect(), middle: true, ..Drawing::default() }
}

fn differences(wrong: &[&ExactCheck], accepted: &[&ExactCheck]) -> Option<Table> {
    let columns = ["What", "Kernel", "On", "Baseline → current", "Note"].map(Column::words).into();
    let all = wrong.iter().map(|c| (c, "")).chain(accepted.iter().map(|c| (c, "accepted: ")));
    let row = |(i, (c, accepted)): (usize, (&&ExactCheck, &str))| {
        let change = format!("{} → {}", c.baseline, c.current);
        let note = format!("{accepted}{}", c.note);
        let tone = if accepted.is_empty() { Tone::Bad } else { Tone::Open };
        let what = Cell::from(c.what.as_str()).tone(tone);
        let cells = vec![what, c.kernel.as_str().into(), c.subject.as_str().into(), change.into(), note.into()];
        Row::new(format!("differ-{}", i + 1), cells)
    };
    let table = Table::new("differ", "Exact checks that differ", columns).rows(all.enumerate().map(row));
    (!table.rows.is_empty()).then_some(table)
}
