//! What both benches do alike: operands of one gemv, and the call, checked against the oracle.

use kernels::random::SplitMix64;
use kernels::{
    Codes, CpuFeatures, F32Ops, FloatActivations, Gemv, Kernel, KernelDescriptor, PackedWeights, QuantizedActivations,
    conformance, reference,
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
        let weights = PackedWeights::pack(descriptor.layout, Codes::ternary(rows, k, &codes, 0.5));
        let x: Vec<f32> = (0..k).map(|_| random.signed_unit()).collect();
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
        match self.kernel.descriptor().gemv {
            Gemv::F32(_) => self.kernel.gemv_f32(&self.weights, rows, &self.float, &mut self.floats),
            Gemv::I8(_) => self.kernel.gemv_i8(&self.weights, rows, &self.quantized, &mut self.integers),
        }
        .expect("operands fit");
    }

    /// # Panics
    /// When the output of the last call is not what the oracle says.
    pub fn check(&self) {
        for row in 0..self.weights.rows() {
            let id = self.id();
            match self.kernel.descriptor().gemv {
                Gemv::I8(_) => {
                    let want = reference::row_i64(&self.weights, row, self.quantized.values());
                    assert_eq!(i64::from(self.integers[row]), want, "{id}, row {row}");
                }
                Gemv::F32(_) => {
                    let scale = |column| self.weights.scale_at(row, column);
                    let codes = self.weights.row_codes(row);
                    let (want, terms) = reference::dot_f64(&codes, self.weights.table(), scale, self.float.values());
                    let error = (f64::from(self.floats[row]) - want).abs();
                    assert!(
                        error <= conformance::F32_BOUND * terms,
                        "{id}, row {row}: {} and not {want}",
                        self.floats[row]
                    );
                }
            }
        }
    }
}
