//! What tests of several files share.

use crate::descriptor::{Gemm, GemmI8, GemmTile, Gemv, GemvI8, KernelDescriptor};
use crate::parallel::{Columns, Team};
use crate::{CpuFeatures, F32Ops, Kernel, Prefetch, QuantizedActivations};

/// The feature sets that select different code, as far as this CPU and the environment's mask have them.
pub(crate) fn feature_sets() -> Vec<CpuFeatures> {
    let has = CpuFeatures::detect();
    let sets = [CpuFeatures::NONE, CpuFeatures::X86_64_V3, CpuFeatures::X86_64_V4, has];
    let mut sets = sets.map(|set| set.intersect(has)).to_vec();
    sets.dedup();
    sets
}

/// The f32 operations of each of [`feature_sets`].
pub(crate) fn f32_levels() -> Vec<F32Ops> {
    feature_sets().into_iter().map(F32Ops::select).collect()
}

/// A team whose threads are not pinned.
pub(crate) fn team(threads: usize) -> Team {
    Team::new(threads, |_| {}).expect("threads start")
}

/// Bit patterns, for results that must be the same to the last bit.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// The bit pattern of the nearest f16.
pub(crate) fn f16(value: f32) -> u16 {
    half::f16::from_f32(value).to_bits()
}

/// The bounds of a kernel's proof, as nearly reached as `k` lets them be, hold: all weights the same, activations of a
/// token two that take turns. Code 3 is safe where the layout has a place for it.
pub(crate) fn check_largest_sums(descriptor: &'static KernelDescriptor, k: usize, pairs: &[[i8; 2]]) {
    let Ok(kernel) = Kernel::new(descriptor, CpuFeatures::detect()) else { return };
    let Gemv::I8(gemv) = descriptor.gemv else { unreachable!("{} has no integer sums", kernel.id()) };
    let layout = descriptor.layout;
    let panel_bytes = layout.panel_bytes(k);
    let most = layout.rows + 2;
    let mut codes = vec![0; most.div_ceil(layout.rows) * panel_bytes];
    let codes_of = if layout.ternary_only { [0, 2] } else { [2, 3] };
    for (code, prefetch) in codes_of.into_iter().flat_map(|code| Prefetch::ALL.map(|prefetch| (code, prefetch))) {
        // Both tiles, one with each.
        let tile = if prefetch == Prefetch::OneLevel { GemmTile::Tall } else { GemmTile::Wide };
        let panel = vec![code; layout.rows * k.next_multiple_of(layout.block_k)];
        codes.chunks_exact_mut(panel_bytes).for_each(|packed| (layout.pack)(&panel, packed));
        let token = |pair: [i8; 2]| pair.into_iter().cycle().take(k).collect::<Vec<i8>>();
        let x = |t: usize| QuantizedActivations::from_values(&token(pairs[t % pairs.len()]), 1.0);
        let x: Vec<QuantizedActivations> = (0..pairs.len().max(9)).map(x).collect();
        let sum = |x: &QuantizedActivations| (i32::from(code) - 1) * x.sum();
        for rows in 1..=most {
            let codes = &codes[..rows.div_ceil(layout.rows) * panel_bytes];
            for x in &x[..pairs.len()] {
                let mut y = vec![0; rows];
                let args = GemvI8 { codes, panel_bytes, x: x.padded(), x_sum: x.sum(), prefetch, y: &mut y };
                // SAFETY: `Kernel::new` found the features; operands are as the layout says.
                unsafe { gemv(args) };
                assert_eq!(y, vec![sum(x); rows], "code {code}, {:?}", &x.values()[..2]);
            }
        }
        let Some(Gemm::I8(gemm)) = descriptor.gemm else { continue };
        for tokens in 1..=x.len() {
            let mut y = vec![0; tokens * most];
            let y_columns = &mut Columns::all(&mut y, tokens, most);
            let args = GemmI8 { codes: &codes, panel_bytes, x: &x[..tokens], prefetch, tile, y: y_columns };
            // SAFETY: as above.
            unsafe { gemm(args) };
            for (y, x) in y.chunks(most).zip(&x) {
                assert_eq!(y, vec![sum(x); most], "code {code}, {tokens} tokens, {:?}", &x.values()[..2]);
            }
        }
    }
}
