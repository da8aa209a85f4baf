//! A kernel that may be called: its descriptor and the proof that this CPU has what it needs.

use crate::activation::{FloatActivations, QuantizedActivations};
use crate::cpu::CpuFeatures;
use crate::descriptor::{
    Dequantize, Gemm, GemmGroups, GemmI8, GemmTile, Gemv, GemvF32, GemvGroups, GemvI8, KernelDescriptor,
};
use crate::error::{KernelError, same};
use crate::operation::{Family, Operation};
use crate::packed::PackedWeights;
use crate::parallel::Columns;
use crate::prefetch::Prefetch;
use crate::{MAX_K_I8, padded_k};
use std::fmt;
use std::ops::Range;

/// Why a kernel cannot run: features that it requires and that are missing or masked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("kernel {id} needs {missing}, which this CPU {why}")]
pub struct Unsupported {
    /// Id of the kernel (or product path) that cannot run.
    pub id: &'static str,
    /// Features that it requires and that are missing or masked.
    pub missing: CpuFeatures,
    /// The verb of the message, for example `lacks` or `has but a mask hides`.
    pub why: &'static str,
}

impl Unsupported {
    /// Ok if both this CPU and `allowed` have what `id` requires.
    pub(crate) fn check(id: &'static str, requires: CpuFeatures, allowed: CpuFeatures) -> Result<(), Self> {
        let (lacking, masked) = (requires.without(CpuFeatures::detect()), requires.without(allowed));
        let (missing, why) = if lacking.is_empty() {
            (masked, "has but a mask hides")
        } else if let Ok(None) = CpuFeatures::mask_from_environment() {
            (lacking, "lacks")
        } else {
            (lacking, "lacks or TRITBENCH_CPU_FEATURES hides")
        };
        if missing.is_empty() { Ok(()) } else { Err(Self { id, missing, why }) }
    }
}

/// A kernel whose features this CPU has. Only [`Kernel::new`] can make one, because the field is private, so a value of
/// this type proves that its functions may be called (the idea of rten-gemm's kernel types).
#[derive(Clone, Copy)]
pub struct Kernel {
    descriptor: &'static KernelDescriptor,
    tuning: Tuning,
}

/// Ways to call a kernel that give the same bits: which is fastest depends on the machine and on where the weights are,
/// so whoever times things chooses. Made of nothing but measurements; the default is what needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How weights are asked for ahead of their loads.
    pub prefetch: Prefetch,
    /// Tokens of the smallest batch that the kernel's product for batches computes, if it has one; a smaller batch is
    /// computed token by token.
    pub gemm_from: usize,
    /// Which tile that product uses.
    pub tile: GemmTile,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { prefetch: Prefetch::OneLevel, gemm_from: 2, tile: GemmTile::Tall }
    }
}

impl Kernel {
    /// Makes the kernel callable if both this CPU and `allowed` have its features. `allowed` can only take features
    /// away.
    ///
    /// # Errors
    /// Which features are missing, and whether the CPU or the mask is the reason.
    pub fn new(descriptor: &'static KernelDescriptor, allowed: CpuFeatures) -> Result<Self, Unsupported> {
        Unsupported::check(descriptor.id, descriptor.requires, allowed)?;
        Ok(Self { descriptor, tuning: Tuning::default() })
    }

    /// The same kernel, called in another way. Results stay the same, bit for bit.
    pub fn tuned(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// How this kernel is called.
    pub fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// The kernel's descriptor: its name, layout, requirements and functions.
    pub fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    /// The kernel's name in listings and receipts.
    pub fn id(&self) -> &'static str {
        self.descriptor.id
    }

    /// Writes the weights of `rows` as f32, `rows.len() * k` of them.
    ///
    /// # Errors
    /// Another packing, a wrong length, or no such operation.
    pub fn dequantize(&self, weights: &PackedWeights, rows: Range<usize>, out: &mut [f32]) -> Result<(), KernelError> {
        let dequantize = self.descriptor.dequantize.ok_or_else(|| self.lacks("dequantize"))?;
        self.check(weights, &rows)?;
        same("output", rows.len() * weights.k(), out.len())?;
        if out.is_empty() {
            return Ok(());
        }
        let (codes, row_bytes, scales) = (weights.panels(&rows), weights.panel_bytes(), weights.scales(&rows));
        let (table, k) = (weights.table().0, weights.k());
        // SAFETY: `new` checked that the CPU has the features that the function enables.
        unsafe { dequantize(Dequantize { codes, row_bytes, scales, table, k, weights: out }) };
        Ok(())
    }

    /// Multiplies `rows` with f32 activations, scales included.
    ///
    /// # Errors
    /// Another packing, a wrong length, a range that splits a panel, or a kernel with int8 activations.
    pub fn gemv_f32(
        &self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &FloatActivations,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        if self.descriptor.family() != Family::W2A32 {
            return Err(self.lacks("gemv with f32 activations"));
        }
        self.check(weights, &rows)?;
        same("activations", weights.k(), x.len())?;
        same("output", rows.len(), y.len())?;
        if x.is_empty() {
            y.fill(0.0);
            return Ok(());
        }
        let gemv = match self.descriptor.gemv {
            Gemv::F32(gemv) => gemv,
            Gemv::Foreign(foreign) => return foreign.gemv_f32(weights, rows, x, y),
            Gemv::I8(_) | Gemv::Groups(_) | Gemv::ForeignGroups(_) | Gemv::Device => {
                return Err(self.lacks("gemv with f32 activations"));
            }
        };
        debug_assert_eq!(x.padded().len(), padded_k(weights.k()));
        let (codes, row_bytes, scales) = (weights.panels(&rows), weights.panel_bytes(), weights.scales(&rows));
        let (table, x) = (weights.table().0, x.padded());
        // SAFETY: `new` checked that the CPU has the features that the function enables.
        unsafe { gemv(GemvF32 { codes, row_bytes, scales, table, x, y }) };
        Ok(())
    }

    /// Multiplies `rows` with int8 activations: exact integers, before any scale.
    ///
    /// # Errors
    /// Another packing or code table, a wrong length, k above [`MAX_K_I8`], a range that starts inside a panel, or a
    /// kernel with f32 activations.
    pub fn gemv_i8(
        &self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &QuantizedActivations,
        y: &mut [i32],
    ) -> Result<(), KernelError> {
        if self.descriptor.family() != Family::W2A8 {
            return Err(self.lacks("gemv with int8 activations"));
        }
        self.check_rounded(weights, &rows, std::slice::from_ref(x), y.len())?;
        if x.is_empty() {
            y.fill(0);
            return Ok(());
        }
        let gemv = match self.descriptor.gemv {
            Gemv::I8(gemv) => gemv,
            Gemv::Foreign(foreign) => return foreign.gemv_i8(weights, rows, x, y),
            Gemv::F32(_) | Gemv::Groups(_) | Gemv::ForeignGroups(_) | Gemv::Device => {
                return Err(self.lacks("gemv with int8 activations"));
            }
        };
        let (codes, panel_bytes) = (weights.panels(&rows), weights.panel_bytes());
        let prefetch = self.tuning.prefetch;
        // SAFETY: `new` checked that the CPU has the features that the function enables.
        unsafe { gemv(GemvI8 { codes, panel_bytes, x: x.padded(), x_sum: x.sum(), prefetch, y }) };
        Ok(())
    }

    /// Multiplies `rows` with int8 activations, all scales included but that of a token: what [`GemvGroups`] lays down,
    /// bit for bit. A kernel of a library applies that of a token too, and has an order of roundings of its own
    /// ([`Gemv::ForeignGroups`]).
    ///
    /// # Errors
    /// As [`Self::gemv_i8`], for a kernel of another family, and activations by a rule that it does not know.
    pub fn gemv_groups(
        &self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &QuantizedActivations,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        if self.descriptor.family() != Family::W2gA8 {
            return Err(self.lacks("gemv with scales of groups"));
        }
        self.check_rounded(weights, &rows, std::slice::from_ref(x), y.len())?;
        if x.is_empty() {
            y.fill(0.0);
            return Ok(());
        }
        let gemv = match self.descriptor.gemv {
            Gemv::Groups(gemv) => gemv,
            Gemv::ForeignGroups(foreign) => return foreign.gemv_groups(weights, rows, x, y),
            Gemv::F32(_) | Gemv::I8(_) | Gemv::Foreign(_) | Gemv::Device => {
                return Err(self.lacks("gemv with scales of groups"));
            }
        };
        let (group, rule) = (self.group_of(weights)?, x.rule());
        let sums = x.sums(rule.unit(group)).ok_or_else(|| self.lacks("groups of the weights' size"))?;
        let (codes, scales) = (weights.panels(&rows), weights.scales(&rows));
        let (panel_bytes, groups) = (weights.panel_bytes(), weights.k().div_ceil(group));
        let (x, x_scales, prefetch) = (x.padded(), x.block_scales(), self.tuning.prefetch);
        let args = GemvGroups { codes, panel_bytes, scales, groups, group, x, rule, sums, x_scales, prefetch, y };
        // SAFETY: `new` checked that the CPU has the features that the function enables.
        unsafe { gemv(args) };
        Ok(())
    }

    /// Multiplies `rows` with a batch of int8 tokens: the bits that [`Self::gemv_groups`] gives for each.
    ///
    /// # Errors
    /// As [`Self::gemv_groups`], tokens by several rules, or no such gemm.
    pub fn gemm_groups(
        &self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &[QuantizedActivations],
        y: &mut Columns<'_, f32>,
    ) -> Result<(), KernelError> {
        if self.descriptor.family() != Family::W2gA8 || !self.descriptor.has(Operation::Gemm) {
            return Err(self.lacks("gemm with scales of groups"));
        }
        self.check_rounded(weights, &rows, x, y.len())?;
        same("tokens of the output", x.len(), y.tokens())?;
        let Some(first) = x.first() else { return Ok(()) };
        if let Some(other) = x.iter().map(QuantizedActivations::rule).find(|rule| *rule != first.rule()) {
            return Err(KernelError::Activations { kernel: self.id(), rule: other });
        }
        if weights.k() == 0 {
            (0..x.len()).for_each(|t| y.token(t).fill(0.0));
            return Ok(());
        }
        if let Gemv::ForeignGroups(foreign) = self.descriptor.gemv {
            return foreign.gemm_groups(weights, rows, x, y);
        }
        let Some(Gemm::Groups(gemm)) = self.descriptor.gemm else {
            return Err(self.lacks("gemm with scales of groups"));
        };
        let group = self.group_of(weights)?;
        let (codes, scales) = (weights.panels(&rows), weights.scales(&rows));
        let (panel_bytes, groups) = (weights.panel_bytes(), weights.k().div_ceil(group));
        let Tuning { prefetch, tile, .. } = self.tuning;
        let args = GemmGroups { codes, panel_bytes, scales, groups, group, x, prefetch, tile, y };
        // SAFETY: `new` checked that the CPU has the features that the function enables.
        unsafe { gemm(args) };
        Ok(())
    }

    fn group_of(&self, weights: &PackedWeights) -> Result<usize, KernelError> {
        weights.group().ok_or_else(|| self.lacks("groups of the weights' size"))
    }

    /// That weights and int8 activations fit this kernel and each other, and an output of so many rows them.
    fn check_rounded(
        &self,
        weights: &PackedWeights,
        rows: &Range<usize>,
        x: &[QuantizedActivations],
        output: usize,
    ) -> Result<(), KernelError> {
        self.check(weights, rows)?;
        check_exact(self.id(), self.descriptor.four_codes(), weights)?;
        x.iter().try_for_each(|x| same("activations", weights.k(), x.len()))?;
        same("output", rows.len(), output)?;
        let unknown = x.iter().map(QuantizedActivations::rule).find(|rule| !self.descriptor.rules.contains(rule));
        unknown.map_or(Ok(()), |rule| Err(KernelError::Activations { kernel: self.id(), rule }))
    }

    /// Multiplies `rows` with a batch of int8 tokens: the integers that [`Self::gemv_i8`] gives for each.
    ///
    /// # Errors
    /// As [`Self::gemv_i8`], or no such gemm.
    pub fn gemm_i8(
        &self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &[QuantizedActivations],
        y: &mut Columns<'_, i32>,
    ) -> Result<(), KernelError> {
        if !self.descriptor.has(Operation::Gemm) {
            return Err(self.lacks("gemm"));
        }
        self.check_rounded(weights, &rows, x, y.len())?;
        same("tokens of the output", x.len(), y.tokens())?;
        if weights.k() == 0 {
            (0..x.len()).for_each(|t| y.token(t).fill(0));
            return Ok(());
        }
        if let Gemv::Foreign(foreign) = self.descriptor.gemv {
            return foreign.gemm_i8(weights, rows, x, y);
        }
        let Some(Gemm::I8(gemm)) = self.descriptor.gemm else { return Err(self.lacks("gemm of integers")) };
        let (codes, panel_bytes) = (weights.panels(&rows), weights.panel_bytes());
        let Tuning { prefetch, tile, .. } = self.tuning;
        // SAFETY: `new` checked that the CPU has the features that the function enables.
        unsafe { gemm(GemmI8 { codes, panel_bytes, x, prefetch, tile, y }) };
        Ok(())
    }

    fn lacks(&self, operation: &'static str) -> KernelError {
        KernelError::NoSuchOperation { kernel: self.id(), operation }
    }

    /// That the weights are packed for this kernel, and that the rows are theirs and start on a panel.
    pub(crate) fn check(&self, weights: &PackedWeights, rows: &Range<usize>) -> Result<(), KernelError> {
        let (expected, actual) = (self.descriptor.layout, weights.layout());
        if !expected.has_form(actual) {
            return Err(KernelError::LayoutMismatch { kernel: self.id(), expected, actual });
        }
        if rows.end > weights.rows() || rows.start > rows.end {
            let (expected, actual) = (weights.rows(), rows.end);
            return Err(KernelError::Shape { what: "end of the row range", expected, actual });
        }
        let panel_rows = actual.rows;
        if rows.start != 0 && !rows.start.is_multiple_of(panel_rows) {
            return Err(KernelError::PanelBoundary { row: rows.start, layout: actual, panel_rows });
        }
        Ok(())
    }
}

/// That sums of these weights times int8 are exact: a weight is its code minus one, code 3 occurs only with a kernel
/// that takes it, and k is within the proven bound.
pub(crate) fn check_exact(kernel: &'static str, four_codes: bool, weights: &PackedWeights) -> Result<(), KernelError> {
    let table = weights.table();
    if !(table.is_ternary() || four_codes && table.is_code_minus_one()) {
        return Err(KernelError::CodeTable { kernel, table: weights.table().0 });
    }
    if weights.k() > MAX_K_I8 {
        return Err(KernelError::TooLarge { rows: weights.rows(), k: weights.k() });
    }
    Ok(())
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.id())
    }
}
