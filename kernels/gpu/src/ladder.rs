//! The kernels of a device, each with what it changes against the one before: the stages by which dispatch, packing and
//! the dot product instruction can be told apart. All are exact.

use crate::shaders::{self, Shader};
use kernels::layouts::{TILE32, VNNI16};
use kernels::{KernelDescriptor, Layout};

/// A kernel of a device.
pub struct GpuKernel {
    /// What is listed of it, as of a kernel of the CPU.
    pub descriptor: KernelDescriptor,
    /// The shader of its product with one token.
    pub(crate) gemv: &'static Shader,
    /// The shader of its product with a batch.
    pub(crate) gemm: Option<&'static Shader>,
    /// Elements of k in a step of the gemv: what its loop counts.
    pub(crate) step: Step,
    /// Whether it rounds activations itself.
    pub(crate) rounds: bool,
    /// Most columns with which it is exact.
    pub max_k: usize,
}

/// How a gemv goes along k.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// By words of 16, 16 slices a row.
    Words,
    /// By quads of words, of 64, 8 slices a row.
    Quads,
}

impl Step {
    /// Steps along so many columns.
    pub(crate) fn steps(self, k: usize) -> usize {
        k.div_ceil(if self == Self::Words { 16 } else { 64 })
    }

    /// Steps that the slices of a workgroup take at once.
    pub(crate) fn slices(self) -> usize {
        if self == Self::Words { 16 } else { 8 }
    }
}

impl GpuKernel {
    /// Its id on the command line.
    pub fn id(&self) -> &'static str {
        self.descriptor.id
    }

    /// SHA-256 of its shaders' texts, by their names; the one that zeroes sums that meet by addition among them.
    pub fn shaders(&self) -> impl Iterator<Item = (&'static str, String)> {
        [self.gemv, &shaders::ZERO].into_iter().chain(self.gemm).map(|shader| (shader.name, shader.sha256()))
    }
}

const fn kernel(id: &'static str, layout: &'static Layout, summary: &'static str) -> KernelDescriptor {
    KernelDescriptor { id, isa: "gpu", tile: (layout.rows, 1), summary, ..KernelDescriptor::device(layout) }
}

/// All of them, each behind the one that it builds on.
pub static LADDER: [GpuKernel; 5] = [
    GpuKernel {
        descriptor: kernel("gpu-f32", &VNNI16, "weights and activations made f32, products and sums in f32, all exact"),
        gemv: &shaders::GEMV_OF_F32,
        gemm: Some(&shaders::GEMM_OF_F32),
        step: Step::Words,
        rounds: false,
        // 2 x 128 x 65536 is 2^24, below which every sum is an f32.
        max_k: 1 << 16,
    },
    GpuKernel {
        descriptor: KernelDescriptor {
            builds_on: Some("gpu-f32"),
            ..kernel("gpu-unpack", &VNNI16, "bytes unpacked to integers, products and sums in int32")
        },
        gemv: &shaders::GEMV_OF_UNPACKED,
        gemm: Some(&shaders::GEMM_OF_UNPACKED),
        step: Step::Words,
        rounds: false,
        max_k: kernels::MAX_K_I8,
    },
    GpuKernel {
        descriptor: KernelDescriptor {
            builds_on: Some("gpu-unpack"),
            ..kernel(
                "gpu-dp4a",
                &VNNI16,
                "four products an instruction on the CPU's own bytes, codes left in their place",
            )
        },
        gemv: &shaders::GEMV_BY_16,
        gemm: Some(&shaders::GEMM_BY_16),
        step: Step::Words,
        rounds: false,
        max_k: kernels::MAX_K_I8,
    },
    GpuKernel {
        descriptor: KernelDescriptor {
            builds_on: Some("gpu-dp4a"),
            ..kernel("gpu-dp4a-tile32", &TILE32, "32 rows a tile, 16 bytes a thread: a quarter of the loads")
        },
        gemv: &shaders::GEMV_BY_32,
        gemm: Some(&shaders::GEMM_BY_32),
        step: Step::Quads,
        rounds: false,
        max_k: kernels::MAX_K_I8,
    },
    GpuKernel {
        descriptor: KernelDescriptor {
            builds_on: Some("gpu-dp4a-tile32"),
            gemm: None,
            ..kernel(
                "gpu-fused",
                &TILE32,
                "activations come as f32 and are rounded by each workgroup: one dispatch less",
            )
        },
        gemv: &shaders::GEMV_ROUNDING,
        gemm: None,
        step: Step::Quads,
        rounds: true,
        max_k: kernels::MAX_K_I8,
    },
];

/// Finds a kernel by its id.
pub fn find(id: &str) -> Option<&'static GpuKernel> {
    LADDER.iter().find(|kernel| kernel.id() == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::{Family, Operation, registry};

    #[test]
    fn each_is_listed_as_a_kernel_of_its_own() {
        for (i, kernel) in LADDER.iter().enumerate() {
            let d = &kernel.descriptor;
            assert!(d.family() == Family::W2A8 && d.exact() && d.id.starts_with("gpu-") && !d.summary.is_empty());
            assert!(registry::find(d.id).is_none() && std::ptr::eq(find(d.id).expect("found"), kernel));
            assert_eq!(d.builds_on, i.checked_sub(1).map(|before| LADDER[before].id()));
            assert_eq!(d.has(Operation::Gemm), kernel.gemm.is_some());
            assert!(kernel.shaders().all(|(_, hash)| hash.len() == 64));
        }
    }
}
