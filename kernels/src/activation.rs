//! Activation vectors, padded with zeros so that kernels need no tail in k.

mod rule;

pub use rule::ActivationRule;

use crate::error::{KernelError, fits};
use crate::f32_ops::F32Ops;
use crate::{AlignedBuffer, CpuFeatures, K_SLACK, padded_k};
use std::sync::atomic::{AtomicU64, Ordering};

/// One token's activations as int8 with one scale or several, by BitNet b1.58's rule for the whole token or for each
/// block of an [`ActivationRule`]: s = 127 / max(1e-5, max|x|), q = clamp(round_ties_even(x * s), -128, 127). `x` is
/// about `values / scale`.
///
/// Of a block not s is kept but what a sum is multiplied with to undo it, 1 / s, for the rule of 32 rounded to f16.
#[derive(Clone, Debug)]
pub struct QuantizedActivations {
    values: AlignedBuffer<i8>,
    len: usize,
    rule: ActivationRule,
    /// The scale of the token, 1 where blocks have their own.
    scale: f32,
    /// 1 / s of each block, padding included.
    block_scales: AlignedBuffer<f32>,
    sum: i32,
    /// Sums of each 32, 64, 128 and 256 values, padding included.
    unit_sums: [AlignedBuffer<i32>; 4],
    version: u64,
}

/// Values of a sum, in the order of [`QuantizedActivations::unit_sums`].
const UNITS: [usize; 4] = [32, 64, 128, 256];

/// The largest number of f16.
const F16_MAX: f32 = 65504.0;

/// The next version of any activations.
static VERSIONS: AtomicU64 = AtomicU64::new(0);

impl QuantizedActivations {
    /// A vector of zeros with room for up to `capacity` elements: made once, filled for every token.
    pub fn new(capacity: usize) -> Self {
        Self::by_rule(capacity, ActivationRule::Token)
    }

    /// The same, quantised by another rule.
    pub fn by_rule(capacity: usize, rule: ActivationRule) -> Self {
        let whole = padded_k(capacity);
        let (values, version) = (AlignedBuffer::zeroed(whole + K_SLACK), new_version());
        let unit_sums = UNITS.map(|unit| AlignedBuffer::zeroed(whole / unit));
        let block_scales = AlignedBuffer::zeroed(rule.block().map_or(0, |block| whole / block));
        Self { values, len: capacity, rule, scale: 1.0, block_scales, sum: 0, unit_sums, version }
    }

    /// Takes int8 values as they are, for tests and benchmarks; a value v stands for v / `scale`.
    pub fn from_values(values: &[i8], scale: f32) -> Self {
        let mut this = Self::new(values.len());
        this.values[..values.len()].copy_from_slice(values);
        this.scale = scale;
        this.version = new_version();
        this.sum = values.iter().map(|&v| i32::from(v)).sum();
        this.sum_units(F32Ops::select(CpuFeatures::NONE));
        this
    }

    /// As [`Self::from_values`] by a rule of blocks: what each block's sums are multiplied with, one for each block
    /// that begins within the values.
    ///
    /// # Panics
    /// If the rule has no blocks, or there are more or fewer scales than blocks.
    pub fn from_blocks(values: &[i8], rule: ActivationRule, scales: &[f32]) -> Self {
        let block = rule.block().expect("a rule of blocks");
        assert_eq!(scales.len(), values.len().div_ceil(block), "one scale for each block");
        let mut this = Self { rule, ..Self::from_values(values, 1.0) };
        this.block_scales = AlignedBuffer::zeroed(padded_k(values.len()) / block);
        this.block_scales[..scales.len()].copy_from_slice(scales);
        this
    }

    /// Quantises `x`, which may be shorter than the capacity; allocates nothing. The result does not depend on `ops`.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `x` is longer than the capacity, [`KernelError::NonFinite`] for NaN or infinity
    /// (then the previous contents are kept), and for values beyond 8 million by the rule of 32: f16 has no scale for
    /// them.
    pub fn quantize(&mut self, ops: F32Ops, x: &[f32]) -> Result<(), KernelError> {
        fits("activations", self.values.len() - K_SLACK, x.len())?;
        let largest = ops.largest_magnitude(x);
        if !largest.is_finite() {
            let index = x.iter().position(|v| !v.is_finite()).unwrap_or(0);
            return Err(KernelError::NonFinite { index });
        }
        if self.rule == ActivationRule::Per32 && largest > F16_MAX * 127.0 {
            let index = x.iter().position(|v| v.abs() > F16_MAX * 127.0).unwrap_or(0);
            return Err(KernelError::NonFinite { index });
        }
        self.version = new_version();
        self.len = x.len();
        let whole = padded_k(x.len());
        let (values, padding) = self.values.split_at_mut(x.len());
        padding[..whole + K_SLACK - x.len()].fill(0);
        match self.rule.block() {
            None => {
                self.scale = 127.0 / largest.max(1e-5);
                self.sum = ops.round_to_i8(x, self.scale, values);
            }
            Some(block) => {
                let (scales, beyond) = self.block_scales.split_at_mut(x.len().div_ceil(block));
                beyond.fill(0.0);
                self.sum = match block {
                    32 => ops.quantize_32(x, values, scales),
                    128 => ops.quantize_128(x, values, scales),
                    _ => ops.quantize_256(x, values, scales),
                };
            }
        }
        self.sum_units(ops);
        Ok(())
    }

    fn sum_units(&mut self, ops: F32Ops) {
        let whole = padded_k(self.len);
        let mut at = UNITS.iter();
        let sums = self.unit_sums.each_mut().map(|sums| &mut sums[..whole / at.next().unwrap_or(&1)]);
        ops.sum_units(&self.values[..whole], sums);
    }

    /// Number of elements (k) of the vector, without padding.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the vector has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The activations without padding, as the oracle ([`crate::reference`]) takes them.
    pub fn values(&self) -> &[i8] {
        &self.values[..self.len]
    }

    /// The values as kernels read them: zeros up to a multiple of [`crate::K_PADDING`], then [`crate::K_SLACK`] zeros.
    pub fn padded(&self) -> &[i8] {
        &self.values[..padded_k(self.len) + K_SLACK]
    }

    /// Which values share a scale.
    pub fn rule(&self) -> ActivationRule {
        self.rule
    }

    /// The scale s of the token's quantisation: x is about values / s, so products are divided by s to undo it. 1 where
    /// blocks have scales, which then are in the products.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// What sums of each block are multiplied with, padding included; empty where all values of a token share a scale.
    pub fn block_scales(&self) -> &[f32] {
        let blocks = self.rule.block().map_or(0, |block| padded_k(self.len) / block);
        &self.block_scales[..blocks]
    }

    /// What the value at `index` is multiplied with to undo its quantisation: the scale of its block, or of a token
    /// 1 / s, rounded.
    pub fn factor(&self, index: usize) -> f32 {
        self.rule.block().map_or_else(|| 1.0 / self.scale, |block| self.block_scales[index / block])
    }

    /// Changes whenever the values do, and no two different vectors have the same: what was made of one may be kept by
    /// it.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Sum of the values: subtracting it turns sums over codes 0, 1, 2 into sums over weights -1, 0, +1.
    pub fn sum(&self) -> i32 {
        self.sum
    }

    /// Sums of each `unit` values, 32, 64, 128 or 256 of them, zeros of the padding included; none for other numbers.
    pub fn sums(&self, unit: usize) -> Option<&[i32]> {
        let at = UNITS.iter().position(|&own| own == unit)?;
        Some(&self.unit_sums[at][..padded_k(self.len) / unit])
    }
}

fn new_version() -> u64 {
    VERSIONS.fetch_add(1, Ordering::Relaxed)
}

/// One token's activations as f32, for the W2A32 kernels.
#[derive(Clone, Debug)]
pub struct FloatActivations {
    values: AlignedBuffer<f32>,
    len: usize,
}

impl FloatActivations {
    /// A vector of zeros with room for up to `capacity` elements: made once, filled for every token.
    pub fn new(capacity: usize) -> Self {
        Self { values: AlignedBuffer::zeroed(padded_k(capacity) + K_SLACK), len: capacity }
    }

    /// Takes the values of `x` as they are.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `x` is longer than the capacity.
    pub fn set(&mut self, x: &[f32]) -> Result<(), KernelError> {
        self.resized(x.len())?.copy_from_slice(x);
        Ok(())
    }

    /// Takes the values that int8 kernels see, so that both families compute the same function.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `x` is longer than the capacity.
    pub fn set_dequantized(&mut self, x: &QuantizedActivations) -> Result<(), KernelError> {
        let target = self.resized(x.len())?;
        match x.rule().block() {
            None => target.iter_mut().zip(x.values()).for_each(|(target, &q)| *target = f32::from(q) / x.scale()),
            Some(block) => {
                let blocks = target.chunks_mut(block).zip(x.values().chunks(block)).zip(x.block_scales());
                for ((target, values), scale) in blocks {
                    target.iter_mut().zip(values).for_each(|(target, &q)| *target = f32::from(q) * scale);
                }
            }
        }
        Ok(())
    }

    fn resized(&mut self, len: usize) -> Result<&mut [f32], KernelError> {
        fits("activations", self.values.len() - K_SLACK, len)?;
        self.len = len;
        self.values[len..padded_k(len)].fill(0.0);
        Ok(&mut self.values[..len])
    }

    /// Number of elements (k) of the vector, without padding.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the vector has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The activations without padding, as the oracle ([`crate::reference`]) takes them.
    pub fn values(&self) -> &[f32] {
        &self.values[..self.len]
    }

    /// The values as kernels read them, padded with zeros to a multiple of [`crate::K_PADDING`] elements.
    pub fn padded(&self) -> &[f32] {
        &self.values[..padded_k(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CpuFeatures;
    use proptest::prelude::*;

    fn quantize(q: &mut QuantizedActivations, x: &[f32]) -> Result<(), KernelError> {
        q.quantize(F32Ops::select(CpuFeatures::detect()), x)
    }

    proptest! {
        #[test]
        fn equals_the_rule_and_leaves_no_remains(x in prop::collection::vec(-1e6f32..1e6, 0..700)) {
            let (mut q, mut f) = (QuantizedActivations::new(700), FloatActivations::new(700));
            quantize(&mut q, &[1.0; 700]).expect("finite");
            f.set(&[1.0; 700]).expect("fits");
            quantize(&mut q, &x).expect("finite and short enough");
            f.set_dequantized(&q).expect("fits");
            let s = 127.0 / x.iter().fold(0f32, |m, v| m.max(v.abs())).max(1e-5);
            let values: Vec<i8> = x.iter().map(|v| (v * s).round_ties_even().clamp(-128.0, 127.0) as i8).collect();
            prop_assert_eq!((q.values(), q.scale()), (&values[..], s));
            prop_assert_eq!(q.sum(), values.iter().map(|&v| i32::from(v)).sum::<i32>());
            let wide: Vec<f32> = values.iter().map(|&v| f32::from(v) / s).collect();
            prop_assert_eq!(f.values(), &wide[..]);
            prop_assert_eq!((q.padded().len(), f.padded().len()), (padded_k(x.len()) + K_SLACK, padded_k(x.len())));
            for unit in UNITS {
                let sum = |x: &[i8]| x.iter().map(|&v| i32::from(v)).sum();
                let sums: Vec<i32> = q.padded()[..padded_k(x.len())].chunks(unit).map(sum).collect();
                prop_assert_eq!(q.sums(unit), Some(&sums[..]));
            }
            prop_assert!(q.sums(16).is_none());
            prop_assert!(q.padded()[x.len()..].iter().all(|&v| v == 0));
            prop_assert!(f.padded()[x.len()..].iter().all(|&v| v == 0.0));
        }
    }

    /// Each block as a token of its own would be, by every rule, what was there before notwithstanding.
    #[test]
    fn blocks_have_scales_of_their_own() {
        let mut random = crate::random::SplitMix64::new(3);
        for (rule, k) in ActivationRule::ALL.into_iter().flat_map(|rule| [1, 31, 32, 300, 640].map(|k| (rule, k))) {
            let Some(block) = rule.block() else { continue };
            let mut x = random.signed_units(k);
            x.iter_mut().enumerate().for_each(|(i, x)| *x *= (i / 32 + 1) as f32);
            for ops in crate::testing::f32_levels() {
                let mut q = QuantizedActivations::by_rule(640, rule);
                q.quantize(ops, &[9.0; 640]).expect("finite");
                q.quantize(ops, &x).expect("finite");
                let (mut values, mut scales) = (Vec::new(), Vec::new());
                for x in x.chunks(block) {
                    let mut alone = QuantizedActivations::new(block);
                    alone.quantize(ops, x).expect("finite");
                    values.extend_from_slice(alone.values());
                    let undo = 1.0 / alone.scale();
                    scales.push(if block == 32 { half::f16::from_f32(undo).to_f32() } else { undo });
                }
                assert_eq!((q.rule(), q.values(), q.scale()), (rule, &values[..], 1.0));
                let (own, beyond) = q.block_scales().split_at(scales.len());
                assert_eq!((own, beyond.iter().all(|&s| s == 0.0)), (&scales[..], true));
                assert_eq!(q.block_scales().len(), padded_k(k) / block);
                assert_eq!(q.sum(), values.iter().map(|&v| i32::from(v)).sum::<i32>());
                let mut floats = FloatActivations::new(640);
                floats.set_dequantized(&q).expect("fits");
                let undone = |i: usize| f32::from(values[i]) * scales[i / block];
                assert_eq!(floats.values(), (0..k).map(undone).collect::<Vec<f32>>());
                let again = QuantizedActivations::from_blocks(&values, rule, &scales);
                assert_eq!(
                    (again.block_scales(), again.padded()),
                    (q.block_scales(), &q.padded()[..again.padded().len()])
                );
            }
        }
        let mut q = QuantizedActivations::by_rule(2, ActivationRule::Per32);
        assert_eq!(quantize(&mut q, &[1.0, -9e6]), Err(KernelError::NonFinite { index: 1 }));
        assert_eq!(ActivationRule::find("32"), Some(ActivationRule::Per32));
        assert_eq!((ActivationRule::find("64"), ActivationRule::Per256.unit(128)), (None, 128));
    }

    #[test]
    fn ties_go_to_even_and_tiny_inputs_to_zero() {
        let mut q = QuantizedActivations::new(8);
        quantize(&mut q, &[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]).expect("finite");
        assert_eq!(q.values(), [127, 0, 2, 2, 0, -2]);
        quantize(&mut q, &[0.0, 1e-9]).expect("finite");
        assert_eq!((q.values(), q.scale()), (&[0i8, 0][..], 127.0 / 1e-5));
    }

    #[test]
    fn whole_capacity_can_be_used_and_no_more() {
        let (x, more) = ([-2.0; 512], [1.0; 513]);
        let (mut q, mut f) = (QuantizedActivations::new(512), FloatActivations::new(512));
        quantize(&mut q, &x).expect("fits");
        f.set(&x).expect("fits");
        assert_eq!((q.values(), f.values()), (&[-127i8; 512][..], &x[..]));
        let too_long = KernelError::Shape { what: "activations", expected: 512, actual: 513 };
        assert_eq!((quantize(&mut q, &more), f.set(&more)), (Err(too_long.clone()), Err(too_long)));
        assert_eq!((q.len(), f.len(), q.is_empty(), f.is_empty()), (512, 512, false, false));
        quantize(&mut q, &[]).expect("fits");
        f.set(&[]).expect("fits");
        assert_eq!((q.len(), f.len(), q.is_empty(), f.is_empty()), (0, 0, true, true));
    }

    #[test]
    fn non_finite_input_is_named() {
        let mut q = QuantizedActivations::new(3);
        assert_eq!(quantize(&mut q, &[1.0, f32::NAN, 2.0]), Err(KernelError::NonFinite { index: 1 }));
        assert_eq!(quantize(&mut q, &[f32::INFINITY]), Err(KernelError::NonFinite { index: 0 }));
    }
}
