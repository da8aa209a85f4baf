//! Scales of one unit brought to another: a finer one repeats them, a coarser one takes equal ones only.

use super::matrix::Row;

/// The scale of some weights that are to share one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unit {
    /// The scale; where no weight differs from zero, one that such weights had.
    pub scale: f32,
    /// Whether a weight differs from zero, so that the scale counts.
    pub live: bool,
}

/// Two scales where one is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unequal {
    /// The scale of weights before.
    pub first: f32,
    /// The scale that differs.
    pub other: f32,
}

impl Unit {
    /// Weights with one scale.
    fn of(codes: &[u8], scale: f32) -> Self {
        // Without a way out of the loop, which would keep it from being vectorised.
        Self { scale, live: codes.iter().fold(0, |any, code| any | (code ^ 1)) != 0 }
    }

    /// Takes in more weights. `Err` where both scales count and they differ.
    pub fn join(&mut self, more: Self) -> Result<(), Unequal> {
        match (self.live, more.live) {
            (true, true) if self.scale != more.scale => Err(Unequal { first: self.scale, other: more.scale }),
            (true, _) => Ok(()),
            (false, live) => {
                if live || self.scale == 0.0 {
                    *self = more;
                }
                Ok(())
            }
        }
    }
}

/// Scales of a row for every `unit` weights, into `out`. The error says at which column a scale differs from that of
/// weights before it in the unit.
pub fn of_row(row: &Row, unit: usize, out: &mut Vec<Unit>) -> Result<(), (usize, Unequal)> {
    out.clear();
    out.resize(row.codes.len() / unit, Unit::default());
    // Groups are powers of two or whole rows, which both lengths divide: one is a multiple of the other.
    let step = unit.min(row.group);
    for (i, codes) in row.codes.chunks(step).enumerate() {
        let (column, scale) = (i * step, row.scales[i * step / row.group]);
        out[column / unit].join(Unit::of(codes, scale)).map_err(|unequal| (column, unequal))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of weights +1, with groups of zeros where `dead` says so.
    fn row(group: usize, scales: &[f32], dead: &[usize]) -> Row {
        let mut codes = vec![2; group * scales.len()];
        dead.iter().for_each(|zeros| codes[zeros * group..][..group].fill(1));
        Row { codes, scales: scales.to_vec(), group }
    }

    fn scales(row: &Row, unit: usize) -> Result<Vec<f32>, (usize, Unequal)> {
        let mut units = Vec::new();
        of_row(row, unit, &mut units)?;
        Ok(units.iter().map(|unit| unit.scale).collect())
    }

    #[test]
    fn finer_units_repeat_and_coarser_ones_want_equal_scales() {
        let four = row(64, &[1.0, 1.0, 2.0, 2.0], &[]);
        assert_eq!(scales(&four, 32).unwrap(), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(scales(&four, 64).unwrap(), [1.0, 1.0, 2.0, 2.0]);
        assert_eq!(scales(&four, 128).unwrap(), [1.0, 2.0]);
        assert_eq!(scales(&four, 256), Err((128, Unequal { first: 1.0, other: 2.0 })));
    }

    /// A group without a weight has no scale that could differ.
    #[test]
    fn scales_of_zeros_do_not_count() {
        assert_eq!(scales(&row(64, &[9.0, 1.0, 0.0, 1.0], &[0, 2]), 256).unwrap(), [1.0]);
        assert_eq!(scales(&row(64, &[0.0, 0.0, 3.0, 0.0], &[0, 1, 2, 3]), 128).unwrap(), [0.0, 3.0]);
        assert_eq!(scales(&row(64, &[1.0, 9.0], &[1]), 128).unwrap(), [1.0]);
    }
}
