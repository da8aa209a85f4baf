//! `vnni16x16`: 16 rows interleaved, one 512-bit register (one cache line) a step. 64 bytes hold 16 rows x 16 k: dword
//! lane r, byte j, plane p is row r, k = 4p + j, at bits 2p. 2.0 bits a weight; one scale a tensor. Rows are padded to
//! panels of 16, k to 16. [`super::tile8`] at twice the width.

use super::interleave::{self, STEP_K};
use crate::layout::Layout;

const ROWS: usize = 16;

pub(crate) static LAYOUT: Layout = Layout {
    name: "vnni16x16",
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
        for (row, k) in [(0, 0), (0, 1), (3, 5), (7, 15), (12, 16), (15, 47)] {
            let mut codes = [0u8; 16 * K];
            codes[row * K + k] = 3;
            let mut packed = [0u8; 4 * K];
            (super::LAYOUT.pack)(&codes, &mut packed);
            let (step, plane, j) = (k / 16, k % 16 / 4, k % 4);
            let at = packed.iter().position(|&b| b != 0);
            assert_eq!((at, packed[step * 64 + row * 4 + j]), (Some(step * 64 + row * 4 + j), 3 << (2 * plane)));
        }
    }
}
