//! 2-bit weights, f32 activations: the ladder of the analysis that this project answers, each kernel after the one that
//! it builds on.

use crate::descriptor::kernels;

kernels! {
    scalar,
    avx2_foundation if target_arch = "x86_64",
    avx2_nibble if target_arch = "x86_64",
    avx2_fma_tile if target_arch = "x86_64",
    avx2_prefetch if target_arch = "x86_64",
    avx2_permute if target_arch = "x86_64",
}
