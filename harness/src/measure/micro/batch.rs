//! One product of a batch, shared by a team.

use kernels::parallel::{Columns, Team};
use kernels::{Family, Kernel, KernelError, PackedWeights, QuantizedActivations};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Multiplies a batch by the weights, with the rows shared among the team: words of int32, or of f32 by kernels with
/// scales of groups.
pub fn gemm(
    team: &mut Team,
    kernel: &Kernel,
    weights: &PackedWeights,
    x: &[QuantizedActivations],
    y: &mut [i32],
) -> std::result::Result<(), KernelError> {
    let error = Mutex::new(None);
    let keep = |result: std::result::Result<(), KernelError>| {
        if let Err(e) = result {
            *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
        }
    };
    let (panel, rows) = (weights.layout().rows, weights.rows());
    if kernel.descriptor().family() == Family::W2gA8 {
        let y: &mut [f32] = bytemuck::cast_slice_mut(y);
        let fill = |_: usize, rows: Range<usize>, mut y: Columns<'_, f32>| {
            keep(kernel.gemm_groups(weights, rows, x, &mut y));
        };
        team.split_columns(panel, y, rows, fill);
    } else {
        let fill =
            |_: usize, rows: Range<usize>, mut y: Columns<'_, i32>| keep(kernel.gemm_i8(weights, rows, x, &mut y));
        team.split_columns(panel, y, rows, fill);
    }
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
