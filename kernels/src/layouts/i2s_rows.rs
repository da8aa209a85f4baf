//! Rows as the published file has them, and what layouts are packed from them with. Unpacking to one code a byte first
//! would write and read four times the bytes; a layout with a way of its own moves words of four or eight codes at
//! once. Source rows are whole blocks of 128 (see [`super::i2s`]).

/// Weights in a block.
pub const BLOCK_K: usize = 128;
/// Bytes of a block.
pub const BLOCK_BYTES: usize = 32;

/// Four codes of 1 (weight 0): padding.
pub(crate) const PADDING: u8 = 0b01_01_01_01;

/// Rows of an I2_S tensor that become one panel of a layout.
#[derive(Clone, Copy, Debug)]
pub struct I2sRows<'a> {
    /// Codes of all these rows, row after row; at most as many rows as a panel has.
    pub bytes: &'a [u8],
    /// Bytes of one row: 32 for each 128 weights.
    pub row_bytes: usize,
}

/// Single codes of one row, or of several.
pub(crate) fn unpack(packed: &[u8], codes: &mut [u8]) {
    for (bytes, block) in packed.as_chunks::<BLOCK_BYTES>().0.iter().zip(codes.as_chunks_mut::<BLOCK_K>().0) {
        // A plane at a time: 32 bytes to 32 bytes, which vectorises.
        for (plane, codes) in block.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            *codes = bytes.map(|byte| byte >> (6 - 2 * plane) & 3);
        }
    }
}

/// Of 256 activations those that meet plane `plane` of 64 bytes of a row: 32 of the first block, then 32 of the second.
pub(crate) fn runs(x: &[i8; 256], plane: usize) -> [i8; 64] {
    let mut runs = [0; 64];
    runs[..32].copy_from_slice(&x[32 * plane..][..32]);
    runs[32..].copy_from_slice(&x[128 + 32 * plane..][..32]);
    runs
}
