//! Base-3 digits as llama.cpp packs them: five codes a byte, of W bytes first all first digits, then all second ones.
//!
//! The stored byte is ceil(q * 256 / 243) of the number q that has the digits, the first one most significant: a fixed
//! point fraction, whose digits come out at the top when it is multiplied by 3 again and again. So a digit is
//! `(byte * 3^n mod 256) * 3 >> 8`, of all 256 bytes, the 13 that no packer writes included.

/// Digits of a byte.
const DIGITS: usize = 5;

/// Spreads W bytes over `codes.len() / W` digits each, at most five.
#[inline(always)]
pub fn unpack<const W: usize>(bytes: &[u8; W], codes: &mut [u8]) {
    let mut fractions = *bytes;
    for plane in codes.as_chunks_mut::<W>().0 {
        for (code, fraction) in plane.iter_mut().zip(&mut fractions) {
            // The same as fraction * 3 >> 8, in bytes: 256 / 3 and 512 / 3, rounded up.
            *code = u8::from(*fraction >= 86) + u8::from(*fraction >= 171);
            *fraction = fraction.wrapping_mul(3);
        }
    }
}

/// The inverse of [`unpack`]: `codes.len() / W` digits a byte, each below 3; digits that are not there are 0.
#[inline(always)]
pub fn pack<const W: usize>(codes: &[u8], bytes: &mut [u8; W]) {
    let planes = codes.as_chunks::<W>().0;
    for (i, byte) in bytes.iter_mut().enumerate() {
        let digit = |n: usize| planes.get(n).map_or(0, |plane| u32::from(plane[i]));
        let number = (0..DIGITS).fold(0, |number, n| number * 3 + digit(n));
        *byte = (number * 256).div_ceil(243) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All 243 numbers of five digits, by long division: what no table of ours can have wrong.
    #[test]
    fn digits_of_all_numbers() {
        for number in 0..243u32 {
            let digits: Vec<u8> = [81, 27, 9, 3, 1].map(|place| (number / place % 3) as u8).to_vec();
            let mut byte = [0];
            pack(&digits, &mut byte);
            let exact = (0..=255u32).find(|b| b * 243 >= number * 256).expect("there is one");
            assert_eq!(u32::from(byte[0]), exact, "{number}: the smallest fraction that is not below it");
            let mut read = [9; 5];
            unpack(&byte, &mut read);
            assert_eq!(read.to_vec(), digits, "{number}");
        }
    }

    /// The formula of the format's definition, for bytes that no packer writes too.
    #[test]
    fn digits_of_all_bytes() {
        for byte in 0..=255u8 {
            let mut read = [9; 5];
            unpack(&[byte], &mut read);
            for (n, code) in read.into_iter().enumerate() {
                let fraction = byte.wrapping_mul([1, 3, 9, 27, 81][n]);
                assert_eq!(u16::from(code), (u16::from(fraction) * 3) >> 8, "digit {n} of {byte}");
            }
        }
    }

    #[test]
    fn four_digits_are_shifted_to_the_top() {
        let mut bytes = [0];
        pack(&[2, 1, 0, 1], &mut bytes);
        // 2 * 81 + 1 * 27 + 0 * 9 + 1 * 3 = 192; 192 * 256 / 243 = 202.27
        assert_eq!(bytes, [203]);
        let mut read = [9; 4];
        unpack(&bytes, &mut read);
        assert_eq!(read, [2, 1, 0, 1]);
    }
}
