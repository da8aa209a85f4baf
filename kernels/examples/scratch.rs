//! scratch
use kernels::random::SplitMix64;
use kernels::*;
use std::time::Instant;
fn main() {
    let mut r = SplitMix64::new(1);
    let (d, stride, positions) = (128, 640, 64);
    let h: Vec<u16> = (0..stride * positions).map(|_| half::f16::from_f32(r.signed_unit()).to_bits()).collect();
    let q: Vec<f32> = (0..4 * d).map(|_| r.signed_unit()).collect();
    for f in [CpuFeatures::X86_64_V3, CpuFeatures::detect()] {
        for n in [1, 4] {
            let ops = F32Ops::select(f);
            let (mut s, mut o) = (vec![0f32; positions * n], vec![0f32; n * d]);
            let mut best = f64::MAX;
            for _ in 0..2000 {
                let t = Instant::now();
                ops.attend(
                    Queries { q: &q[..n * d], head_dim: d, factor: 0.1, scores: &mut s, out: &mut o },
                    CachedHead { keys: &h, values: &h, stride },
                );
                best = best.min(t.elapsed().as_secs_f64() * 1e6);
            }
            println!("{} {n} heads: {:.2} us a head", ops.id(), best / n as f64);
        }
    }
}
