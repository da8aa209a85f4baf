//! Where skipping the gate's zeros starts to pay, in words.

use crate::figures;
use crate::record::{SparsityPoint, SparsityRecord};

/// One sentence about where the lines meet.
pub fn crossover_in_words(record: &SparsityRecord) -> String {
    let shape = format!(
        "a {}×{} feed-forward block with {} on {} thread{}",
        record.ffn,
        record.dim,
        record.kernel,
        record.threads,
        if record.threads == 1 { "" } else { "s" }
    );
    let faster = record.points.iter().filter(|p| p.vs_dense.median > 1.0).count();
    let ends = (record.points.first(), record.points.last());
    let best = |p: &SparsityPoint| {
        format!(
            "at a live share of {} it is {} as fast",
            number(p.live_share),
            figures::ratio_with_interval(&p.vs_dense)
        )
    };
    match (record.crossover, ends) {
        (Some(at), (Some(first), _)) => {
            format!("Skipping pays below a live share of {at:.2} for {shape}; {}.", best(first))
        }
        (None, (Some(first), Some(last))) if faster == record.points.len() => {
            format!("Skipping pays at every share measured for {shape}: {}, {}.", best(first), best(last))
        }
        (None, (Some(first), _)) if faster == 0 => {
            format!("Skipping pays at no share measured for {shape}: {}.", best(first))
        }
        (None, (Some(first), _)) => {
            format!("The shares measured do not show one crossover for {shape}; {}.", best(first))
        }
        _ => format!("No share was measured for {shape}."),
    }
}

/// A share, without zeros at its end.
pub fn number(share: f64) -> String {
    if !share.is_finite() {
        return "n/a".into();
    }
    let text = format!("{share:.2}");
    text.strip_suffix('0').map(str::to_owned).unwrap_or(text)
}
