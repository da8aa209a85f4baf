//! Whether feed-forward blocks skip zero gates. What the probe times is in
//! `model::sparse_probe`, which alone has the weights; how candidates take turns is said here.

use super::probe::probe;
use model::sparse_ffn::Sparsity;
use std::time::Duration;

/// Time for the probe.
const PROBE: Duration = Duration::from_millis(150);

fn turns(candidates: usize, call: &mut dyn FnMut(usize, bool) -> model::Result<()>) -> model::Result<Vec<f64>> {
    Ok(probe(candidates, PROBE, call)?.us)
}

/// Skips where the probe finds that it pays, or with `--dense` never.
pub fn skipping(dense: bool) -> Sparsity {
    if dense { Sparsity::Dense } else { Sparsity::Measured(turns) }
}
