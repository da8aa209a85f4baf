//! W2gA8 on AVX-VNNI, 256 bits, on `planes16x64`, `planes16x128` and `planes16x256`: sixteen rows at a time in two
//! registers. For CPUs that have `vpdpbusd` without AVX-512: Intel since Alder Lake, and Zen 5, which has both.
//!
//! A line of codes is two registers of 8 rows, each with four planes of 2 bits. The dword of activations that meets a
//! plane is broadcast once for both: where [`crate::w2a8::avxvnni_tile8`], which has 8 rows, waits for loads, this
//! waits for arithmetic. Planes are groups or parts of one, so a sum belongs to one group. It is shifted to its size,
//! written down, and when the lines of a super-block are through, its groups are taken in order: the sum of the
//! activations comes off, planes of one unit are added, and the unit is converted, scaled and added as the contract
//! says. Where 32 activations share a scale, sums are written down every 8 lines.
//!
//! Per 64 weights, a quarter of a line: 1/2 load of codes, 2 `and`, 1 broadcast load of activations, 2 `vpdpbusd`.
//! Beside that, for a group of 128 of 16 rows, where those are 128 `and` and `vpdpbusd`: 2 shifts (none for the first
//! plane), 2 subtractions, 2 conversions, 2 widenings of scales and 2 `vfmadd`, and 2 `vmulps` where activations have
//! several scales. 2.25, 2.125 or 2.0625 bits a weight with its scales.
//!
//! Counted (`tritbench count`), inner loop, per 64 weights: 7.17 instructions, 5.84 of them vector, 1.59 memory reads.
//! That is worked out from the code: a line is 27 instructions, 22 of them vector, and `count` takes the lines of
//! scales for codes, so that 256 weights count as 241. No CPU with AVX-VNNI was at hand. On an AMD EPYC (family 25
//! model 17) the same loop with `vpdpbusd` as AVX-512 encodes it, and no other AVX-512, runs at 1.50 times the speed of
//! `avx2-groups` in L2 (1024 x 2560, groups of 128, 156 Gw/s; 0.97 of that where 128 or 256 activations share a scale,
//! 0.78 where 32 do).
//!
//! # Exact
//! `vpdpbusd` does not saturate. Sums of plane p are 4^p times too large, and no plane of a unit has more than 128
//! weights: the bound is asserted below. The shifts drop zeros. The sum of a unit is within 4 * 128 * 256: f32 holds it
//! exactly. That argument is about lanes and not about instructions, so both loops, of decode and of the product for
//! batches, are written once, as macros over a module of lane operations, and compiled three times: with the
//! instructions, and in the tests with a model in plain Rust that traps on overflow and with AVX-512's encoding of the
//! instruction. So they pass the conformance suite on machines without AVX-VNNI; on those with it the suite runs the
//! instructions.
//!
//! # What the compiler makes of it
//! Eight sums, four masks, the codes, an activation and a masked plane are the 16 registers there are: in the loops
//! over whole super-blocks nothing is spilled and nothing moved. LLVM (Rust 1.95) needs help for that: `together!` on
//! the masks, so that it does not load them again; `together!` on the sums after each line, or it unrolls 8 lines and
//! mixes them; sums of 32 weights behind a `black_box`, or it keeps some of them in registers and reloads masks
//! instead; each form in a function of its own. In the loop over a last half of a super-block one or two masks still
//! come from memory.

#[macro_use]
mod gemm;
mod instructions;

use crate::K_SLACK;
use crate::cpu::CpuFeatures;
use crate::descriptor::{Gemm, GemmGroups, GemvGroups, KernelDescriptor};
use crate::layouts::planes16::{LAYOUT, LINE, ROWS, SCALE_BYTES, super_bytes, super_k};
use crate::placement::at_cache_line;
use crate::prefetch::Prefetch;
use crate::x86_64::lanes::quad;

pub(crate) static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
    id: "avxvnni-groups",
    isa: "avxvnni",
    requires: CpuFeatures::X86_64_V3.with(CpuFeatures::AVXVNNI),
    multiply: Some("vpdpbusd-ymm-vex"),
    tile: (ROWS, 1),
    gemm: Some(Gemm::Groups(gemm)),
    builds_on: Some("avx2-groups"),
    summary: "planes that are groups or parts of one: two 256-bit vpdpbusd share each activation, no joins",
    prefetches: &Prefetch::ALL,
    ..KernelDescriptor::w2ga8(&LAYOUT, gemv)
};

/// A unit's sum of a plane is largest in plane 3: 128 weights, codes up to 3, 64 times too large, activations of -128.
const _: () = assert!(3 * 64 * 128 * 128 <= i32::MAX as usize);

/// Sums of units or of their planes that a super-block has at most: 512 weights, 32 in each.
const SUMS: usize = 16;

/// Weights of the last super-block of a panel where it is a short one.
const HALF_SUPER: usize = 256;

/// Calls the form of a function that is made for the sizes of the operands: weights of a group, and of a unit.
macro_rules! by_sizes {
    ($args:ident, $function:ident, $two_levels:expr) => {
        match ($args.group, $args.rule.unit($args.group)) {
            (64, 32) => $function::<64, 32, $two_levels>($args),
            (64, _) => $function::<64, 64, $two_levels>($args),
            (128, 32) => $function::<128, 32, $two_levels>($args),
            (128, _) => $function::<128, 128, $two_levels>($args),
            (_, 32) => $function::<256, 32, $two_levels>($args),
            (_, 128) => $function::<256, 128, $two_levels>($args),
            _ => $function::<256, 256, $two_levels>($args),
        }
    };
}

/// The loop, with lane operations from the module `$lanes`, for groups and units of so many weights. A macro and not a
/// generic function, so that it is compiled with the features of the function around it.
macro_rules! gemv_with {
    ($lanes:ident, $args:ident, $group:ident, $unit:ident, $two_levels:ident) => {{
        let (masks, k, whole) = ($lanes::masks(), $args.x.len() - K_SLACK, super_k($group));
        // Sums of a super-block, in the order of k: of a unit, or of a plane where a unit has several.
        let mut sums = [$lanes::zero(); SUMS];
        // From the number of a weight to that of its activation's block.
        let shift = $args.rule.block().map_or(0, usize::trailing_zeros);
        for (y, panel) in $args.y.chunks_mut(ROWS).zip($args.codes.chunks_exact($args.panel_bytes)) {
            let (supers, last) = panel.split_at(k / whole * super_bytes(whole, $group));
            let mut acc = $lanes::splat(0.0);
            for (s, block) in supers.chunks_exact(super_bytes(whole, $group)).enumerate() {
                add_super!(
                    $lanes,
                    $args,
                    ($group, $unit, super_k($group), $two_levels),
                    (block, s * whole),
                    (masks, shift, sums, acc)
                );
            }
            if $group > 64 && !last.is_empty() {
                add_super!(
                    $lanes,
                    $args,
                    ($group, $unit, HALF_SUPER, $two_levels),
                    (last, k - HALF_SUPER),
                    (masks, shift, sums, acc)
                );
            }
            $lanes::store(y, acc);
        }
    }};
}

/// Adds the groups of a super-block of `$here` weights, the first of which is at `$from`, to `$acc`.
macro_rules! add_super {
    ($lanes:ident, $args:ident, ($group:ident, $unit:ident, $here:expr, $two_levels:ident), ($block:ident, $from:expr),
     ($masks:ident, $shift:ident, $sums:ident, $acc:ident)) => {{
        // Weights that are summed at once: those of a unit, or where it has several planes those of a plane.
        let (from, plane) = ($from, const { $here / 4 });
        let span = const { if $unit < $here / 4 { $unit } else { $here / 4 } };
        let (codes, scales) = $block.split_at($here / 16 * LINE);
        let x = &$args.x[from..][..$here];
        for (q, lines) in codes.chunks_exact(span / 4 * LINE).enumerate() {
            let x = |p: usize| x[p * plane + q * span..][..span].as_chunks::<4>().0;
            let [mut s0, mut s1, mut s2, mut s3] = [$lanes::zero(); 4];
            let lines = lines.as_chunks::<LINE>().0.iter();
            for ((((line, x0), x1), x2), x3) in lines.zip(x(0)).zip(x(1)).zip(x(2)).zip(x(3)) {
                $lanes::prefetch::<$two_levels>(line);
                let codes = $lanes::load(line);
                s0 = $lanes::add_products(s0, $lanes::masked(codes, $masks[0]), quad(x0));
                s1 = $lanes::add_products(s1, $lanes::masked(codes, $masks[1]), quad(x1));
                s2 = $lanes::add_products(s2, $lanes::masked(codes, $masks[2]), quad(x2));
                s3 = $lanes::add_products(s3, $lanes::masked(codes, $masks[3]), quad(x3));
                [s0, s1, s2, s3] = $lanes::in_order([s0, s1, s2, s3]);
            }
            $sums[q] = s0;
            $sums[plane / span + q] = $lanes::shift_right::<2>(s1);
            $sums[2 * (plane / span) + q] = $lanes::shift_right::<4>(s2);
            $sums[3 * (plane / span) + q] = $lanes::shift_right::<6>(s3);
        }
        if span < plane {
            // In memory, where the groups below find them by number: registers are for the lines.
            std::hint::black_box(&mut $sums);
        }
        for line in scales.as_chunks::<LINE>().0 {
            $lanes::prefetch::<$two_levels>(line);
        }
        let scales = scales.as_chunks::<SCALE_BYTES>().0;
        let unit_sums = &$args.sums[from / $unit..][..$here / $unit];
        for (g, (sums, scales)) in $sums[..$here / span].chunks_exact($group / span).zip(scales).enumerate() {
            let (mut factors, first) = ($lanes::halves(scales), g * ($group / $unit));
            let mut sum = $lanes::joined(&sums[..$unit / span], unit_sums[first]);
            if $unit < $group {
                let unit_scales = &$args.x_scales[from / $unit..][..$here / $unit];
                sum = $lanes::mul(sum, unit_scales[first]);
                for (u, parts) in sums.chunks_exact($unit / span).enumerate().skip(1) {
                    let next = $lanes::joined(parts, unit_sums[first + u]);
                    sum = $lanes::fma(next, $lanes::splat(unit_scales[first + u]), sum);
                }
            } else if let Some(scale) = $args.x_scales.get((from + g * $group) >> $shift) {
                // There are none where a token has one scale.
                factors = $lanes::mul(factors, *scale);
            }
            $acc = $lanes::fma(sum, factors, $acc);
        }
    }};
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn gemv(args: GemvGroups<'_>) {
    match args.prefetch {
        Prefetch::OneLevel => by_sizes!(args, rows, false),
        Prefetch::TwoLevels => by_sizes!(args, rows, true),
    }
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn gemm(args: GemmGroups<'_, '_>) {
    gemm::gemm(args, gemv);
}

/// Not inlined: the forms in one function share a frame, and their loops reload masks from it.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn rows<const GROUP: usize, const UNIT: usize, const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    at_cache_line!();
    gemv_with!(instructions, args, GROUP, UNIT, TWO_LEVELS);
}

#[cfg(test)]
mod tests;
