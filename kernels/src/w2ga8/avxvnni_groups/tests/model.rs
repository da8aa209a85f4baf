//! Lane operations as arithmetic: what the instruction set reference says they do, lane by lane, trapping on overflow.

use crate::layouts::planes16::{LINE, SCALE_BYTES};
use half::f16;

pub(super) fn zero() -> [[i32; 8]; 2] {
    [[0; 8]; 2]
}

pub(super) fn splat(value: f32) -> [[f32; 8]; 2] {
    [[value; 8]; 2]
}

fn of_lanes<T>(f: impl Fn(usize, usize) -> T) -> [[T; 8]; 2] {
    std::array::from_fn(|half| std::array::from_fn(|lane| f(half, lane)))
}

pub(super) fn shift_right<const BITS: u32>(a: [[i32; 8]; 2]) -> [[i32; 8]; 2] {
    a.map(|half| {
        half.map(|lane| {
            assert_eq!(lane & ((1 << BITS) - 1), 0, "only zeros may be shifted out");
            lane >> BITS
        })
    })
}

pub(super) fn masks() -> [u8; 4] {
    [0x03, 0x0C, 0x30, 0xC0]
}

pub(super) fn load(line: &[u8; LINE]) -> [[u8; LINE / 2]; 2] {
    let (low, high) = line.split_at(LINE / 2);
    [low, high].map(|half| half.try_into().expect("half a line"))
}

pub(super) fn masked(codes: [[u8; LINE / 2]; 2], mask: u8) -> [[u8; LINE / 2]; 2] {
    codes.map(|half| half.map(|code| code & mask))
}

pub(super) fn add_products(sums: [[i32; 8]; 2], plane: [[u8; LINE / 2]; 2], x: i32) -> [[i32; 8]; 2] {
    let x = x.to_le_bytes().map(|x| i32::from(x.cast_signed()));
    let plane = |h: usize, l: usize| plane[h][4 * l..][..4].iter().map(|&code| i32::from(code));
    let add = |sum: i32, (code, x): (i32, i32)| sum.checked_add(code * x).expect("no overflow");
    of_lanes(|h, l| plane(h, l).zip(x).fold(sums[h][l], add))
}

pub(super) fn in_order(sums: [[[i32; 8]; 2]; 4]) -> [[[i32; 8]; 2]; 4] {
    sums
}

pub(super) fn joined(parts: &[[[i32; 8]; 2]], x_sum: i32) -> [[f32; 8]; 2] {
    let add = |sum: i32, part: i32| sum.checked_add(part).expect("no overflow");
    of_lanes(|h, l| parts.iter().map(|part| part[h][l]).fold(-x_sum, add) as f32)
}

pub(super) fn begun(start: i32) -> [[i32; 8]; 2] {
    [[start; 8]; 2]
}

pub(super) fn mask(p: usize) -> u8 {
    3 << (2 * p)
}

pub(super) fn times_4(sums: [[i32; 8]; 2]) -> [[i32; 8]; 2] {
    sums.map(|half| half.map(|lane| lane.checked_mul(4).expect("no overflow")))
}

pub(super) fn converted(sums: [[i32; 8]; 2]) -> [[f32; 8]; 2] {
    sums.map(|half| half.map(|lane| lane as f32))
}

pub(super) fn halves(scales: &[u8; SCALE_BYTES]) -> [[f32; 8]; 2] {
    let scale = |row: usize| f16::from_le_bytes([scales[2 * row], scales[2 * row + 1]]).to_f32();
    of_lanes(|h, l| scale(8 * h + l))
}

pub(super) fn mul(a: [[f32; 8]; 2], b: f32) -> [[f32; 8]; 2] {
    of_lanes(|h, l| a[h][l] * b)
}

pub(super) fn fma(a: [[f32; 8]; 2], b: [[f32; 8]; 2], c: [[f32; 8]; 2]) -> [[f32; 8]; 2] {
    of_lanes(|h, l| a[h][l].mul_add(b[h][l], c[h][l]))
}

pub(super) fn prefetch<const TWO_LEVELS: bool>(_: &[u8; LINE]) {}

pub(super) fn store(y: &mut [f32], rows: [[f32; 8]; 2]) {
    y.copy_from_slice(&rows.as_flattened()[..y.len()]);
}
