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

const AVX512: CpuFeatures = CpuFeatures::AVX512F.with(CpuFeatures::AVX512BW);

pub(crate) static ALL: &[Multiply] = &[
    Multiply {
        id: "imul",
        instructions: "imul + add, 32 bits",
        requires: CpuFeatures::NONE,
        products: 1,
        unroll: 4,
        run: imul,
    },
    Multiply {
        id: "mul-add-xmm",
        instructions: "mulps + addps xmm (SSE)",
        requires: CpuFeatures::NONE,
        products: 4,
        unroll: 14,
        run: mul_add_xmm,
    },
    Multiply {
        id: "pmaddwd-xmm",
        instructions: "pmaddwd + paddd xmm (SSE2)",
        requires: CpuFeatures::NONE,
        products: 8,
        unroll: 14,
        run: pmaddwd_xmm,
    },
    Multiply {
        id: "mul-add-ymm",
        instructions: "vmulps + vaddps ymm (AVX)",
        requires: CpuFeatures::AVX2,
        products: 8,
        unroll: 14,
        run: mul_add_ymm,
    },
    Multiply {
        id: "fma-ymm",
        instructions: "vfmadd231ps ymm",
        requires: CpuFeatures::FMA,
        products: 8,
        unroll: 28,
        run: fma_ymm,
    },
    Multiply {
        id: "fma-zmm",
        instructions: "vfmadd231ps zmm",
        requires: CpuFeatures::AVX512F,
        products: 16,
        unroll: 28,
        run: fma_zmm,
    },
    Multiply {
        id: "maddubs-ymm",
        instructions: "vpmaddubsw + vpaddw ymm",
        requires: CpuFeatures::AVX2,
        products: 32,
        unroll: 14,
        run: maddubs_ymm,
    },
    Multiply {
        id: "pshufb-ymm",
        instructions: "vpshufb + vpaddb ymm, two of them for 2 weights an index",
        requires: CpuFeatures::AVX2,
        products: 32,
        unroll: 14,
        run: pshufb_ymm,
    },
    Multiply {
        id: "vpdpbusd-ymm-vex",
        instructions: "vpdpbusd ymm (VEX, AVX-VNNI)",
        requires: CpuFeatures::AVXVNNI,
        products: 32,
        unroll: 28,
        run: vpdpbusd_ymm_vex,
    },
    Multiply {
        id: "vpdpbusd-ymm-evex",
        instructions: "vpdpbusd ymm (EVEX, AVX-512 VNNI)",
        requires: CpuFeatures::AVX512VNNI.with(CpuFeatures::AVX512VL),
        products: 32,
        unroll: 28,
        run: vpdpbusd_ymm_evex,
    },
    Multiply {
        id: "vpdpbusd-zmm",
        instructions: "vpdpbusd zmm (AVX-512 VNNI)",
        requires: CpuFeatures::AVX512VNNI,
        products: 64,
        unroll: 28,
        run: vpdpbusd_zmm,
    },
    Multiply {
        id: "vpermw-zmm",
        instructions: "vpermw + vpaddw zmm, 3 weights an index",
        requires: AVX512,
        products: 96,
        unroll: 14,
        run: vpermw_zmm,
    },
];

/// A loop of `passes` (at least 1) over the given lines, twice (7 pairs would not fill two a cycle evenly), with all
/// vector registers zeroed before it by `$zero`. `$end` is `vzeroupper` where upper halves were written: SSE code after
/// it would be slow on some cores.
macro_rules! vector_loop {
    ($name:ident, $feature:literal, $zero:literal, [$($line:literal),+ $(,)?], $end:literal) => {
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
vector_loop!(
    mul_add_ymm,
    "avx2",
    "vzeroall",
    [
        ".irp r,7,8,9,10,11,12,13\nvmulps ymm\\r, ymm14, ymm15\n.endr",
        "vaddps ymm0, ymm0, ymm7",
        "vaddps ymm1, ymm1, ymm8",
        "vaddps ymm2, ymm2, ymm9",
        "vaddps ymm3, ymm3, ymm10",
        "vaddps ymm4, ymm4, ymm11",
        "vaddps ymm5, ymm5, ymm12",
        "vaddps ymm6, ymm6, ymm13",
    ],
    "vzeroupper"
);
vector_loop!(
    fma_ymm,
    "avx2,fma",
    "vzeroall",
    [".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\nvfmadd231ps ymm\\r, ymm14, ymm15\n.endr"],
    "vzeroupper"
);
vector_loop!(
    fma_zmm,
    "avx512f",
    "vzeroall",
    [".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\nvfmadd231ps zmm\\r, zmm14, zmm15\n.endr"],
    "vzeroupper"
);
vector_loop!(
    maddubs_ymm,
    "avx2",
    "vzeroall",
    [
        ".irp r,7,8,9,10,11,12,13\nvpmaddubsw ymm\\r, ymm14, ymm15\n.endr",
        "vpaddw ymm0, ymm0, ymm7",
        "vpaddw ymm1, ymm1, ymm8",
        "vpaddw ymm2, ymm2, ymm9",
        "vpaddw ymm3, ymm3, ymm10",
        "vpaddw ymm4, ymm4, ymm11",
        "vpaddw ymm5, ymm5, ymm12",
        "vpaddw ymm6, ymm6, ymm13",
    ],
    "vzeroupper"
);
vector_loop!(
    pshufb_ymm,
    "avx2",
    "vzeroall",
    [
        ".irp r,7,8,9,10,11,12,13\nvpshufb ymm\\r, ymm14, ymm15\n.endr",
        "vpaddb ymm0, ymm0, ymm7",
        "vpaddb ymm1, ymm1, ymm8",
        "vpaddb ymm2, ymm2, ymm9",
        "vpaddb ymm3, ymm3, ymm10",
        "vpaddb ymm4, ymm4, ymm11",
        "vpaddb ymm5, ymm5, ymm12",
        "vpaddb ymm6, ymm6, ymm13",
    ],
    "vzeroupper"
);
vector_loop!(
    vpdpbusd_ymm_vex,
    "avxvnni",
    "vzeroall",
    [".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n{{vex}} vpdpbusd ymm\\r, ymm14, ymm15\n.endr"],
    "vzeroupper"
);
vector_loop!(
    vpdpbusd_ymm_evex,
    "avx512vnni,avx512vl",
    "vzeroall",
    [".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n{{evex}} vpdpbusd ymm\\r, ymm14, ymm15\n.endr"],
    "vzeroupper"
);
vector_loop!(
    vpdpbusd_zmm,
    "avx512vnni",
    "vzeroall",
    [".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\nvpdpbusd zmm\\r, zmm14, zmm15\n.endr"],
    "vzeroupper"
);
vector_loop!(
    vpermw_zmm,
    "avx512bw",
    "vzeroall",
    [
        ".irp r,7,8,9,10,11,12,13\nvpermw zmm\\r, zmm14, zmm15\n.endr",
        "vpaddw zmm0, zmm0, zmm7",
        "vpaddw zmm1, zmm1, zmm8",
        "vpaddw zmm2, zmm2, zmm9",
        "vpaddw zmm3, zmm3, zmm10",
        "vpaddw zmm4, zmm4, zmm11",
        "vpaddw zmm5, zmm5, zmm12",
        "vpaddw zmm6, zmm6, zmm13",
    ],
    "vzeroupper"
);

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
