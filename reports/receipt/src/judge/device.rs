//! The bound of rows on a GPU: the stream of the cell's own rounds, hot and cold. No limits of the machine are known
//! there, and a shader that only reads is no law: a kernel may pass it.

use crate::record::{Bound, BoundBy, MicroCell};

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
