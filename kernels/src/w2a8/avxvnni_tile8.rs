//! W2A8 on AVX-VNNI, 256 bits: [`super::avx512_vnni`] at half the width, on `tile8x16`. For CPUs that have `vpdpbusd`
//! without AVX-512: Intel since Alder Lake, and Zen 5, which has both.
//!
//! Per 64 weights, half a step: 1/2 load of codes, 2 `and`, 2 broadcast loads of activations (the VEX form of
//! `vpdpbusd` cannot broadcast from memory), 2 `vpdpbusd`: 4 operations on arithmetic ports where
//! [`super::avx2_i8_tile8`] has 7, and no widening. 2.0 bits a weight.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 7.50 instructions, 6.50 of them vector, 2.50 memory reads.
//! That is the list above and a prefetch for each two steps.
//!
//! # Exact
//! As [`super::avx512_vnni`]: sums without saturation, plane p is 4^p times too large, the bound on k is the same. That
//! argument is about lanes and not about instructions, so the loop is written once, as a macro over a module of lane
//! operations, and compiled twice: with the instructions, and in the tests with a model in plain Rust that traps on
//! overflow. So the loop is tested against the oracle on machines without AVX-VNNI; on those with it the conformance
//! suite runs the instructions, and a test compares both.
//!
//! # What the compiler makes of it
//! The loop is bound by loads: two steps are 2 loads of codes and 8 broadcasts, 5 cycles at two vector loads a cycle,
//! against 4 of dot products. So every further load counts, and LLVM (Rust 1.95) adds some: with 16 registers, 8 of
//! them sums, it reloads masks from memory inside the loop. The barrier that helps [`super::avx512_vnni`], four masked
//! registers before the first product, made it worse: 6 reloads, 100 Gw/s in L2 on Zen 5, less than `avx2-i8`. No
//! barrier: 4 reloads, 137. What helps is `together!` on the masks, once before the loop: the compiler no longer knows
//! that they are constants which it could load again, and they and everything else fit: 190 Gw/s.

mod gemm;

use crate::MAX_K_I8;
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemvI8, KernelDescriptor};
use crate::layouts::tile8;
use crate::placement::at_cache_line;
use crate::prefetch::{Prefetch, ahead, with_prefetch};
use crate::x86_64::lanes::{quad, together};
use crate::x86_64::panel_rows::store_8 as store;
use std::arch::x86_64::*;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avxvnni-tile8",
    isa: "avxvnni",
    requires: CpuFeatures::AVX2.with(CpuFeatures::AVXVNNI),
    multiply: Some("vpdpbusd-ymm-vex"),
    tile: (8, 1),
    gemm: Some(Gemm::I8(gemm::gemm)),
    builds_on: Some("avx2-i8-tile8"),
    summary: "eight rows interleaved: four masks and four 256-bit vpdpbusd a step, without AVX-512",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2a8(&tile8::LAYOUT, gemv)
};

/// How far ahead of the loads codes are fetched into the cache.
///
/// Swept at one thread and at two, see [`prefetch`](crate::x86_64::lanes::prefetch): 256 B 0.78 and 0.88, 512 B 0.70
/// and 0.83, 1024 B 0.75 and 0.84, 2048 B 0.81 and 0.87, 3072 B 0.88 and 1.00, 4096 B 0.90 and 0.94, 6144 B 0.95 and
/// 0.99, 8192 B 1.00 and 0.99.
const PREFETCH_BYTES: usize = 8192;

/// Sums of one row are largest for plane 3: a quarter of k, codes up to 3, 64 times too large, activations down to
/// -128.
const _: () = assert!(3 * 64 * 128 * (MAX_K_I8 / 4) <= i32::MAX as usize);

/// The loop, with lane operations from the module `$lanes`. A macro and not a generic function, so that it is compiled
/// with the features of the function around it.
macro_rules! gemv_with {
    ($lanes:ident, $args:ident, $two_levels:expr) => {{
        let (steps_x, _) = $args.x.as_chunks::<16>();
        let (pairs_x, _) = steps_x.as_chunks::<2>();
        let masks = $lanes::masks();
        for (y, panel) in $args.y.chunks_mut(8).zip($args.codes.chunks_exact($args.panel_bytes)) {
            let steps = panel.as_chunks::<32>().0;
            let (pairs, last) = steps.as_chunks::<2>();
            // Eight chains of sums: each takes one product every 4 to 5 cycles and CPUs start two a cycle.
            let mut even = [$lanes::splat(0); 4];
            let mut odd = [$lanes::splat(0); 4];
            for (pair, x) in pairs.iter().zip(pairs_x) {
                $lanes::prefetch::<{ $two_levels }>(pair);
                for (sums, (step, x)) in [&mut even, &mut odd].into_iter().zip(pair.iter().zip(x)) {
                    let codes = $lanes::load(step);
                    for (p, x) in x.as_chunks::<4>().0.iter().enumerate() {
                        sums[p] = $lanes::add_products(sums[p], $lanes::and(codes, masks[p]), $lanes::splat(quad(x)));
                    }
                }
            }
            if let [step] = last {
                let codes = $lanes::load(step);
                for (p, x) in steps_x[steps.len() - 1].as_chunks::<4>().0.iter().enumerate() {
                    even[p] = $lanes::add_products(even[p], $lanes::and(codes, masks[p]), $lanes::splat(quad(x)));
                }
            }
            let mut rows = $lanes::splat(-$args.x_sum);
            rows = $lanes::add(rows, $lanes::add(even[0], odd[0]));
            rows = $lanes::add(rows, $lanes::shift_right::<2>($lanes::add(even[1], odd[1])));
            rows = $lanes::add(rows, $lanes::shift_right::<4>($lanes::add(even[2], odd[2])));
            rows = $lanes::add(rows, $lanes::shift_right::<6>($lanes::add(even[3], odd[3])));
            $lanes::store(y, rows);
        }
    }};
}

#[target_feature(enable = "avx2,avxvnni")]
fn gemv(args: GemvI8<'_>) {
    with_prefetch!(args.prefetch, rows(args));
}

#[target_feature(enable = "avx2,avxvnni")]
fn rows<const TWO_LEVELS: bool>(args: GemvI8<'_>) {
    at_cache_line!();
    gemv_with!(instructions, args, TWO_LEVELS);
}

/// Lane operations as instructions: 8 rows in a 256-bit register.
mod instructions {
    pub(super) use super::store;
    use super::*;

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn splat(value: i32) -> __m256i {
        _mm256_set1_epi32(value)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn add(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn shift_right<const BITS: i32>(a: __m256i) -> __m256i {
        _mm256_srai_epi32::<BITS>(a)
    }

    /// Which bits belong to which plane.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn masks() -> [__m256i; 4] {
        let (mut m0, mut m1) = (_mm256_set1_epi8(0x03), _mm256_set1_epi8(0x0C));
        let (mut m2, mut m3) = (_mm256_set1_epi8(0x30), _mm256_set1_epi8(0xC0u8.cast_signed()));
        together!(ymm_reg: m0, m1, m2, m3);
        [m0, m1, m2, m3]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn load(step: &[u8; 32]) -> __m256i {
        // SAFETY: a step has 32 bytes; the load needs no alignment.
        unsafe { _mm256_loadu_si256(step.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn and(a: __m256i, b: __m256i) -> __m256i {
        _mm256_and_si256(a, b)
    }

    /// Unsigned bytes of `plane` times signed bytes of `x`, four products added to each lane of `sums`.
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    pub(super) fn add_products(sums: __m256i, plane: __m256i, x: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(sums, plane, x)
    }

    /// Asks for what comes after two steps, a cache line.
    #[inline]
    pub(super) fn prefetch<const TWO_LEVELS: bool>(pair: &[[u8; 32]; 2]) {
        ahead::<TWO_LEVELS>(pair.as_ptr().cast(), PREFETCH_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Errors, Expected};
    use crate::random::SplitMix64;
    use crate::{Codes, Kernel, PackedWeights, Prefetch, QuantizedActivations, conformance, reference};

    /// Lane operations as arithmetic: what the instruction set reference says they do, lane by lane, trapping on
    /// overflow.
    mod model {
        pub(super) fn splat(value: i32) -> [i32; 8] {
            [value; 8]
        }

        pub(super) fn add(a: [i32; 8], b: [i32; 8]) -> [i32; 8] {
            std::array::from_fn(|lane| a[lane].checked_add(b[lane]).expect("no overflow"))
        }

        pub(super) fn shift_right<const BITS: u32>(a: [i32; 8]) -> [i32; 8] {
            a.map(|lane| {
                assert_eq!(lane & ((1 << BITS) - 1), 0, "only zeros may be shifted out");
                lane >> BITS
            })
        }

        pub(super) fn masks() -> [[i32; 8]; 4] {
            [0x03, 0x0C, 0x30, 0xC0u8].map(|mask| [i32::from_le_bytes([mask; 4]); 8])
        }

        pub(super) fn load(step: &[u8; 32]) -> [i32; 8] {
            let lanes = step.as_chunks::<4>().0;
            std::array::from_fn(|lane| i32::from_le_bytes(lanes[lane]))
        }

        pub(super) fn and(a: [i32; 8], b: [i32; 8]) -> [i32; 8] {
            std::array::from_fn(|lane| a[lane] & b[lane])
        }

        pub(super) fn add_products(sums: [i32; 8], plane: [i32; 8], x: [i32; 8]) -> [i32; 8] {
            std::array::from_fn(|lane| {
                let (unsigned, signed) = (plane[lane].to_le_bytes(), x[lane].to_le_bytes().map(u8::cast_signed));
                let products = unsigned.into_iter().zip(signed).map(|(u, s)| i32::from(u) * i32::from(s));
                products.fold(sums[lane], |sum, product| sum.checked_add(product).expect("no overflow"))
            })
        }

        pub(super) fn prefetch<const TWO_LEVELS: bool>(_: &[[u8; 32]; 2]) {}

        pub(super) fn store(y: &mut [i32], rows: [i32; 8]) {
            y.copy_from_slice(&rows[..y.len()]);
        }
    }

    /// Signature of the kernel, so that the model can be called like it.
    fn gemv_of_model(args: GemvI8<'_>) {
        gemv_with!(model, args, false);
    }

    fn compare(rows: usize, codes: &[u8], x: &[i8]) {
        let k = x.len();
        let weights = PackedWeights::pack(DESCRIPTOR.layout, Codes::ternary(rows, k, codes, 1.0)).expect("valid codes");
        let x = QuantizedActivations::from_values(x, 1.0);
        let mut y = vec![0; rows];
        let (codes, panel_bytes) = (weights.code_bytes(), weights.panel_bytes());
        gemv_of_model(GemvI8 {
            codes,
            panel_bytes,
            x: x.padded(),
            x_sum: x.sum(),
            prefetch: Prefetch::OneLevel,
            y: &mut y,
        });
        let oracle = |row| Expected::integer(reference::row_i64(&weights, row, x.values()));
        assert_eq!(conformance::compare(&y, 0.0, oracle), Ok(Errors::default()), "{rows} x {k}");
        if let Ok(kernel) = Kernel::new(&DESCRIPTOR, CpuFeatures::detect()) {
            let mut again = vec![0; rows];
            kernel.gemv_i8(&weights, 0..rows, &x, &mut again).expect("shapes fit");
            assert_eq!(again, y, "{rows} x {k}: instructions and model");
        }
    }

    #[test]
    fn the_model_of_the_loop_equals_the_oracle() {
        let mut random = SplitMix64::new(7);
        for rows in [1, 7, 8, 9, 24] {
            for k in [1, 15, 16, 17, 32, 255, 640] {
                compare(rows, &random.ternary_codes(rows * k), &random.int8s(k));
            }
        }
    }

    /// At the largest k that is let through, with the largest sums, the model would trap.
    #[test]
    fn the_largest_sums_do_not_overflow() {
        for value in [-128, 127] {
            compare(1, &vec![2; MAX_K_I8], &vec![value; MAX_K_I8]);
        }
    }
}
