//! Kernels for x86-64, one file each. Every function that uses vector instructions is a safe `#[target_feature]`
//! function: calling it is the one unsafe step, and [`crate::Kernel`] takes it after checking the CPU.

pub(crate) mod avx2_fma_tile;
pub(crate) mod avx2_foundation;
pub(crate) mod avx2_i8;
pub(crate) mod avx2_i8_tile8;
mod avx2_i8_tile8_gemm;
pub(crate) mod avx2_lut8;
pub(crate) mod avx2_nibble;
pub(crate) mod avx2_permute;
pub(crate) mod avx2_prefetch;
pub(crate) mod avx512_lut16;
pub(crate) mod avx512_vnni;
mod avx512_vnni_gemm;
pub(crate) mod avx512_vnni_trit5;
pub(crate) mod avxvnni_tile8;
mod avxvnni_tile8_gemm;
pub(crate) mod f16c_head;
pub(crate) mod head_f16_avx512;
pub(crate) mod head_q4;
pub(crate) mod head_q8;
pub(crate) mod lanes;
mod panel_rows;
pub(crate) mod peak;
mod tiles;
