//! Every claim of the analysis with its verdict, by section.

use super::anchors;
use crate::chart;
use crate::document::{Block, Cell, Column, Row, Section, Table, Tone, Value};
use receipt::judge::claims::{Judged, Verdict};
use receipt::{Receipt, figures};

const NOTE: &str = "Every figure is quoted from the analysis with its section and held against this run's receipt as \
                    it is stated: “at least” when the measured interval contains or exceeds it, “about” when the \
                    interval meets its tolerance. Ratios are judged by their 99% interval only.";

/// The section on claims, if the run measured anything that could be held against one.
pub fn section(receipt: &Receipt, judged: &[Judged]) -> Option<Section> {
    let columns = vec![
        Column::words("§"),
        Column::words("Claim"),
        Column::words("Stated"),
        Column::words("Measured"),
        Column::number("Over stated"),
        Column::words("Verdict").filter(),
        Column::words("Why"),
    ];
    let rows = judged.iter().enumerate().map(|(i, j)| row(receipt, i, j));
    let table = Table::new("claims", "Claims", columns).rows(rows);
    let section = Section::new("claims", "What the analysis claims").say(summary(judged) + ".").note(NOTE);
    let section = section.with(chart::claims(judged).map(Block::Chart)).tables([table]);
    (!receipt.micro.is_empty() || receipt.generation.is_some()).then_some(section)
}

fn row(receipt: &Receipt, index: usize, j: &Judged) -> Row {
    let measured = j.measured.map(|m| match j.low.zip(j.high) {
        Some((low, high)) => {
            format!("{} [{}, {}]", figures::measured(m), figures::measured(low), figures::measured(high))
        }
        None => figures::measured(m),
    });
    let over = j.measured.map(|m| m / j.claim.expected).filter(|over| over.is_finite());
    let place = j.evidence.as_deref().and_then(|pointer| anchors::of_pointer(receipt, pointer));
    let measured = Cell::from(measured);
    let tone = match j.verdict {
        Verdict::Holds => Tone::Good,
        Verdict::Fails => Tone::Bad,
        Verdict::NotMeasurable => Tone::Open,
    };
    let cells = vec![
        j.claim.section.as_str().into(),
        Cell::from(j.claim.text.as_str()).under(j.claim.standing.words()),
        format!("{} {}", j.claim.expected, j.claim.unit).into(),
        place.map_or(measured.clone(), |place| measured.link(place)),
        over.map_or(Value::Nothing, Value::Factor).into(),
        Cell::from(Value::word(j.verdict.words())).tone(tone),
        j.why.as_str().into(),
    ];
    Row::new(anchors::claim(index), cells)
}

/// The claims' verdicts in a line: `66 claims: 20 hold, 19 fail, 27 cannot be measured by this run`.
pub fn summary(judged: &[Judged]) -> String {
    let count = |v: Verdict| judged.iter().filter(|j| j.verdict == v).count();
    let (holds, fails, open) = (count(Verdict::Holds), count(Verdict::Fails), count(Verdict::NotMeasurable));
    format!("{} claims: {holds} hold, {fails} fail, {open} cannot be measured by this run", judged.len())
}
