//! The one comparison of a result with the oracle: of the suite, of what is about to be timed, of tests and benches.

use std::fmt;

/// What the oracle says of one element, and what its error is relative to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The value that the oracle computed.
    pub value: f64,
    /// Sum of the absolute values of the terms that add up to `value`: what errors are relative to.
    pub terms: f64,
}

impl Expected {
    /// An expectation that must be met exactly; a difference is relative to the value itself.
    pub fn exactly(value: impl Into<f64>) -> Self {
        let value = value.into();
        Self { value, terms: value.abs() }
    }

    /// Expects an exact integer sum, which an f64 holds: [`crate::MAX_K_I8`] products of int8 are below 2^53.
    pub fn integer(value: i64) -> Self {
        Self::exactly(value as f64)
    }
}

impl From<(f64, f64)> for Expected {
    /// As [`crate::reference::dot_f64`] gives them.
    fn from((value, terms): (f64, f64)) -> Self {
        Self { value, terms }
    }
}

/// The largest differences between results and oracle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    /// The largest absolute difference between a result and the oracle's value.
    pub absolute: f64,
    /// The largest ratio of a difference to the sum of the absolute terms of the same element.
    pub relative: f64,
}

impl Errors {
    /// Joins two comparisons: the larger absolute and the larger relative error of both.
    pub fn and(self, other: Self) -> Self {
        Self { absolute: self.absolute.max(other.absolute), relative: self.relative.max(other.relative) }
    }
}

/// The first result outside the bound, to name in a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mismatch {
    /// Index of the wrong element in the compared results.
    pub index: usize,
    /// The value that was computed.
    pub got: f64,
    /// The value that the oracle gives for this element.
    pub want: f64,
    /// The largest differences up to and including this element.
    pub errors: Errors,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, the oracle says {}", self.got, self.want)
    }
}

/// Compares every element of `got` with what the oracle says of its index. `bound` is the largest difference allowed,
/// relative to the sum of absolute terms; 0 where results must be equal.
///
/// # Errors
/// The first element outside the bound; NaN is outside of every one.
pub fn compare<T: Copy + Into<f64>>(
    got: &[T],
    bound: f64,
    oracle: impl Fn(usize) -> Expected,
) -> Result<Errors, Mismatch> {
    let mut errors = Errors::default();
    for (index, &got) in got.iter().enumerate() {
        let (got, Expected { value: want, terms }) = (got.into(), oracle(index));
        let absolute = (got - want).abs();
        let relative = if absolute == 0.0 { 0.0 } else { absolute / terms.max(f64::MIN_POSITIVE) };
        errors = errors.and(Errors { absolute, relative });
        // Written so that NaN fails.
        let within = relative <= bound;
        if !within {
            return Err(Mismatch { index, got, want, errors });
        }
    }
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_outside_the_bound_is_named() {
        let want = |i: usize| Expected { value: [4.0, 0.0, -8.0][i], terms: 10.0 };
        assert_eq!(compare(&[4.0f32, 0.0, -8.0], 0.0, want), Ok(Errors::default()));
        let near = Errors { absolute: 0.5, relative: 0.05 };
        assert_eq!(compare(&[4.5f32, 0.0, -8.0], 0.05, want), Ok(near));
        let far = compare(&[4.5f32, -1.0, 9.0], 0.05, want).expect_err("0.1 is more than 0.05");
        assert_eq!((far.index, far.got, far.want), (1, -1.0, 0.0));
        assert_eq!(far.errors, Errors { absolute: 1.0, relative: 0.1 });
        assert_eq!(far.to_string(), "-1, the oracle says 0");
        assert!(compare(&[4.0f32, f32::NAN], 1e9, want).is_err_and(|mismatch| mismatch.index == 1));
    }

    #[test]
    fn integers_are_compared_to_the_last_bit() {
        let sums = [i32::MAX, i32::MIN + 1];
        let oracle = |i: usize| Expected::integer(i64::from(sums[i]));
        assert_eq!(compare(&sums, 0.0, oracle), Ok(Errors::default()));
        assert!(compare(&[i32::MAX, i32::MIN], 0.0, oracle).is_err_and(|mismatch| mismatch.index == 1));
    }
}
