//! Blocks worked out by hand.

use super::*;

fn decoded(elements: &Elements, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![9.0; bytes.len() / elements.bytes * elements.block];
    (elements.decode)(bytes, &mut out);
    out
}

#[test]
fn plain_numbers() {
    assert_eq!(decoded(&F32, &[0, 0, 0xc0, 0x3f, 0, 0, 0, 0x80]), [1.5, -0.0]);
    assert_eq!(decoded(&BF16, &[0xc0, 0x3f, 0x80, 0xff]), [1.5, f32::NEG_INFINITY]);
    assert_eq!(decoded(&F16, &[0x00, 0x3e, 0x00, 0xfc, 0x01, 0x00]), [1.5, f32::NEG_INFINITY, 2f32.powi(-24)]);
    // Bytes that no f16 can lie at: from memory, not from a tensor.
    let bytes = [9, 0x00, 0x3e, 0x00, 0xbc, 9];
    assert_eq!(decoded(&F16, &bytes[1..5]), [1.5, -1.0]);
    assert_eq!(decoded(&F16, &[&[9], &bytes[1..5]].concat()[1..]), [1.5, -1.0]);
}

#[test]
fn q8_0_block() {
    let mut bytes = vec![0x00, 0x38]; // 0.5
    bytes.extend([0x80, 3]);
    bytes.extend([0; 29]);
    bytes.push(127);
    let mut expected = vec![-64.0, 1.5];
    expected.extend([0.0; 29]);
    expected.push(63.5);
    assert_eq!(decoded(&Q8_0, &bytes), expected);
    assert_eq!(decoded(&Q8_0, &bytes.repeat(2)), expected.repeat(2));
}

#[test]
fn q4_0_block() {
    let mut bytes = vec![0x00, 0x40, 0x0f]; // 2.0; element 0 is 15 - 8, element 16 is 0 - 8
    bytes.extend([0x88; 14]);
    bytes.push(0x80); // element 15 is 0 - 8, element 31 is 8 - 8
    let mut expected = vec![0.0; 32];
    (expected[0], expected[16], expected[15]) = (14.0, -16.0, -16.0);
    assert_eq!(decoded(&Q4_0, &bytes), expected);
}

#[test]
fn q6_k_block() {
    let mut bytes = vec![0; 210];
    // First half: 64 bytes of lower bits from 0 on, 32 of upper bits from 128 on, 8 scales from 192 on.
    bytes[0] = 0x21; // element 0: 1, element 64: 2
    bytes[128] = 0b11_10_01_00; // elements 0, 32, 64, 96
    (bytes[192], bytes[194], bytes[196], bytes[198]) = (2, 3, 0xff, 5);
    // Second half: lower bits from 64 on, upper from 160 on, scales from 200 on.
    (bytes[127], bytes[191], bytes[207]) = (0xf0, 0xc0, 0x80);
    bytes[209] = 0x3c; // 1.0
    let found = decoded(&Q6_K, &bytes);
    // (1 - 32) * 2, (16 - 32) * 3, (2 + 32 - 32) * -1, (48 - 32) * 5; the rest of each sixteen is -32 times its scale.
    assert_eq!((found[0], found[32], found[64], found[96]), (-62.0, -48.0, -2.0, 80.0));
    assert_eq!((found[1], found[33], found[65], found[97], found[16]), (-64.0, -96.0, 32.0, -160.0, 0.0));
    // (15 + 48 - 32) * -128, and -32 * -128 before it.
    assert_eq!((found[255], found[254], found[239]), (-3968.0, 4096.0, 0.0));
}
