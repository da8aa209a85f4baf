//! The ladder explained: what each stage was claimed to save, what it saved, what changed in its instructions, and the
//! verdict.

use super::anchors;
use crate::document::{Cell, Column, Row, Section, Table, Tone, Value};
use crate::{query, seed};
use receipt::judge::claims::{Judged, Metric, Verdict};
use receipt::{MicroCell, Mix, Operation, Receipt, Residency, figures};

/// The section that explains the ladder: the stages of the largest dequantize cell, if any was timed.
pub fn section(receipt: &Receipt, judged: &[Judged]) -> Option<Section> {
    let near = |op, place| query::headline(receipt, query::LADDER, op, place).filter(|c| !c.rounds.is_empty());
    let dequantize =
        [Residency::Llc, Residency::L2].into_iter().find_map(|place| near(Operation::Dequantize, place))?;
    let gemv = near(Operation::Gemv, Residency::Llc);
    let stages: Vec<&str> = query::kernels(dequantize).map(|(_, s)| s.kernel.as_str()).collect();
    let counted = stages.iter().any(|id| per_64_weights(receipt, id).is_some());
    let mut columns = ["Kernel", "Claimed", "Saved of scalar time"].map(Column::words).to_vec();
    columns.push(Column::words(format!("dequantize {}", query::shape(dequantize))));
    columns.extend(gemv.map(|c| Column::words(format!("gemv {}", query::shape(c)))));
    let per_64 = |title| Column::words(title).under("per 64 weights, gemv");
    columns.extend([per_64("Instructions"), per_64("Reads"), Column::words("Verdict")]);
    let cells = [Some(dequantize), gemv];
    let rows = stages.iter().map(|id| row(receipt, &cells, id, judged));
    let note = format!(
        "What the analysis says that each stage saves of the scalar time, what it saved here, and what it changed. \
         Speed-ups are over the stage that it builds on; savings are (time of that stage - own time) / scalar time, \
         with a 99% interval, for dequantize {} in cache. {}",
        query::shape(dequantize),
        if counted { "" } else { "This receipt holds no instruction counts." }
    );
    let table = Table::new("ladder-explained", "The ladder explained", columns).rows(rows);
    Some(Section::new("explained", "The ladder explained").note(note).tables([table]))
}

fn row(receipt: &Receipt, cells: &[Option<&MicroCell>], id: &str, judged: &[Judged]) -> Row {
    let record = receipt.kernels.iter().find(|k| k.id == id);
    let saves =
        |j: &&Judged| matches!(j.claim.metric, Metric::SavedShare { .. }) && j.claim.metric.kernel() == Some(id);
    let saving = judged.iter().find(|j| saves(j) && j.claim.section == "3.3");
    let factor = seed::claim(id).and_then(|claim| judged.iter().find(|j| j.claim.id == claim.id));
    let before = record.and_then(|k| k.builds_on.as_deref()).and_then(|b| per_64_weights(receipt, b));
    let own = per_64_weights(receipt, id);
    let change = |figure: fn(&Mix<f64>) -> f64| match (before.map(figure), own.map(figure)) {
        (Some(before), Some(own)) => Value::Text(format!("{} → {}", figures::number(before), figures::number(own))),
        (None, Some(own)) => Value::Number(own),
        _ => Value::Nothing,
    };
    let previous = |c: &MicroCell| {
        let ratio = query::kernels(c).find(|(_, s)| s.kernel == id).and_then(|(_, s)| s.vs_previous.clone());
        Cell::from(ratio.map_or(Value::Absent("first stage"), Value::Judged))
    };
    let claimed = |j: &Judged| {
        format!("{} ({}, §{})", figures::ratio(j.claim.expected), j.claim.standing.words(), j.claim.section)
    };
    let claimed = match (saving, factor) {
        (Some(saving), factor) => {
            let cell = Cell::from(format!("saves {}", figures::percent(saving.claim.expected)));
            factor.map_or(cell.clone(), |j| cell.under(claimed(j)))
        }
        (None, Some(factor)) => claimed(factor).into(),
        (None, None) => Value::Absent("no claim").into(),
    };
    let saved =
        saving.or_else(|| judged.iter().find(saves)).and_then(|j| Some(Value::Shares(j.measured?, j.low.zip(j.high))));
    let mut out = vec![Cell::from(id).under(record.map_or_else(String::new, |k| k.summary.clone()))];
    out.extend([claimed, saved.unwrap_or_default().into()]);
    out.extend(cells.iter().flatten().map(|c| previous(c)));
    out.extend([change(|c| c.instructions).into(), change(|c| c.memory.reads).into(), verdicts([factor, saving])]);
    Row::new(format!("explained-{}", anchors::slug(id)), out)
}

fn verdicts(claims: [Option<&Judged>; 2]) -> Cell {
    let said = claims.iter().flatten().map(|j| format!("{} {}", j.claim.id, j.verdict.words())).collect::<Vec<_>>();
    let any = |verdict| claims.iter().flatten().any(|j| j.verdict == verdict);
    let tone = if any(Verdict::Fails) {
        Tone::Bad
    } else if any(Verdict::Holds) {
        Tone::Good
    } else {
        Tone::Open
    };
    if said.is_empty() { Cell::default() } else { Cell::from(Value::Tag(said.join(", "))).tone(tone) }
}

/// A kernel's gemv in counts for each 64 weights, if the receipt has it.
fn per_64_weights<'r>(receipt: &'r Receipt, kernel: &str) -> Option<&'r Mix<f64>> {
    receipt.counts.iter().find(|c| c.kernel == kernel && c.op == Operation::Gemv).map(|c| &c.per_64_weights)
}
