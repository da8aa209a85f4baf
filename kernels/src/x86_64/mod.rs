//! What kernels for x86-64 share, output heads for it, and the loops of its multiply instructions. Every function that
//! uses vector instructions is a safe `#[target_feature]` function: calling it is the one unsafe step, and
//! [`crate::Kernel`] takes it after checking the CPU.

pub(crate) mod f16c_head;
pub(crate) mod head_f16_avx512;
pub(crate) mod head_q4;
pub(crate) mod head_q8;
pub(crate) mod i2s_lines;
pub(crate) mod lanes;
pub(crate) mod panel_rows;
pub(crate) mod peak;
pub(crate) mod tiles;
