//! Every kernel against the oracle. One suite for `cargo test` and for `tritbench verify`; a kernel that fails it is
//! never timed.
//!
//! W2A8 kernels must equal the oracle's integers. W2A32 kernels may differ by at most [`F32_BOUND`] of the row's sum of
//! |weight x activation|; their `dequantize` must be equal, because it rounds once.

mod compare;
mod pattern;
pub mod products;

pub use compare::{Errors, Expected, Mismatch, compare};
pub use pattern::Pattern;

use crate::activation::{FloatActivations, QuantizedActivations};
use crate::buffer::{AlignedBuffer, Plain};
use crate::descriptor::GemmTile;
use crate::error::KernelError;
use crate::foreign::fault::Fault;
use crate::foreign::kernel::ForeignKernel;
use crate::kernel::{Kernel, Tuning};
use crate::operation::{Family, Operation};
use crate::packed::{CodeTable, Codes, PackedWeights, Scales, scales_a_row};
use crate::parallel::{Columns, Team};
use crate::prefetch::Prefetch;
use crate::random::SplitMix64;
use crate::reference;
use std::ops::Range;

/// Allowed error of f32 kernels relative to the row's sum of absolute terms. The longest chain of f32 additions in any
/// stage is 64 within a block and 27 over the blocks of k = 6912, which bounds the error by 91 half-ulps, 5.5e-6.
pub const F32_BOUND: f64 = 1e-5;

/// Sizes of batches that a foreign kernel is tried with, in turn: around the 64 at which one in the field stops.
const FOREIGN_TOKENS: [usize; 9] = [1, 2, 3, 7, 32, 63, 64, 65, 128];

/// What one call of a kernel is tried with.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) rows: usize,
    pub(crate) k: usize,
    pub(crate) pattern: Pattern,
    pub(crate) table: CodeTable,
    /// Random scales by block instead of one for the tensor.
    pub(crate) block_scales: bool,
    /// Of everything random.
    pub(crate) seed: u64,
}

/// The result of the conformance suite for one kernel: cases, mismatches and largest errors against the oracle.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Number of cases that were run.
    pub cases: usize,
    /// Number of cases with an error above the allowed bound.
    pub mismatches: usize,
    /// Largest absolute difference between a result and the oracle's, over all cases.
    pub max_abs_error: f64,
    /// Largest difference relative to the row's sum of absolute terms.
    pub max_relative_error: f64,
    /// The first mismatch in words (case, element, result and right value); `None` if there was none.
    pub first_mismatch: Option<String>,
    /// Whether that was no wrong result, but a foreign kernel that said it cannot.
    pub refused: bool,
}

/// Allowed error of this kernel, relative to the row's sum of absolute terms: 0 where results must be equal.
pub fn bound(kernel: &Kernel) -> f64 {
    if kernel.descriptor().exact() { 0.0 } else { F32_BOUND }
}

/// The suite for one kernel: every pattern at every length, row counts around panels and tiles, empty and single rows.
fn cases(kernel: &Kernel) -> Vec<Case> {
    /// k around blocks of 32, 128 and 256, the widths of real models, and odd lengths.
    const K: [usize; 19] =
        [1, 2, 31, 32, 33, 127, 128, 129, 255, 256, 257, 384, 511, 640, 1000, 1024, 2560, 4097, 6912];
    const ROWS: [usize; 11] = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 33];
    let floats = kernel.descriptor().family() == Family::W2A32;
    let mut cases = Vec::new();
    let mut add = |rows, k, pattern, table, block_scales| {
        let seed = cases.len() as u64;
        cases.push(Case { rows, k, pattern, table, block_scales, seed });
    };
    for (i, k) in K.into_iter().enumerate() {
        for (j, pattern) in Pattern::ALL.into_iter().enumerate() {
            // Rows take turns, so that each pattern meets several counts without multiplying the suite.
            let rows = ROWS[1 + (i + j) % (ROWS.len() - 1)];
            add(rows, k, pattern, CodeTable::TERNARY, false);
            if floats {
                add(rows, k, pattern, CodeTable::SEED, true);
            }
        }
    }
    let mut add = |rows, k, pattern| add(rows, k, pattern, CodeTable::TERNARY, false);
    for rows in ROWS {
        [0, 256, 2560].into_iter().for_each(|k| add(rows, k, Pattern::Random));
    }
    // Around the panels of layouts that interleave more rows than ROWS knows of, and more rows than a gemm takes
    // through the cache at once.
    let panel_rows = kernel.descriptor().layout.rows;
    if panel_rows > 16 {
        for rows in [panel_rows - 1, panel_rows, panel_rows + 1, 2 * panel_rows + 3] {
            add(rows, 33, Pattern::MinTimesMin);
            add(rows, 256, Pattern::Random);
            add(rows, 2560, Pattern::Alternating);
        }
    }
    if kernel.descriptor().has(Operation::Gemm) {
        add(1000, 1025, Pattern::Random);
        add(300, 6912, Pattern::Random);
    }
    if let Some(foreign) = kernel.descriptor().foreign_kernel() {
        let of_it = foreign_cases(foreign, cases.len() as u64);
        cases.retain(|case| case.rows * case.k > 0 && case.table.is_ternary() && foreign.takes(case.rows, case.k));
        cases.extend(of_it);
    }
    if cfg!(miri) {
        // Small operands make the same accesses; Miri would take hours for large ones.
        cases.retain(|case| case.rows * case.k <= 600);
    }
    cases
}

/// More for a foreign kernel: rows and columns around its own multiples, the shapes of models, and enough cases of one
/// shape for every size of batch.
fn foreign_cases(foreign: &ForeignKernel, first: u64) -> Vec<Case> {
    let (rows_unit, k_unit) = (foreign.rows_multiple(), foreign.k_multiple());
    let small = [1, 2, 3, 7].into_iter().flat_map(|n| [1, 2, 3, 5].map(|m| (n * rows_unit, m * k_unit)));
    let wide = |k: usize| (4 * rows_unit, k.next_multiple_of(k_unit));
    let batches = (0..2 * FOREIGN_TOKENS.len()).map(|_| (8 * rows_unit, 640usize.next_multiple_of(k_unit)));
    let of_models = [(640, 2560), (2560, 6912), (6912, 2560)]
        .map(|(rows, k): (usize, usize)| (rows.next_multiple_of(rows_unit), k.next_multiple_of(k_unit)));
    let shapes = small.chain([wide(1024), wide(6912)]).chain(batches).filter(|(rows, k)| foreign.takes(*rows, *k));
    let of_models = of_models.into_iter().filter(|(rows, k)| foreign.takes(*rows, *k));
    let all = shapes.flat_map(|shape| Pattern::ALL.map(|pattern| (shape, pattern)));
    let all = all.chain(of_models.map(|shape| (shape, Pattern::Random)));
    let case = |(i, ((rows, k), pattern)): (usize, ((usize, usize), Pattern))| {
        let (table, block_scales, seed) = (CodeTable::TERNARY, false, first + i as u64);
        Case { rows, k, pattern, table, block_scales, seed }
    };
    all.enumerate().map(case).collect()
}

/// Runs the whole conformance suite on one kernel, which may be timed only if there are no mismatches.
pub fn verify(kernel: &Kernel) -> Outcome {
    let mut outcome = Outcome::default();
    for (number, case) in cases(kernel).into_iter().enumerate() {
        // Both ways to ask ahead and both tiles, in turn.
        let (prefetch, tile) = (Prefetch::ALL[number % 2], GemmTile::ALL[number / 2 % 2]);
        let kernel = kernel.tuned(Tuning { prefetch, tile, ..kernel.tuning() });
        outcome.add(&case, run_case(&kernel, &case));
    }
    outcome
}

impl Outcome {
    /// Counts one case in.
    fn add(&mut self, case: &impl std::fmt::Debug, result: Result<Errors, Wrong>) {
        let (Ok(errors) | Err(Wrong { errors, .. })) = result;
        self.cases += 1;
        self.max_abs_error = self.max_abs_error.max(errors.absolute);
        self.max_relative_error = self.max_relative_error.max(errors.relative);
        if let Err(wrong) = result {
            self.mismatches += 1;
            self.refused |= self.first_mismatch.is_none() && wrong.refused;
            self.first_mismatch.get_or_insert_with(|| format!("{case:?}: {}", wrong.what));
        }
    }
}

/// What is wrong with a case, and the differences that were found.
pub(crate) struct Wrong {
    pub(crate) what: String,
    errors: Errors,
    /// Whether it is no result at all: a foreign kernel said that it cannot.
    refused: bool,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { what, errors: Errors::default(), refused: false }
    }
}

impl From<KernelError> for Wrong {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Foreign { fault: Fault::Refused(_), .. } => {
                Self { refused: true, ..Self::from(format!("refused: {error}")) }
            }
            // It says itself what is wrong.
            KernelError::Foreign { .. } => error.to_string().into(),
            error => format!("refused: {error}").into(),
        }
    }
}

/// Compares as [`compare()`] does; `place` names the element of an index.
fn compare_named<T: Copy + Into<f64>>(
    got: &[T],
    bound: f64,
    oracle: impl Fn(usize) -> Expected,
    place: impl Fn(usize) -> String,
) -> Result<Errors, Wrong> {
    compare(got, bound, oracle).map_err(|mismatch| {
        let what = format!("{}: {mismatch}", place(mismatch.index));
        Wrong { what, errors: mismatch.errors, refused: false }
    })
}

/// Room for a result, poisoned: what is not written is noticed.
fn filled<T: Plain>(len: usize, poison: T) -> AlignedBuffer<T> {
    AlignedBuffer::from(&vec![poison; len][..])
}

/// A case, packed.
struct Packed<'a> {
    kernel: &'a Kernel,
    case: &'a Case,
    codes: Vec<u8>,
    x: QuantizedActivations,
    weights: PackedWeights,
    /// What a foreign kernel may not change; else empty.
    as_packed: Vec<u8>,
}

/// Runs one case and says what is wrong, if anything. All operands are [`AlignedBuffer`]s, which tests put beside
/// protected pages.
pub(crate) fn run_case(kernel: &Kernel, case: &Case) -> Result<Errors, Wrong> {
    let &Case { rows, k, table, .. } = case;
    let layout = kernel.descriptor().layout;
    let mut random = SplitMix64::new(case.seed);
    let (codes, x) = case.pattern.fill([rows, k], table, &mut random);
    let mut scale = || 0.5 + random.signed_unit() / 4.0;
    let scales = match case.block_scales {
        true => Scales::PerBlock((0..rows * scales_a_row(layout, k)).map(|_| scale()).collect()),
        false => Scales::PerTensor(scale()),
    };
    // Not a power of two, so that x / scale is rounded; otherwise f32 sums would be exact and show no error.
    let x = QuantizedActivations::from_values(&x, 10.0 + random.signed_unit());
    let weights = PackedWeights::pack(layout, Codes { rows, k, codes: &codes, table, scales })?;
    let foreign = kernel.descriptor().foreign_kernel();
    let as_packed = if foreign.is_some() { weights.code_bytes().to_vec() } else { Vec::new() };
    let packed = Packed { kernel, case, codes, x, weights, as_packed };
    // Only its library knows how to unpack a layout of its own.
    for row in [0, rows / 2, rows.saturating_sub(1)] {
        if layout.foreign.is_none() && row < rows && packed.weights.row_codes(row) != packed.row(row) {
            return Err(format!("row {row} does not survive packing").into());
        }
    }
    let mut errors = match kernel.descriptor().family() {
        Family::W2A8 => packed.integer_products()?,
        Family::W2A32 => packed.float_products()?,
    };
    if kernel.descriptor().has(Operation::Gemm) {
        errors = errors.and(packed.batch_products()?);
    }
    if kernel.descriptor().has(Operation::Dequantize) {
        // Rounded once: equal.
        packed.dequantized()?;
    }
    if let Some(foreign) = foreign {
        errors = errors.and(packed.of_foreign(foreign)?);
    }
    Ok(errors)
}

impl Packed<'_> {
    fn row(&self, row: usize) -> &[u8] {
        &self.codes[row * self.case.k..][..self.case.k]
    }

    /// The first row of a panel in the middle.
    fn middle(&self) -> usize {
        let panel_rows = self.weights.layout().rows;
        self.case.rows / 2 / panel_rows * panel_rows
    }

    /// The exact products of every row.
    fn integers(&self, x: &[i8]) -> Vec<Expected> {
        let terms = x.iter().map(|&x| f64::from(x).abs()).sum();
        let product = |row| reference::dot_i64(self.row(row), self.case.table, x) as f64;
        (0..self.case.rows).map(|row| Expected { value: product(row), terms }).collect()
    }

    fn integer_products(&self) -> Result<Errors, Wrong> {
        let want = self.integers(self.x.values());
        // Sums of integers must be equal, whatever a kernel says of itself.
        self.by_ranges(i32::MIN, 0.0, &want, |rows, y| self.kernel.gemv_i8(&self.weights, rows, &self.x, y))
    }

    fn float_products(&self) -> Result<Errors, Wrong> {
        let mut x = FloatActivations::new(self.case.k);
        x.set_dequantized(&self.x)?;
        let scale = |row| move |column| self.weights.scale_at(row, column);
        let product = |row| reference::dot_f64(self.row(row), self.case.table, scale(row), x.values()).into();
        let want: Vec<Expected> = (0..self.case.rows).map(product).collect();
        self.by_ranges(f32::NAN, F32_BOUND, &want, |rows, y| self.kernel.gemv_f32(&self.weights, rows, &x, y))
    }

    /// A batch of tokens: the case's own activations first, then rotations and negations of them. Batch sizes take
    /// turns over the cases.
    fn batch_products(&self) -> Result<Errors, Wrong> {
        const TOKENS: [usize; 10] = [1, 2, 3, 4, 5, 7, 8, 23, 25, 41];
        let case = self.case;
        let foreign = self.kernel.descriptor().foreign_kernel().is_some();
        let sizes = if foreign { &FOREIGN_TOKENS[..] } else { &TOKENS };
        // Large matrices once, with few tokens: the oracle takes its time.
        let sizes = if foreign && case.rows * case.k > 1 << 20 { &sizes[..2] } else { sizes };
        let tokens = sizes[case.seed as usize % sizes.len()];
        let token = |t: usize| {
            let mut values = self.x.values().to_vec();
            values.rotate_left(if case.k == 0 { 0 } else { t * 5 % case.k });
            if t % 3 == 1 {
                values.iter_mut().for_each(|v| *v = v.saturating_neg());
            }
            QuantizedActivations::from_values(&values, self.x.scale())
        };
        let x: Vec<QuantizedActivations> = (0..tokens).map(token).collect();
        let want: Vec<Vec<Expected>> = x.iter().map(|x| self.integers(x.values())).collect();
        let mut errors = Errors::default();
        for rows in [0..case.rows, self.middle()..case.rows] {
            let mut y = filled(tokens * rows.len(), i32::MIN);
            let mut columns = Columns::all(&mut y, tokens, rows.len());
            self.kernel.gemm_i8(&self.weights, rows.clone(), &x, &mut columns)?;
            let place = |i: usize| (i / rows.len(), rows.start + i % rows.len());
            let named = |i| format!("gemm, token {} of {tokens}, row {}", place(i).0, place(i).1);
            errors = errors.and(compare_named(&y, 0.0, |i| want[place(i).0][place(i).1], named)?);
        }
        Ok(errors)
    }

    /// What only a foreign kernel can do wrong: write to the weights it reads, apply scales, close its plans.
    fn of_foreign(&self, foreign: &'static ForeignKernel) -> Result<Errors, Wrong> {
        let Case { rows, k, seed, .. } = *self.case;
        if self.weights.code_bytes() != &self.as_packed[..] {
            return Err(format!("gemv or gemm {rows}x{k} of {}: writes to the packed weights", foreign.id).into());
        }
        let mut errors = Errors::default();
        if foreign.writes_floats() && rows * k <= 1 << 20 {
            let mut random = SplitMix64::new(seed);
            let scaled = foreign.scaled([rows, k], &self.codes, &self.x, || (16 + random.below(33)) as f32 / 64.0)?;
            let named = |row| format!("gemv {rows}x{k} with random scales, row {row}");
            errors = compare_named(&scaled.products, F32_BOUND, |row| scaled.expected[row].into(), named)?;
        }
        foreign.close_plans()?;
        Ok(errors)
    }

    fn dequantized(&self) -> Result<Errors, Wrong> {
        let k = self.case.k;
        let mut out = filled(self.case.rows * k, f32::NAN);
        self.kernel.dequantize(&self.weights, 0..self.case.rows, &mut out)?;
        let weight = |i| reference::weight(self.codes[i], self.case.table, self.weights.scale_at(i / k, i % k));
        let named = |i| format!("dequantize row {} column {}", i / k, i % k);
        compare_named(&out, 0.0, |i| Expected::exactly(weight(i)), named)
    }

    /// All rows at once, from a panel in the middle to the end, from there to the middle of a panel, and by a team of
    /// two, each against the oracle.
    fn by_ranges<T: Plain + Send + Into<f64>>(
        &self,
        poison: T,
        bound: f64,
        want: &[Expected],
        gemv: impl Fn(Range<usize>, &mut [T]) -> Result<(), KernelError> + Sync,
    ) -> Result<Errors, Wrong> {
        let (rows, middle) = (self.case.rows, self.middle());
        let check = |first: usize, y: &[T]| {
            compare_named(y, bound, |i| want[first + i], |i| format!("gemv, row {}", first + i))
        };
        let mut errors = Errors::default();
        for range in [0..rows, middle..rows, middle..middle + (rows - middle).div_ceil(2)] {
            let mut y = filled(range.len(), poison);
            gemv(range.clone(), &mut y)?;
            errors = errors.and(check(range.start, &y)?);
        }
        if self.case.seed.is_multiple_of(8) {
            let mut shared = filled(rows, poison);
            let mut team = Team::new(2, |_| {}).map_err(|e| format!("no second thread: {e}"))?;
            team.split_rows(self.weights.layout().rows, &mut shared, gemv)?;
            errors = errors.and(check(0, &shared)?);
        }
        Ok(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuFeatures;
    use crate::descriptor::{Dequantize, Gemv, GemvF32, GemvI8, KernelDescriptor};
    use crate::layouts::I2S;
    use crate::registry;

    /// The mismatch of a kernel that is wrong on purpose.
    fn mismatch_of(descriptor: KernelDescriptor) -> String {
        let descriptor = KernelDescriptor { id: "planted", summary: "wrong on purpose", ..descriptor };
        let kernel = Kernel::new(Box::leak(Box::new(descriptor)), CpuFeatures::NONE).expect("needs nothing");
        let outcome = verify(&kernel);
        assert!(outcome.mismatches > 0, "the suite did not notice");
        outcome.first_mismatch.expect("a mismatch has words")
    }

    fn scalar() -> &'static KernelDescriptor {
        registry::find("scalar").expect("registered")
    }

    fn right_i8(args: GemvI8<'_>, wrap: impl Fn(i32) -> i32) {
        for (y, codes) in args.y.iter_mut().zip(args.codes.chunks_exact(args.panel_bytes)) {
            let mut unpacked = vec![0; codes.len() * 4];
            (I2S.unpack)(codes, &mut unpacked);
            let sum =
                unpacked.iter().zip(args.x).map(|(&c, &x)| i32::from(c) * i32::from(x)).fold(0, |a, b| wrap(a + b));
            *y = sum - args.x_sum;
        }
    }

    #[test]
    fn an_int16_sum_that_wraps_is_caught() {
        // Like the reference engine's 1x1 kernel: right on random data at small k, wrong on all +-127.
        let message = mismatch_of(KernelDescriptor::w2a8(&I2S, |args| right_i8(args, |sum| i32::from(sum as i16))));
        assert!(
            message.contains("AllMax") || message.contains("MinTimesMin") || message.contains("MaxTimesMin"),
            "{message}"
        );
    }

    #[test]
    fn a_forgotten_last_row_is_caught() {
        let forgets = |args: GemvI8<'_>| {
            let rows = args.y.len() / 2 * 2;
            right_i8(GemvI8 { y: &mut args.y[..rows], ..args }, |sum| sum);
        };
        mismatch_of(KernelDescriptor::w2a8(&I2S, forgets));
    }

    #[test]
    fn a_constant_table_is_caught() {
        let ternary_only = |args: GemvF32<'_>| {
            let Gemv::F32(gemv) = scalar().gemv else { unreachable!("a W2A32 kernel") };
            // SAFETY: the scalar kernel requires no features.
            unsafe { gemv(GemvF32 { table: [-1, 0, 1, 0], ..args }) }
        };
        assert!(mismatch_of(KernelDescriptor::w2a32(scalar().layout, ternary_only)).contains("[-2, -1, 1, 2]"));
    }

    #[test]
    fn a_dequantize_that_drops_the_scale_is_caught() {
        let Gemv::F32(gemv) = scalar().gemv else { unreachable!("a W2A32 kernel") };
        let unscaled = |args: Dequantize<'_>| args.weights.fill(0.0);
        let descriptor =
            KernelDescriptor { dequantize: Some(unscaled), ..KernelDescriptor::w2a32(scalar().layout, gemv) };
        assert!(mismatch_of(descriptor).contains("dequantize"));
    }
}
