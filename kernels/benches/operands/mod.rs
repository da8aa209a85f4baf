//! What both benches do alike: operands of one gemv, and the call, checked against the oracle.

use kernels::conformance::{Expected, compare};
use kernels::random::SplitMix64;
use kernels::{
    CodeTable, Codes, CpuFeatures, F32Ops, Family, FloatActivations, Kernel, KernelDescriptor, PackedWeights,
    QuantizedActivations, Scales, conformance, reference,
};

/// A kernel of the registry with everything that one gemv needs.
pub struct Prepared {
    kernel: Kernel,
    weights: PackedWeights,
    float: FloatActivations,
    quantized: QuantizedActivations,
    floats: Vec<f32>,
    integers: Vec<i32>,
}

impl Prepared {
    /// Random ternary weights, random activations. `None` where this CPU, or what a tool lets through of it, lacks a
    /// feature.
    pub fn new(descriptor: &'static KernelDescriptor, rows: usize, k: usize) -> Option<Self> {
        let features = CpuFeatures::detect();
        let kernel = Kernel::new(descriptor, features).ok()?;
        let mut random = SplitMix64::new(1);
        let codes = random.ternary_codes(rows * k);
        let scales = match descriptor.family() {
            Family::W2gA8 => Scales::PerGroup { group: 128, values: random.signed_units(rows * k.div_ceil(128)) },
            _ => Scales::PerTensor(0.5),
        };
        let codes = Codes { rows, k, codes: &codes, table: CodeTable::TERNARY, scales };
        let weights = PackedWeights::pack(descriptor.layout, codes);
        let x = random.signed_units(k);
        let (mut quantized, mut float) = (QuantizedActivations::new(k), FloatActivations::new(k));
        quantized.quantize(F32Ops::select(features), &x).expect("finite");
        float.set_dequantized(&quantized).expect("the same length");
        let mut prepared = Self {
            kernel,
            weights: weights.expect("ternary codes fit every packing"),
            float,
            quantized,
            floats: vec![f32::NAN; rows],
            integers: vec![i32::MIN; rows],
        };
        prepared.call();
        prepared.check();
        Some(prepared)
    }

    /// The kernel that [`Self::call`] runs.
    pub fn id(&self) -> &'static str {
        self.kernel.id()
    }

    /// One gemv over all rows.
    #[inline]
    pub fn call(&mut self) {
        let rows = 0..self.weights.rows();
        match self.kernel.descriptor().family() {
            Family::W2A32 => self.kernel.gemv_f32(&self.weights, rows, &self.float, &mut self.floats),
            Family::W2A8 => self.kernel.gemv_i8(&self.weights, rows, &self.quantized, &mut self.integers),
            Family::W2gA8 => self.kernel.gemv_groups(&self.weights, rows, &self.quantized, &mut self.floats),
        }
        .expect("operands fit");
    }

    /// # Panics
    /// When the output of the last call is not what the oracle says.
    pub fn check(&self) {
        let (weights, bound) = (&self.weights, conformance::bound(&self.kernel));
        let found = match self.kernel.descriptor().family() {
            Family::W2A8 => compare(&self.integers, bound, |row| {
                Expected::integer(reference::row_i64(weights, row, self.quantized.values()))
            }),
            Family::W2gA8 => compare(&self.floats, bound, |row| {
                Expected::exactly(reference::row_groups(weights, row, &self.quantized))
            }),
            Family::W2A32 => compare(&self.floats, bound, |row| {
                let scale = |column| weights.scale_at(row, column);
                reference::dot_f64(&weights.row_codes(row), weights.table(), scale, self.float.values()).into()
            }),
        };
        assert!(found.is_ok(), "{}: {found:?}", self.id());
    }
}
