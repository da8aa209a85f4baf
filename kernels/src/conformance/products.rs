//! The products that are not registered kernels, against the same kind of oracle: rows and columns of the exact FFN
//! sparsity, and the output heads, each at every level that a CPU may choose.

use super::case::{Wrong, compare_named, filled};
use super::{Errors, Expected, Outcome, Pattern};
use crate::activation::QuantizedActivations;
use crate::cpu::CpuFeatures;
use crate::error::KernelError;
use crate::f32_ops::F32Ops;
use crate::head::reference as head_reference;
use crate::parallel::Team;
use crate::random::SplitMix64;
use crate::sparse::{ColumnWeights, LiveColumns, LiveRows, RowsProduct, SparseOps};
use crate::{
    AlignedBuffer, CodeTable, Codes, HEADS, HalfRows, HeadDescriptor, HeadFormat, HeadInput, OutputHead, PackedWeights,
    Prefetch, Unsupported, layouts, reference,
};
use std::sync::Arc;

/// Allowed error of the f16 head relative to the row's sum of absolute terms: chains of at most 2560 / 8 additions and
/// products that are rounded once. The other products are exact.
pub const F16_BOUND: f64 = 1e-5;

/// A product at one level of features, which [`Self::verify`] compares with the oracle.
#[derive(Clone, Copy, Debug)]
pub struct ProductPath {
    /// `sparse-LEVEL-rows`, `sparse-LEVEL-columns`, or what receipts call the head's implementation.
    pub id: &'static str,
    /// CPU features that select this level; the path runs with these and no others.
    pub requires: CpuFeatures,
    product: Product,
}

#[derive(Clone, Copy, Debug)]
enum Product {
    Rows,
    Columns,
    Head(&'static HeadDescriptor),
}

/// The sparse products at every level of this architecture.
const SPARSE: &[ProductPath] = &[
    path("sparse-scalar-rows", CpuFeatures::NONE, Product::Rows),
    #[cfg(target_arch = "x86_64")]
    path("sparse-avx2-rows", CpuFeatures::X86_64_V3, Product::Rows),
    #[cfg(target_arch = "x86_64")]
    path("sparse-avx512-vnni-rows", CpuFeatures::X86_64_V4_VNNI, Product::Rows),
    path("sparse-scalar-columns", CpuFeatures::NONE, Product::Columns),
    #[cfg(target_arch = "x86_64")]
    path("sparse-avx2-columns", CpuFeatures::X86_64_V3, Product::Columns),
    #[cfg(target_arch = "x86_64")]
    path("sparse-avx512-vnni-columns", CpuFeatures::X86_64_V4_VNNI, Product::Columns),
];

const fn path(id: &'static str, requires: CpuFeatures, product: Product) -> ProductPath {
    ProductPath { id, requires, product }
}

/// All products at all levels that `verify` lists: the sparse ones, and every head of [`HEADS`].
pub fn paths() -> Vec<ProductPath> {
    let head = |head: &'static HeadDescriptor| path(head.id, head.requires, Product::Head(head));
    SPARSE.iter().copied().chain(HEADS.iter().map(head)).collect()
}

/// Columns of the cases: around lines, blocks and groups, widths of real models.
const K: [usize; 9] = [1, 5, 127, 129, 256, 640, 1000, 2560, 6912];
/// Rows, taken in turn: around panels of 16 and lines of 256.
const ROWS: [usize; 7] = [1, 16, 17, 3, 40, 255, 257];
/// Shares of live rows and columns; a negative one stands for a single element.
const SHARES: [f64; 5] = [0.0, -1.0, 0.2, 0.7, 1.0];

impl ProductPath {
    /// Whether the results of this path must equal the oracle's bit for bit.
    pub fn exact(&self) -> bool {
        if let Product::Head(head) = self.product { head.exact() } else { true }
    }

    /// Allowed error, relative to the row's sum of absolute terms.
    pub fn bound(&self) -> f64 {
        if self.exact() { 0.0 } else { F16_BOUND }
    }

    /// Checks that both this CPU and `allowed` have the features of this path.
    ///
    /// # Errors
    /// As [`crate::Kernel::new`].
    pub fn check(&self, allowed: CpuFeatures) -> Result<(), Unsupported> {
        Unsupported::check(self.id, self.requires, allowed)
    }

    /// Compares every case with the oracle, on one thread and on two. Call [`Self::check`] first: a level that the CPU
    /// lacks is a mismatch here.
    pub fn verify(&self) -> Outcome {
        let mut outcome = Outcome::default();
        for (i, k) in K.into_iter().enumerate() {
            for (j, pattern) in Pattern::ALL.into_iter().enumerate() {
                // Heads have no shares; they run each case with two counts of rows.
                let shares = if let Product::Head(_) = self.product { &[1.0, 1.0][..] } else { &SHARES };
                // Only columns have lines of 256 rows.
                let most = if let Product::Columns = self.product { usize::MAX } else { 40 };
                for (s, &share) in shares.iter().enumerate() {
                    let rows = ROWS[(i + j + s) % ROWS.len()].min(most);
                    let case = Case { rows, k, pattern, share, seed: outcome.cases as u64, threads: 1 + (j + s) % 2 };
                    let result = self.run(&case);
                    outcome.add(&case, result);
                }
            }
        }
        outcome
    }

    pub(crate) fn run(&self, case: &Case) -> Result<Errors, Wrong> {
        let mut team = Team::new(case.threads, |_| {}).map_err(|e| format!("no second thread: {e}"))?;
        let rows = match self.product {
            Product::Head(head) => case.head(head, &mut team)?,
            Product::Rows => self.rows(case, &mut team)?,
            Product::Columns => self.columns(case, &mut team)?,
        };
        let got: Vec<f64> = rows.iter().map(|row| row.1).collect();
        compare_named(&got, self.bound(), |i| rows[i].2, |i| format!("row {}", rows[i].0))
    }

    fn ops(&self) -> Result<SparseOps, KernelError> {
        let ops = SparseOps::select(self.requires);
        // Else another level than the one named would be verified.
        if self.id.starts_with(ops.id()) { Ok(ops) } else { Err(self.not_selected(ops.id())) }
    }

    fn not_selected(&self, got: &'static str) -> KernelError {
        KernelError::NoSuchOperation { kernel: got, operation: self.id }
    }

    fn rows(&self, case: &Case, team: &mut Team) -> Result<Vec<Row>, KernelError> {
        let (codes, x, live) = case.operands();
        let weights = case.pack(&codes)?;
        let gate: Vec<f32> = live[..case.rows].iter().map(|&live| if live { 0.5 } else { -0.0 }).collect();
        let x = QuantizedActivations::from_values(&x, 1.0);
        let mut list = LiveRows::new(case.rows, case.k);
        let ops = self.ops()?;
        list.set_positive(ops, &AlignedBuffer::from(&gate[..]))?;
        let mut y = filled(list.rows().len(), i32::MIN);
        ops.rows(team, &mut list, RowsProduct { weights: &weights, x: &x, y: &mut y })?;
        Ok(list.rows().iter().zip(&y[..]).map(|(&row, &y)| case.integer(row as usize, y, &codes, x.values())).collect())
    }

    fn columns(&self, case: &Case, team: &mut Team) -> Result<Vec<Row>, KernelError> {
        let (codes, mut x, live) = case.operands();
        x.iter_mut().zip(live).filter(|(_, live)| !live).for_each(|(x, _)| *x = 0);
        let columns = ColumnWeights::from_packed(&case.pack(&codes)?, team)?;
        let x = QuantizedActivations::from_values(&x, 1.0);
        let mut list = LiveColumns::new(case.k);
        let ops = self.ops()?;
        list.set(ops, &x)?;
        let mut y = filled(columns.padded_rows(), i32::MIN);
        ops.columns(team, &columns, &list, &mut y)?;
        Ok((0..case.rows).map(|row| case.integer(row, y[row], &codes, x.values())).collect())
    }
}

/// Row, result, what the oracle says.
type Row = (usize, f64, Expected);

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) rows: usize,
    pub(crate) k: usize,
    pub(crate) pattern: Pattern,
    pub(crate) share: f64,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
}

impl Case {
    /// Codes, activations, and which rows (or columns) are live.
    fn operands(&self) -> (Vec<u8>, Vec<i8>, Vec<bool>) {
        let mut random = SplitMix64::new(self.seed);
        let (codes, x) = self.pattern.fill([self.rows, self.k], CodeTable::TERNARY, &mut random);
        let n = self.rows.max(self.k);
        let one = random.below(n as u32) as usize;
        let mut draw = || f64::from(random.below(1000)) / 1000.0;
        let live = (0..n).map(|i| if self.share < 0.0 { i == one } else { draw() < self.share }).collect();
        (codes, x, live)
    }

    /// Weights as f16 and activations for a head.
    fn floats(&self) -> (Arc<AlignedBuffer<u16>>, Vec<f32>) {
        let (codes, x, _) = self.operands();
        let mut random = SplitMix64::new(self.seed + 1);
        let mut weights = AlignedBuffer::zeroed(codes.len());
        for (weight, code) in weights.iter_mut().zip(codes) {
            let value = match self.pattern {
                Pattern::Random => random.signed_unit() * 0.1,
                _ => (f32::from(code) - 1.0) * 0.75,
            };
            *weight = half::f16::from_f32(value).to_bits();
        }
        (Arc::new(weights), x.into_iter().map(|x| f32::from(x) / 100.0).collect())
    }

    /// Every row by this implementation, in one of the ways to ask ahead: cases take turns.
    fn head(&self, way: &'static HeadDescriptor, team: &mut Team) -> Result<Vec<Row>, KernelError> {
        let (format, prefetch) = (way.format, Prefetch::ALL[self.seed as usize % 2]);
        let (weights, x) = self.floats();
        let rows: HalfRows = Arc::clone(&weights) as HalfRows;
        let head = OutputHead::new(format, &rows, self.k, CpuFeatures::detect(), team)?;
        let head = head.tuned(way, prefetch)?;
        let mut quantized = QuantizedActivations::new(self.k);
        quantized.quantize(F32Ops::select(CpuFeatures::NONE), &x)?;
        // The f16 head takes the quantised values too, as f32, so that one oracle serves all.
        let x: Vec<f32> = match format {
            HeadFormat::F16 => quantized.values().iter().map(|&q| f32::from(q)).collect(),
            HeadFormat::Q8 | HeadFormat::Q4 => x,
        };
        let scale = if format == HeadFormat::F16 { 1.0 } else { quantized.scale() };
        let mut y = filled(self.rows, f32::NAN);
        let x = AlignedBuffer::from(&x[..]);
        head.gemv(team, &x, &mut HeadInput::new(self.k), &mut y)?;
        let row = |row: usize| {
            let floats: Vec<f32> =
                weights[row * self.k..][..self.k].iter().map(|&w| half::f16::from_bits(w).to_f32()).collect();
            let want = head_reference::product(format, &floats, quantized.values(), scale);
            (row, f64::from(y[row]), want.into())
        };
        Ok((0..self.rows).map(row).collect())
    }

    fn pack(&self, codes: &[u8]) -> Result<PackedWeights, KernelError> {
        PackedWeights::pack(&layouts::I2S, Codes::ternary(self.rows, self.k, codes, 0.5))
    }

    fn integer(&self, row: usize, got: i32, codes: &[u8], x: &[i8]) -> Row {
        let want = reference::dot_i64(&codes[row * self.k..][..self.k], CodeTable::TERNARY, x);
        let terms = x.iter().map(|&x| f64::from(x).abs()).sum();
        (row, f64::from(got), Expected { value: want as f64, terms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_this_cpu_has_equals_the_oracle() {
        let paths = || paths().into_iter().filter(|path| path.check(CpuFeatures::detect()).is_ok());
        assert!(paths().count() >= 5, "scalar paths run everywhere");
        for path in paths() {
            let mut outcome = path.verify();
            assert!(outcome.cases >= K.len() * Pattern::ALL.len());
            // More threads than the suite has, on more and on fewer rows than they share.
            let shapes = [(33, 129), (130, 384), (513, 70), (640, 515), (3, 64)];
            for ((rows, k), pattern) in shapes.into_iter().flat_map(|s| Pattern::ALL.map(|pattern| (s, pattern))) {
                for share in [0.1, 0.9, 1.0] {
                    let case = Case { rows, k, pattern, share, seed: k as u64, threads: 3 };
                    outcome.add(&case, path.run(&case));
                }
            }
            assert_eq!((outcome.mismatches, outcome.first_mismatch), (0, None), "{}", path.id);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_masked_level_is_refused_and_another_level_is_not_passed_off_as_it() {
        let avx2 = SPARSE.iter().copied().find(|path| path.id == "sparse-avx2-rows").expect("listed");
        let path = ProductPath { requires: CpuFeatures::NONE, ..avx2 };
        assert!(avx2.check(CpuFeatures::NONE).is_err());
        let outcome = path.verify();
        assert_eq!(outcome.mismatches, outcome.cases, "the scalar level is not sparse-avx2");
    }

    /// A list of what this CPU lacks says nothing of other architectures.
    #[test]
    fn levels_are_of_this_architecture() {
        let of_x86 = paths().iter().filter(|path| path.id.contains("avx")).count();
        assert_eq!(of_x86 > 0, cfg!(target_arch = "x86_64"));
    }

    #[test]
    fn a_wrong_result_is_noticed() {
        // The oracle of one format holds nothing of another.
        let case = Case { rows: 3, k: 129, pattern: Pattern::Random, share: 1.0, seed: 3, threads: 1 };
        let (weights, x) = case.floats();
        let floats: Vec<f32> = weights[..129].iter().map(|&w| half::f16::from_bits(w).to_f32()).collect();
        let x: Vec<i8> = x.iter().map(|x| (x * 90.0) as i8).collect();
        let (q8, _) = head_reference::product(HeadFormat::Q8, &floats, &x, 1.0);
        let (q4, terms) = head_reference::product(HeadFormat::Q4, &floats, &x, 1.0);
        assert!((q8 - q4).abs() > F16_BOUND * terms);
    }
}
