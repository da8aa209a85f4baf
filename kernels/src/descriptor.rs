//! What a kernel says about itself, and the operands that it gets.

use crate::activation::QuantizedActivations;
use crate::cpu::CpuFeatures;
use crate::layout::Layout;
use crate::operation::{Family, Operation};
use crate::parallel::Columns;

/// Operands of `dequantize`, which writes `rows * k` weights as f32.
///
/// Guaranteed by the caller: `codes.len() == rows * row_bytes`, `scales.len() == rows * ceil(k / 256)`,
/// `weights.len() == rows * k`, `k > 0`, and the codes are in the kernel's packing.
pub struct Dequantize<'a> {
    /// Packed codes of the rows.
    pub codes: &'a [u8],
    /// Bytes from one row to the next.
    pub row_bytes: usize,
    /// Scale of each block of each row.
    pub scales: &'a [f32],
    /// Value of each code before scaling.
    pub table: [i8; 4],
    /// Columns: weights of a row.
    pub k: usize,
    /// Output, row after row.
    pub weights: &'a mut [f32],
}

/// Operands of a fused f32 matrix-vector product: `y[r] = sum over j of table[code] * scale * x[j]`.
///
/// Guaranteed by the caller: as in [`Dequantize`], `x.len()` is k rounded up to [`crate::K_PADDING`] with zeros beyond
/// k, and `y` has one element a row.
pub struct GemvF32<'a> {
    /// Packed codes of the rows.
    pub codes: &'a [u8],
    /// Bytes from one row to the next.
    pub row_bytes: usize,
    /// Scale of each block of each row.
    pub scales: &'a [f32],
    /// Value of each code before scaling.
    pub table: [i8; 4],
    /// Activations, padded with zeros.
    pub x: &'a [f32],
    /// Output, a product a row.
    pub y: &'a mut [f32],
}

/// Operands of an exact integer matrix-vector product: `y[r] = sum over j of (code - 1) * x[j]`.
///
/// Guaranteed by the caller: `codes` holds the panels of `y.len()` rows, `x.len()` is k rounded up to
/// [`crate::K_PADDING`] plus [`crate::K_SLACK`], with zeros beyond k, `x_sum` is the sum of `x`, and no code is 3.
pub struct GemvI8<'a> {
    /// Packed codes of the panels.
    pub codes: &'a [u8],
    /// Bytes from one panel to the next.
    pub panel_bytes: usize,
    /// Activations, padded with zeros.
    pub x: &'a [i8],
    /// Sum of all activations.
    pub x_sum: i32,
    /// Output, a product a row.
    pub y: &'a mut [i32],
}

/// Operands of exact integer products of a batch of tokens. Guaranteed by the caller: as in [`GemvI8`] for each token,
/// all of one length, and `y` has the same tokens and one column a row.
pub struct GemmI8<'a, 'y> {
    /// Packed codes of the panels.
    pub codes: &'a [u8],
    /// Bytes from one panel to the next.
    pub panel_bytes: usize,
    /// Activations of each token.
    pub x: &'a [QuantizedActivations],
    /// Output, token-major.
    pub y: &'a mut Columns<'y, i32>,
}

/// A kernel's product for a batch of tokens. Unsafe to call: the CPU must have the features of the kernel's descriptor.
pub type GemmFn = unsafe fn(GemmI8<'_, '_>);

/// A kernel's way to write weights as f32. Unsafe to call: the CPU must have the features of the kernel's descriptor.
pub type DequantizeFn = unsafe fn(Dequantize<'_>);

/// A kernel's matrix-vector product. Unsafe to call: the CPU must have the features of the kernel's descriptor.
#[derive(Clone, Copy)]
pub enum Gemv {
    /// f32 activations.
    F32(unsafe fn(GemvF32<'_>)),
    /// int8 activations, exact.
    I8(unsafe fn(GemvI8<'_>)),
}

/// What is listed of a kernel, and the functions it is called by: one `static` a kernel file, one line in its family's
/// list ([`crate::registry`]). It says what is particular to it and takes the rest from [`Self::w2a32`] or
/// [`Self::w2a8`].
pub struct KernelDescriptor {
    /// `{isa}-{technique}`, the file's name with dashes. Unique.
    pub id: &'static str,
    /// Instruction set family, for grouping.
    pub isa: &'static str,
    /// What the CPU must have. The functions below enable exactly these.
    pub requires: CpuFeatures,
    /// Layout that it reads.
    pub layout: &'static Layout,
    /// The multiply instruction whose peak bounds it, by its id in [`crate::peak`]. None for portable Rust, which the
    /// compiler turns into the one of the architecture's base.
    pub multiply: Option<&'static str>,
    /// Rows and tokens that its inner loop computes at once (mr, nr).
    pub tile: (usize, usize),
    /// Writes weights as f32.
    pub dequantize: Option<DequantizeFn>,
    /// Matrix times vector. Its kind decides the family.
    pub gemv: Gemv,
    /// Matrix times a batch of int8 vectors, bit-identical to `gemv` on each.
    pub gemm: Option<GemmFn>,
    /// Whether some input can saturate an intermediate result. Such a kernel is listed and refused a timing.
    pub may_saturate: bool,
    /// Whether each call first makes tables of its activations: it should get all its rows at once.
    pub tables_per_call: bool,
    /// The kernel that this one improves on.
    pub builds_on: Option<&'static str>,
    /// One sentence: what is different here.
    pub summary: &'static str,
}

impl KernelDescriptor {
    /// What a W2A32 kernel is where it does not say otherwise: portable Rust, one row at a time, no `dequantize`. It
    /// still has to say its id and its summary.
    pub const fn w2a32(layout: &'static Layout, gemv: unsafe fn(GemvF32<'_>)) -> Self {
        Self::portable(layout, Gemv::F32(gemv))
    }

    /// What a W2A8 kernel is where it does not say otherwise: portable Rust, one row at a time, no gemm, nothing that
    /// saturates. It still has to say its id and its summary.
    pub const fn w2a8(layout: &'static Layout, gemv: unsafe fn(GemvI8<'_>)) -> Self {
        Self::portable(layout, Gemv::I8(gemv))
    }

    const fn portable(layout: &'static Layout, gemv: Gemv) -> Self {
        Self {
            id: "",
            isa: "scalar",
            requires: CpuFeatures::NONE,
            layout,
            multiply: None,
            tile: (1, 1),
            dequantize: None,
            gemv,
            gemm: None,
            may_saturate: false,
            tables_per_call: false,
            builds_on: None,
            summary: "",
        }
    }

    /// Which kernels this one is compared with, and what activations it takes.
    pub fn family(&self) -> Family {
        match self.gemv {
            Gemv::F32(_) => Family::W2A32,
            Gemv::I8(_) => Family::W2A8,
        }
    }

    /// Whether results equal the oracle bit for bit: integer sums do, f32 sums depend on their order.
    pub fn exact(&self) -> bool {
        self.family() == Family::W2A8 && !self.may_saturate
    }

    /// What it implements, in the order of [`Operation::ALL`].
    pub fn operations(&self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(|&operation| self.has(operation))
    }

    /// Whether it implements `operation`.
    pub fn has(&self, operation: Operation) -> bool {
        match operation {
            Operation::Dequantize => self.dequantize.is_some(),
            Operation::Gemv => true,
            Operation::Gemm => self.gemm.is_some(),
        }
    }

    /// The name that receipts hold: `{op}-{act}{weight}{out}-{isa}-{technique}-{mr}x{nr}`.
    pub fn long_name(&self, operation: Operation) -> String {
        let types = match (operation, self.family()) {
            (Operation::Dequantize, _) => "w2f32",
            (_, Family::W2A32) => "f32w2f32",
            (_, Family::W2A8) => "i8w2i32",
        };
        format!("{operation}-{types}-{}-{}x{}", self.id, self.tile.0, self.tile.1)
    }
}

/// Modules of a family's folder, each with a `DESCRIPTOR`, and the slice of these in ladder order. Code for one
/// architecture says so: `avx2_i8 if target_arch = "x86_64",`.
macro_rules! kernels {
    ($($module:ident $(if $machine:meta)?,)*) => {
        $($(#[cfg($machine)])? pub(crate) mod $module;)*

        /// The kernels of this family that were compiled for this architecture.
        pub(crate) const KERNELS: &[&crate::descriptor::KernelDescriptor] =
            &[$($(#[cfg($machine)])? &$module::DESCRIPTOR),*];
    };
}
pub(crate) use kernels;
