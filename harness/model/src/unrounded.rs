//! Products with activations as they are: what rounding them to int8 costs is measured against these. Everything else
//! of a forward pass stays the same, so that nothing but the rounding differs.
//!
//! Any weights that any kernel reads will do: rows are made f32 once for all tokens of a batch, and multiplied by dot
//! products in f32, whose error is some 2^-24 of the terms where int8 rounds an activation by up to 2^-8 of the
//! largest. Results do not depend on the number of threads, the batch, or the layout. This is no kernel: it is as slow
//! as its f32 multiplications.

use kernels::parallel::Team;
use kernels::{ActivationRule, F32Ops, KernelError, PackedWeights, Product};
use std::convert::Infallible;
use std::ops::Range;

/// What the ternary products of a decoder get of the activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Rounded to int8 by a rule.
    Rounded(ActivationRule),
    /// As they are, in f32.
    Whole,
}

impl Inputs {
    /// The rule by which they are rounded; where they are not, that of nothing.
    pub(crate) fn rule(self) -> ActivationRule {
        if let Self::Rounded(rule) = self { rule } else { ActivationRule::default() }
    }
}

/// The input of the next products, and scratch.
#[derive(Default)]
pub(crate) struct Unrounded {
    /// Tokens of `k` elements, one after the other.
    x: Vec<f32>,
    k: usize,
    /// Products, rows x tokens: threads share rows.
    by_row: Vec<f32>,
}

impl Unrounded {
    /// Keeps tokens of `k` elements as the input of the next products.
    ///
    /// # Errors
    /// The first element that is not finite, by its place within its token.
    pub fn keep(&mut self, x: &[f32], k: usize) -> Result<(), KernelError> {
        if let Some(at) = x.iter().position(|x| !x.is_finite()) {
            return Err(KernelError::NonFinite { index: at % k.max(1) });
        }
        self.x.clear();
        self.x.extend_from_slice(x);
        self.k = k;
        Ok(())
    }

    /// `y = weights * x` for each matrix: f32, tokens x rows.
    ///
    /// # Errors
    /// A matrix of another number of columns than the input has.
    pub fn products<const N: usize>(
        &mut self,
        team: &mut Team,
        ops: F32Ops,
        products: [Product<'_>; N],
    ) -> Result<(), KernelError> {
        products.into_iter().try_for_each(|Product { weights, y }| self.product(team, ops, weights, y))
    }

    fn product(
        &mut self,
        team: &mut Team,
        ops: F32Ops,
        weights: &PackedWeights,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let (rows, k) = (weights.rows(), self.k);
        let tokens = self.x.len().checked_div(k).unwrap_or(0);
        for (what, expected, actual) in [("columns", weights.k(), k), ("output", tokens * rows, y.len())] {
            if expected != actual {
                return Err(KernelError::Shape { what, expected, actual });
            }
        }
        if y.is_empty() {
            return Ok(());
        }
        self.by_row.resize(rows * tokens, 0.0);
        let (x, by_row) = (&self.x, &mut self.by_row[..rows * tokens]);
        // Whole panels, so that no two threads unpack the same one.
        let Ok(()) = team.split_rows(weights.layout().rows * tokens, by_row, |range: Range<usize>, piece| {
            let first = range.start / tokens;
            weights.each_row(first..range.end / tokens, |row, weights| {
                let out = &mut piece[(row - first) * tokens..][..tokens];
                x.chunks_exact(k).zip(out).for_each(|(x, y)| *y = ops.dot(weights, x));
            });
            Ok::<(), Infallible>(())
        });
        for (t, y) in y.chunks_exact_mut(rows).enumerate() {
            y.iter_mut().zip(by_row.iter().skip(t).step_by(tokens)).for_each(|(y, product)| *y = *product);
        }
        Ok(())
    }
}
