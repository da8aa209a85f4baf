//! Ladder stage 1, W2A32: the "AVX2 foundation" of the analysis (section 2.3), flaw included: codes are unpacked and
//! looked up one by one, and only the multiplication by the scale is a vector instruction. It is the baseline of the
//! roadmap's 1.2x, so it stays as it is.
//!
//! `unpack` is compiled without vector features and not inlined, as in the analysed source, where it is a function of
//! its own.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 336.00 instructions, 0.00 of them vector, 80.00 memory
//! reads. That is `unpack`: shift, mask, a load from the table, a store to the buffer for each weight. Nothing in it is
//! a vector instruction.

use crate::cpu::CpuFeatures;
use crate::descriptor::{Dequantize, GemvF32, KernelDescriptor};
use crate::layouts::qk256::{self, for_each_block};
use crate::placement::at_cache_line;
use crate::x86_64::lanes::{load_f32, store_f32, sum_f32};
use std::arch::x86_64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx2-foundation",
    isa: "avx2",
    requires: CpuFeatures::AVX2,
    multiply: Some("mul-add-ymm"),
    dequantize: Some(dequantize),
    builds_on: Some("scalar"),
    summary: "scalar unpack and table look-up, then a vector multiplication by the scale",
    ..KernelDescriptor::w2a32(&qk256::LAYOUT, gemv)
};

/// Values of 256 codes, one at a time.
#[inline(never)]
fn unpack(codes: &[u8; 64], table: &[f32; 4], values: &mut [f32; 256]) {
    for (quad, &byte) in values.as_chunks_mut::<4>().0.iter_mut().zip(codes) {
        quad[0] = table[usize::from(byte & 3)];
        quad[1] = table[usize::from(byte >> 2 & 3)];
        quad[2] = table[usize::from(byte >> 4 & 3)];
        quad[3] = table[usize::from(byte >> 6 & 3)];
    }
}

#[target_feature(enable = "avx2")]
fn dequantize(args: Dequantize<'_>) {
    at_cache_line!();
    let table = args.table.map(f32::from);
    let mut values = [0f32; 256];
    for_each_block!(args, |codes, scale, out| {
        unpack(codes, &table, &mut values);
        let scale = _mm256_set1_ps(scale);
        for at in (0..256).step_by(8) {
            store_f32(out, at, _mm256_mul_ps(load_f32(&values, at), scale));
        }
    });
}

#[target_feature(enable = "avx2")]
fn gemv(args: GemvF32<'_>) {
    at_cache_line!();
    let table = args.table.map(f32::from);
    let mut values = [0f32; 256];
    let rows = args.codes.chunks_exact(args.row_bytes).zip(args.scales.chunks_exact(args.row_bytes / 64));
    for (y, (codes, scales)) in args.y.iter_mut().zip(rows) {
        let mut total = 0.0;
        for ((codes, &scale), x) in codes.as_chunks::<64>().0.iter().zip(scales).zip(args.x.as_chunks::<256>().0) {
            unpack(codes, &table, &mut values);
            let scale = _mm256_set1_ps(scale);
            let mut sum = _mm256_setzero_ps();
            for at in (0..256).step_by(8) {
                let weights = _mm256_mul_ps(load_f32(&values, at), scale);
                sum = _mm256_add_ps(sum, _mm256_mul_ps(weights, load_f32(x, at)));
            }
            total += sum_f32(sum);
        }
        *y = total;
    }
}
