//! 2-bit weights whose groups of 64, 128 or 256 have a scale each, int8 activations, exact int32 sums of groups that
//! are added up in f32 in one order: what most ternary models that people download are. Each kernel after the one that
//! it builds on; all of them give the same bits.

use crate::descriptor::kernels;

kernels! {
    scalar_groups,
    neon_sdot_groups if target_arch = "aarch64",
    avx2_groups if target_arch = "x86_64",
    avxvnni_groups if target_arch = "x86_64",
    avx512_vnni_groups if target_arch = "x86_64",
    avx512_vnni_trit5_groups if target_arch = "x86_64",
}

#[cfg(target_arch = "x86_64")]
mod group_starts;
#[cfg(target_arch = "x86_64")]
mod group_tiles;
