//! `planes16x64`, `planes16x128`, `planes16x256`: 16 rows interleaved, groups of 64, 128 or 256 weights whose f16
//! scales lie behind their codes: one sequential stream.
//!
//! A line is 64 bytes: dword lane r belongs to row r, its byte j holds four codes, one a plane, at bits 2p. A
//! super-block is 256 k in 16 lines where groups are of 64, else 512 k in 32 lines, and where k is no multiple of 512 a
//! last one of 256. With L lines, code j of plane p of line i is at k = 4Lp + 4i + j of the super-block. So planes are
//! consecutive weights, and a plane is a group (of 64, or of 128 in 512), or two planes are one (of 256 in 512, of 128
//! in 256), or all four (of 256 in 256): no sum of a plane belongs to two groups, and where a plane is a group nothing
//! is joined. [`super::vnni16`] has the planes within 16 weights instead, where four sums would be joined for each
//! group.
//!
//! Behind the lines of a super-block are the scales of its groups as f16, for each group those of the 16 rows (32
//! bytes), and nothing where that leaves half a line: no line of codes lies in two cache lines. 2.25, 2.125 and 2.0625
//! bits a weight. Code 3 has a place. Rows are padded to panels of 16, k to 256.
//!
//! From the prototypes of this project, where asking ahead for the scales in the order of the addresses made 0.96 to
//! 1.00 of a plain read of what asking for them before their codes made 0.90 to 0.94 (Zen 4).

use super::interleave::words;
use crate::layout::Layout;

pub(crate) static GROUPS_OF_64: Layout = Layout {
    name: "planes16x64",
    groups: &[64],
    panel: Some(panel_bytes::<64>),
    half_scale: Some(scale_place::<64>),
    pack: pack::<64>,
    unpack: unpack::<64>,
    ..FORM
};

/// The form that kernels name.
pub(crate) static LAYOUT: Layout = Layout {
    name: "planes16x128",
    groups: &[128],
    panel: Some(panel_bytes::<128>),
    half_scale: Some(scale_place::<128>),
    pack: pack::<128>,
    unpack: unpack::<128>,
    ..FORM
};

pub(crate) static GROUPS_OF_256: Layout = Layout {
    name: "planes16x256",
    groups: &[256],
    panel: Some(panel_bytes::<256>),
    half_scale: Some(scale_place::<256>),
    pack: pack::<256>,
    unpack: unpack::<256>,
    ..FORM
};

static FORMS: [&Layout; 3] = [&GROUPS_OF_64, &LAYOUT, &GROUPS_OF_256];

const FORM: Layout =
    Layout { rows: ROWS, block_k: BLOCK_K, block_bytes: super_bytes(BLOCK_K, 128), forms: || &FORMS, ..Layout::PLAIN };

pub(crate) const ROWS: usize = 16;
/// What k is padded to: the smallest super-block.
const BLOCK_K: usize = 256;
pub(crate) const LINE: usize = 4 * ROWS;
/// Bytes of the scales of a group.
pub(crate) const SCALE_BYTES: usize = 2 * ROWS;

/// Weights of a row in all super-blocks but perhaps the last.
pub(crate) const fn super_k(group: usize) -> usize {
    if group == 64 { 256 } else { 512 }
}

/// Bytes of a super-block of so many weights a row, its scales included.
pub(crate) const fn super_bytes(k: usize, group: usize) -> usize {
    k * LINE / 16 + (k / group * SCALE_BYTES).next_multiple_of(LINE)
}

fn panel_bytes<const GROUP: usize>(k: usize) -> usize {
    let (k, whole) = (k.next_multiple_of(BLOCK_K), super_k(GROUP));
    let rest = if k.is_multiple_of(whole) { 0 } else { super_bytes(k % whole, GROUP) };
    k / whole * super_bytes(whole, GROUP) + rest
}

fn scale_place<const GROUP: usize>(k: usize, group: usize, row: usize) -> usize {
    let (k, whole) = (k.next_multiple_of(BLOCK_K), super_k(GROUP));
    let (block, within) = (group * GROUP / whole, group * GROUP % whole / GROUP);
    let here = (k - block * whole).min(whole);
    block * super_bytes(whole, GROUP) + here * LINE / 16 + within * SCALE_BYTES + 2 * row
}

/// For each super-block of `k` weights a row: where it begins in a row and in a panel, and its lines.
fn super_blocks<const GROUP: usize>(k: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let whole = super_k(GROUP);
    (0..k).step_by(whole).map(move |from| (from, from / whole * super_bytes(whole, GROUP), (k - from).min(whole) / 16))
}

fn pack<const GROUP: usize>(codes: &[u8], packed: &mut [u8]) {
    let k = codes.len() / ROWS;
    for (r, row) in codes.chunks_exact(k.max(1)).enumerate() {
        for (from, at, lines) in super_blocks::<GROUP>(k) {
            let planes: [&[u8]; 4] = std::array::from_fn(|p| &row[from + 4 * lines * p..][..4 * lines]);
            for i in 0..lines {
                let quad = |p: usize| words::<4, 1>(planes[p][4 * i..].first_chunk().unwrap_or(&[1; 4]))[0];
                let word = quad(0) | quad(1) << 2 | quad(2) << 4 | quad(3) << 6;
                packed[at + i * LINE + 4 * r..][..4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

fn unpack<const GROUP: usize>(packed: &[u8], codes: &mut [u8]) {
    let k = codes.len() / ROWS;
    for (r, row) in codes.chunks_exact_mut(k.max(1)).enumerate() {
        for (from, at, lines) in super_blocks::<GROUP>(k) {
            for (n, code) in row[from..][..16 * lines].iter_mut().enumerate() {
                let (plane, within) = (n / (4 * lines), n % (4 * lines));
                *code = packed[at + within / 4 * LINE + 4 * r + within % 4] >> (2 * plane) & 3;
            }
        }
    }
}
