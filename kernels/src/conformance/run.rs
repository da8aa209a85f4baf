//! One case of the suite: operands are made, packed and multiplied in every way that the kernel has.

use super::case::{Case, F32_BOUND, Wrong, compare_named, filled};
use super::compare::{Errors, Expected};
use super::foreign;
use crate::activation::{FloatActivations, QuantizedActivations};
use crate::buffer::Plain;
use crate::error::KernelError;
use crate::foreign::kernel::ForeignKernel;
use crate::kernel::Kernel;
use crate::operation::{Family, Operation};
use crate::packed::{Codes, PackedWeights};
use crate::parallel::{Columns, Team};
use crate::random::SplitMix64;
use crate::reference;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

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
    let scales = case.scales.fill(layout, [rows, k], &mut random);
    let x = of_case(case, &x, &mut random);
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
        Family::W2gA8 => packed.grouped_products()?,
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

/// A token of the case's rule. Its scales are not powers of two, so that x / scale is rounded; otherwise f32 sums would
/// be exact and show no error. Those of blocks include the least that there are.
fn of_case(case: &Case, values: &[i8], random: &mut SplitMix64) -> QuantizedActivations {
    let Some(block) = case.rule.block() else {
        return QuantizedActivations::from_values(values, 10.0 + random.signed_unit());
    };
    let scale = |i| if i % 11 == 10 { [2f32.powi(-24), 0.0][i % 2] } else { 0.1 + random.signed_unit() / 16.0 };
    let scales: Vec<f32> = (0..values.len().div_ceil(block)).map(scale).collect();
    QuantizedActivations::from_blocks(values, case.rule, &scales)
}

/// Tokens of a case's batch: sizes take turns.
pub(super) fn batch_size(case: &Case) -> usize {
    const TOKENS: [usize; 10] = [1, 2, 3, 4, 5, 7, 8, 23, 25, 41];
    TOKENS[case.seed as usize % TOKENS.len()]
}

/// Activations of a batch's token: the case's own, then rotations and negations of them.
pub(super) fn of_batch(own: &[i8], token: usize) -> Vec<i8> {
    let mut values = own.to_vec();
    values.rotate_left(if own.is_empty() { 0 } else { token * 5 % own.len() });
    if token % 3 == 1 {
        values.iter_mut().for_each(|v| *v = v.saturating_neg());
    }
    values
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

    /// What the contract gives for every row.
    fn grouped(&self, x: &QuantizedActivations) -> Vec<f32> {
        (0..self.case.rows).map(|row| reference::codes_groups(&self.weights, row, self.row(row), x)).collect()
    }

    /// The oracle itself first: within its bound of the sum in f64.
    fn grouped_products(&self) -> Result<Errors, Wrong> {
        let (weights, x) = (&self.weights, &self.x);
        let want = self.grouped(x);
        for (row, &want) in want.iter().enumerate() {
            let (exact, bound) = reference::codes_groups_f64(weights, row, self.row(row), x);
            let within = (f64::from(want) - exact).abs() <= bound;
            if !within {
                return Err(format!("row {row}: the oracle is {want}, in f64 it is {exact}, within {bound}").into());
            }
        }
        // By their bits, so that a zero of the other sign is noticed too.
        let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<u32>>();
        let (wrong, all) = (Mutex::new(None), bits(&want));
        let expected: Vec<Expected> = want.into_iter().map(Expected::exactly).collect();
        let errors = self.by_ranges(f32::NAN, 0.0, &expected, |rows, y| {
            self.kernel.gemv_groups(weights, rows.clone(), &self.x, y)?;
            if let Some(at) = bits(y).iter().zip(&all[rows.clone()]).position(|(got, want)| got != want) {
                *wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some((rows.start + at, y[at]));
            }
            Ok(())
        })?;
        match wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((row, got)) => Err(format!("gemv, row {row}: {got:?} has other bits than the oracle's").into()),
            None => Ok(errors),
        }
    }

    /// A batch of tokens: the case's own activations first, then rotations and negations of them. Batch sizes take
    /// turns over the cases.
    fn batch_products(&self) -> Result<Errors, Wrong> {
        let case = self.case;
        let foreign = self.kernel.descriptor().foreign_kernel().is_some();
        // Large matrices once, with few tokens: the oracle takes its time.
        let few = foreign && case.rows * case.k > 1 << 20;
        let sizes = if few { &foreign::TOKENS[..2] } else { &foreign::TOKENS };
        let tokens = if foreign { sizes[case.seed as usize % sizes.len()] } else { batch_size(case) };
        let token = |t: usize| {
            let values = of_batch(self.x.values(), t);
            of_case(case, &values, &mut SplitMix64::new(case.seed + t as u64))
        };
        let x: Vec<QuantizedActivations> = (0..tokens).map(token).collect();
        if self.kernel.descriptor().family() == Family::W2gA8 {
            return self.grouped_batch(&x);
        }
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

    /// The very bits of the contract for each token.
    fn grouped_batch(&self, x: &[QuantizedActivations]) -> Result<Errors, Wrong> {
        let want: Vec<Vec<f32>> = x.iter().map(|x| self.grouped(x)).collect();
        for rows in [0..self.case.rows, self.middle()..self.case.rows] {
            let mut y = filled(x.len() * rows.len(), f32::NAN);
            let mut columns = Columns::all(&mut y, x.len(), rows.len());
            self.kernel.gemm_groups(&self.weights, rows.clone(), x, &mut columns)?;
            for (i, got) in y.iter().enumerate() {
                let (token, row) = (i / rows.len(), rows.start + i % rows.len());
                let want = want[token][row];
                if got.to_bits() != want.to_bits() {
                    let (tokens, other) = (x.len(), format!("{got:?} has other bits than the oracle's {want:?}"));
                    return Err(format!("gemm, token {token} of {tokens}, row {row}: {other}").into());
                }
            }
        }
        Ok(Errors::default())
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
}
