//! What the kernels of a cell are given: the same codes in each packing, in one copy or many, and activations.

use crate::error::{Error, Result};
use crate::scenario::Cell;
use kernels::foreign::Fault;
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{
    ActivationRule, CodeTable, Codes, CpuFeatures, F32Ops, Family, FloatActivations, Kernel, KernelError, Layout,
    LinearInput, Operation, PackedWeights, QuantizedActivations, Scales,
};
use receipt::Residency;

/// Copies of one packing are so many times the last-level cache that each has left it when its turn comes again.
const CACHE_MULTIPLE: u64 = 4;
/// Enough for any cache sold; more would only take memory.
const MAX_ROTATED_BYTES: u64 = 2 << 30;

/// Operands of one cell: packed weights, in one copy or many, and activations.
pub struct Operands {
    /// Ternary codes of the weights, one byte each, row after row.
    pub codes: Vec<u8>,
    packed: Vec<(&'static Layout, Vec<PackedWeights>)>,
    input: LinearInput,
}

impl Operands {
    /// Makes random ternary codes and activations. There is one scale for the tensor and one for a token; for kernels
    /// with scales of groups, as many as the cell says.
    pub fn new(
        cell: Cell,
        kernels: &[Kernel],
        last_level_cache_bytes: u64,
        features: CpuFeatures,
        seed: u64,
    ) -> Result<Self> {
        let random = &mut SplitMix64::new(seed);
        let (m, k) = (cell.shape.m, cell.shape.k);
        let codes = random.ternary_codes(m * k);
        let mut packed: Vec<(&'static Layout, Vec<PackedWeights>)> = Vec::new();
        for kernel in kernels {
            let layout = kernel.descriptor().layout;
            if packed.iter().any(|(p, _)| *p == layout) {
                continue;
            }
            packed.push((layout, copies(pack(cell, kernel, &codes)?, cell.residency, last_level_cache_bytes)));
        }
        let x: Vec<f32> = (0..k * cell.tokens).map(|_| random.signed_unit()).collect();
        let of_groups = |kernel: &Kernel| kernel.descriptor().family() == Family::W2gA8;
        // The kernels of a cell are of one family.
        let rule = if kernels.iter().all(of_groups) { cell.scaling.rule } else { ActivationRule::Token };
        let mut input = LinearInput::by_rule(cell.tokens, k, rule, F32Ops::select(features));
        for kernel in kernels {
            input.prepare(&mut Team::single(), kernel, k, &x).map_err(|e| refused(cell, kernel, &e))?;
        }
        Ok(Self { codes, packed, input })
    }

    /// Which activations share a scale.
    pub fn rule(&self) -> ActivationRule {
        self.input.rule()
    }

    /// Keeps only the weights that this kernel reads, of the same codes. The others are freed first: memory that
    /// was just freed is given out again many times as fast as memory that no process has used for a while.
    pub fn only(&mut self, cell: Cell, kernel: &Kernel, last_level_cache_bytes: u64) -> Result<()> {
        let layout = kernel.descriptor().layout;
        if self.packed.iter().all(|(packed, _)| *packed != layout) {
            self.packed.clear();
            let weights = pack(cell, kernel, &self.codes)?;
            self.packed.push((layout, copies(weights, cell.residency, last_level_cache_bytes)));
        }
        Ok(())
    }

    /// All copies of the weights in one packing, at least one.
    ///
    /// # Panics
    /// If no kernel of the cell has this packing.
    pub fn copies(&self, layout: &'static Layout) -> &[PackedWeights] {
        let found = self.packed.iter().find(|(p, _)| *p == layout);
        &found.expect("every packing of the cell's kernels was packed").1
    }

    /// Activations of the first token as f32.
    pub fn float(&self) -> &FloatActivations {
        &self.input.float[0]
    }

    /// Activations of all tokens as int8.
    pub fn quantized(&self) -> &[QuantizedActivations] {
        &self.input.quantized
    }
}

/// The error of a kernel that refuses what it was given.
pub fn refused(cell: Cell, kernel: &Kernel, error: &KernelError) -> Error {
    let said_no = matches!(error, KernelError::Foreign { fault: Fault::Refused(_), .. });
    let error_of = if said_no { Error::unsupported } else { Error::failed };
    error_of(format!("{} {}x{} with {}: {error}", cell.op, cell.shape.m, cell.shape.k, kernel.id()))
}

fn pack(cell: Cell, kernel: &Kernel, codes: &[u8]) -> Result<PackedWeights> {
    let (rows, k, table) = (cell.shape.m, cell.shape.k, CodeTable::TERNARY);
    let scales = match kernel.descriptor().family() {
        Family::W2gA8 => {
            let (mut random, group) = (SplitMix64::new((rows * k) as u64), cell.scaling.group);
            let values = (0..rows * k.div_ceil(group)).map(|_| scale(&mut random)).collect();
            Scales::PerGroup { group, values }
        }
        Family::W2A32 | Family::W2A8 => Scales::PerTensor(0.5),
    };
    let codes = Codes { rows, k, codes, table, scales };
    PackedWeights::pack(kernel.descriptor().layout, codes).map_err(|e| refused(cell, kernel, &e))
}

/// A random scale, rounded to f16: that is what files have, and what every layout can hold.
pub fn scale(random: &mut SplitMix64) -> f32 {
    half::f16::from_f32(0.5 + random.signed_unit() / 4.0).to_f32()
}

fn copies(weights: PackedWeights, residency: Residency, cache_bytes: u64) -> Vec<PackedWeights> {
    let count = match residency {
        Residency::Dram => rotated(weights.bytes() as u64, cache_bytes) as usize,
        _ => 1,
    };
    let mut all = vec![weights];
    while all.len() < count {
        all.push(all[0].clone());
    }
    all
}

/// Copies of `bytes` each that are rotated.
fn rotated(bytes: u64, cache_bytes: u64) -> u64 {
    CACHE_MULTIPLE.saturating_mul(cache_bytes).min(MAX_ROTATED_BYTES).div_ceil(bytes.max(1)).max(2)
}

/// Bytes that the operands and outputs of a cell take at least, all copies of all packings of `kernels`.
pub fn bytes(cell: Cell, kernels: &[Kernel], last_level_cache_bytes: u64) -> u64 {
    let (m, k) = (cell.shape.m, cell.shape.k);
    let mut packings: Vec<&'static Layout> = kernels.iter().map(|kernel| kernel.descriptor().layout).collect();
    packings.sort_unstable_by_key(|layout| layout.to_string());
    packings.dedup();
    let packed = packings.into_iter().map(|layout| {
        let codes = layout.code_bytes(m, k).unwrap_or(usize::MAX) as u64;
        let one = codes.saturating_add(layout.scale_bytes(m, k));
        let copies = if cell.residency == Residency::Dram { rotated(one, last_level_cache_bytes) } else { 1 };
        one.saturating_mul(copies)
    });
    // Unpacked codes, a byte each, and what is written.
    let output = if cell.op == Operation::Dequantize { m * k } else { m * cell.tokens };
    packed.fold((m * k + 4 * output) as u64, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scaling, Shape};
    use kernels::registry;

    fn cell(op: Operation, residency: Residency) -> Cell {
        Cell {
            op,
            shape: Shape { m: 64, k: 1024 },
            tokens: 1,
            residency,
            scaling: Scaling::default(),
            of_groups: false,
        }
    }

    #[test]
    fn copies_from_memory_are_four_times_the_cache() {
        assert_eq!([rotated(1 << 20, 32 << 20), rotated(1 << 20, 0), rotated(3 << 20, 1 << 20)], [128, 2, 2]);
        // At most 2 GiB a packing, and at least two.
        assert_eq!([rotated(1 << 30, u64::MAX), rotated(4 << 30, u64::MAX), rotated(0, 1)], [2, 2, 4]);
    }

    #[test]
    fn one_packing_at_a_time_is_of_the_same_codes() {
        let features = CpuFeatures::detect();
        let kernel = |id: &str| Kernel::new(registry::find(id).expect("registered"), features).expect("runs anywhere");
        let (first, other, cell) = (kernel("scalar-i8"), kernel("scalar"), cell(Operation::Gemv, Residency::Dram));
        let both = Operands::new(cell, &[first, other], 1 << 14, features, 1).expect("packed");
        let mut one = Operands::new(cell, &[first], 1 << 14, features, 1).expect("packed");
        one.only(cell, &other, 1 << 14).expect("packed");
        let layout = other.descriptor().layout;
        let bytes = |operands: &Operands| -> Vec<Vec<u8>> {
            operands.copies(layout).iter().map(|copy| copy.code_bytes().to_vec()).collect()
        };
        assert_eq!(bytes(&one), bytes(&both));
        assert_eq!((one.packed.len(), both.packed.len()), (1, 2));
    }

    #[test]
    fn bytes_are_those_of_the_operands() {
        let features = CpuFeatures::detect();
        let available = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, features).ok());
        let kernels: Vec<Kernel> = available.collect();
        for residency in [Residency::Llc, Residency::Dram] {
            let cell = cell(Operation::Gemv, residency);
            let operands = Operands::new(cell, &kernels, 1 << 18, features, 1).expect("packed");
            let packed = operands.packed.iter().flat_map(|(_, copies)| copies);
            let packed: usize = packed.map(PackedWeights::bytes).sum();
            let beside = 64 * 1024 + 4 * 64;
            assert_eq!(bytes(cell, &kernels, 1 << 18), (packed + beside) as u64, "{residency:?}");
        }
        // Codes and what is written.
        assert_eq!(bytes(cell(Operation::Dequantize, Residency::Llc), &[], 0), 5 * 64 * 1024);
        let vast = Cell { shape: Shape { m: 1 << 20, k: 1 << 20 }, ..cell(Operation::Gemv, Residency::Dram) };
        assert!(bytes(vast, &kernels, 1 << 30) > 1 << 40);
    }
}
