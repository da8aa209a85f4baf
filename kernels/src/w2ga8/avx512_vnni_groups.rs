//! W2gA8 on AVX-512 VNNI: sixteen rows at a time, `planes16`, masks and `vpdpbusd` as in [`crate::w2a8::avx512_vnni`],
//! and a plane that is a group, so that its sum belongs to one scale and is joined with no other.
//!
//! Per 64 weights, a quarter of a line: 1/4 load of codes, 1 `and`, 1 `vpdpbusd` with its activations broadcast from
//! memory, 1/4 prefetch. Beside that, for a group of 128 of 16 rows, 32 of these: 1 addition (even and odd lines have
//! sums of their own), 3/4 shift, 1 conversion to f32, 1 conversion of 16 f16 scales with their load, 1 `fmadd`: 4.75
//! operations beside 64. Sums begin at minus the sum of their activations (see [`super::group_starts`]), so the zero
//! point costs nothing. A group of 64 is a plane of a super-block half as long, one of 256 two planes, joined by a
//! shift and an addition. Blocks of activations with a scale each cost one multiplication a group where they have whole
//! groups. Units of 32 end every eight lines: 4 conversions and 4 `fmadd` beside 64.
//!
//! 2.125 bits a weight with f16 scales of groups of 128, 2.25 of 64, 2.0625 of 256: one sequential stream, scales
//! behind their codes, which are asked for in that order.
//!
//! In L2 (1024 x 2560), one thread, of the speed of `avx512-vnni` in the same rounds (`group_ratios`, 41 rounds, 95%
//! intervals), on an Intel Xeon (family 6 model 207), 2026-12-01: one scale a token and groups of 128 0.902 [0.895,
//! 0.912], of 256 0.949 [0.945, 0.957], of 64 0.845 [0.830, 0.855]; groups of 128 and a scale for each 128 activations
//! 0.878 [0.866, 0.886], for each 32 0.823 [0.818, 0.832]. From memory (6912 x 2560, 21 rounds), of a plain read of the
//! same bytes, scales included: 0.92 to 0.97 at one thread, 0.92 to 0.94 at two. On an AMD EPYC (family 25 model 17),
//! 2026-11-29, before the last changes: 0.908, 0.932, 0.839, 0.892, 0.801; from memory 0.97 to 0.99 at one thread, 0.93
//! to 0.99 at two.
//!
//! From the prototypes of this project (layout P). llama.cpp's path for such weights is a scalar loop.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 2.79 instructions, 2.39 of them vector, 1.33 memory reads.
//! That is eight lines, prefetches included; the loop holds no shift and no conversion. (Its weights are taken from the
//! bytes that it reads, of which the scales, read after it, are a seventeenth: 64 of its weights are 60.)
//!
//! # Exact
//! Sum p of a row is 4^p times the exact sum of a unit: within 64 * 3 * 128 * 256, below 2^23 with the zero
//! point taken off, so f32 holds it and its conversion rounds nothing. Where sums are not shifted, 4^-p is in the scale
//! of the block, which is 0 or at least 2^-24: exact too.
//!
//! # What the compiler makes of it
//! A loop of known length over the lines of a super-block is unrolled by LLVM (Rust 1.95) until the loads of all lines
//! come first and the registers do not suffice: half the speed, or less. So its length is not known
//! ([`std::hint::black_box`]): the loop has eight lines, in their order ([`in_order`]), all sums and masks in
//! registers, no spill.
//! Closures that return vectors are compiled without the features of the function around them and called: there are
//! none.
//!
//! Eight chains, as in `avx512-vnni`: four, which save the additions, end at 0.84 of it instead of 0.90. Units of 32
//! have four, eight lines being too few for eight (0.78 instead of 0.80 of `avx512-vnni` on Zen 4), and two units stand
//! side by side: on the Xeon, where `vpdpbusd` takes five cycles, four alone would wait for themselves. Their lines
//! are unrolled with addresses that have no index (see [`based`]): 0.82 for 0.77.

mod gemm;
mod gemm_by_32;
mod lines;

use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemvGroups, KernelDescriptor};
use crate::layouts::planes16::{self, LINE, SCALE_BYTES, super_bytes};
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use crate::w2ga8::group_starts::{FLUSH, Start, with_starts};
use crate::x86_64::lanes::{based, in_order, quad, together};
use crate::x86_64::panel_rows::store_16_f32 as store;
use crate::{ActivationRule, K_SLACK};
use lines::{Line, PREFETCH_BYTES, Scales, broadcast, nothing, scale};
use std::arch::x86_64::*;
use std::hint::black_box;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx512-vnni-groups",
    isa: "avx512",
    requires: CpuFeatures::AVX512F.with(CpuFeatures::AVX512BW).with(CpuFeatures::AVX512VNNI),
    multiply: Some("vpdpbusd-zmm"),
    tile: (16, 1),
    gemm: Some(Gemm::Groups(gemm::gemm)),
    wide_tile: &[ActivationRule::Per32],
    builds_on: Some("avx2-groups"),
    summary: "sixteen rows interleaved, planes that are groups: a shift and a fused multiply-add where each ends",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2ga8(&planes16::LAYOUT, gemv)
};

/// A unit's sum is largest in plane 3: 128 weights, codes up to 3, 64 times too large, activations down to -128. What
/// it begins with is a third of that, of the other sign. The gemm adds up to four planes of 64 weights so.
const _: () = assert!(3 * 64 * 128 * 256 <= i32::MAX as usize);

type Quad = [i8; 4];

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn gemv(args: GemvGroups<'_>) {
    let k = args.x.len() - K_SLACK;
    with_starts(args, k, |args, starts| match args.group {
        64 => by_rule::<64, { super_bytes(256, 64) }, { 256 / 4 }, { 256 / 128 }>(args, starts),
        128 => by_rule::<128, { super_bytes(512, 128) }, { 512 / 4 }, { 512 / 128 }>(args, starts),
        _ => by_rule::<256, { super_bytes(512, 256) }, { 512 / 4 }, { 512 / 128 }>(args, starts),
    });
}

/// A token has one scale.
const TOKEN: u8 = 0;
/// A block of activations has whole groups.
const BLOCKS: u8 = 1;
/// A group has several blocks of 32.
const BY_32: u8 = 2;
/// A group of 256 has two blocks of 128.
const BY_128: u8 = 3;

/// Of super-blocks of `BYTES`, which meet `QUADS` dwords of activations and have `PARTS` times [`FLUSH`] lines.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn by_rule<const GROUP: usize, const BYTES: usize, const QUADS: usize, const PARTS: usize>(
    args: GemvGroups<'_>,
    starts: &[Start],
) {
    let prefetch = args.prefetch;
    match (args.rule.block(), args.rule.unit(GROUP)) {
        (None, _) => with_prefetch!(prefetch, panels[GROUP, BYTES, QUADS, 1, TOKEN](args, starts)),
        (_, 32) => with_prefetch!(prefetch, panels[GROUP, BYTES, QUADS, PARTS, BY_32](args, starts)),
        (_, unit) if unit < GROUP => with_prefetch!(prefetch, panels[GROUP, BYTES, QUADS, 1, BY_128](args, starts)),
        _ => with_prefetch!(prefetch, panels[GROUP, BYTES, QUADS, 1, BLOCKS](args, starts)),
    }
}

/// A super-block of a panel, whose planes meet `QUADS` dwords of activations: its lines, so many for each part, its
/// scales, the activations, and what sums begin with.
struct SuperBlock<'a, const QUADS: usize> {
    lines: &'a [[Line; FLUSH]],
    scales: &'a [Scales],
    x: &'a [Quad; QUADS],
    starts: &'a [Start],
}

impl<'a, const QUADS: usize> SuperBlock<'a, QUADS> {
    /// Lines of a plane, in parts of [`FLUSH`].
    const PARTS: usize = QUADS / (4 * FLUSH);

    #[inline(always)]
    fn new(bytes: &'a [u8], x: &'a [Quad; QUADS], starts: &'a [Start], parts: usize) -> Self {
        let (lines, scales) = bytes.split_at(parts * FLUSH * LINE);
        let lines = lines.as_chunks::<LINE>().0.as_chunks::<FLUSH>().0;
        Self { lines, scales: scales.as_chunks::<SCALE_BYTES>().0, x, starts }
    }

    /// What each plane meets, part after part: all of it at a known distance from one address.
    #[inline(always)]
    fn planes(&self) -> [&'a [[Quad; FLUSH]]; 4] {
        let parts = self.x.as_chunks::<FLUSH>().0;
        [0, 1, 2, 3].map(|p| &parts[p * Self::PARTS..][..Self::PARTS])
    }
}

/// Dwords of activations that the last super-block of a row meets where it is a short one.
const SHORT: usize = 64;

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn panels<
    const GROUP: usize,
    const BYTES: usize,
    const QUADS: usize,
    const EACH: usize,
    const RULE: u8,
    const TWO_LEVELS: bool,
>(
    args: GemvGroups<'_>,
    starts: &[Start],
) {
    at_cache_line!();
    let x = args.x[..args.x.len() - K_SLACK].as_chunks::<4>().0;
    let ((x, last_x), (starts, last_starts)) = (x.as_chunks::<QUADS>(), starts.as_chunks::<EACH>());
    // Not known to the compiler: it would unroll loops over the lines of a super-block until nothing fits into
    // registers.
    let parts = black_box(SuperBlock::<QUADS>::PARTS);
    // Made here once: a super-block writes what it reads.
    let mut waiting = [[_mm512_setzero_ps(); 4]; 4];
    for (y, panel) in args.y.chunks_mut(16).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let mut acc = _mm512_setzero_ps();
        let (blocks, last) = panel.as_chunks::<BYTES>();
        for ((bytes, x), starts) in blocks.iter().zip(x).zip(starts) {
            let block = SuperBlock::<QUADS>::new(bytes, x, starts, parts);
            acc = if GROUP == 256 {
                add::<2, QUADS, RULE, TWO_LEVELS>(acc, &block, &mut waiting)
            } else {
                add::<1, QUADS, RULE, TWO_LEVELS>(acc, &block, &mut waiting)
            };
        }
        if let (true, Some(x)) = (GROUP > 64, last_x.first_chunk()) {
            // One for all lines, or one for each part: in `EACH`, or left over.
            let last_starts = if EACH == 1 { starts[blocks.len()].as_slice() } else { last_starts };
            let block = SuperBlock::<SHORT>::new(last, x, last_starts, SuperBlock::<SHORT>::PARTS);
            acc = if GROUP == 256 {
                add::<4, SHORT, RULE, TWO_LEVELS>(acc, &block, &mut waiting)
            } else {
                add::<2, SHORT, RULE, TWO_LEVELS>(acc, &block, &mut waiting)
            };
        }
        store(y, acc);
    }
}

/// Adds a super-block to the sums of the rows; `PLANES` planes are a group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add<const PLANES: usize, const QUADS: usize, const RULE: u8, const TWO_LEVELS: bool>(
    acc: __m512,
    block: &SuperBlock<'_, QUADS>,
    waiting: &mut [[__m512; 4]; 4],
) -> __m512 {
    match RULE {
        BY_32 => add_by_32::<PLANES, QUADS, TWO_LEVELS>(acc, block, waiting),
        _ => add_whole::<PLANES, QUADS, RULE, TWO_LEVELS>(acc, block),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_by_32<const PLANES: usize, const QUADS: usize, const TWO_LEVELS: bool>(
    mut acc: __m512,
    block: &SuperBlock<'_, QUADS>,
    waiting: &mut [[__m512; 4]; 4],
) -> __m512 {
    // Of each group, the chain of its units: those of its first plane as they come, those of the others wait.
    let mut chains = [nothing(); 4];
    let [x0, x1, x2, x3] = block.planes();
    // Two units side by side, eight chains: four alone would wait for themselves.
    let pairs = (block.lines.as_chunks::<2>().0.iter().zip(x0.as_chunks::<2>().0).zip(x1.as_chunks::<2>().0))
        .zip(x2.as_chunks::<2>().0)
        .zip(x3.as_chunks::<2>().0)
        .zip(block.starts.as_chunks::<2>().0);
    for ((((((lines, x0), x1), x2), x3), starts), waiting) in pairs.zip(waiting.as_chunks_mut::<2>().0) {
        let (mut first, mut second) = (broadcast(&starts[0].sums), broadcast(&starts[1].sums));
        // Two loops: LLVM does not unroll one over all eight, and an index would be an operand of each address.
        let lines = based(lines);
        let x = [based(x0), based(x1), based(x2), based(x3)];
        for i in 0..FLUSH / 2 {
            add_two::<TWO_LEVELS>([&mut first, &mut second], lines, x, i);
        }
        for i in FLUSH / 2..FLUSH {
            add_two::<TWO_LEVELS>([&mut first, &mut second], lines, x, i);
        }
        for (sums, (start, waiting)) in [first, second].iter().zip(starts.iter().zip(waiting)) {
            for p in 0..4 {
                let sum = _mm512_cvtepi32_ps(sums[p]);
                if p % PLANES == 0 {
                    chains[p / PLANES] = _mm512_fmadd_ps(sum, _mm512_set1_ps(start.factors[p]), chains[p / PLANES]);
                } else {
                    waiting[p] = sum;
                }
            }
        }
    }
    ask_for_scales::<TWO_LEVELS>(block.scales, 4 / PLANES);
    let starts = &block.starts[..SuperBlock::<QUADS>::PARTS];
    for (g, scales) in block.scales.iter().enumerate().take(4 / PLANES) {
        let mut chain = chains[g];
        for p in g * PLANES + 1..(g + 1) * PLANES {
            for (start, waiting) in starts.iter().zip(&*waiting) {
                chain = _mm512_fmadd_ps(waiting[p], _mm512_set1_ps(start.factors[p]), chain);
            }
        }
        acc = _mm512_fmadd_ps(chain, scale(scales), acc);
    }
    acc
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_whole<const PLANES: usize, const QUADS: usize, const RULE: u8, const TWO_LEVELS: bool>(
    mut acc: __m512,
    block: &SuperBlock<'_, QUADS>,
) -> __m512 {
    let groups = 4 / PLANES;
    let mut sums = [broadcast(&block.starts[0].sums), [_mm512_setzero_si512(); 4]];
    let [x0, x1, x2, x3] = block.planes();
    for ((((lines, x0), x1), x2), x3) in block.lines.iter().zip(x0).zip(x1).zip(x2).zip(x3) {
        add_lines::<TWO_LEVELS>(&mut sums, lines, [x0, x1, x2, x3]);
    }
    ask_for_scales::<TWO_LEVELS>(block.scales, groups);
    let [p0, p1, p2, p3] = added(sums);
    if RULE == BY_128 {
        // Two units a group, each a plane, or two in a short super-block; 4^p is in the factors.
        let units = if PLANES == 2 { [p0, p1, p2, p3] } else { [join(p0, p1), join(p2, p3), p0, p0] };
        for g in 0..groups {
            let factors = &block.starts[0].factors[g * PLANES..];
            let (first, second) = (_mm512_cvtepi32_ps(units[2 * g]), _mm512_cvtepi32_ps(units[2 * g + 1]));
            let first = _mm512_mul_ps(first, _mm512_set1_ps(factors[0]));
            let chain = _mm512_fmadd_ps(second, _mm512_set1_ps(factors[PLANES / 2]), first);
            acc = _mm512_fmadd_ps(chain, scale(&block.scales[g]), acc);
        }
        return acc;
    }
    let exact = match PLANES {
        1 => [p0, _mm512_srai_epi32::<2>(p1), _mm512_srai_epi32::<4>(p2), _mm512_srai_epi32::<6>(p3)],
        2 => [join(p0, p1), _mm512_srai_epi32::<4>(join(p2, p3)), p0, p0],
        _ => [_mm512_add_epi32(join(p0, p1), _mm512_srai_epi32::<4>(join(p2, p3))), p0, p0, p0],
    };
    for (g, &exact) in exact.iter().enumerate().take(groups) {
        let mut scale = scale(&block.scales[g]);
        if RULE == BLOCKS {
            scale = _mm512_mul_ps(scale, _mm512_set1_ps(block.starts[0].factors[g * PLANES]));
        }
        acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), scale, acc);
    }
    acc
}

/// The sums of two planes, `4^p` times too large as the first one's.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn join(first: __m512i, second: __m512i) -> __m512i {
    _mm512_add_epi32(first, _mm512_srai_epi32::<2>(second))
}

/// Adds line `i` of two units, each to its own sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_two<const TWO_LEVELS: bool>(
    [first, second]: [&mut [__m512i; 4]; 2],
    lines: &[[Line; FLUSH]; 2],
    x: [&[[Quad; FLUSH]; 2]; 4],
    i: usize,
) {
    let quads = |unit: usize| [&x[0][unit][i], &x[1][unit][i], &x[2][unit][i], &x[3][unit][i]];
    for (unit, sums) in [first, second].into_iter().enumerate() {
        add_line::<TWO_LEVELS>(sums, &lines[unit][i], quads(unit));
        let [mut s0, mut s1, mut s2, mut s3] = *sums;
        // Else products of a sum that is used late are put there, and their operands wait in registers.
        together!(zmm_reg: s0, s1, s2, s3);
        *sums = [s0, s1, s2, s3];
    }
}

/// Adds eight lines in turn to two sets of sums: sum p takes the plane at bits 2p, 4^p times too large, times its
/// activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_lines<const TWO_LEVELS: bool>(
    [even, odd]: &mut [[__m512i; 4]; 2],
    lines: &[Line; FLUSH],
    x: [&[Quad; FLUSH]; 4],
) {
    for (i, pair) in lines.as_chunks::<2>().0.iter().enumerate() {
        let x = |at: usize| [&x[0][at], &x[1][at], &x[2][at], &x[3][at]];
        add_line::<TWO_LEVELS>(even, &pair[0], x(2 * i));
        add_line::<TWO_LEVELS>(odd, &pair[1], x(2 * i + 1));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_line<const TWO_LEVELS: bool>(sums: &mut [__m512i; 4], line: &Line, x: [&Quad; 4]) {
    ahead::<TWO_LEVELS>(line.as_ptr(), PREFETCH_BYTES);
    // SAFETY: a line has 64 bytes; the load needs no alignment.
    let codes = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
    let mut p0 = _mm512_and_si512(codes, _mm512_set1_epi8(0x03));
    let mut p1 = _mm512_and_si512(codes, _mm512_set1_epi8(0x0C));
    let mut p2 = _mm512_and_si512(codes, _mm512_set1_epi8(0x30));
    let mut p3 = _mm512_and_si512(codes, _mm512_set1_epi8(0xC0u8.cast_signed()));
    in_order!(zmm_reg: p0, p1, p2, p3);
    sums[0] = _mm512_dpbusd_epi32(sums[0], p0, _mm512_set1_epi32(quad(x[0])));
    sums[1] = _mm512_dpbusd_epi32(sums[1], p1, _mm512_set1_epi32(quad(x[1])));
    sums[2] = _mm512_dpbusd_epi32(sums[2], p2, _mm512_set1_epi32(quad(x[2])));
    sums[3] = _mm512_dpbusd_epi32(sums[3], p3, _mm512_set1_epi32(quad(x[3])));
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn added([even, odd]: [[__m512i; 4]; 2]) -> [__m512i; 4] {
    [
        _mm512_add_epi32(even[0], odd[0]),
        _mm512_add_epi32(even[1], odd[1]),
        _mm512_add_epi32(even[2], odd[2]),
        _mm512_add_epi32(even[3], odd[3]),
    ]
}

/// Asks for the lines of scales, after those of their codes: in the order of the addresses.
#[inline(always)]
fn ask_for_scales<const TWO_LEVELS: bool>(scales: &[Scales], groups: usize) {
    for line in 0..(groups * SCALE_BYTES).div_ceil(LINE) {
        ahead::<TWO_LEVELS>(scales[2 * line].as_ptr(), PREFETCH_BYTES);
    }
}
