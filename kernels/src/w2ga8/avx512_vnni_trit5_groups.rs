//! W2gA8 on AVX-512 VNNI at 1.75 bits with scales: sixteen rows at a time, `trit5x16x640`, five trits a byte whose
//! planes are groups.
//!
//! A line is decoded as a step of [`crate::w2a8::avx512_vnni_trit5`], by its very code. What differs is where its
//! planes meet activations: 128 apart, so that the five sums of a super-block are those of five groups. None is joined:
//! a group is one shift (the first has none), one conversion and one fused multiply-add. Sums start at what the zero
//! point takes off, minus the sum of the group's activations, as much too large as its plane: a broadcast load in the
//! place of a zeroed register. These are computed once a call. What is left of k are single blocks of 128 k at 2 bits,
//! whose four sums are joined.
//!
//! Per 64 weights, a fifth of half a pair of lines: 1 `vpdpbusd`, 1 `and`, and a fifth of 2 `vpavgb`, 1
//! `gf2p8affineqb`, 1 `vpsubb`, 1 `vpermi2b` and 1 load. Beside that, for a super-block of 16 rows x 640 k, where those
//! are 480 operations: 5 broadcast loads, 5 additions (of the sums of even and odd lines), 4 shifts, 5 widenings of
//! scales, 5 conversions and 5 `vfmadd`, and 5 `vmulps` where activations have several scales. With 32 activations a
//! scale all of that would come four times as often: that rule is left to kernels of 2 bits.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 4.16 instructions, 3.50 of them vector, 1.31 memory reads.
//! That takes the lines of scales for codes, so that 640 weights count as 585: the loop has the 38 instructions of
//! `avx512-vnni-trit5`, 3.80 for 64 weights. On an AMD EPYC (family 25 model 17) it runs at 0.945 of that kernel's
//! speed in L2 (1024 x 2560, 128 Gw/s, medians of ten runs in turn on a loaded machine) and at 0.87 from memory (6912 x
//! 2560), where it reads 1.094 times the bytes.
//!
//! From the prototypes of this project (layout T, 0.957 there). Kernels for PTQ1_0, as for TQ1_0 of llama.cpp, extract
//! digits with multiplications.
//!
//! # Exact
//! The decoder is exact for every byte that packing writes. `vpdpbusd` does not saturate; the sum of a plane is within
//! 64 * 2 * 128 * 128 and what is taken off within half of that, so the bound asserted below is far from 2^31. All of a
//! sum has the plane's factor, so the shifts drop zeros. The sum of a group is below 2^24: f32 holds it exactly.
//!
//! # What the compiler makes of it
//! Ten sums, eight constants and the sums of groups are in registers, no spills; the loop is that of
//! `avx512-vnni-trit5`. Five sums, even and odd lines into one, would save the additions, and each product would wait
//! for the one before on CPUs that start two a cycle. The blocks at the end need the barrier before their products:
//! without it the compiler takes one plane of all eight lines after the other, each product waiting for the one before.

use crate::activation::ActivationRule;
use crate::descriptor::{GemvGroups, KernelDescriptor};
use crate::layouts::trit5_groups16::{
    BLOCK_BYTES, BLOCK_LINES, GROUP, LAYOUT, LINE, PLANES, ROWS, SCALE_BYTES, SUPER_BYTES, SUPER_K, SUPER_LINES,
};
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use crate::w2a8::avx512_vnni_trit5::{FEATURES, add_pair};
use crate::x86_64::lanes::{quad, together};
use crate::x86_64::panel_rows::store_16_f32 as store;
use std::arch::x86_64::*;
use std::cell::RefCell;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx512-vnni-trit5-groups",
    isa: "avx512",
    requires: FEATURES,
    multiply: Some("vpdpbusd-zmm"),
    tile: (ROWS, 1),
    builds_on: Some("avx512-vnni-groups"),
    summary: "five trits a byte in planes that are groups, decoded as in avx512-vnni-trit5: scaled without a join",
    rules: &[ActivationRule::Token, ActivationRule::Per256, ActivationRule::Per128],
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2ga8(&LAYOUT, gemv)
};

/// How far ahead of the loads codes are fetched into the cache: the best of 512 to 6144 B in the prototypes (Zen 4).
const PREFETCH_BYTES: usize = 4096;

/// What a plane's sum is too large by: planes 3 and 4 both have bits 6 and 7 of a byte.
const FACTORS: [i32; PLANES] = [1, 4, 16, 64, 64];

/// Codes of at most 2 times -128, 64 times too large, and the sum that is taken off.
const _: () = assert!(64 * (2 + 1) * 128 * GROUP <= i32::MAX as usize);

/// What all panels of a call share of a group.
#[derive(Clone, Copy)]
struct Group {
    /// The sum of its activations, taken off in advance and as much too large as the sum of its plane.
    start: i32,
    /// The scale of its activations where a token has several.
    scale: f32,
}

thread_local! {
    /// The groups of the last call; kept, so that calls allocate once a thread.
    static GROUPS: RefCell<Vec<Group>> = const { RefCell::new(Vec::new()) };
}

fn prepare(groups: &mut Vec<Group>, args: &GemvGroups<'_>) {
    let of_supers = args.groups / PLANES * PLANES;
    let blocks = args.rule.block();
    groups.clear();
    groups.extend(args.sums.iter().take(args.groups).enumerate().map(|(g, sum)| {
        // The first plane's factor where a block has its own four planes.
        let factor = if g < of_supers { FACTORS[g % PLANES] } else { 1 };
        Group { start: -factor * sum, scale: blocks.map_or(1.0, |block| args.x_scales[g * GROUP / block]) }
    }));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn gemv(args: GemvGroups<'_>) {
    GROUPS.with_borrow_mut(|groups| {
        prepare(groups, &args);
        match args.rule {
            ActivationRule::Token => with_prefetch!(args.prefetch, tokens(args, groups)),
            _ => with_prefetch!(args.prefetch, blocks(args, groups)),
        }
    });
}

/// Activations with one scale, which is not applied.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn tokens<const TWO_LEVELS: bool>(args: GemvGroups<'_>, groups: &[Group]) {
    rows::<false, TWO_LEVELS>(args, groups);
}

/// Activations with a scale for each group, or for each two.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn blocks<const TWO_LEVELS: bool>(args: GemvGroups<'_>, groups: &[Group]) {
    rows::<true, TWO_LEVELS>(args, groups);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn rows<const SCALED: bool, const TWO_LEVELS: bool>(args: GemvGroups<'_>, groups: &[Group]) {
    at_cache_line!();
    let (of_supers, of_blocks) = groups.as_chunks::<PLANES>();
    let (supers_x, blocks_x) = args.x.split_at(of_supers.len() * SUPER_K);
    let (supers_x, blocks_x) = (supers_x.as_chunks::<SUPER_K>().0, blocks_x.as_chunks::<GROUP>().0);
    for (y, panel) in args.y.chunks_mut(ROWS).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let (supers, blocks) = panel.split_at(of_supers.len() * SUPER_BYTES);
        let mut acc = _mm512_setzero_ps();
        for ((codes, x), groups) in supers.as_chunks::<SUPER_BYTES>().0.iter().zip(supers_x).zip(of_supers) {
            acc = add_super::<SCALED, TWO_LEVELS>(acc, codes, x, groups);
        }
        let blocks = blocks.as_chunks::<BLOCK_BYTES>().0.iter().zip(blocks_x);
        for ((codes, x), group) in blocks.zip(of_blocks) {
            acc = add_block::<SCALED, TWO_LEVELS>(acc, codes, x, *group);
        }
        store(y, acc);
    }
}

/// Adds five groups of 16 rows, a plane each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn add_super<const SCALED: bool, const TWO_LEVELS: bool>(
    mut acc: __m512,
    codes: &[u8; SUPER_BYTES],
    x: &[i8; SUPER_K],
    groups: &[Group; PLANES],
) -> __m512 {
    let (lines, quads) = (codes.as_chunks::<LINE>().0, x.as_chunks::<4>().0);
    let (pairs, scale_lines) = lines.split_at(SUPER_LINES / LINE);
    let mut even = groups.map(|group| _mm512_set1_epi32(group.start));
    let mut odd = [_mm512_setzero_si512(); PLANES];
    for (i, pair) in pairs.as_chunks::<2>().0.iter().enumerate() {
        for line in pair {
            ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
        }
        // From the first quad of plane 0 to the second of plane 4.
        add_pair::<1, { GROUP / 4 }>(&mut even, &mut odd, pair, &quads[2 * i..][..GROUP + 2]);
    }
    for line in scale_lines {
        ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
    }
    let plane = |p: usize| _mm512_add_epi32(even[p], odd[p]);
    let sums = [
        plane(0),
        _mm512_srai_epi32::<2>(plane(1)),
        _mm512_srai_epi32::<4>(plane(2)),
        _mm512_srai_epi32::<6>(plane(3)),
        _mm512_srai_epi32::<6>(plane(4)),
    ];
    let scales = codes[SUPER_LINES..].as_chunks::<SCALE_BYTES>().0;
    for p in 0..PLANES {
        acc = add_group::<SCALED>(acc, sums[p], &scales[p], groups[p].scale);
    }
    acc
}

/// Adds a group of 16 rows that has four planes of 2 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_block<const SCALED: bool, const TWO_LEVELS: bool>(
    acc: __m512,
    codes: &[u8; BLOCK_BYTES],
    x: &[i8; GROUP],
    group: Group,
) -> __m512 {
    let (lines, quads) = (codes.as_chunks::<LINE>().0, x.as_chunks::<4>().0);
    let (of_codes, scale_lines) = lines.split_at(BLOCK_LINES / LINE);
    let mut sums = [_mm512_setzero_si512(); 4];
    sums[0] = _mm512_set1_epi32(group.start);
    for (i, line) in of_codes.iter().enumerate() {
        ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
        // SAFETY: a line has 64 bytes; the load needs no alignment.
        let line = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
        let plane = |mask: u8| _mm512_and_si512(line, _mm512_set1_epi8(mask.cast_signed()));
        let (mut p0, mut p1, mut p2, mut p3) = (plane(0x03), plane(0x0C), plane(0x30), plane(0xC0));
        together!(zmm_reg: p0, p1, p2, p3);
        for (p, plane) in [p0, p1, p2, p3].into_iter().enumerate() {
            sums[p] = _mm512_dpbusd_epi32(sums[p], plane, _mm512_set1_epi32(quad(&quads[8 * p + i])));
        }
    }
    for line in scale_lines {
        ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
    }
    let low = _mm512_add_epi32(sums[0], _mm512_srai_epi32::<2>(sums[1]));
    let high = _mm512_add_epi32(_mm512_srai_epi32::<4>(sums[2]), _mm512_srai_epi32::<6>(sums[3]));
    let scales = codes[BLOCK_LINES..].first_chunk().unwrap_or(&[0; SCALE_BYTES]);
    add_group::<SCALED>(acc, _mm512_add_epi32(low, high), scales, group.scale)
}

/// Adds the sums of a group with the scales of its 16 rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_group<const SCALED: bool>(acc: __m512, sums: __m512i, scales: &[u8; SCALE_BYTES], scale: f32) -> __m512 {
    // SAFETY: there are 32 bytes; the load needs no alignment.
    let halves = unsafe { _mm256_loadu_si256(scales.as_ptr().cast()) };
    let mut scales = _mm512_cvtph_ps(halves);
    if SCALED {
        scales = _mm512_mul_ps(scales, _mm512_set1_ps(scale));
    }
    _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scales, acc)
}
