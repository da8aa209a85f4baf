//! Scales as fp16: which of them are exact, and how far the others are from the nearest.

use half::f16;

/// What becomes of the scales of a matrix when each is rounded to fp16.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rounding {
    /// The scale that changes most, relative to itself, with row and column of its first weight.
    pub worst: Option<(f32, usize, usize)>,
    /// The first scale that rounds to nothing or beyond the largest fp16, with its place.
    pub lost: Option<(f32, usize, usize)>,
}

/// How much the nearest fp16 differs from a scale, relative to it: 0 for an exact one, at most 2^-11 for one that is in
/// the range of normal fp16 numbers.
pub fn change(scale: f32) -> f64 {
    let (scale, nearest) = (f64::from(scale), f16::from_f32(scale).to_f64());
    if nearest == scale { 0.0 } else { ((nearest - scale) / scale).abs() }
}

impl Rounding {
    /// Takes in the scale of weights from `row` and `column` on.
    pub fn add(&mut self, scale: f32, row: usize, column: usize) {
        let more = change(scale);
        if more == 0.0 {
            return;
        }
        let nearest = f16::from_f32(scale);
        if self.lost.is_none() && (nearest == f16::ZERO || !nearest.is_finite()) {
            self.lost = Some((scale, row, column));
        }
        if self.worst.is_none_or(|(worst, ..)| more > change(worst)) {
            self.worst = Some((scale, row, column));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_relative() {
        assert_eq!((change(1.0), change(0.0), change(65504.0), change(-0.5)), (0.0, 0.0, 0.0, 0.0));
        // Halfway between 1 and the next fp16, 2^-10 above: rounds to 1.
        let halfway = 1.0 + 2f32.powi(-11);
        assert!((change(halfway) - 2f64.powi(-11) / f64::from(halfway)).abs() < 1e-12);
        // 2^-26 is a quarter of the smallest fp16.
        assert_eq!((change(2f32.powi(-26)), change(1e6)), (1.0, f64::INFINITY));
    }

    #[test]
    fn the_worst_and_the_lost_have_their_places() {
        let mut rounding = Rounding::default();
        rounding.add(1.0, 0, 0);
        assert!(rounding.worst.is_none() && rounding.lost.is_none());
        rounding.add(0.1, 1, 64);
        rounding.add(1.0 + 2f32.powi(-11), 2, 0);
        rounding.add(0.1, 3, 0);
        assert_eq!((rounding.worst, rounding.lost), (Some((1.0 + 2f32.powi(-11), 2, 0)), None));
        rounding.add(1e6, 4, 128);
        rounding.add(1e-9, 5, 0);
        assert_eq!(rounding.lost, Some((1e6, 4, 128)));
    }
}
