//! The suite for kernels of a device ([`crate::Gemv::Device`]): the same cases and the same oracle, multiplied by
//! whoever drives the device.

use super::case::{Case, Wrong, compare_named, filled};
use super::compare::{Errors, Expected};
use super::{Outcome, cases, run};
use crate::activation::QuantizedActivations;
use crate::cpu::CpuFeatures;
use crate::descriptor::KernelDescriptor;
use crate::f32_ops::F32Ops;
use crate::operation::Operation;
use crate::packed::{Codes, PackedWeights};
use crate::random::SplitMix64;
use crate::reference;

/// A token's activations.
#[derive(Clone, Debug)]
pub struct Token {
    /// As int8, padded: what the oracle multiplies with.
    pub rounded: QuantizedActivations,
    /// The numbers that were rounded, for kernels that round them themselves.
    pub floats: Vec<f32>,
}

/// Exact products that something else than this CPU computes.
pub trait Elsewhere {
    /// Whether it takes [`Token::floats`] and rounds them itself: then these are what they are rounded to.
    fn rounds(&self) -> bool;

    /// Whether it failed, so that the rest of the suite says nothing.
    fn failed(&self) -> bool {
        false
    }

    /// `y[token][row] = sum over j of (code - 1) * x[j]` of every row: a gemv for one token, else a gemm.
    ///
    /// # Errors
    /// Why not, in one line.
    fn multiply(&mut self, weights: &PackedWeights, x: &[Token], y: &mut [i32]) -> Result<(), String>;
}

/// Runs the whole suite on a kernel of a device. `stop` is asked between cases.
pub fn verify_elsewhere(
    descriptor: &'static KernelDescriptor,
    device: &mut dyn Elsewhere,
    stop: &dyn Fn() -> bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    for case in cases(descriptor) {
        outcome.add(&case, run_case(descriptor, &case, device));
        if stop() || device.failed() {
            break;
        }
    }
    outcome
}

/// Tokens of a case's batch: those of the suite, and where the oracle has little to do more, around what a device
/// multiplies at once.
fn batch_size(case: &Case) -> usize {
    const WIDE: [usize; 6] = [63, 64, 65, 127, 130, 512];
    let wide = case.rows * case.k <= 1 << 16 && case.seed.is_multiple_of(3);
    if wide { WIDE[case.seed as usize / 3 % WIDE.len()] } else { run::batch_size(case) }
}

fn run_case(descriptor: &'static KernelDescriptor, case: &Case, device: &mut dyn Elsewhere) -> Result<Errors, Wrong> {
    let &Case { rows, k, table, .. } = case;
    let layout = descriptor.layout;
    let mut random = SplitMix64::new(case.seed);
    let (codes, x) = case.pattern.fill([rows, k], table, &mut random);
    let scales = case.scales.fill(layout, [rows, k], &mut random);
    let weights = PackedWeights::pack(layout, Codes { rows, k, codes: &codes, table, scales })?;
    let (ops, rounds) = (F32Ops::select(CpuFeatures::NONE), device.rounds());
    let token = |values: Vec<i8>| -> Result<Token, Wrong> {
        // Not of integers alone, so that rounding has something to do.
        let floats: Vec<f32> = values.iter().map(|&value| f32::from(value) * 0.37).collect();
        let mut rounded = QuantizedActivations::from_values(&values, 1.0);
        if rounds {
            rounded.quantize(ops, &floats)?;
        }
        Ok(Token { rounded, floats })
    };
    let batch = if descriptor.has(Operation::Gemm) { batch_size(case) } else { 1 };
    let mut errors = Errors::default();
    for count in [1, batch].into_iter().take(if batch > 1 { 2 } else { 1 }) {
        let values = (0..count).map(|t| run::of_batch(&x, t));
        let tokens = values.map(token).collect::<Result<Vec<Token>, Wrong>>()?;
        let mut y = filled(tokens.len() * rows, i32::MIN);
        device.multiply(&weights, &tokens, &mut y)?;
        let expected = |index: usize| {
            let (token, row) = (&tokens[index / rows.max(1)], index % rows.max(1));
            let terms = token.rounded.values().iter().map(|&x| f64::from(x).abs()).sum();
            let value = reference::dot_i64(&codes[row * k..][..k], table, token.rounded.values()) as f64;
            Expected { value, terms }
        };
        let named = |index: usize| format!("token {} of {}, row {}", index / rows, tokens.len(), index % rows);
        errors = errors.and(compare_named(&y, 0.0, expected, named)?);
    }
    Ok(errors)
}
