//! What a kernel says about itself, and the operands that it gets.

use crate::activation::{ActivationRule, QuantizedActivations};
use crate::cpu::CpuFeatures;
use crate::foreign::kernel::ForeignKernel;
use crate::layout::Layout;
use crate::operation::{Family, Operation};
use crate::packed::{Needs, ScaleUnit};
use crate::parallel::Columns;
use crate::prefetch::Prefetch;

/// Operands of `dequantize`, which writes `rows * k` weights as f32.
///
/// Guaranteed by the caller: `codes.len() == rows * row_bytes`, `scales.len() == rows * ceil(k / 256)`,
/// `weights.len() == rows * k`, `k > 0`, and the codes are in the kernel's packing.
pub struct Dequantize<'a> {
    /// Packed 2-bit codes of the rows, in the kernel's layout.
    pub codes: &'a [u8],
    /// Bytes from the start of one row's codes to the start of the next row's.
    pub row_bytes: usize,
    /// f32 scales, one for each block of 256 weights of each row, row after row.
    pub scales: &'a [f32],
    /// Weight that each code 0, 1, 2, 3 stands for, before the scale.
    pub table: [i8; 4],
    /// Number of columns: weights in a row.
    pub k: usize,
    /// Output: `rows * k` weights as f32, row after row.
    pub weights: &'a mut [f32],
}

/// Operands of a fused f32 matrix-vector product: `y[r] = sum over j of table[code] * scale * x[j]`.
///
/// Guaranteed by the caller: as in [`Dequantize`], `x.len()` is k rounded up to [`crate::K_PADDING`] with zeros beyond
/// k, and `y` has one element a row.
pub struct GemvF32<'a> {
    /// Packed 2-bit codes of the rows, in the kernel's layout.
    pub codes: &'a [u8],
    /// Bytes from the start of one row's codes to the start of the next row's.
    pub row_bytes: usize,
    /// f32 scales, one for each block of 256 weights of each row, row after row.
    pub scales: &'a [f32],
    /// Weight that each code 0, 1, 2, 3 stands for, before the scale.
    pub table: [i8; 4],
    /// Input: f32 activations, padded with zeros.
    pub x: &'a [f32],
    /// Output: one f32 product for each row, scales applied.
    pub y: &'a mut [f32],
}

/// Operands of an exact integer matrix-vector product: `y[r] = sum over j of (code - 1) * x[j]`.
///
/// Guaranteed by the caller: `codes` holds the panels of `y.len()` rows, `x.len()` is k rounded up to
/// [`crate::K_PADDING`] plus [`crate::K_SLACK`], with zeros beyond k, `x_sum` is the sum of `x`, and no code is 3
/// unless [`KernelDescriptor::four_codes`] lets it through.
pub struct GemvI8<'a> {
    /// Packed 2-bit codes of the panels (groups of rows that are packed together).
    pub codes: &'a [u8],
    /// Bytes from the start of one panel to the start of the next.
    pub panel_bytes: usize,
    /// Input: int8 activations, padded with zeros.
    pub x: &'a [i8],
    /// Sum of all activations in `x`.
    pub x_sum: i32,
    /// How the codes are asked for ahead of their loads; kernels may ignore it.
    pub prefetch: Prefetch,
    /// Output: one int32 product for each row, before any scale.
    pub y: &'a mut [i32],
}

/// Operands of a matrix-vector product with a scale for each group of weights.
///
/// Sums are exact over units: a group of weights, or a block of activations that share a scale where a group has
/// several ([`ActivationRule::unit`]). With S the sum of (code - 1) * x over a unit, d the scale of a group, s that of
/// a block, row r is, over all groups in ascending order from +0,
/// - `acc = fma(S, d, acc)` where all activations of a token share a scale, which is not applied;
/// - `acc = fma(S, d * s, acc)` where a block has one group or several, the product rounded once;
/// - `acc = fma(t, d, acc)` with `t = S * s`, rounded once, of a group's first block and `t = fma(S, s, t)` of each
///   further one.
///
/// All roundings are to nearest, without flushing subnormals. So the bits depend on no tile, no number of threads and
/// no instruction set.
///
/// Guaranteed by the caller: `codes` holds the panels of `y.len()` rows, `scales` those of the same panels, group after
/// group and row after row within a panel, and none where they are among the codes; `x` is padded as in [`GemvI8`],
/// `group` is one of the layout's, `sums` has the sums of so many activations as a unit has, padding included,
/// `x_scales` that of each block, 0 or at least 2^-24, padding included; `k > 0`.
pub struct GemvGroups<'a> {
    /// Packed 2-bit codes of the panels, and their scales where the layout has them among the codes.
    pub codes: &'a [u8],
    /// Bytes from the start of one panel to the start of the next.
    pub panel_bytes: usize,
    /// f32 scales of the panels: `panels * ceil(k / group) * rows of a panel`; empty where they are among the codes.
    pub scales: &'a [f32],
    /// Groups of a row, the last of which may be short: `ceil(k / group)`.
    pub groups: usize,
    /// Weights of a group.
    pub group: usize,
    /// Input: int8 activations, padded with zeros.
    pub x: &'a [i8],
    /// Which activations share a scale: one of the kernel's [`KernelDescriptor::rules`].
    pub rule: ActivationRule,
    /// Sum of the activations of each unit.
    pub sums: &'a [i32],
    /// What the sums of each block are multiplied with; empty where a token has one scale.
    pub x_scales: &'a [f32],
    /// How the codes are asked for ahead of their loads; kernels may ignore it.
    pub prefetch: Prefetch,
    /// Output: one f32 for each row, before the scale of the token if it has one.
    pub y: &'a mut [f32],
}

/// Operands of products of a batch of tokens with scales of groups. Guaranteed by the caller: as in [`GemvGroups`] for
/// each token, all of one length and by one rule, and `y` has the same tokens and one column a row.
pub struct GemmGroups<'a, 'y> {
    /// Packed 2-bit codes of the panels, and their scales where the layout has them among the codes.
    pub codes: &'a [u8],
    /// Bytes from the start of one panel to the start of the next.
    pub panel_bytes: usize,
    /// f32 scales of the panels: `panels * ceil(k / group) * rows of a panel`; empty where they are among the codes.
    pub scales: &'a [f32],
    /// Groups of a row, the last of which may be short: `ceil(k / group)`.
    pub groups: usize,
    /// Weights of a group.
    pub group: usize,
    /// Input: the int8 activations of each token of the batch.
    pub x: &'a [QuantizedActivations],
    /// How the codes are asked for ahead of their loads; kernels may ignore it.
    pub prefetch: Prefetch,
    /// Which tile goes over the batch; kernels with one ignore it.
    pub tile: GemmTile,
    /// Output: f32 products before the scale of a token if it has one, one token after the other.
    pub y: &'a mut Columns<'y, f32>,
}

/// Shape of the tile that a product for batches keeps in registers, where a kernel has two. Results do not depend on
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GemmTile {
    /// One panel by many tokens: activations come from memory with each product.
    #[default]
    Tall,
    /// By fewer tokens, with two sums of each: of two panels, for which an activation is loaded once, or, where units
    /// are short, of two units of one panel, so that what a unit ends with finds its sums in registers.
    Wide,
}

impl GemmTile {
    /// Both shapes, the default first.
    pub const ALL: [Self; 2] = [Self::Tall, Self::Wide];

    /// Name in receipts: `tall tile` or `wide tile`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tall => "tall tile",
            Self::Wide => "wide tile",
        }
    }
}

/// Operands of exact integer products of a batch of tokens. Guaranteed by the caller: as in [`GemvI8`] for each token,
/// all of one length, and `y` has the same tokens and one column a row.
pub struct GemmI8<'a, 'y> {
    /// Packed 2-bit codes of the panels (groups of rows that are packed together).
    pub codes: &'a [u8],
    /// Bytes from the start of one panel to the start of the next.
    pub panel_bytes: usize,
    /// Input: the int8 activations of each token of the batch.
    pub x: &'a [QuantizedActivations],
    /// How the codes are asked for ahead of their loads; kernels may ignore it.
    pub prefetch: Prefetch,
    /// Which tile goes over the batch; kernels with one ignore it.
    pub tile: GemmTile,
    /// Output: int32 products, one token after the other.
    pub y: &'a mut Columns<'y, i32>,
}

/// A kernel's product for a batch of tokens, of the family of its gemv. Unsafe to call: the CPU must have the features
/// of the kernel's descriptor.
#[derive(Clone, Copy)]
pub enum Gemm {
    /// Exact integers (the W2A8 family).
    I8(unsafe fn(GemmI8<'_, '_>)),
    /// Exact integers of a device ([`Gemv::Device`]).
    Device,
    /// With a scale for each group of weights (the W2gA8 family).
    Groups(unsafe fn(GemmGroups<'_, '_>)),
}

/// A kernel's way to write weights as f32. Unsafe to call: the CPU must have the features of the kernel's descriptor.
pub type DequantizeFn = unsafe fn(Dequantize<'_>);

/// A kernel's matrix-vector product. Unsafe to call: the CPU must have the features of the kernel's descriptor.
#[derive(Clone, Copy)]
pub enum Gemv {
    /// A product with f32 activations (the W2A32 family).
    F32(unsafe fn(GemvF32<'_>)),
    /// An exact integer product with int8 activations (the W2A8 family).
    I8(unsafe fn(GemvI8<'_>)),
    /// A product with int8 activations and a scale for each group of weights (the W2gA8 family).
    Groups(unsafe fn(GemvGroups<'_>)),
    /// All operations of a foreign kernel, which has its own packing and its own form of activations.
    Foreign(&'static ForeignKernel),
    /// The same of one that applies scales, given those of groups: products with all scales, that of a token too,
    /// within [`crate::conformance::F32_BOUND`] of the sum of the terms' magnitudes.
    ForeignGroups(&'static ForeignKernel),
    /// Exact integers (the W2A8 family) that a device computes, which this CPU does not: there is no function to call,
    /// and whoever drives the device multiplies ([`crate::conformance::Elsewhere`]).
    Device,
}

/// What is listed of a kernel, and the functions it is called by: one `static` a kernel file, one line in its family's
/// list ([`crate::registry`]). It says what is particular to it and takes the rest from [`Self::w2a32`], [`Self::w2a8`]
/// or [`Self::w2ga8`].
pub struct KernelDescriptor {
    /// Unique name of the kernel, `{isa}-{technique}`: its file's name with dashes, for example `avx2-i8`.
    pub id: &'static str,
    /// Instruction set family, by which reports group kernels, for example `avx2`.
    pub isa: &'static str,
    /// CPU features that the kernel needs. Its functions enable exactly these.
    pub requires: CpuFeatures,
    /// Layout of the packed weights that the kernel reads.
    pub layout: &'static Layout,
    /// Id in [`crate::peak`] of the multiply instruction whose peak bounds the kernel. None for portable Rust, which
    /// the compiler turns into the one of the architecture's base.
    pub multiply: Option<&'static str>,
    /// Numbers of rows and of tokens that the inner loop computes at once (mr, nr).
    pub tile: (usize, usize),
    /// The kernel's function that writes weights as f32, if it has one.
    pub dequantize: Option<DequantizeFn>,
    /// The kernel's matrix-vector product. Its kind of activations decides the [`Family`].
    pub gemv: Gemv,
    /// The kernel's matrix product with a batch of int8 vectors, if it has one: bit-identical to `gemv` on each.
    pub gemm: Option<Gemm>,
    /// Which activations may share a scale. Integer sums of a whole row know one scale a token.
    pub rules: &'static [ActivationRule],
    /// The ways to ask ahead that make a difference to it. One that asks in a way of its own, or not at all, has the
    /// first alone, so that nobody times it twice.
    pub prefetches: &'static [Prefetch],
    /// By which rules of activations the gemm has a wide tile beside its tall one.
    pub wide_tile: &'static [ActivationRule],
    /// Whether some input can saturate an intermediate result. Such a kernel is listed and refused a timing.
    pub may_saturate: bool,
    /// Whether it refuses weights with code 3 although its layout has a place for them.
    pub three_codes: bool,
    /// Whether each call of the kernel first makes tables of its activations: then a call should get all rows at once.
    pub tables_per_call: bool,
    /// The same kernel of a library as one of the family W2gA8: given weights with scales of groups and activations
    /// with those of its rule, which it applies. Here its scales are 1. None of other kernels.
    pub with_groups: Option<&'static KernelDescriptor>,
    /// Id of the kernel that this one improves on.
    pub builds_on: Option<&'static str>,
    /// One sentence on what this kernel does differently from the one before.
    pub summary: &'static str,
}

impl KernelDescriptor {
    /// The tiles of its gemm for activations by this rule, first the one that is wanted where their times tie: the
    /// wide one, which asks for fewer loads.
    pub fn tiles(&self, rule: ActivationRule) -> &'static [GemmTile] {
        if self.wide_tile.contains(&rule) { &[GemmTile::Wide, GemmTile::Tall] } else { &[GemmTile::Tall] }
    }

    /// What a W2A32 kernel is where it does not say otherwise: portable Rust, one row at a time, no `dequantize`. It
    /// still has to say its id and its summary.
    pub const fn w2a32(layout: &'static Layout, gemv: unsafe fn(GemvF32<'_>)) -> Self {
        Self { rules: &ActivationRule::ALL, ..Self::portable(layout, Gemv::F32(gemv)) }
    }

    /// What a W2A8 kernel is where it does not say otherwise: portable Rust, one row at a time, no gemm, nothing that
    /// saturates. It still has to say its id and its summary.
    pub const fn w2a8(layout: &'static Layout, gemv: unsafe fn(GemvI8<'_>)) -> Self {
        Self::portable(layout, Gemv::I8(gemv))
    }

    /// What a W2gA8 kernel is where it does not say otherwise: as [`Self::w2a8`], by all rules.
    pub const fn w2ga8(layout: &'static Layout, gemv: unsafe fn(GemvGroups<'_>)) -> Self {
        Self { rules: &ActivationRule::ALL, ..Self::portable(layout, Gemv::Groups(gemv)) }
    }

    /// A kernel of a foreign library, as [`ForeignKernel::describe`] completes it.
    pub(crate) const fn foreign(layout: &'static Layout, gemv: Gemv) -> Self {
        Self::portable(layout, gemv)
    }

    /// A W2A8 kernel of a device, which computes what functions do for others. It still has to say its id, its `isa`
    /// and its summary.
    pub const fn device(layout: &'static Layout) -> Self {
        Self { gemm: Some(Gemm::Device), ..Self::portable(layout, Gemv::Device) }
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
            rules: &[ActivationRule::Token],
            prefetches: &[Prefetch::OneLevel],
            wide_tile: &[],
            may_saturate: false,
            three_codes: false,
            tables_per_call: false,
            with_groups: None,
            builds_on: None,
            summary: "",
        }
    }

    /// Which kernels this one is compared with, and what activations it takes.
    pub fn family(&self) -> Family {
        match self.gemv {
            Gemv::F32(_) => Family::W2A32,
            Gemv::I8(_) | Gemv::Device => Family::W2A8,
            Gemv::Groups(_) | Gemv::ForeignGroups(_) => Family::W2gA8,
            Gemv::Foreign(foreign) => foreign.family(),
        }
    }

    /// Whether results equal the oracle bit for bit: integer sums do, and f32 sums whose order is laid down; those of
    /// W2A32 kernels depend on an order of their own, and those of a library with scales of groups.
    pub fn exact(&self) -> bool {
        let own_order = self.family() == Family::W2A32 || matches!(self.gemv, Gemv::ForeignGroups(_));
        !own_order && !self.may_saturate
    }

    /// Whether this kernel takes weights of so many scales: one of the tensor each does, those of groups only a kernel
    /// whose layout holds them.
    pub fn takes(&self, unit: ScaleUnit) -> bool {
        let by_tensor_alone = self.foreign_kernel().is_some_and(ForeignKernel::takes_one_scale);
        match unit {
            ScaleUnit::Tensor => true,
            ScaleUnit::Row => !by_tensor_alone,
            ScaleUnit::Group(group) => self.layout.group_sizes().any(|size| size == group),
        }
    }

    /// Whether this kernel takes weights with code 3, which stands for +2: its file proves that no sum of them can
    /// overflow ([`Self::three_codes`] says where it does not), and its layout has a place for it.
    pub fn four_codes(&self) -> bool {
        !self.three_codes && !self.layout.ternary_only && self.foreign_kernel().is_none()
    }

    /// Ok if this kernel can multiply such weights with such activations.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn can_run(&self, needs: Needs) -> Result<(), String> {
        let Needs { scales: unit, half_scales, four_codes, rule } = needs;
        if !self.takes(unit) {
            let holds =
                if self.takes(ScaleUnit::Row) { self.layout.held_scales() } else { "one scale a tensor".into() };
            return Err(format!("kernel {} takes {holds}, the weights have {unit}", self.id));
        }
        if self.layout.half_scale.is_some() && !half_scales {
            return Err(format!("kernel {} takes scales of f16, those of the weights are f32", self.id));
        }
        if four_codes && !self.four_codes() {
            return Err(format!("kernel {} takes codes of [-1, 0, 1], the weights have +2 too", self.id));
        }
        if !self.rules.contains(&rule) {
            let own = self.rules.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(", ");
            return Err(format!("kernel {} takes activations by the rule {own}, not {rule}", self.id));
        }
        Ok(())
    }

    /// The operations that this kernel implements, in the order of [`Operation::ALL`].
    pub fn operations(&self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(|&operation| self.has(operation))
    }

    /// Whether this kernel implements `operation`.
    pub fn has(&self, operation: Operation) -> bool {
        match operation {
            Operation::Dequantize => self.dequantize.is_some(),
            Operation::Gemv => true,
            Operation::Gemm => self.gemm.is_some() || self.foreign_kernel().is_some_and(ForeignKernel::has_gemm),
        }
    }

    /// The foreign kernel that this describes, if it is one.
    pub fn foreign_kernel(&self) -> Option<&'static ForeignKernel> {
        match self.gemv {
            Gemv::Foreign(foreign) | Gemv::ForeignGroups(foreign) => Some(foreign),
            Gemv::F32(_) | Gemv::I8(_) | Gemv::Groups(_) | Gemv::Device => None,
        }
    }

    /// The name that receipts hold: `{op}-{act}{weight}{out}-{isa}-{technique}-{mr}x{nr}`.
    pub fn long_name(&self, operation: Operation) -> String {
        let types = match (operation, self.family()) {
            (Operation::Dequantize, _) => "w2f32",
            (_, Family::W2A32) => "f32w2f32",
            (_, Family::W2A8) => "i8w2i32",
            (_, Family::W2gA8) => "i8w2gf32",
        };
        format!("{operation}-{types}-{}-{}x{}", self.id, self.tile.0, self.tile.1)
    }
}

/// Modules of a family's folder, each with a `DESCRIPTOR`, and the slice of these in ladder order. Code for one
/// architecture says so: `avx2_i8 if target_arch = "x86_64",`. `OF_ARCHITECTURES` has the modules of all, with what
/// they say.
macro_rules! kernels {
    ($($module:ident $(if $machine:meta)?,)*) => {
        $($(#[cfg($machine)])? pub(crate) mod $module;)*

        /// The kernels of this family that were compiled for this architecture.
        pub(crate) const KERNELS: &[&crate::descriptor::KernelDescriptor] =
            &[$($(#[cfg($machine)])? &$module::DESCRIPTOR),*];

        /// Every kernel's module of this family, and the condition under which it is compiled; empty without one.
        pub(crate) const OF_ARCHITECTURES: &[(&str, &str)] =
            &[$((stringify!($module), concat!($(stringify!($machine))?))),*];
    };
}
pub(crate) use kernels;
