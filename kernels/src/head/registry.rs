//! Every implementation of the output head: a line here makes one listed, verified, timed and chosen from.

use super::f16;
use super::format::HeadFormat;
use super::q4::{self, PanelQ4};
use super::q8::{self, PanelQ8};
use crate::cpu::CpuFeatures;
use crate::kernel::Unsupported;
use crate::prefetch::Prefetch;

/// What one head implementation says about itself, and the function that it is called by.
#[derive(Debug)]
pub struct HeadDescriptor {
    /// Unique name in receipts, for example `f16-avx512`.
    pub id: &'static str,
    /// The format of the weights that it reads.
    pub format: HeadFormat,
    /// CPU features that it needs. Its function enables no others.
    pub requires: CpuFeatures,
    pub(super) product: HeadProduct,
}

/// Rows of f16, activations, output, how to ask ahead.
pub(super) type ProductF16 = unsafe fn(&[u16], &[f32], &mut [f32], Prefetch);
/// Sums of stored weights times activations, one a row of the panel.
pub(super) type ProductQ8 = unsafe fn(&PanelQ8<'_>, Prefetch) -> [i32; 16];
/// Products before the activations' scale, one a row of the panel.
pub(super) type ProductQ4 = unsafe fn(&PanelQ4<'_>, Prefetch) -> [f32; 16];

/// The product of one format. Unsafe to call: the CPU must have the features of the descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) enum HeadProduct {
    F16(ProductF16),
    Q8(ProductQ8),
    Q4(ProductQ4),
}

const fn f16_head(id: &'static str, requires: CpuFeatures, product: ProductF16) -> HeadDescriptor {
    HeadDescriptor { id, format: HeadFormat::F16, requires, product: HeadProduct::F16(product) }
}

const fn q8_head(id: &'static str, requires: CpuFeatures, product: ProductQ8) -> HeadDescriptor {
    HeadDescriptor { id, format: HeadFormat::Q8, requires, product: HeadProduct::Q8(product) }
}

const fn q4_head(id: &'static str, requires: CpuFeatures, product: ProductQ4) -> HeadDescriptor {
    HeadDescriptor { id, format: HeadFormat::Q4, requires, product: HeadProduct::Q4(product) }
}

/// All implementations that were compiled for this architecture, for each format the portable one first and then by
/// width. Those of a format with vectors give the same bits; so does the portable one of the quantised formats.
pub static HEADS: &[HeadDescriptor] = &[
    f16_head("f16-scalar", CpuFeatures::NONE, |rows, x, y, _| f16::scalar(rows, x, y)),
    #[cfg(target_arch = "x86_64")]
    f16_head("f16-avx2-f16c", CpuFeatures::X86_64_V3, crate::x86_64::f16c_head::gemv),
    #[cfg(target_arch = "x86_64")]
    f16_head("f16-avx512", CpuFeatures::X86_64_V4, crate::x86_64::head_f16_avx512::gemv),
    q8_head("q8-scalar", CpuFeatures::NONE, |panel, _| q8::scalar(panel)),
    #[cfg(target_arch = "x86_64")]
    q8_head("q8-avx2", CpuFeatures::X86_64_V3, crate::x86_64::head_q8::avx2),
    #[cfg(target_arch = "x86_64")]
    q8_head("q8-avx512-vnni", CpuFeatures::X86_64_V4_VNNI, crate::x86_64::head_q8::avx512_vnni),
    q4_head("q4-scalar", CpuFeatures::NONE, |panel, _| q4::scalar(panel)),
    #[cfg(target_arch = "x86_64")]
    q4_head("q4-avx2", CpuFeatures::X86_64_V3, crate::x86_64::head_q4::avx2),
    #[cfg(target_arch = "x86_64")]
    q4_head("q4-avx512-vnni", CpuFeatures::X86_64_V4_VNNI, crate::x86_64::head_q4::avx512_vnni),
];

/// The implementations of a format that both this CPU and `allowed` have and that give the same bits, the widest last.
/// Never empty.
pub fn implementations(format: HeadFormat, allowed: CpuFeatures) -> Vec<&'static HeadDescriptor> {
    let runs = |head: &&HeadDescriptor| head.format == format && head.check(allowed).is_ok();
    let mut all: Vec<&HeadDescriptor> = HEADS.iter().filter(runs).collect();
    // The portable f16 path adds in another order than those with vectors.
    if format == HeadFormat::F16 && all.len() > 1 {
        all.remove(0);
    }
    all
}

impl HeadDescriptor {
    /// Whether its results equal the oracle's bit for bit.
    pub fn exact(&self) -> bool {
        self.format != HeadFormat::F16
    }

    /// Checks that both this CPU and `allowed` have its features.
    ///
    /// # Errors
    /// As [`crate::Kernel::new`].
    pub fn check(&self, allowed: CpuFeatures) -> Result<(), Unsupported> {
        Unsupported::check(self.id, self.requires, allowed)
    }
}
