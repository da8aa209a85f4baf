//! I2_S in the 128/32 layout of the published BitNet b1.58 file: 128 weights in 32 bytes, element j in byte j % 32 at
//! shift 6 - 2 * (j / 32). Four planes of 32 consecutive elements, so that one 32-byte load and three shifts give them
//! in order. 2.0 bits a weight; one f32 scale a tensor is stored elsewhere.

pub(super) const BLOCK_K: usize = 128;
pub(super) const BLOCK_BYTES: usize = 32;

pub(super) fn pack(codes: &[u8], packed: &mut [u8]) {
    for (bytes, block) in packed.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().zip(codes.as_chunks::<BLOCK_K>().0) {
        *bytes = std::array::from_fn(|i| block[i] << 6 | block[32 + i] << 4 | block[64 + i] << 2 | block[96 + i]);
    }
}

pub(super) fn unpack(packed: &[u8], codes: &mut [u8]) {
    for (bytes, block) in packed.as_chunks::<BLOCK_BYTES>().0.iter().zip(codes.as_chunks_mut::<BLOCK_K>().0) {
        // A plane at a time: 32 bytes to 32 bytes, which vectorises.
        for (plane, codes) in block.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            *codes = bytes.map(|byte| byte >> (6 - 2 * plane) & 3);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn first_plane_is_in_the_top_bits() {
        let mut codes = [0u8; 128];
        codes[0] = 2;
        codes[33] = 1;
        codes[127] = 2;
        let mut packed = [0u8; 32];
        super::pack(&codes, &mut packed);
        assert_eq!((packed[0], packed[1], packed[31]), (0b10_00_00_00, 0b00_01_00_00, 0b00_00_00_10));
    }
}
