//! `tile8x16`: 8 rows interleaved, one 256-bit register a step. 32 bytes hold 8 rows x 16 k: dword lane r, byte j,
//! plane p is row r, k = 4p + j, at bits 2p. 2.0 bits a weight; one scale a tensor. Rows are padded to panels of 8, k
//! to 16.
//!
//! The same idea as ik_llama.cpp's types with interleaved rows, `_R4` and `_R8` (activations are loaded once
//! for several rows and no lane has to be summed with another), with planes placed so that masks alone, without shifts
//! by 2, give each plane: see the kernels.

use super::interleave::{self, STEP_K};
use crate::layout::Layout;

const ROWS: usize = 8;

pub(crate) static LAYOUT: Layout = Layout {
    name: "tile8x16",
    rows: ROWS,
    block_k: STEP_K,
    block_bytes: 4 * ROWS,
    pack: interleave::pack::<ROWS>,
    unpack: interleave::unpack::<ROWS>,
    from_i2s: |_, rows, _, packed| interleave::from_i2s::<ROWS>(rows, packed),
    ..Layout::PLAIN
};

#[cfg(test)]
mod tests {
    #[test]
    fn a_code_lies_where_the_layout_says() {
        const K: usize = 48;
        for (row, k) in [(0, 0), (0, 1), (3, 5), (7, 15), (2, 16), (7, 47)] {
            let mut codes = [0u8; 8 * K];
            codes[row * K + k] = 3;
            let mut packed = [0u8; 2 * K];
            (super::LAYOUT.pack)(&codes, &mut packed);
            let (step, plane, j) = (k / 16, k % 16 / 4, k % 4);
            let at = packed.iter().position(|&b| b != 0);
            assert_eq!((at, packed[step * 32 + row * 4 + j]), (Some(step * 32 + row * 4 + j), 3 << (2 * plane)));
        }
    }
}
