//! Where each layout says that a code lies, in so many words, and that packing puts it there.

use super::*;

/// The only byte that differs from those of `others` everywhere when one row and k has the code instead; what it holds
/// then. Rows are as short as that k allows.
fn lies(layout: &Layout, others: u8, code: (usize, usize, u8)) -> (usize, u8) {
    lies_within((code.1 + 1).next_multiple_of(layout.block_k), layout, others, code)
}

/// The same in rows of `stride` weights.
fn lies_within(stride: usize, layout: &Layout, others: u8, (row, k, code): (usize, usize, u8)) -> (usize, u8) {
    let pack = |codes: &[u8]| {
        let mut packed = vec![0u8; layout.panel_bytes(stride)];
        (layout.pack)(codes, &mut packed);
        packed
    };
    let mut codes = vec![others; layout.rows * stride];
    let before = pack(&codes);
    codes[row * stride + k] = code;
    let after = pack(&codes);
    let changed: Vec<usize> = (0..before.len()).filter(|&i| before[i] != after[i]).collect();
    assert_eq!(changed.len(), 1, "{layout} row {row} k {k}: {changed:?}");
    (changed[0], after[changed[0]])
}

#[test]
fn a_code_lies_where_the_layout_says() {
    // The row, k and code; the byte, and its value.
    for (code, byte) in [((0, 0, 1), (0, 0b01)), ((0, 1, 2), (0, 0b10_00)), ((0, 7, 3), (1, 0b11_00_00_00))] {
        assert_eq!(lies(&qk256::LAYOUT, 0, code), byte);
    }
    for (code, byte) in [((0, 0, 2), (0, 0b10_00_00_00)), ((0, 33, 1), (1, 0b01_00_00)), ((0, 127, 2), (31, 0b10))] {
        assert_eq!(lies(&i2s::LAYOUT, 0, code), byte);
    }
    for layout in [&tile8::LAYOUT, &vnni16::LAYOUT] {
        for (row, k) in [(0, 0), (0, 1), (3, 5), (7, 15), (2, 16), (layout.rows - 4, 16), (layout.rows - 1, 47)] {
            let (step, plane, j) = (k / 16, k % 16 / 4, k % 4);
            assert_eq!(lies(layout, 0, (row, k, 3)), (step * 4 * layout.rows + row * 4 + j, 3 << (2 * plane)));
        }
    }
    for (row, k, value) in [(0, 0, 1), (0, 5, 3), (3, 10, 9), (15, 15, 27), (2, 19, 85), (15, 39, 85)] {
        assert_eq!(lies(&trit5::LAYOUT, 0, (row, k, 2)), (k / 20 * 64 + row * 4 + k % 4, 2 * value));
    }
    for (row, k, byte) in [(0, 0, 2), (0, 5, 6), (3, 10, 18), (2, 19, 0x80), (15, 39, 0x80)] {
        assert_eq!(lies(&trit5q::LAYOUT, 0, (row, k, 2)), (k / 20 * 64 + row * 4 + k % 4, byte));
    }
    // The halves of a 16-bit lane: the index of a group of three begins at bit 0, 5 or 10.
    for (row, k, half, value) in
        [(0, 0, 0, 2), (0, 4, 0, 6 << 5), (3, 8, 1, 18 << 2), (127, 2, 0, 18), (64, 17, 1, 18 << 2)]
    {
        assert_eq!(lies(&lut16::LAYOUT, 0, (row, k, 2)), (2 * (k / 9 * 128 + row) + half, value));
    }
    for (row, k, byte, value) in [(0, 0, 0, 3), (0, 17, 1, 3 << 2), (0, 63, 15, 3 << 6), (0, 64, 16, 3)] {
        assert_eq!(lies(&groups1::LAYOUT, 0, (row, k, 3)), (byte, value));
    }
    // Plane k % 128 / 32, register k % 32 / 4, byte k % 4.
    for (row, k, byte, value) in
        [(0, 0, 0, 3), (0, 5, 33, 3), (3, 32, 12, 3 << 2), (7, 127, 255, 3 << 6), (2, 128 + 66, 256 + 10, 3 << 4)]
    {
        assert_eq!(lies(&groups8::LAYOUT, 0, (row, k, 3)), (byte, value));
    }
    // Super-blocks of 256, of 512 and at last of 256: plane k / (4 * lines), line k % (4 * lines) / 4, byte k % 4.
    let (of_64, of_128, of_256) = (&planes16::GROUPS_OF_64, &planes16::LAYOUT, &planes16::GROUPS_OF_256);
    for (layout, row, k, byte, value) in [
        (of_64, 0, 0, 0, 3),
        (of_64, 3, 64 + 5, 64 + 12 + 1, 3 << 2),
        (of_64, 15, 256 + 255, 1152 + 15 * 64 + 60 + 3, 3 << 6),
        (of_128, 0, 256 + 129, 1, 3 << 6),
        (of_128, 2, 511, 31 * 64 + 8 + 3, 3 << 6),
        (of_128, 2, 512 + 64, 2176 + 8, 3 << 2),
        (of_256, 7, 256, 28, 3 << 4),
        (of_256, 7, 512 + 255, 2112 + 15 * 64 + 28 + 3, 3 << 6),
    ] {
        assert_eq!(lies(layout, 0, (row, k, 3)), (byte, value));
    }
    // Super-blocks of 640: plane k / 128 with the weights of five trits; then blocks of 128, plane k % 128 / 32.
    for (of_k, row, k, byte, value) in [
        (640, 0, 0, 0, 2),
        (768, 3, 128 + 5, 64 + 12 + 1, 2 * 3),
        (1280, 0, 256, 0, 2 * 9),
        (640, 15, 511, 31 * 64 + 60 + 3, 2 * 27),
        (1152, 2, 639, 31 * 64 + 8 + 3, 2 * 85),
        (1280, 0, 1279, 2240 + 31 * 64 + 3, 2 * 85),
        (128, 0, 0, 0, 2),
        (1152, 1, 640, 2240 + 4, 2),
        (1152, 7, 640 + 128 + 33, 2240 + 576 + 28 + 1, 2 << 2),
        (1152, 15, 1151, 2240 + 3 * 576 + 7 * 64 + 60 + 3, 2 << 6),
    ] {
        assert_eq!(lies_within(of_k, &trit5_groups16::LAYOUT, 0, (row, k, 2)), (byte, value));
    }
    // The weight 1 alone in its pair: state 6 if it is the first of the two, 4 if the second.
    for (row, k, byte) in
        [(0, 0, 8 << 3 | 6), (0, 1, 8 << 3 | 4), (5, 2, 0x80 | 6 << 3), (63, 7, 0x80 | 4 << 3), (31, 4, 8 << 3 | 6)]
    {
        assert_eq!(lies(&lut8::LAYOUT, 1, (row, k, 2)), (k / 4 * 64 + row, byte));
    }
}
