//! The loops with other lane operations than the instructions of AVX-VNNI.

mod model;

use super::gemm::TOKENS;
use super::*;
use crate::parallel::Columns;
use crate::w2ga8::group_tiles::{self, BLOCKS, Batch, Panel, Plan, Shape, TOKEN, Tile, WITHIN, undo};
use crate::{Kernel, conformance};

/// The instructions with `vpdpbusd` as AVX-512 encodes it: the loop for CPUs that have no other.
mod evex {
    pub(super) use super::super::instructions::*;
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "avx2,avx512vl,avx512vnni")]
    pub(super) fn add_products(sums: [__m256i; 2], plane: [__m256i; 2], x: i32) -> [__m256i; 2] {
        let x = _mm256_set1_epi32(x);
        [_mm256_dpbusd_epi32(sums[0], plane[0], x), _mm256_dpbusd_epi32(sums[1], plane[1], x)]
    }
}

fn model_rows<const GROUP: usize, const UNIT: usize, const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    gemv_with!(model, args, GROUP, UNIT, TWO_LEVELS);
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512vl,avx512vnni")]
fn evex_rows<const GROUP: usize, const UNIT: usize, const TWO_LEVELS: bool>(args: GemvGroups<'_>) {
    gemv_with!(evex, args, GROUP, UNIT, TWO_LEVELS);
}

fn gemv_of_model(args: GemvGroups<'_>) {
    by_sizes!(args, model_rows, false);
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512vl,avx512vnni")]
fn gemv_of_evex(args: GemvGroups<'_>) {
    by_sizes!(args, evex_rows, true);
}

fn model_tile<const T: usize, const MODE: u8, const TWO_LEVELS: bool>(
    panel: &Panel<'_>,
    batch: &Batch<'_>,
    y: &mut Columns<'_, f32>,
) {
    tile_with!(model, (panel, batch, y), T, MODE, TWO_LEVELS);
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512vl,avx512vnni")]
fn evex_tile<const T: usize, const MODE: u8, const TWO_LEVELS: bool>(
    panel: &Panel<'_>,
    batch: &Batch<'_>,
    y: &mut Columns<'_, f32>,
) {
    tile_with!(evex, (panel, batch, y), T, MODE, TWO_LEVELS);
}

fn gemm_of_model(args: GemmGroups<'_, '_>) {
    gemm_with!(args, model_tile, gemv_of_model, false);
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512vl,avx512vnni")]
fn gemm_of_evex(args: GemmGroups<'_, '_>) {
    gemm_with!(args, evex_tile, gemv_of_evex, true);
}

static MODEL: KernelDescriptor = KernelDescriptor {
    id: "model-groups",
    gemm: Some(Gemm::Groups(gemm_of_model)),
    ..KernelDescriptor::w2ga8(&LAYOUT, gemv_of_model)
};
static EVEX: KernelDescriptor = KernelDescriptor {
    id: "evex-groups",
    requires: CpuFeatures::X86_64_V4_VNNI,
    gemm: Some(Gemm::Groups(gemm_of_evex)),
    ..KernelDescriptor::w2ga8(&LAYOUT, gemv_of_evex)
};

/// The suite of the registered kernels, whose cases have code 3, activations of -128 and every rule.
#[test]
fn the_models_of_the_loop_equal_the_oracle() {
    for descriptor in [&MODEL, &EVEX] {
        let Ok(kernel) = Kernel::new(descriptor, CpuFeatures::detect()) else { continue };
        let outcome = conformance::verify(&kernel);
        assert_eq!(outcome.mismatches, 0, "{}: {:?}", descriptor.id, outcome.first_mismatch);
        assert!(outcome.cases > 100);
    }
}
