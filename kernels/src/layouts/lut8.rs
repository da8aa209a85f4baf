//! `lut8x64`: indices into tables of sums, for AVX2. 64 rows interleaved, 64 bytes hold 64 rows x 4 k: byte r is the
//! two pairs of row r. 2.0 bits a weight; one scale a tensor. Rows are padded to panels of 64, k to 4. Code 3 has no
//! place here.
//!
//! A pair of weights has nine combinations. `state` numbers the eight that are not (0, 0) from 0 to 7, and that one
//! is 8.
//! - Bits 0 to 2: the state of the pair at k = 0, 1, if it is below 8. Bit 7: whether it is 8, with 0 in bits 0 to 2.
//! - Bits 3 to 6: the state of the pair at k = 2, 3.
//!
//! `pshufb` gives 0 where bit 7 of an index is set, which is the sum of the pair (0, 0), and ignores bits 4 to 6: a
//! whole byte is the index of its first pair, without a mask, into a table whose entries are the same for both values
//! of bit 3.

use crate::layout::Layout;

pub(crate) static LAYOUT: Layout = Layout {
    name: "lut8x64",
    rows: ROWS,
    block_k: BLOCK_K,
    block_bytes: BLOCK_BYTES,
    ternary_only: true,
    pack,
    unpack,
    ..Layout::PLAIN
};

const ROWS: usize = 64;
const BLOCK_K: usize = 4;
const BLOCK_BYTES: usize = ROWS;

/// Weights of a pair that is not (0, 0), by state.
#[cfg(any(test, target_arch = "x86_64"))]
pub(crate) const PAIRS: [[i8; 2]; 8] = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]];
const ZERO: u8 = 8;

/// State of the pair with these codes, at most 2.
const fn state(codes: [u8; 2]) -> u8 {
    match 3 * codes[0] + codes[1] {
        below @ 0..4 => below,
        4 => ZERO,
        above => above - 1,
    }
}

/// Codes of the pair with this state.
const fn codes_of(state: u8) -> [u8; 2] {
    let n = match state {
        ZERO => 4,
        below @ 0..4 => below,
        above => above + 1,
    };
    [n / 3, n % 3]
}

fn pack(codes: &[u8], packed: &mut [u8]) {
    for (r, row) in codes.chunks_exact((codes.len() / ROWS).max(1)).enumerate() {
        for (block, &[a, b, c, d]) in packed.chunks_exact_mut(BLOCK_BYTES).zip(row.as_chunks::<BLOCK_K>().0) {
            let first = match state([a, b]) {
                ZERO => 0x80,
                state => state,
            };
            block[r] = first | state([c, d]) << 3;
        }
    }
}

fn unpack(packed: &[u8], codes: &mut [u8]) {
    for (r, row) in codes.chunks_exact_mut((codes.len() / ROWS).max(1)).enumerate() {
        for (block, codes) in packed.chunks_exact(BLOCK_BYTES).zip(row.as_chunks_mut::<BLOCK_K>().0) {
            let byte = block[r];
            let [a, b] = codes_of(if byte & 0x80 == 0 { byte & 7 } else { ZERO });
            let [c, d] = codes_of(byte >> 3 & 15);
            *codes = [a, b, c, d];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_the_place_of_its_weights_in_the_list() {
        for n in 0..9 {
            let codes = [n / 3, n % 3];
            let state = state(codes);
            assert_eq!(codes_of(state), codes);
            let weights = codes.map(|code| code as i8 - 1);
            assert_eq!(PAIRS.get(usize::from(state)).copied().unwrap_or([0, 0]), weights);
        }
    }
}
