//! Activation vectors, padded with zeros so that kernels need no tail in k.

use crate::error::{KernelError, fits};
use crate::f32_ops::F32Ops;
use crate::{AlignedBuffer, CpuFeatures, K_SLACK, padded_k};
use std::sync::atomic::{AtomicU64, Ordering};

/// One token's activations as int8 with a scale, by BitNet b1.58's rule: s = 127 / max(1e-5, max|x|),
/// q = clamp(round_ties_even(x * s), -128, 127). `x` is about `values / scale`.
#[derive(Clone, Debug)]
pub struct QuantizedActivations {
    values: AlignedBuffer<i8>,
    len: usize,
    scale: f32,
    sum: i32,
    /// Sums of each 64, 128 and 256 values, padding included.
    group_sums: [AlignedBuffer<i32>; 3],
    version: u64,
}

/// Weights of a group, in the order of [`QuantizedActivations::group_sums`].
const GROUPS: [usize; 3] = [64, 128, 256];

/// The next version of any activations.
static VERSIONS: AtomicU64 = AtomicU64::new(0);

impl QuantizedActivations {
    /// A vector of zeros with room for up to `capacity` elements: made once, filled for every token.
    pub fn new(capacity: usize) -> Self {
        let values = AlignedBuffer::zeroed(padded_k(capacity) + K_SLACK);
        let group_sums = GROUPS.map(|group| AlignedBuffer::zeroed(padded_k(capacity) / group));
        Self { values, len: capacity, scale: 1.0, sum: 0, group_sums, version: new_version() }
    }

    /// Takes int8 values as they are, for tests and benchmarks; a value v stands for v / `scale`.
    pub fn from_values(values: &[i8], scale: f32) -> Self {
        let mut this = Self::new(values.len());
        this.values[..values.len()].copy_from_slice(values);
        this.scale = scale;
        this.version = new_version();
        this.sum = values.iter().map(|&v| i32::from(v)).sum();
        this.sum_groups(F32Ops::select(CpuFeatures::NONE));
        this
    }

    /// Quantises `x`, which may be shorter than the capacity; allocates nothing. The result does not depend on `ops`.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `x` is longer than the capacity, [`KernelError::NonFinite`] for NaN or infinity
    /// (then the previous contents are kept).
    pub fn quantize(&mut self, ops: F32Ops, x: &[f32]) -> Result<(), KernelError> {
        fits("activations", self.values.len() - K_SLACK, x.len())?;
        let largest = ops.largest_magnitude(x);
        if !largest.is_finite() {
            let index = x.iter().position(|v| !v.is_finite()).unwrap_or(0);
            return Err(KernelError::NonFinite { index });
        }
        self.version = new_version();
        (self.len, self.scale) = (x.len(), 127.0 / largest.max(1e-5));
        let (values, padding) = self.values.split_at_mut(x.len());
        self.sum = ops.round_to_i8(x, self.scale, values);
        padding[..padded_k(x.len()) + K_SLACK - x.len()].fill(0);
        self.sum_groups(ops);
        Ok(())
    }

    fn sum_groups(&mut self, ops: F32Ops) {
        let whole = padded_k(self.len);
        let [a, b, c] = &mut self.group_sums;
        let sums = [&mut a[..whole / GROUPS[0]], &mut b[..whole / GROUPS[1]], &mut c[..whole / GROUPS[2]]];
        ops.sum_groups(&self.values[..whole], sums);
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

    /// The scale s of the quantisation: x is about values / s, so products are divided by s to undo it.
    pub fn scale(&self) -> f32 {
        self.scale
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

    /// Sums of each `group` values, 64, 128 or 256 of them, zeros of the padding included; none for other groups.
    pub fn group_sums(&self, group: usize) -> Option<&[i32]> {
        let at = GROUPS.iter().position(|&own| own == group)?;
        Some(&self.group_sums[at][..padded_k(self.len) / group])
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

    /// Takes the values that int8 kernels see (values / scale), so that both families compute the same function.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `x` is longer than the capacity.
    pub fn set_dequantized(&mut self, x: &QuantizedActivations) -> Result<(), KernelError> {
        let target = self.resized(x.len())?;
        target.iter_mut().zip(x.values()).for_each(|(target, &q)| *target = f32::from(q) / x.scale());
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
            for group in GROUPS {
                let sum = |x: &[i8]| x.iter().map(|&v| i32::from(v)).sum();
                let sums: Vec<i32> = q.padded()[..padded_k(x.len())].chunks(group).map(sum).collect();
                prop_assert_eq!(q.group_sums(group), Some(&sums[..]));
            }
            prop_assert!(q.group_sums(32).is_none());
            prop_assert!(q.padded()[x.len()..].iter().all(|&v| v == 0));
            prop_assert!(f.padded()[x.len()..].iter().all(|&v| v == 0.0));
        }
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
