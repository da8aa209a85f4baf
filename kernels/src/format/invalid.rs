//! Bytes of untrusted packed weights that no packing of ternary codes writes.

/// Bytes that are tested together, without a branch in between: a vector loop.
const CHUNK: usize = 4096;

/// Index of the first byte that holds a 2-bit code 3.
pub(super) fn code_3(bytes: &[u8]) -> Option<usize> {
    first(bytes, |b| b & b >> 1 & 0b01_01_01_01 != 0)
}

/// Index of the first byte that is not five ternary codes, see [`super::trit5`]: four of them make at most 80 of 85 values, and the fifth
/// is at most 2.
pub(super) fn not_five_trits(bytes: &[u8]) -> Option<usize> {
    first(bytes, |b| b.wrapping_sub(81) < 4 || b.wrapping_sub(81 + 85) < 4 || b > 80 + 2 * 85)
}

/// Index of the first byte of the first 16-bit lane that is not three times three ternary codes, see [`super::lut16`].
pub(super) fn not_three_indices(bytes: &[u8]) -> Option<usize> {
    // The third index takes the top bit with it, which must be 0.
    let invalid = |lane: u16| lane & 31 > 26 || lane >> 5 & 31 > 26 || lane >> 10 > 26;
    let (lanes, rest) = bytes.as_chunks::<2>();
    let lane_of = |bytes: &[u8; 2]| u16::from_le_bytes(*bytes);
    let in_lanes = lanes.chunks(CHUNK).enumerate().find_map(|(i, chunk)| {
        let any = chunk.iter().fold(0, |any, lane| any | u16::from(invalid(lane_of(lane)))) != 0;
        if !any {
            return None;
        }
        chunk.iter().position(|lane| invalid(lane_of(lane))).map(|at| 2 * (i * CHUNK + at))
    });
    in_lanes.or_else(|| rest.first().map(|_| 2 * lanes.len()))
}

/// Index of the first byte that is not the states of two pairs, see [`super::lut8`].
pub(super) fn not_two_states(bytes: &[u8]) -> Option<usize> {
    first(bytes, |b| b >> 3 & 15 > 8 || b & 0x87 > 0x80)
}

fn first(bytes: &[u8], invalid: impl Fn(u8) -> bool) -> Option<usize> {
    bytes.chunks(CHUNK).enumerate().find_map(|(i, chunk)| {
        let any = chunk.iter().fold(0, |any, &b| any | u8::from(invalid(b))) != 0;
        if !any {
            return None;
        }
        chunk.iter().position(|&b| invalid(b)).map(|at| i * CHUNK + at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Packing;

    #[test]
    fn the_first_invalid_byte_is_found_at_every_position() {
        for length in [1, 40, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3] {
            for at in [0, 1, 7, 8, 39, CHUNK - 1, CHUNK, 2 * CHUNK + 2].into_iter().filter(|&at| at < length) {
                let mut bytes = vec![0b10_01_00_10; length];
                assert_eq!((code_3(&bytes), not_five_trits(&bytes)), (None, None));
                bytes[at] = 0b11_11_11_11;
                assert_eq!((code_3(&bytes), not_five_trits(&bytes)), (Some(at), Some(at)));
                if at > 0 {
                    bytes[at - 1] = 0b00_00_11_00 + 84;
                    assert_eq!(not_five_trits(&bytes), Some(at));
                }
            }
        }
        // 01 beside 10 is not a code 3: 0b0110 has adjacent ones that belong to two codes.
        assert_eq!(code_3(&[0b01_10_01_10]), None);
    }

    #[test]
    fn valid_lanes_are_those_that_packing_writes() {
        let (mut written, mut codes) = (vec![false; 1 << 16], [0; 128 * 9]);
        for n in 0..3u32.pow(9) {
            (0..9).for_each(|i| codes[i as usize] = (n / 3u32.pow(i) % 3) as u8);
            let mut packed = [0; 256];
            Packing::Lut16.pack_panel(&codes, &mut packed);
            written[usize::from(u16::from_le_bytes([packed[0], packed[1]]))] = true;
        }
        for lane in 0..=u16::MAX {
            let valid = not_three_indices(&lane.to_le_bytes()).is_none();
            assert_eq!(valid, written[usize::from(lane)], "lane {lane:#x}");
        }
        let mut bytes = vec![0; 4 * CHUNK + 6];
        assert_eq!(not_three_indices(&bytes), None);
        assert_eq!(not_three_indices(&bytes[1..]), Some(4 * CHUNK + 4), "half a lane is none");
        for at in [4 * CHUNK + 4, 2 * CHUNK + 2, 2 * CHUNK, 2 * CHUNK - 2, 0] {
            bytes[at] = 27;
            assert_eq!(not_three_indices(&bytes), Some(at));
        }
    }

    /// Every byte that packing ternary codes can give, and no other, is valid.
    #[test]
    fn valid_bytes_are_those_that_packing_writes() {
        for &packing in Packing::ALL.iter().filter(|&&p| p != Packing::Lut16) {
            let (k, rows) = (packing.block_k(), packing.panel_rows());
            let mut written = [false; 256];
            for n in 0..243usize {
                // Enough digits for any byte, the same at a distance of 4 (interleaved), 32 (I2_S) and 1 (QK256).
                for distance in [1, 4, 32] {
                    let digit = |i: usize| (n / 3usize.pow((i / distance % 5) as u32) % 3) as u8;
                    let codes: Vec<u8> = (0..rows * k).map(|i| digit(i % k)).collect();
                    let mut packed = vec![0; packing.panel_bytes(k)];
                    packing.pack_panel(&codes, &mut packed);
                    packed.iter().for_each(|&b| written[usize::from(b)] = true);
                }
            }
            for byte in 0..=u8::MAX {
                let valid = packing.find_invalid_code(&[byte]).is_none();
                assert_eq!(valid, written[usize::from(byte)], "{packing}: byte {byte}");
            }
        }
    }
}
