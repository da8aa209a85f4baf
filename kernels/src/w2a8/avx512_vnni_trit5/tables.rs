//! What turns a byte of five trits into planes.

/// Bytes 0..=80, four trits base 3, to the same trits as 2-bit planes; the other indices of `vpermi2b` do not occur.
pub(super) static PLANES: [u8; 128] = {
    let mut table = [0; 128];
    let mut v = 0;
    while v < 81 {
        table[v] = (v % 3 + 4 * (v / 3 % 3) + 16 * (v / 9 % 3) + 64 * (v / 27)) as u8;
        v += 1;
    }
    table
};

/// The GF(2) matrix that copies bit 6 of a byte to its even bits and bit 7 to its odd ones. `gf2p8affineqb` takes row
/// i, the inputs of output bit i, from byte 7 - i.
pub(super) const TOP_BITS_EVERYWHERE: i64 = {
    let mut rows = [0; 8];
    let mut bit = 0;
    while bit < 8 {
        rows[7 - bit] = 1 << (6 + bit % 2);
        bit += 1;
    }
    i64::from_le_bytes(rows)
};
