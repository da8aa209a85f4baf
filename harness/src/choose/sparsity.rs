//! `--dense`, `--sparse` or neither: whether feed-forward blocks skip zero gates. What the probe times is in
//! `model::sparse_probe`, which alone has the weights; how candidates take turns is said here.

use super::probe::probe;
use model::sparse_ffn::Sparsity;
use std::time::Duration;

/// Time for the probe.
const PROBE: Duration = Duration::from_millis(150);

/// Skips where a probe finds that it pays.
pub const MEASURED: Sparsity = Sparsity::Measured(turns);

fn turns(candidates: usize, call: &mut dyn FnMut(usize, bool) -> model::Result<()>) -> model::Result<Vec<f64>> {
    Ok(probe(candidates, PROBE, call)?.us)
}

/// From the two flags, which exclude each other.
pub fn from_flags(dense: bool, sparse: bool, neither: Sparsity) -> Sparsity {
    if dense {
        Sparsity::Dense
    } else if sparse {
        Sparsity::Always
    } else {
        neither
    }
}
