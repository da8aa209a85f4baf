//! `vnni16x16`: 16 rows interleaved, one 512-bit register (one cache line) a step. 64 bytes hold 16 rows x 16 k: dword
//! lane r, byte j, plane p is row r, k = 4p + j, at bits 2p. 2.0 bits a weight; one scale a tensor. Rows are padded to
//! panels of 16, k to 16. [`super::tile8`] at twice the width.

use super::interleave;
use crate::layout::Layout;

/// 16 rows side by side: see above.
pub static LAYOUT: Layout = interleave::layout::<16>("vnni16x16");
