//! The bound of rows on a GPU: the stream of the cell's own rounds, hot and cold. No limits of the machine are known
//! there, and a shader that only reads is no law: a kernel may pass it.

use super::stats::median;
use crate::record::{Bound, BoundBy, DeviceText, DeviceTextRound, MicroCell, Receipt, Residency};

/// Writes the bound of each row into the summaries of all cells.
pub fn fill(cells: &mut [MicroCell]) {
    for cell in cells {
        of_stream(cell);
        cell.unstable_first.iter_mut().for_each(|first| of_stream(first));
    }
}

/// Writes the bound of each row of a cell by the stream of its rounds.
fn of_stream(cell: &mut MicroCell) {
    let stream = cell.stream.as_ref().map(|stream| stream.gb_s).filter(|gb_s| *gb_s > 0.0);
    for (summary, entry) in cell.summaries.iter_mut().zip(&cell.entries) {
        let weights_per_byte = cell.weights_per_call as f64 / entry.bytes_per_call.max(1) as f64;
        let bound = |(gb_s, share): (f64, f64)| Bound {
            bound: BoundBy::Memory,
            what: format!("a shader that only reads: {gb_s:.1} GB/s"),
            gelem_s: weights_per_byte * gb_s,
            share,
            memory_gelem_s: weights_per_byte * gb_s,
            compute_gelem_s: None,
            ports: None,
            weights_per_byte,
            mac_per_cycle: None,
        };
        summary.bound = stream.zip(summary.share_of_stream).map(bound);
    }
}

/// What the rounds of a text on a GPU come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextSpeed {
    /// Median tokens a second of decoding.
    pub decode_tokens_s: f64,
    /// Median tokens a second of the prompt.
    pub prefill_tokens_s: f64,
    /// Bytes of weights that decoding reads a second over what the stream of the run's largest cold cell reads; none
    /// without one.
    pub share_of_stream: Option<f64>,
}

/// The speed of the text that a run generated on a GPU; none without one.
pub fn text_speed(receipt: &Receipt) -> Option<TextSpeed> {
    let text: &DeviceText = receipt.device.as_ref()?.text.as_ref()?;
    let rates = |of: fn(&DeviceTextRound) -> (usize, u64)| {
        let rounds = text.rounds.iter().map(of).filter(|(tokens, ns)| *tokens > 0 && *ns > 0);
        let rates: Vec<f64> = rounds.map(|(tokens, ns)| tokens as f64 * 1e9 / ns as f64).collect();
        (!rates.is_empty()).then(|| median(&rates))
    };
    let decode_tokens_s = rates(|round| (round.decode_tokens, round.decode_ns))?;
    let prefill_tokens_s = rates(|round| (round.prefill_tokens, round.prefill_ns))?;
    let cold = receipt.micro.iter().filter(|cell| cell.residency == Residency::Dram);
    let stream = cold.filter_map(|cell| cell.stream.as_ref()).max_by_key(|stream| stream.bytes_per_call);
    let gb_s = stream.map(|stream| stream.gb_s).filter(|gb_s| *gb_s > 0.0);
    let share_of_stream = gb_s.map(|gb_s| decode_tokens_s * text.bytes_per_token as f64 / 1e9 / gb_s);
    Some(TextSpeed { decode_tokens_s, prefill_tokens_s, share_of_stream })
}
