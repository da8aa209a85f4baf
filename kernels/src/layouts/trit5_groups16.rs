//! `trit5x16x640`: 16 rows interleaved, five ternary weights a byte in groups of 128 whose f16 scales lie behind their
//! codes: 1.75 bits a weight with its scales, exactly what PTQ1_0 (of PrismML's fork of llama.cpp) takes in a file.
//!
//! A line is 64 bytes: dword lane r belongs to row r. A super-block is 640 k in 32 lines. Its byte j in line i is
//! `v4 + 85 * t4` as in [`super::trit5`], where v4 has four trits base 3, and trit tp is the code at k = 128p + 4i + j
//! of the super-block. So each of the five planes is a group, as in [`super::planes16`], and no sum of a plane is
//! joined with another. Behind the lines are the scales of the five groups as f16, for each group those of the 16 rows
//! (32 bytes), and nothing in the last half of the third line: no line of codes lies in two cache lines.
//!
//! What is left of k are single blocks of 128 k, a group each, at 2 bits: 8 lines with code j of plane p of line i, at
//! bits 2p, for k = 32p + 4i + j of the block, and a line with the scales of 16 rows in its first half. 2.25 bits a
//! weight there, so 1.76 where k is 14336. Code 3 has no place here, although those blocks would have one. Rows are
//! padded to panels of 16, k to 128.

use super::interleave::words;
use super::trit5::TRITS;
use crate::layout::Layout;

pub(crate) static LAYOUT: Layout = Layout {
    name: "trit5x16x640",
    rows: ROWS,
    block_k: GROUP,
    block_bytes: BLOCK_BYTES,
    ternary_only: true,
    groups: &[GROUP],
    panel: Some(panel_bytes),
    half_scale: Some(scale_place),
    pack,
    unpack,
    ..Layout::PLAIN
};

pub(crate) const ROWS: usize = 16;
/// Weights of a row that share a scale: those of a plane of a super-block, and those of a single block.
pub(crate) const GROUP: usize = 128;
/// Groups of a super-block.
pub(crate) const PLANES: usize = 5;
pub(crate) const SUPER_K: usize = PLANES * GROUP;
pub(crate) const LINE: usize = 4 * ROWS;
/// Bytes of the scales of a group.
pub(crate) const SCALE_BYTES: usize = 2 * ROWS;
/// Bytes of the lines of a super-block, without its scales.
pub(crate) const SUPER_LINES: usize = GROUP / 4 * LINE;
pub(crate) const SUPER_BYTES: usize = SUPER_LINES + (PLANES * SCALE_BYTES).next_multiple_of(LINE);
/// Bytes of the lines of a single block, without its scales.
pub(crate) const BLOCK_LINES: usize = GROUP / 16 * LINE;
pub(crate) const BLOCK_BYTES: usize = BLOCK_LINES + LINE;

fn panel_bytes(k: usize) -> usize {
    let groups = k.div_ceil(GROUP);
    groups / PLANES * SUPER_BYTES + groups % PLANES * BLOCK_BYTES
}

fn scale_place(k: usize, group: usize, row: usize) -> usize {
    let supers = k.div_ceil(GROUP) / PLANES;
    let group_at = if group < supers * PLANES {
        group / PLANES * SUPER_BYTES + SUPER_LINES + group % PLANES * SCALE_BYTES
    } else {
        supers * SUPER_BYTES + (group - supers * PLANES) * BLOCK_BYTES + BLOCK_LINES
    };
    group_at + 2 * row
}

/// Four codes from the one at `k` on, as a little-endian word.
fn quad(codes: &[u8], k: usize) -> u32 {
    words::<4, 1>(codes[k..].first_chunk().unwrap_or(&[1; 4]))[0]
}

/// Codes are at most 2: words of four codes are added with their weights at once, no byte exceeds 250.
fn pack(codes: &[u8], packed: &mut [u8]) {
    let k = codes.len() / ROWS;
    let (supers, blocks) = packed.split_at_mut(k / SUPER_K * SUPER_BYTES);
    for (r, row) in codes.chunks_exact(k.max(1)).enumerate() {
        let (of_supers, of_blocks) = row.split_at(k / SUPER_K * SUPER_K);
        for (packed, codes) in supers.chunks_exact_mut(SUPER_BYTES).zip(of_supers.chunks_exact(SUPER_K)) {
            for (i, line) in packed[..SUPER_LINES].chunks_exact_mut(LINE).enumerate() {
                let [t0, t1, t2, t3, t4] = std::array::from_fn(|p| quad(codes, GROUP * p + 4 * i));
                let word = t0 + 3 * t1 + 9 * t2 + 27 * t3 + 85 * t4;
                line[4 * r..4 * r + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
        for (packed, codes) in blocks.chunks_exact_mut(BLOCK_BYTES).zip(of_blocks.chunks_exact(GROUP)) {
            for (i, line) in packed[..BLOCK_LINES].chunks_exact_mut(LINE).enumerate() {
                let plane = |p: usize| quad(codes, GROUP / 4 * p + 4 * i) << (2 * p);
                let word = plane(0) | plane(1) | plane(2) | plane(3);
                line[4 * r..4 * r + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

fn unpack(packed: &[u8], codes: &mut [u8]) {
    let k = codes.len() / ROWS;
    let (supers, blocks) = packed.split_at(k / SUPER_K * SUPER_BYTES);
    for (r, row) in codes.chunks_exact_mut(k.max(1)).enumerate() {
        let (of_supers, of_blocks) = row.split_at_mut(k / SUPER_K * SUPER_K);
        for (packed, codes) in supers.chunks_exact(SUPER_BYTES).zip(of_supers.chunks_exact_mut(SUPER_K)) {
            for (n, code) in codes.iter_mut().enumerate() {
                let (plane, within) = (n / GROUP, n % GROUP);
                *code = TRITS[usize::from(packed[within / 4 * LINE + 4 * r + within % 4])][plane];
            }
        }
        for (packed, codes) in blocks.chunks_exact(BLOCK_BYTES).zip(of_blocks.chunks_exact_mut(GROUP)) {
            for (n, code) in codes.iter_mut().enumerate() {
                let (plane, within) = (n / (GROUP / 4), n % (GROUP / 4));
                *code = packed[within / 4 * LINE + 4 * r + within % 4] >> (2 * plane) & 3;
            }
        }
    }
}
