//! W2A8 on AVX-512 VNNI at 1.6 bits, decoded by tables of 64: `trit5q16x20`, from which a `vpermb` that looks at six
//! bits gives four planes, and two more, for the bytes of the last quarter, put right what is different there.
//!
//! A step is 64 bytes, 16 rows x 20 k (see [`crate::layouts::trit5q`]):
//! - bytes of 192 and more are in the last quarter: one comparison into a mask;
//! - `vpermb` looks the low six bits up: four 2-bit planes, and again in another table where the mask says so;
//! - the byte itself has the fifth trit in its top two bits, and the mask's bytes get it from a third table.
//!
//! Per 64 weights, a fifth of a step: 1 `vpdpbusd`, 1 `and`, and a fifth of 1 `vpcmpub`, 3 `vpermb` and 1 load: 2.8
//! vector operations. [`super::avx512_vnni_trit5`] has 3 instructions there, of which `vpermi2b` alone is three
//! operations on Intel: 17 a step for the two ports against 14 here. Sums, their order and what is exact are that
//! kernel's.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 3.60 instructions, 3.00 of them vector, 1.20 memory reads.
//! That is the list above, a prefetch a step, and the loop.
//!
//! On an Intel Xeon (family 6 model 207), 2026-11-30, one thread (`micro`): 1.20 times as fast as `avx512-vnni-trit5`
//! for 6912 x 2560 from memory, 1.28 for 1024 x 2560 (noise floor 6.6 to 14%); a prototype in C of both loops in L2 117
//! against 97 G weights/s. At two threads both wait for memory. Other CPUs: not measured; a probe chooses.
//!
//! From this project: layout and decoder.

use super::avx512_vnni_trit5::{FEATURES, gemm, rows};
use crate::descriptor::{Gemm, GemvI8, KernelDescriptor};
use crate::layouts::trit5q;
use crate::prefetch::{Prefetch, with_prefetch};

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avx512-vnni-trit5q",
    isa: "avx512",
    requires: FEATURES,
    multiply: Some("vpdpbusd-zmm"),
    tile: (16, 1),
    gemm: Some(Gemm::I8(gemm::gemm::<true>)),
    builds_on: Some("avx512-vnni-trit5"),
    summary: "five trits a byte in quarters, decoded by a comparison and three permutes in tables of 64",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2a8(&trit5q::LAYOUT, gemv)
};

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni,gfni")]
fn gemv(args: GemvI8<'_>) {
    with_prefetch!(args.prefetch, rows[true](args));
}
