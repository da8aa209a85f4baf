//! `trit5q16x20`: as [`super::trit5`], 16 rows x 20 k in 64 bytes and 1.6 bits a weight, with another byte for five
//! trits, which a decoder looks up in tables of 64.
//!
//! v4 = t0 + 3 t1 + 9 t2 + 27 t3 has 81 values, a byte four quarters of 64. Of the first 64 values of v4 the fifth trit
//! is the number of the quarter, 0 to 2, and v4 its place there. The last 17 are in the last quarter, with their fifth
//! trit: at v4 - 64 + 17 t4, 51 of its places. So three quarters of all bytes have the fifth trit as it is and their
//! planes in one table, and the last quarter has a table for each. No place for code 3.
//!
//! An idea of this project: the decoder of [`super::trit5`] needs a lookup in 128 bytes, `vpermi2b`, which takes three
//! operations on Intel.

use super::trit5::{self, BLOCK_BYTES, BLOCK_K, ROWS};
use crate::layout::Layout;

pub(crate) static LAYOUT: Layout = Layout {
    name: "trit5q16x20",
    rows: ROWS,
    block_k: BLOCK_K,
    block_bytes: BLOCK_BYTES,
    ternary_only: true,
    pack: |codes, packed| {
        trit5::pack(codes, packed);
        to_quarters(packed);
    },
    unpack: |packed, codes| trit5::unpack_by(&TRITS, packed, codes),
    from_i2s: |_, rows, _, packed| {
        trit5::from_i2s(rows, packed);
        to_quarters(packed);
    },
    ..Layout::PLAIN
};

/// Values of v4 outside the last quarter, and those in it.
const FIRST: u8 = 64;
const LATER: u8 = 81 - FIRST;

/// Planes of 2-bit codes of the first 64 values of four trits.
pub(crate) static PLANES: [u8; 64] = {
    let mut table = [0; 64];
    let mut place = 0;
    while place < 64 {
        table[place] = planes(place as u8);
        place += 1;
    }
    table
};

/// The same of the places of the last quarter.
pub(crate) static LAST: [u8; 64] = {
    let mut table = [0; 64];
    let mut place = 0;
    while place < 3 * LATER {
        table[place as usize] = planes(FIRST + place % LATER);
        place += 1;
    }
    table
};

/// The fifth trit of the places of the last quarter, in the top two bits.
pub(crate) static FIFTH: [u8; 64] = {
    let mut table = [0; 64];
    let mut place = 0;
    while place < 3 * LATER {
        table[place as usize] = (place / LATER) << 6;
        place += 1;
    }
    table
};

const fn planes(v: u8) -> u8 {
    (v % 3) | ((v / 3 % 3) << 2) | ((v / 9 % 3) << 4) | ((v / 27) << 6)
}

/// Codes of each byte; those that packing never writes decode to something without meaning.
const TRITS: [[u8; 5]; 256] = {
    let mut table = [[0; 5]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (quarter, place) = (byte / 64, byte % 64);
        let (codes, fifth) =
            if quarter < 3 { (PLANES[place], quarter as u8) } else { (LAST[place], FIFTH[place] >> 6) };
        table[byte] = [codes & 3, codes >> 2 & 3, codes >> 4 & 3, codes >> 6, fifth];
        byte += 1;
    }
    table
};

/// Turns bytes of [`super::trit5`] into those of this layout.
fn to_quarters(packed: &mut [u8]) {
    for byte in packed {
        let fifth = u8::from(*byte >= 85) + u8::from(*byte >= 170);
        let four = *byte - 85 * fifth;
        *byte = if four < FIRST { four | fifth << 6 } else { (192 - FIRST) + four + LATER * fifth };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_243_bytes_are_distinct_and_decode() {
        let bytes: Vec<u8> = (0..=250u8).filter(|byte| byte % 85 < 81).collect();
        let mut quarters = bytes.clone();
        to_quarters(&mut quarters);
        assert_eq!(bytes.len(), 243);
        for (byte, quarter) in bytes.iter().zip(&quarters) {
            assert_eq!(TRITS[usize::from(*quarter)], trit5::TRITS[usize::from(*byte)]);
        }
        quarters.sort_unstable();
        quarters.dedup();
        assert_eq!(quarters.len(), 243);
    }
}
