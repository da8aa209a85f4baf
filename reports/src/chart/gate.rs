//! A gate's picture: how much each comparison's time changed, the gravest first.

use super::forest::{Frame, Moved, Scaled, moved};
use super::parts::Chart;
use crate::gate_words::{by_gravity, outcome_word, place};
use crate::words::count;
use receipt::judge::Direction;
use receipt::{Outcome, Receipt};

/// The chart of a gate's changes in time; none of a receipt without compared times.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let gate = receipt.gate.as_ref()?;
    let cells = by_gravity(gate).into_iter().filter(|cell| !cell.pairs.is_empty());
    let cells: Vec<_> = cells.collect();
    let row = |cell: &&receipt::GateCell| {
        let v = &cell.verdict;
        Moved {
            name: format!("{} {}", cell.kernel, place(cell)),
            value: v.change,
            interval: v.pass_low.zip(v.pass_high),
            counts: v.delta_eff,
            direction: match v.outcome {
                Outcome::Fail => Some(Direction::Slower),
                Outcome::Pass => Some(Direction::Faster).filter(|_| v.change < 0.0).or(Some(Direction::Same)),
                _ => None,
            },
        }
    };
    let rows: Vec<Moved> = cells.iter().map(row).collect();
    let all = count(cells.len(), "comparison");
    let title = match cells.iter().filter(|c| c.verdict.outcome == Outcome::Fail).count() {
        0 => format!("{}: no time of {all} is known to be longer", outcome_word(gate.outcome)),
        1 => format!("{}: 1 of {all} takes longer", outcome_word(gate.outcome)),
        n => format!("{}: {n} of {all} take longer", outcome_word(gate.outcome)),
    };
    let note = "Change of a call's time, current over baseline: right is slower";
    moved(Frame { file: "gate.svg", title: &title, note, hatched: "slower", scaled: Scaled::Change }, &rows)
}
