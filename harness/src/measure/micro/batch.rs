//! One product of a batch, shared by a team.

use kernels::parallel::{Columns, Team};
use kernels::{Kernel, KernelError, PackedWeights, QuantizedActivations};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Multiplies a batch by the weights, with the rows shared among the team.
pub fn gemm(
    team: &mut Team,
    kernel: &Kernel,
    weights: &PackedWeights,
    x: &[QuantizedActivations],
    y: &mut [i32],
) -> std::result::Result<(), KernelError> {
    let error = Mutex::new(None);
    let fill = |_: usize, rows: Range<usize>, mut y: Columns<'_, i32>| {
        if let Err(e) = kernel.gemm_i8(weights, rows, x, &mut y) {
            *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        }
    };
    team.split_columns(weights.layout().rows, y, weights.rows(), fill);
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
