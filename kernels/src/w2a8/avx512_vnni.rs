//! W2A8 on AVX-512 VNNI at 2.0 bits: sixteen rows at a time, `vnni16x16`, four masks and four `vpdpbusd` a cache line,
//! no shifts.
//!
//! Per 64 weights, a quarter of a step: 1/4 load of codes, 1 `and`, 1 `vpdpbusd` with its activations broadcast from
//! memory by the instruction itself. Nothing else in the loop but a prefetch; the horizontal work is one row a lane.
//! 2.0 bits a weight, one sequential stream (two halved the speed from DRAM).
//!
//! From the prototypes of this project; interleaved rows are known from ik_llama.cpp's `_R4` types. The loop needs no
//! shifts, because a plane stays in place, 4^p times too large, and its sum is divided once at the end.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 2.88 instructions, 2.25 of them vector, 1.25 memory reads.
//! That is the list above, a prefetch a step, and 4 instructions of the loop for each two steps.
//!
//! # Exact
//! `vpdpbusd` multiplies unsigned by signed bytes and adds four products to an int32 without saturation. Sum p of a row
//! is exactly 4^p * sum(code * x) over its plane, a quarter of k: within 3 * 64 * 128 * k / 4 even for code 3, below
//! 2^31 for any k that [`crate::Kernel::gemv_i8`] lets through. So it is a multiple of 4^p and an arithmetic shift by
//! 2p drops only zeros. Codes are weights plus one: subtracting the sum of x is the rest.
//!
//! # What the compiler makes of it
//! As written, LLVM (Rust 1.95) puts each `vpandq` right before the `vpdpbusd` that needs it, all through one register.
//! On Zen 4, which issues one 512-bit dot product a cycle from two ports that `vpandq` uses too, the alternation cost a
//! quarter of the speed (174 Gw/s against 234.7 in L2, measured with the prototype of this loop). `together!` has the
//! four masked registers exist before the first dot product: the loop then reads load, 4 and, 4 vpdpbusd with `{1to16}`
//! memory operands, prefetch, no moves and no spills. On Zen 5 the barrier changes nothing that can be measured (387
//! against 397).
//!
//! Even and odd steps have sums of their own: eight chains. `vpdpbusd` takes 4 or 5 cycles, so that four chains feed a
//! CPU that starts one each cycle but not one that starts two: on Zen 5, four chains gave 264 Gw/s in L2 and eight
//! give 390.

mod gemm;

use crate::ActivationRule;
use crate::MAX_K_I8;
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemvI8, KernelDescriptor};
use crate::layouts::vnni16;
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use crate::x86_64::lanes::{quad, together};
use crate::x86_64::panel_rows::store_16 as store;
use std::arch::x86_64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx512-vnni",
    isa: "avx512",
    requires: CpuFeatures::AVX512F.with(CpuFeatures::AVX512BW).with(CpuFeatures::AVX512VNNI),
    multiply: Some("vpdpbusd-zmm"),
    tile: (16, 1),
    gemm: Some(Gemm::I8(gemm::gemm)),
    wide_tile: &[ActivationRule::Token],
    builds_on: Some("avx2-i8-tile8"),
    summary: "sixteen rows interleaved: four masks and four vpdpbusd a cache line, shifts only at the end of a row",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2a8(&vnni16::LAYOUT, gemv)
};

/// How far ahead of the loads codes are fetched into the cache. Further than a hardware prefetcher goes, and across
/// pages.
///
/// Swept at one thread and at two, see [`prefetch`](crate::x86_64::lanes::prefetch): 256 B 0.87 and 0.96, 512 B 0.91
/// and 0.92, 1024 B 0.86 and 0.87, 2048 B 0.87 and 0.97, 3072 B 0.92 and 1.00, 4096 B 0.96 and 0.98, 6144 B 0.99 and
/// 0.95, 8192 B 0.97 and 0.97. In cache the distance makes no difference.
const PREFETCH_BYTES: usize = 6144;

/// Sums of one row are largest for plane 3: a quarter of k, codes up to 3, 64 times too large, activations down to
/// -128.
const _: () = assert!(3 * 64 * 128 * (MAX_K_I8 / 4) <= i32::MAX as usize);

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn gemv(args: GemvI8<'_>) {
    with_prefetch!(args.prefetch, rows(args));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn rows<const TWO_LEVELS: bool>(args: GemvI8<'_>) {
    at_cache_line!();
    let (steps_x, _) = args.x.as_chunks::<16>();
    let (pairs_x, _) = steps_x.as_chunks::<2>();
    for (y, panel) in args.y.chunks_mut(16).zip(args.codes.chunks_exact(args.panel_bytes)) {
        let steps = panel.as_chunks::<64>().0;
        let (pairs, last) = steps.as_chunks::<2>();
        let mut even = [_mm512_setzero_si512(); 4];
        let mut odd = even;
        for (step, x) in pairs.iter().zip(pairs_x) {
            add_step::<TWO_LEVELS>(&mut even, &step[0], &x[0]);
            add_step::<TWO_LEVELS>(&mut odd, &step[1], &x[1]);
        }
        if let [step] = last {
            add_step::<TWO_LEVELS>(&mut even, step, &steps_x[steps.len() - 1]);
        }
        let plane = |p: usize| _mm512_add_epi32(even[p], odd[p]);
        let low = _mm512_add_epi32(plane(0), _mm512_srai_epi32::<2>(plane(1)));
        let high = _mm512_add_epi32(_mm512_srai_epi32::<4>(plane(2)), _mm512_srai_epi32::<6>(plane(3)));
        store(y, _mm512_sub_epi32(_mm512_add_epi32(low, high), _mm512_set1_epi32(args.x_sum)));
    }
}

/// Adds 16 rows x 16 k: `sums[p]` takes the plane at bits 2p, `4^p` times too large.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_step<const TWO_LEVELS: bool>(sums: &mut [__m512i; 4], step: &[u8; 64], x: &[i8; 16]) {
    ahead::<TWO_LEVELS>(step.as_ptr(), PREFETCH_BYTES);
    // SAFETY: a step has 64 bytes; the load needs no alignment.
    let codes = unsafe { _mm512_loadu_si512(step.as_ptr().cast()) };
    let mut p0 = _mm512_and_si512(codes, _mm512_set1_epi8(0x03));
    let mut p1 = _mm512_and_si512(codes, _mm512_set1_epi8(0x0C));
    let mut p2 = _mm512_and_si512(codes, _mm512_set1_epi8(0x30));
    let mut p3 = _mm512_and_si512(codes, _mm512_set1_epi8(0xC0u8.cast_signed()));
    together!(zmm_reg: p0, p1, p2, p3);
    let x = x.as_chunks::<4>().0;
    sums[0] = _mm512_dpbusd_epi32(sums[0], p0, _mm512_set1_epi32(quad(&x[0])));
    sums[1] = _mm512_dpbusd_epi32(sums[1], p1, _mm512_set1_epi32(quad(&x[1])));
    sums[2] = _mm512_dpbusd_epi32(sums[2], p2, _mm512_set1_epi32(quad(&x[2])));
    sums[3] = _mm512_dpbusd_epi32(sums[3], p3, _mm512_set1_epi32(quad(&x[3])));
}
