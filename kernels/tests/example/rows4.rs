//! `rows4`: four rows side by side, one weight of each in a byte, row r at bits 2r. 2.0 bits a weight; one scale a
//! tensor. An activation that is loaded once meets all four rows.

use crate::Layout;

const ROWS: usize = 4;

pub(crate) static LAYOUT: Layout =
    Layout { name: "rows4", rows: ROWS, block_k: 1, block_bytes: 1, pack, unpack, ..Layout::PLAIN };

fn pack(codes: &[u8], packed: &mut [u8]) {
    let k = packed.len();
    for (j, byte) in packed.iter_mut().enumerate() {
        *byte = (0..ROWS).fold(0, |byte, r| byte | codes[r * k + j] << (2 * r));
    }
}

fn unpack(packed: &[u8], codes: &mut [u8]) {
    let k = packed.len();
    for (j, byte) in packed.iter().enumerate() {
        (0..ROWS).for_each(|r| codes[r * k + j] = byte >> (2 * r) & 3);
    }
}
