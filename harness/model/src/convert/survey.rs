//! What the codes and scales of a matrix allow, found out by reading all of it.

use super::halves::Rounding;
use super::matrix::{Matrix, Row};
use super::units::{Unequal, Unit, of_row};
use crate::encoding::{self, Encoding, ScaleUnit};
use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// Scales of a matrix in the unit of another encoding.
#[derive(Default)]
pub struct Survey {
    /// The scale of all weights, where they have one.
    pub whole: Unit,
    /// Row and column of the first weight whose scale differs from that of weights before.
    pub unequal: Option<(usize, usize, Unequal)>,
    /// What rounding to fp16 changes, of an encoding that has fp16 scales.
    pub rounding: Rounding,
}

impl Survey {
    /// Reads all of `matrix`. `progress` gets the bytes read since the last call.
    ///
    /// # Errors
    /// Those of [`Matrix::read`]; a code 3 where `to` has none; weights with different scales that share one in `to`
    /// (other than that of the whole tensor, which is told by [`Self::unequal`]).
    pub fn of(matrix: &Matrix<'_>, to: &Encoding, stop: &AtomicBool, progress: &dyn Fn(u64)) -> Result<Self> {
        let (mut found, mut row, mut units) = (Self::default(), Row::default(), Vec::new());
        let (unit, source) = (to.group(matrix.k()), matrix.encoding());
        let row_bytes = source.strip_bytes(matrix.k()) as f64 / source.rows as f64;
        for r in 0..matrix.rows() {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::interrupted("interrupted while the model was read"));
            }
            matrix.read(r, &mut row)?;
            if !to.four_codes
                && let Some(column) = row.code_3()
            {
                let what = format!("holds code 3, the weight +2, which {} does not have; {}", to.name, four_codes());
                return Err(matrix.error(r, column, what));
            }
            of_row(&row, unit, &mut units).map_err(|(column, unequal)| {
                let of_unit = match to.scales {
                    ScaleUnit::Group(group) => format!("group of {group}"),
                    ScaleUnit::Row | ScaleUnit::Tensor => "row".to_string(),
                };
                matrix.error(r, column, unequal.refused(&of_unit, to.name))
            })?;
            for (i, unit_found) in units.iter().enumerate() {
                if let Err(unequal) = found.whole.join(*unit_found) {
                    found.unequal.get_or_insert((r, i * unit, unequal));
                }
                if to.half_scales && unit_found.live {
                    found.rounding.add(unit_found.scale, r, i * unit);
                }
            }
            progress(((r + 1) as f64 * row_bytes) as u64 - (r as f64 * row_bytes) as u64);
        }
        Ok(found)
    }
}

/// The encodings that have the weight +2, in words.
fn four_codes() -> String {
    let names = encoding::ALL.iter().filter(|encoding| encoding.four_codes).map(|encoding| encoding.name);
    format!("{} have it", names.collect::<Vec<_>>().join(", "))
}

impl Unequal {
    /// Why weights of these scales cannot share one in a unit of the encoding `to`.
    pub fn refused(&self, unit: &str, to: &str) -> String {
        let Self { first, other } = self;
        format!("has the scale {other} and weights before it in its {unit} have {first}: {to} has one scale a {unit}")
    }
}
