//! Exact before fast: every kernel's result on the operands that are about to be timed, against the oracle.

use super::operands::{Operands, refused};
use crate::error::{Error, Result};
use crate::scenario::Cell;
use kernels::conformance::{self, Expected, Mismatch, compare};
use kernels::parallel::Team;
use kernels::{Family, Kernel, KernelError, Operation, PackedWeights, QuantizedActivations, reference};
use model::hash::sha256_hex;
use std::ops::Range;

/// The hash of a kernel's output, and its error against the oracle.
#[derive(Clone, Debug)]
pub struct Checked {
    pub output_sha256: String,
    /// The oracle that the output was compared with, and the bound, in words.
    pub oracle: &'static str,
    /// Largest absolute difference from the oracle; 0 where results are equal.
    pub max_abs_error: f64,
}

const EXACT: &str = "kernels::reference, equal";
const FLOAT: &str = "kernels::reference in f64, within 1e-5 of the row's absolute sum";
const GROUPED: &str = "kernels::reference with scales of groups in their order, equal";
const SCALED: &str =
    "kernels::reference in f64 with all scales, within 1e-5 of the sum of |scale x scale x activation|";
const BATCH: &str = "kernels::reference for the first token, this kernel's gemv for the others, equal";

impl Checked {
    fn equal<T: bytemuck::NoUninit>(oracle: &'static str, output: &[T]) -> Self {
        Self { output_sha256: sha256_hex(bytemuck::cast_slice(output)), oracle, max_abs_error: 0.0 }
    }
}

/// Checks every kernel's output on these operands against the oracle.
///
/// # Errors
/// A result outside the bound, with its row.
pub fn check(cell: Cell, operands: &Operands, kernels: &[Kernel], team: &mut Team) -> Result<Vec<Checked>> {
    kernels.iter().map(|kernel| Check { cell, operands, kernel, oracle: true }.run(team)).collect()
}

/// SHA-256 of each kernel's output, unchecked, for a process whose twin was checked: equal hashes are equal outputs.
pub fn hashes(cell: Cell, operands: &Operands, kernels: &[Kernel], team: &mut Team) -> Result<Vec<String>> {
    let run = |kernel| Check { cell, operands, kernel, oracle: false }.run(team);
    kernels.iter().map(run).map(|checked| checked.map(|c| c.output_sha256)).collect()
}

struct Check<'a> {
    cell: Cell,
    operands: &'a Operands,
    kernel: &'a Kernel,
    /// Whether the output is compared with the oracle's.
    oracle: bool,
}

impl Check<'_> {
    fn run(&self, team: &mut Team) -> Result<Checked> {
        match (self.cell.op, self.kernel.descriptor().family()) {
            (Operation::Dequantize, _) => self.dequantize(),
            (op, Family::W2gA8) if self.kernel.descriptor().foreign_kernel().is_some() => self.scaled(op, team),
            (Operation::Gemm, Family::W2gA8) => {
                let (weights, first) = (self.weights(), self.gemv_groups(team)?);
                self.gemm(team, first, |x, y| self.kernel.gemv_groups(weights, 0..weights.rows(), x, y))
            }
            (Operation::Gemm, _) => {
                let (weights, first) = (self.weights(), self.gemv_i8(team)?);
                self.gemm(team, first, |x, y| self.kernel.gemv_i8(weights, 0..weights.rows(), x, y))
            }
            (Operation::Gemv, Family::W2A8) => self.gemv_i8(team).map(|y| Checked::equal(EXACT, &y)),
            (Operation::Gemv, Family::W2A32) => self.gemv_f32(team),
            (Operation::Gemv, Family::W2gA8) => self.gemv_groups(team).map(|y| Checked::equal(GROUPED, &y)),
        }
    }

    fn weights(&self) -> &PackedWeights {
        &self.operands.copies(self.kernel.descriptor().layout)[0]
    }

    fn failed(&self, error: KernelError) -> Error {
        refused(self.cell, self.kernel, &error)
    }

    /// The largest absolute difference from the oracle, where it is asked. An output has so many elements a row.
    fn compared<T: Copy + Into<f64>>(
        &self,
        output: &[T],
        elements_a_row: usize,
        bound: f64,
        oracle: impl Fn(usize) -> Expected,
    ) -> Result<f64> {
        if !self.oracle {
            return Ok(0.0);
        }
        let found = compare(output, bound, oracle);
        found.map(|errors| errors.absolute).map_err(|Mismatch { index, got, want, .. }| {
            let (id, op, m, k) = (self.kernel.id(), self.cell.op, self.cell.shape.m, self.cell.shape.k);
            let row = index / elements_a_row;
            Error::failed(format!("{op} {m}x{k}: {id} gives {got} in row {row}, the oracle {want}; it is not timed"))
        })
    }

    /// Codes of one row.
    fn codes(&self, row: usize) -> &[u8] {
        &self.operands.codes[row * self.cell.shape.k..][..self.cell.shape.k]
    }

    fn dequantize(&self) -> Result<Checked> {
        let (weights, k) = (self.weights(), self.cell.shape.k);
        let mut out = vec![f32::NAN; self.operands.codes.len()];
        self.kernel.dequantize(weights, 0..weights.rows(), &mut out).map_err(|e| self.failed(e))?;
        let scale = |i: usize| weights.scale_at(i / k, i % k);
        let weight = |i: usize| reference::weight(self.operands.codes[i], weights.table(), scale(i));
        self.compared(&out, k, 0.0, |i| Expected::exactly(weight(i)))?;
        Ok(Checked::equal(EXACT, &out))
    }

    fn gemv_i8(&self, team: &mut Team) -> Result<Vec<i32>> {
        let (weights, x) = (self.weights(), &self.operands.quantized()[0]);
        let mut y = vec![i32::MIN; weights.rows()];
        team.split_rows(weights.layout().rows, &mut y, |rows, y| self.kernel.gemv_i8(weights, rows, x, y))
            .map_err(|e| self.failed(e))?;
        let product = |row| reference::dot_i64(self.codes(row), weights.table(), x.values());
        self.compared(&y, 1, 0.0, |row| Expected::integer(product(row)))?;
        Ok(y)
    }

    fn gemv_groups(&self, team: &mut Team) -> Result<Vec<f32>> {
        let (weights, x) = (self.weights(), &self.operands.quantized()[0]);
        let mut y = vec![f32::NAN; weights.rows()];
        team.split_rows(weights.layout().rows, &mut y, |rows, y| self.kernel.gemv_groups(weights, rows, x, y))
            .map_err(|e| self.failed(e))?;
        self.compared(&y, 1, 0.0, |row| Expected::exactly(reference::codes_groups(weights, row, self.codes(row), x)))?;
        Ok(y)
    }

    /// Products of a library's kernel with all scales: in an order of roundings of its own, every token against f64.
    fn scaled(&self, op: Operation, team: &mut Team) -> Result<Checked> {
        let (weights, x) = (self.weights(), self.operands.quantized());
        let rows = weights.rows();
        let mut y = vec![f32::NAN; rows * x.len()];
        if op == Operation::Gemm {
            let words: &mut [i32] = bytemuck::cast_slice_mut(&mut y);
            super::batch::gemm(team, self.kernel, weights, x, words).map_err(|e| self.failed(e))?;
        } else {
            let gemv = |rows: Range<usize>, y: &mut [f32]| self.kernel.gemv_groups(weights, rows, &x[0], y);
            team.split_rows(weights.layout().rows, &mut y, gemv).map_err(|e| self.failed(e))?;
        }
        let mut max_abs_error = 0.0f64;
        for (y, x) in y.chunks_exact(rows).zip(x) {
            let product = |row| reference::codes_scaled_f64(weights, row, self.codes(row), x);
            let largest = self.compared(y, 1, conformance::F32_BOUND, |row| product(row).into())?;
            max_abs_error = max_abs_error.max(largest);
        }
        Ok(Checked { max_abs_error, ..Checked::equal(SCALED, &y) })
    }

    /// Products of a batch: the first token is `first`, which equals the oracle's, the others are what this kernel's
    /// gemv gives, which was right for the first.
    fn gemm<T: bytemuck::Pod + Into<f64>>(
        &self,
        team: &mut Team,
        first: Vec<T>,
        gemv: impl Fn(&QuantizedActivations, &mut [T]) -> std::result::Result<(), KernelError>,
    ) -> Result<Checked> {
        let (weights, x) = (self.weights(), self.operands.quantized());
        let (rows, mut want) = (weights.rows(), first);
        let mut words = vec![i32::MIN; rows * x.len()];
        super::batch::gemm(team, self.kernel, weights, x, &mut words).map_err(|e| self.failed(e))?;
        let y: &[T] = bytemuck::cast_slice(&words);
        for (t, (y, x)) in y.chunks_exact(rows).zip(x).enumerate().filter(|_| self.oracle) {
            if t > 0 {
                gemv(x, &mut want).map_err(|e| self.failed(e))?;
            }
            self.compared(y, 1, 0.0, |row| Expected::exactly(want[row]))?;
        }
        Ok(Checked::equal(BATCH, y))
    }

    fn gemv_f32(&self, team: &mut Team) -> Result<Checked> {
        let (weights, x) = (self.weights(), self.operands.float());
        let mut y = vec![f32::NAN; weights.rows()];
        team.split_rows(weights.layout().rows, &mut y, |rows, y| self.kernel.gemv_f32(weights, rows, x, y))
            .map_err(|e| self.failed(e))?;
        let scale = |row| move |column| weights.scale_at(row, column);
        let product = |row| reference::dot_f64(self.codes(row), weights.table(), scale(row), x.values());
        let max_abs_error = self.compared(&y, 1, conformance::F32_BOUND, |row| product(row).into())?;
        Ok(Checked { max_abs_error, ..Checked::equal(FLOAT, &y) })
    }
}
