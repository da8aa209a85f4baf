//! The loops of [`crate::peak`]: each instruction on enough independent sums that only its throughput counts, and
//! nothing else in the loop but a counter.
//!
//! Sums are 14 registers (latency 5 times two a cycle would need 10); where a product and its addition are two
//! instructions, 7 of each, first the products and then the additions, because Zen 4 takes 25% longer when they
//! alternate. All registers start at zero: time does not depend on the values, except for f32 denormals, which zeros
//! avoid.

use crate::cpu::CpuFeatures;
use crate::peak::Multiply;
use std::arch::asm;

pub(crate) static ALL: &[Multiply] = &[
    multiply("imul", "imul + add, 32 bits", CpuFeatures::NONE, [1, 4], imul),
    multiply("mul-add-xmm", "mulps + addps xmm (SSE)", CpuFeatures::NONE, [4, 14], mul_add_xmm),
    multiply("pmaddwd-xmm", "pmaddwd + paddd xmm (SSE2)", CpuFeatures::NONE, [8, 14], pmaddwd_xmm),
    multiply("mul-add-ymm", "vmulps + vaddps ymm (AVX)", CpuFeatures::AVX2, [8, 14], mul_add_ymm),
    multiply("fma-ymm", "vfmadd231ps ymm", CpuFeatures::FMA, [8, 28], fma_ymm),
    multiply("fma-zmm", "vfmadd231ps zmm", CpuFeatures::AVX512F, [16, 28], fma_zmm),
    multiply("maddubs-ymm", "vpmaddubsw + vpaddw ymm", CpuFeatures::AVX2, [32, 14], maddubs_ymm),
    multiply("pshufb-ymm", PSHUFB, CpuFeatures::AVX2, [32, 14], pshufb_ymm),
    multiply("vpdpbusd-ymm-vex", "vpdpbusd ymm (VEX, AVX-VNNI)", CpuFeatures::AVXVNNI, [32, 28], vpdpbusd_ymm_vex),
    multiply("vpdpbusd-ymm-evex", "vpdpbusd ymm (EVEX, AVX-512 VNNI)", VNNI_256, [32, 28], vpdpbusd_ymm_evex),
    multiply("vpdpbusd-zmm", "vpdpbusd zmm (AVX-512 VNNI)", CpuFeatures::AVX512VNNI, [64, 28], vpdpbusd_zmm),
    multiply("vpermw-zmm", "vpermw + vpaddw zmm, 3 weights an index", AVX512, [96, 14], vpermw_zmm),
];

const AVX512: CpuFeatures = CpuFeatures::AVX512F.with(CpuFeatures::AVX512BW);
const VNNI_256: CpuFeatures = CpuFeatures::AVX512VNNI.with(CpuFeatures::AVX512VL);
const PSHUFB: &str = "vpshufb + vpaddb ymm, two of them for 2 weights an index";

/// A row of the table: products of a repetition, and repetitions in a pass of the loop.
const fn multiply(
    id: &'static str,
    instructions: &'static str,
    requires: CpuFeatures,
    [products, unroll]: [u32; 2],
    run: unsafe fn(u64),
) -> Multiply {
    Multiply { id, instructions, requires, products, unroll, run }
}

/// A loop of `passes` (at least 1) over the given lines, twice (7 pairs would not fill two a cycle evenly), with all
/// vector registers zeroed before it by `$zero`. `$end` is `vzeroupper` where upper halves were written: SSE code after
/// it would be slow on some cores.
macro_rules! vector_loop {
    ($name:ident, $feature:literal, $zero:literal, [$($line:expr),+ $(,)?], $end:literal) => {
        #[target_feature(enable = $feature)]
        fn $name(passes: u64) {
            // SAFETY: the instructions are those of the feature, which the function enables; they read and write only
            // the registers named here, and `passes` of at least 1 ends the loop.
            unsafe {
                asm!(
                    $zero,
                    "2:",
                    $($line,)+
                    $($line,)+
                    "dec {n}",
                    "jnz 2b",
                    $end,
                    n = inout(reg) passes => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    options(nostack, nomem),
                );
            }
        }
    };
    // One instruction on fourteen sums.
    ($name:ident, $feature:literal, $class:literal, $multiply:literal) => {
        vector_loop!(
            $name,
            $feature,
            "vzeroall",
            [concat!(
                ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n",
                $multiply, " ", $class, "\\r, ", $class, "14, ", $class, "15\n.endr"
            )],
            "vzeroupper"
        );
    };
    // Seven products, and an addition of each to its sum.
    ($name:ident, $feature:literal, $class:literal, $multiply:literal, $add:literal) => {
        vector_loop!(
            $name,
            $feature,
            "vzeroall",
            [
                concat!(
                    ".irp r,7,8,9,10,11,12,13\n",
                    $multiply, " ", $class, "\\r, ", $class, "14, ", $class, "15\n.endr"
                ),
                concat!($add, " ", $class, "0, ", $class, "0, ", $class, "7"),
                concat!($add, " ", $class, "1, ", $class, "1, ", $class, "8"),
                concat!($add, " ", $class, "2, ", $class, "2, ", $class, "9"),
                concat!($add, " ", $class, "3, ", $class, "3, ", $class, "10"),
                concat!($add, " ", $class, "4, ", $class, "4, ", $class, "11"),
                concat!($add, " ", $class, "5, ", $class, "5, ", $class, "12"),
                concat!($add, " ", $class, "6, ", $class, "6, ", $class, "13"),
            ],
            "vzeroupper"
        );
    };
}

vector_loop!(
    mul_add_xmm,
    "sse2",
    ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nxorps xmm\\r, xmm\\r\n.endr",
    // Two-operand SSE overwrites its source: the product goes to the temporary from itself, which stays zero and
    // independent.
    [".irp r,7,8,9,10,11,12,13\nmulps xmm\\r, xmm15\n.endr", ".irp r,0,1,2,3,4,5,6\naddps xmm\\r, xmm14\n.endr"],
    ""
);
vector_loop!(
    pmaddwd_xmm,
    "sse2",
    ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\npxor xmm\\r, xmm\\r\n.endr",
    [".irp r,7,8,9,10,11,12,13\npmaddwd xmm\\r, xmm15\n.endr", ".irp r,0,1,2,3,4,5,6\npaddd xmm\\r, xmm14\n.endr"],
    ""
);
vector_loop!(mul_add_ymm, "avx2", "ymm", "vmulps", "vaddps");
vector_loop!(fma_ymm, "avx2,fma", "ymm", "vfmadd231ps");
vector_loop!(fma_zmm, "avx512f", "zmm", "vfmadd231ps");
vector_loop!(maddubs_ymm, "avx2", "ymm", "vpmaddubsw", "vpaddw");
vector_loop!(pshufb_ymm, "avx2", "ymm", "vpshufb", "vpaddb");
vector_loop!(vpdpbusd_ymm_vex, "avxvnni", "ymm", "{{vex}} vpdpbusd");
vector_loop!(vpdpbusd_ymm_evex, "avx512vnni,avx512vl", "ymm", "{{evex}} vpdpbusd");
vector_loop!(vpdpbusd_zmm, "avx512vnni", "zmm", "vpdpbusd");
vector_loop!(vpermw_zmm, "avx512bw", "zmm", "vpermw", "vpaddw");

fn imul(passes: u64) {
    // SAFETY: reads and writes only the registers named here; `passes` of at least 1 ends the loop.
    unsafe {
        asm!(
            "2:",
            "imul {t0:e}, {x:e}, 5",
            "imul {t1:e}, {x:e}, 5",
            "imul {t2:e}, {x:e}, 5",
            "imul {t3:e}, {x:e}, 5",
            "add {s0:e}, {t0:e}",
            "add {s1:e}, {t1:e}",
            "add {s2:e}, {t2:e}",
            "add {s3:e}, {t3:e}",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) passes => _,
            x = in(reg) 3u64,
            s0 = inout(reg) 0u64 => _,
            s1 = inout(reg) 0u64 => _,
            s2 = inout(reg) 0u64 => _,
            s3 = inout(reg) 0u64 => _,
            t0 = out(reg) _,
            t1 = out(reg) _,
            t2 = out(reg) _,
            t3 = out(reg) _,
            options(nostack, nomem),
        );
    }
}

/// Additions in one pass of the chain: enough that the loop's own counter, which runs beside it, never matters.
const CHAIN: u64 = 128;

/// See [`crate::peak::addition_chain`]. The addend is a register: recent cores add small constants at no cost while
/// renaming.
pub(crate) fn addition_chain(additions: u64) -> u64 {
    let passes = additions.div_ceil(CHAIN).max(1);
    // SAFETY: reads and writes only the registers named here; `passes` of at least 1 ends the loop.
    unsafe {
        asm!(
            "2:",
            ".rept 128",
            "add {sum}, {x}",
            ".endr",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) passes => _,
            sum = inout(reg) 0u64 => _,
            x = in(reg) 3u64,
            options(nostack, nomem),
        );
    }
    passes * CHAIN
}
