//! scratch
use kernels::*;
use kernels::random::SplitMix64;
use kernels::parallel::Team;
use std::time::Instant;
fn main() {
    let ops = F32Ops::select(CpuFeatures::detect());
    let mut r = SplitMix64::new(1);
    for id in ["avx512-vnni", "avxvnni-tile8", "avx512-lut16"] {
    for (m, k) in [(6912, 2560), (640, 2560), (2560, 6912)] {
    let d = registry::KERNELS.iter().find(|d| d.id == id).unwrap();
    let kernel = Kernel::new(d, CpuFeatures::detect()).unwrap();
    let c = (0..m*k).map(|_| r.below(3) as u8).collect::<Vec<_>>();
    let w = PackedWeights::pack(d.packing, m, k, &c, CodeTable::TERNARY, Scales::PerTensor(0.01)).unwrap();
    let mut team = Team::new(1, |_| {}).unwrap();
    let n = 128;
    let x: Vec<f32> = (0..k*n).map(|_| r.signed_unit()).collect();
    let mut input = LinearInput::new(n, k);
    input.prepare(&mut team, &kernel, ops, k, &x).unwrap();
    let (mut y, mut ints) = (vec![0f32; m*n], vec![0i32; m*n]);
    let mut t = Vec::new();
    for _ in 0..60 { let s = Instant::now(); kernel.linear(&mut team, ops, &w, &input, &mut ints, &mut y).unwrap(); t.push(s.elapsed().as_secs_f64()*1e6); }
    t.sort_by(f64::total_cmp);
    println!("{id:<16} {m}x{k}: min {:7.1} p10 {:7.1} us  {:.0} GMAC/s", t[0], t[6], (m*k*n) as f64/t[0]/1e3);
    }}
}
