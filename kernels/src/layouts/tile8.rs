//! `tile8x16`: 8 rows interleaved, one 256-bit register a step. 32 bytes hold 8 rows x 16 k: dword lane r, byte j,
//! plane p is row r, k = 4p + j, at bits 2p. 2.0 bits a weight; one scale a tensor. Rows are padded to panels of 8, k
//! to 16.
//!
//! The same idea as ik_llama.cpp's types with interleaved rows, `_R4` and `_R8` (activations are loaded once
//! for several rows and no lane has to be summed with another), with planes placed so that masks alone, without shifts
//! by 2, give each plane: see the kernels.

use super::interleave;
use crate::layout::Layout;

pub(crate) static LAYOUT: Layout = interleave::layout::<8>("tile8x16");
