//! QK256 as the BitNet.rs analysis describes it: 256 weights a block, 64 bytes a block, byte = e0 | e1<<2 | e2<<4 |
//! e3<<6, elements in order. Block scales live in an array beside the codes. 2.125 bits a weight with them.

pub(super) const BLOCK_K: usize = 256;
pub(super) const BLOCK_BYTES: usize = 64;

pub(super) fn pack(codes: &[u8], packed: &mut [u8]) {
    for (byte, quad) in packed.iter_mut().zip(codes.chunks_exact(4)) {
        *byte = quad[0] | quad[1] << 2 | quad[2] << 4 | quad[3] << 6;
    }
}

pub(super) fn unpack(packed: &[u8], codes: &mut [u8]) {
    for (&byte, quad) in packed.iter().zip(codes.chunks_exact_mut(4)) {
        quad.copy_from_slice(&[byte & 3, byte >> 2 & 3, byte >> 4 & 3, byte >> 6]);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn first_element_is_in_the_low_bits() {
        let mut codes = [0u8; 256];
        codes[0] = 1;
        codes[1] = 2;
        codes[7] = 3;
        let mut packed = [0u8; 64];
        super::pack(&codes, &mut packed);
        assert_eq!(packed[..2], [0b00_00_10_01, 0b11_00_00_00]);
    }
}
