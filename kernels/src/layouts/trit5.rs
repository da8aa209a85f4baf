//! `trit5x16x20`: five ternary weights a byte, 1.6 bits a weight (log2(3) is 1.585). 16 rows interleaved, 64 bytes hold
//! 16 rows x 20 k: dword lane r, byte j is `v4 + 85 * t4` with v4 = t0 + 3 t1 + 9 t2 + 27 t3 and trit tp the code of
//! row r, k = 4p + j. One scale a tensor. Rows are padded to panels of 16, k to 20. Code 3 has no place here.
//!
//! Five trits need 243 of 256 values. Giving the fifth the weight 85 = 255 / 3 instead of 81 uses spare values for a
//! decoder without multiplication or division: t4 is a comparison with 85 and 170, which two rounding averages turn
//! into the top two bits, and 85 * t4 is those two bits repeated four times. llama.cpp's TQ1_0 (also five trits a byte,
//! scaled to 256 / 243 and read digit by digit with multiplications by 3) is the published relative.
//!
//! 20 does not divide [`crate::K_PADDING`]: a row's padding may end up to 19 elements beyond it, inside
//! [`crate::K_SLACK`].

use super::i2s_rows::{BLOCK_BYTES as SOURCE_BYTES, I2sRows, PADDING};
use super::interleave::words;
use crate::cpu::also_for_avx2;
use crate::layout::Layout;

pub(crate) static LAYOUT: Layout = Layout {
    name: "trit5x16x20",
    rows: ROWS,
    block_k: BLOCK_K,
    block_bytes: BLOCK_BYTES,
    ternary_only: true,
    pack,
    unpack: |packed, codes| unpack_by(&TRITS, packed, codes),
    from_i2s: |_, rows, _, packed| from_i2s(rows, packed),
    ..Layout::PLAIN
};

pub(super) const ROWS: usize = 16;
pub(super) const BLOCK_K: usize = 20;
pub(super) const BLOCK_BYTES: usize = 4 * ROWS;
const _: () = assert!(crate::K_SLACK >= BLOCK_K - 1);

/// Codes of each byte. Bytes that packing never writes (v4 of 81 to 84, above 250) decode to something without meaning.
pub(super) const TRITS: [[u8; 5]; 256] = {
    let mut table = [[0; 5]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (v4, t4) = (byte % 85, byte / 85);
        table[byte] = [(v4 % 3) as u8, (v4 / 3 % 3) as u8, (v4 / 9 % 3) as u8, (v4 / 27 % 3) as u8, t4 as u8];
        byte += 1;
    }
    table
};

/// Codes are at most 2: words of four codes are added with their weights at once, no byte exceeds 250.
pub(super) fn pack(codes: &[u8], packed: &mut [u8]) {
    for (r, row) in codes.chunks_exact((codes.len() / ROWS).max(1)).enumerate() {
        for (block, codes) in packed.chunks_exact_mut(BLOCK_BYTES).zip(row.as_chunks::<BLOCK_K>().0) {
            let [w0, w1, w2, w3, w4] = words(codes);
            let word = w0 + 3 * w1 + 9 * w2 + 27 * w3 + 85 * w4;
            block[4 * r..4 * r + 4].copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Blocks that are made together, from [`QUADS`] dwords of each row: 640 weights are whole blocks of either layout.
const BLOCKS: usize = 32;
const QUADS: usize = BLOCKS * BLOCK_K / 16;

also_for_avx2! {
    /// Packs up to 16 rows of an I2_S tensor. Four consecutive codes are a plane of one of its dwords, so a dword of
    /// trits is five shifts and masks and their weighted sum, for all rows at once.
    pub(super) fn from_i2s(rows: I2sRows<'_>, packed: &mut [u8]) {
        const GROUP_BYTES: usize = 4 * QUADS;
        for (group, packed) in packed.chunks_mut(BLOCKS * BLOCK_BYTES).enumerate() {
            let mut quads = [[u32::from_ne_bytes([PADDING; 4]); ROWS]; QUADS];
            for (r, row) in rows.bytes.chunks_exact(rows.row_bytes).take(ROWS).enumerate() {
                let start = (group * GROUP_BYTES).min(row.len());
                let bytes = &row[start..row.len().min(start + GROUP_BYTES)];
                for (quad, bytes) in quads.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    quad[r] = u32::from_le_bytes(*bytes);
                }
            }
            for (block, target) in packed.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().enumerate() {
                // Dword of codes number `at` of a row: a plane has 8 of them, a source block 4 planes.
                let source = |p: usize| {
                    let at = 5 * block + p;
                    (&quads[at / SOURCE_BYTES * 8 + at % 8], 6 - 2 * (at % SOURCE_BYTES / 8))
                };
                let sources: [_; 5] = std::array::from_fn(source);
                for (r, target) in target.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let [t0, t1, t2, t3, t4] = sources.map(|(quad, shift)| quad[r] >> shift & 0x0303_0303);
                    // 85 times a code is its two bits four times.
                    let fifth = t4 | t4 << 2 | t4 << 4 | t4 << 6;
                    *target = (t0 + 3 * (t1 + 3 * (t2 + 3 * t3)) + fifth).to_le_bytes();
                }
            }
        }
    }
}

/// Codes, by those of each byte.
pub(super) fn unpack_by(trits: &[[u8; 5]; 256], packed: &[u8], codes: &mut [u8]) {
    for (r, row) in codes.chunks_exact_mut((codes.len() / ROWS).max(1)).enumerate() {
        for (block, codes) in packed.chunks_exact(BLOCK_BYTES).zip(row.as_chunks_mut::<BLOCK_K>().0) {
            for (j, &byte) in block[4 * r..4 * r + 4].iter().enumerate() {
                for (p, &trit) in trits[usize::from(byte)].iter().enumerate() {
                    codes[4 * p + j] = trit;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_243_combinations_are_distinct_bytes_that_decode() {
        let mut seen = [false; 256];
        for n in 0..243usize {
            let trits: [u8; 5] = std::array::from_fn(|i| (n / 3usize.pow(i as u32) % 3) as u8);
            let mut codes = [1u8; ROWS * BLOCK_K];
            for (p, trit) in trits.into_iter().enumerate() {
                codes[4 * p] = trit;
            }
            let mut packed = [0; BLOCK_BYTES];
            pack(&codes, &mut packed);
            let byte = usize::from(packed[0]);
            assert_eq!(TRITS[byte], trits);
            assert!(!std::mem::replace(&mut seen[byte], true));
        }
    }
}
