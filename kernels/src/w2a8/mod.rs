//! 2-bit weights, int8 activations, exact int32 sums: what BitNet b1.58 models are defined with. Each kernel after the
//! one that it builds on.

use crate::descriptor::kernels;

kernels! {
    scalar_i8,
    neon_i8 if target_arch = "aarch64",
    neon_sdot_tile16 if target_arch = "aarch64",
    neon_smmla if target_arch = "aarch64",
    avx2_i8 if target_arch = "x86_64",
    avx2_i8_tile8 if target_arch = "x86_64",
    avx2_lut8 if target_arch = "x86_64",
    avxvnni_tile8 if target_arch = "x86_64",
    avx512_vnni_i2s if target_arch = "x86_64",
    avx512_vnni if target_arch = "x86_64",
    avx512_vnni_trit5 if target_arch = "x86_64",
    avx512_vnni_trit5q if target_arch = "x86_64",
    avx512_lut16 if target_arch = "x86_64",
}
