//! W2A8 on AVX-512 VNNI at 1.6 bits: sixteen rows at a time, `trit5x16x20`, five trits a byte decoded in registers.
//!
//! A step is 64 bytes, 16 rows x 20 k, b = v4 + 85 * t4 (see [`crate::layouts::trit5`]):
//! - t = avg(b, avg(b, 0)), rounding up, is 64 to 127 exactly when b is 85 to 169 and at least 128 exactly when b is
//!   170 or more: the top two bits of t are t4.
//! - `gf2p8affineqb` copies those two bits to every pair of bits: 85 * t4. b minus that is v4.
//! - `vpermi2b` looks v4 up in 128 bytes (81 used): four 2-bit planes, and from there as in [`super::avx512_vnni`],
//!   with t & 0xC0 as the fifth plane, 64 times too large like plane 3.
//!
//! Per 64 weights, a fifth of a step: 1 `vpdpbusd`, 1 `and`, and a fifth of 2 `vpavgb`, 1 `gf2p8affineqb`, 1 `vpsubb`,
//! 1 `vpermi2b` and 1 load: 3 vector operations against the 2 of `avx512-vnni`, for 80% of its bytes. It wins where
//! bytes are what a core waits for. 1.6 bits a weight.
//!
//! The packing and the decoder are from the prototypes of this project; the published five-trit format (llama.cpp's
//! TQ1_0) extracts digits with multiplications.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 3.80 instructions, 3.20 of them vector, 1.20 memory reads.
//! That is the list above (the GF(2) product among the logic), a prefetch a step, and the loop.
//!
//! # Exact
//! The decoder is exact for every byte that packing writes; a test goes through all 243. The sums are as in
//! [`super::avx512_vnni`]: `vpdpbusd` does not saturate, each plane's sum is a multiple of its factor, the shifts drop
//! zeros. Planes 3 and 4 have the same factor and are added first: the bound is asserted below. Up to 19 weights past k
//! are padding (code 1) and meet zeros: k rounded up to 20 stays within the slack behind the activations.
//!
//! # What the compiler makes of it
//! Two steps side by side, ten sums, all constants in registers (26 of 32 in use), no spills, activations as `{1to16}`
//! memory operands: the loop body is the instructions listed above and nothing else. The prototype showed that the
//! order matters on Zen 4 (one step at a time and freely scheduled, each of the six dependent instructions waits for
//! the one before); `together!` fixes the order so that twins stand next to each other. On Zen 5 it makes no difference
//! that can be measured (254 against 248 Gw/s in L2).

pub(super) mod gemm;
mod quarters;
mod tables;

use crate::MAX_K_I8;
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemvI8, KernelDescriptor};
use crate::layouts::trit5;
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use crate::x86_64::lanes::{quad, together};
use crate::x86_64::panel_rows::store_16 as store;
use std::arch::x86_64::*;
use tables::{PLANES, TOP_BITS_EVERYWHERE};

/// What every kernel with five trits a byte needs.
pub(crate) const FEATURES: CpuFeatures = CpuFeatures::AVX512F
    .with(CpuFeatures::AVX512BW)
    .with(CpuFeatures::AVX512VBMI)
    .with(CpuFeatures::AVX512VNNI)
    .with(CpuFeatures::GFNI);

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx512-vnni-trit5",
    isa: "avx512",
    requires: FEATURES,
    multiply: Some("vpdpbusd-zmm"),
    tile: (16, 1),
    gemm: Some(Gemm::I8(gemm::gemm::<false>)),
    builds_on: Some("avx512-vnni"),
    summary: "five trits a byte, decoded by two averages, one GF(2) product and one permute, then as avx512-vnni",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2a8(&trit5::LAYOUT, gemv)
};

/// How far ahead of the loads codes are fetched into the cache.
///
/// Swept at one thread and at two, see [`prefetch`](crate::x86_64::lanes::prefetch): 256 B 0.91 and 0.90, 512 B 0.90
/// and 0.92, 1024 B 0.75 and 0.87, 2048 B 0.81 and 1.00, 3072 B 0.90 and 1.01, 4096 B 0.88 and 0.96, 6144 B 0.98 and
/// 0.97, 8192 B 0.95 and 0.95.
const PREFETCH_BYTES: usize = 6144;

/// Planes 3 and 4 are added before the shift: two fifths of k, codes up to 2, 64 times too large, activations down to
/// -128.
const _: () = assert!(2 * 64 * 128 * (MAX_K_I8.div_ceil(20) * 8) <= i32::MAX as usize);

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn gemv(args: GemvI8<'_>) {
    with_prefetch!(args.prefetch, rows[false](args));
}

/// Products of all panels: of this layout, or of [`crate::layouts::trit5q`].
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
pub(super) fn rows<const QUARTERS: bool, const TWO_LEVELS: bool>(args: GemvI8<'_>) {
    at_cache_line!();
    let (steps_x, _) = args.x.as_chunks::<20>();
    let (pairs_x, _) = steps_x.as_chunks::<2>();
    for (y, panel) in args.y.chunks_mut(16).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let steps = panel.as_chunks::<64>().0;
        let (pairs, last) = steps.as_chunks::<2>();
        let mut even = [_mm512_setzero_si512(); 5];
        let mut odd = even;
        for (pair, x) in pairs.iter().zip(pairs_x) {
            for step in pair {
                ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
            }
            add::<QUARTERS>(&mut even, &mut odd, pair, x.as_flattened().as_chunks().0);
        }
        if let [step] = last {
            // An odd number of steps: the second of the pair meets activations of zero.
            let x = [steps_x[steps.len() - 1], [0; 20]];
            add::<QUARTERS>(&mut even, &mut odd, &[*step, *step], x.as_flattened().as_chunks().0);
        }
        let plane = |p: usize| _mm512_add_epi32(even[p], odd[p]);
        let low = _mm512_add_epi32(plane(0), _mm512_srai_epi32::<2>(plane(1)));
        let top = _mm512_srai_epi32::<6>(_mm512_add_epi32(plane(3), plane(4)));
        let high = _mm512_add_epi32(_mm512_srai_epi32::<4>(plane(2)), top);
        store(y, _mm512_sub_epi32(_mm512_add_epi32(low, high), _mm512_set1_epi32(args.x_sum)));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn add<const QUARTERS: bool>(even: &mut [__m512i; 5], odd: &mut [__m512i; 5], steps: &[[u8; 64]; 2], x: &[[i8; 4]]) {
    if QUARTERS {
        quarters::add_pair(even, odd, steps, x);
    } else {
        add_pair::<5, 1>(even, odd, steps, x);
    }
}

/// Adds two steps of 16 rows x 20 k, side by side: each instruction that has to wait for the one before it has a twin
/// that does not. Plane p of step s meets the four activations `x[STEP * s + PLANE * p]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
pub(crate) fn add_pair<const STEP: usize, const PLANE: usize>(
    even: &mut [__m512i; 5],
    odd: &mut [__m512i; 5],
    steps: &[[u8; 64]; 2],
    x: &[[i8; 4]],
) {
    let zero = _mm512_setzero_si512();
    let top = _mm512_set1_epi8(0xC0u8.cast_signed());
    let matrix = _mm512_set1_epi64(TOP_BITS_EVERYWHERE);
    // SAFETY: the table has 128 bytes; the loads need no alignment.
    let (table_low, table_high) =
        unsafe { (_mm512_loadu_si512(PLANES.as_ptr().cast()), _mm512_loadu_si512(PLANES.as_ptr().add(64).cast())) };
    let x0 = |p: usize| quad(&x[PLANE * p]);
    let x1 = |p: usize| quad(&x[STEP + PLANE * p]);
    // SAFETY: a step has 64 bytes; the loads need no alignment.
    let (b0, b1) =
        unsafe { (_mm512_loadu_si512(steps[0].as_ptr().cast()), _mm512_loadu_si512(steps[1].as_ptr().cast())) };
    // The fifth trit in the top two bits.
    let (mut t0, mut t1) = (_mm512_avg_epu8(b0, zero), _mm512_avg_epu8(b1, zero));
    together!(zmm_reg: t0, t1);
    (t0, t1) = (_mm512_avg_epu8(b0, t0), _mm512_avg_epu8(b1, t1));
    together!(zmm_reg: t0, t1);
    // 85 times the fifth trit, and what remains: four trits base 3.
    let mut v0 = _mm512_gf2p8affine_epi64_epi8::<0>(t0, matrix);
    let mut v1 = _mm512_gf2p8affine_epi64_epi8::<0>(t1, matrix);
    together!(zmm_reg: v0, v1);
    (t0, t1) = (_mm512_and_si512(t0, top), _mm512_and_si512(t1, top));
    (v0, v1) = (_mm512_sub_epi8(b0, v0), _mm512_sub_epi8(b1, v1));
    together!(zmm_reg: t0, t1, v0, v1);
    even[4] = _mm512_dpbusd_epi32(even[4], t0, _mm512_set1_epi32(x0(4)));
    odd[4] = _mm512_dpbusd_epi32(odd[4], t1, _mm512_set1_epi32(x1(4)));
    // Four planes of 2-bit codes.
    v0 = _mm512_permutex2var_epi8(table_low, v0, table_high);
    v1 = _mm512_permutex2var_epi8(table_low, v1, table_high);
    together!(zmm_reg: v0, v1);
    let masks = [0x03, 0x0C, 0x30, 0xC0u8.cast_signed()];
    for (p, pair) in masks.as_chunks::<2>().0.iter().enumerate() {
        let (low, high) = (_mm512_set1_epi8(pair[0]), _mm512_set1_epi8(pair[1]));
        let (mut l0, mut h0) = (_mm512_and_si512(v0, low), _mm512_and_si512(v0, high));
        let (mut l1, mut h1) = (_mm512_and_si512(v1, low), _mm512_and_si512(v1, high));
        together!(zmm_reg: l0, l1, h0, h1);
        even[2 * p] = _mm512_dpbusd_epi32(even[2 * p], l0, _mm512_set1_epi32(x0(2 * p)));
        odd[2 * p] = _mm512_dpbusd_epi32(odd[2 * p], l1, _mm512_set1_epi32(x1(2 * p)));
        even[2 * p + 1] = _mm512_dpbusd_epi32(even[2 * p + 1], h0, _mm512_set1_epi32(x0(2 * p + 1)));
        odd[2 * p + 1] = _mm512_dpbusd_epi32(odd[2 * p + 1], h1, _mm512_set1_epi32(x1(2 * p + 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the two averages and the matrix do, for each byte that packing writes, in plain arithmetic.
    #[test]
    fn every_byte_decodes() {
        for byte in 0..=250u8 {
            let (v4, t4) = (byte % 85, byte / 85);
            if v4 > 80 {
                continue;
            }
            let average = |a: u8, b: u8| ((u16::from(a) + u16::from(b) + 1) >> 1) as u8;
            let t = average(byte, average(byte, 0));
            assert_eq!(t & 0xC0, 64 * t4);
            let rows = TOP_BITS_EVERYWHERE.to_le_bytes();
            let affine = (0..8).map(|bit| ((rows[7 - bit] & t).count_ones() as u8 & 1) << bit).sum::<u8>();
            assert_eq!(affine, 85 * t4);
            let planes = PLANES[usize::from(byte - affine)];
            let trits = [v4 % 3, v4 / 3 % 3, v4 / 9 % 3, v4 / 27];
            assert_eq!(planes, trits[0] | trits[1] << 2 | trits[2] << 4 | trits[3] << 6);
        }
    }
}
