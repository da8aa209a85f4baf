//! Base64 (RFC 4648, with padding): how logits stand in a line of JSON.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Numbers as base64 of their bytes, little endian.
pub fn of_numbers(numbers: &[f32]) -> String {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    encode(&bytes)
}

/// The numbers that [`of_numbers`] wrote; or why there are none, in words.
pub fn numbers(text: &str) -> Result<Vec<f32>, String> {
    let bytes = decode(text)?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
    } else {
        Err(format!("{} bytes are no whole number of f32", bytes.len()))
    }
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().enumerate().fold(0u32, |bits, (i, byte)| bits | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i > three.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return Err(format!("{} characters are no base64: they come by four, the last two may be =", text.len()));
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for (n, four) in digits.as_bytes().chunks(4).enumerate() {
        let mut bits = 0;
        for (i, digit) in four.iter().enumerate() {
            let value = ALPHABET.iter().position(|known| known == digit);
            let value = value.ok_or_else(|| format!("character {} is none of base64", 4 * n + i))?;
            bits |= (value as u32) << (18 - 6 * i);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn texts_are_those_of_the_standard() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).expect("read"), bytes.as_bytes());
        }
        assert_eq!(encode(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn numbers_come_back_to_the_bit() {
        let all = [0.0, -1.5, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY];
        assert_eq!(of_numbers(&[1.0]), "AACAPw==");
        assert_eq!(numbers(&of_numbers(&all)).expect("read"), all);
        let nan = numbers(&of_numbers(&[f32::NAN])).expect("read");
        assert!(nan[0].is_nan());
    }

    #[test]
    fn what_is_none_is_named() {
        assert!(numbers("AACAP").expect_err("five").contains("5 characters"));
        assert!(numbers("A===").expect_err("padded").contains("4 characters"));
        assert!(numbers("AAC Pw==").expect_err("a blank").contains("character 3"));
        assert!(numbers("AA=APw==").expect_err("padding inside").contains("character 2"));
        assert!(numbers("AACAé==").expect_err("not ASCII").contains("character"));
        assert!(numbers("Zm9v").expect_err("three bytes").contains("3 bytes"));
    }
}
