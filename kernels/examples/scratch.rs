//! scratch
use kernels::*;
use kernels::sparse::*;
use kernels::random::SplitMix64;
use kernels::parallel::Team;
use std::time::Instant;
use std::hint::black_box;
fn main() {
    let threads: usize = std::env::args().nth(1).map_or(1, |a| a.parse().unwrap());
    let share: u32 = std::env::args().nth(2).map_or(20, |a| a.parse().unwrap());
    let ops = F32Ops::select(CpuFeatures::detect());
    let mut r = SplitMix64::new(1);
    let (dim, ffn) = (2560, 6912);
    let d = registry::KERNELS.iter().find(|d| d.id == "avx512-vnni").unwrap();
    let kernel = Kernel::new(d, CpuFeatures::detect()).unwrap();
    let mut codes = || (0..dim*ffn).map(|_| r.below(3) as u8).collect::<Vec<_>>();
    let pack = |p, m, k, c: &[u8]| PackedWeights::pack(p, m, k, c, CodeTable::TERNARY, Scales::PerTensor(0.01)).unwrap();
    let (g, u, dn) = (codes(), codes(), codes());
    let (gate, up, down) = (pack(d.packing, ffn, dim, &g), pack(d.packing, ffn, dim, &u), pack(d.packing, dim, ffn, &dn));
    let up_rows = pack(Packing::I2s, ffn, dim, &u);
    let cols = ColumnWeights::from_packed(&pack(Packing::I2s, dim, ffn, &dn)).unwrap();
    let copies = 12;
    let dense: Vec<_> = (0..copies).map(|_| (gate.clone(), up.clone(), down.clone())).collect();
    let sparse: Vec<_> = (0..copies).map(|_| (up_rows.clone(), cols.clone())).collect();
    let mut r = SplitMix64::new(2);
    let given: Vec<f32> = (0..ffn).map(|_| if r.below(100) < share { 1.0 } else { -1.0 }).collect();
    let mut team = Team::new(threads, |_| {}).unwrap();
    let x: Vec<f32> = (0..dim).map(|_| r.signed_unit()).collect();
    let mut input = LinearInput::new(1, ffn);
    input.prepare(&mut team, &kernel, ops, dim, &x).unwrap();
    let h: Vec<f32> = given.iter().map(|g| if *g > 0.0 { r.signed_unit() } else { 0.0 }).collect();
    let mut hin = LinearInput::new(1, ffn);
    hin.prepare(&mut team, &kernel, ops, ffn, &h).unwrap();
    let mut rows = LiveRows::new(ffn, dim);
    let mut lc = LiveColumns::new(ffn);
    let (mut gv, mut uv, mut ints, mut out) = (vec![0f32; ffn], vec![0f32; ffn], vec![0i32; 2*ffn], vec![0f32; dim]);
    let mut sums = vec![0i32; cols.padded_rows()];
    let sops = SparseOps::select(CpuFeatures::detect());
    let names = ["dense gate", "dense gate+up", "dense down", "rows cold", "rows again", "columns cold", "columns again", "set columns", "set rows"];
    let mut t = vec![Vec::new(); names.len()];
    for round in 0..40 * copies {
        let c = round % copies;
        let mut time = |i: usize, f: &mut dyn FnMut()| { let s = Instant::now(); f(); if round >= copies { t[i].push(s.elapsed().as_secs_f64()*1e6); } };
        time(0, &mut || kernel.linear_group(&mut team, ops, [Product { weights: &dense[c].0, y: &mut gv }], &input, &mut ints).unwrap());
        let c = (c + 3) % copies;
        time(1, &mut || kernel.linear_group(&mut team, ops, [Product { weights: &dense[c].0, y: &mut gv }, Product { weights: &dense[c].1, y: &mut uv }], &input, &mut ints).unwrap());
        time(2, &mut || kernel.linear(&mut team, ops, &dense[c].2, &hin, &mut ints, &mut out).unwrap());
        let c = (c + 3) % copies;
        time(8, &mut || { rows.set_positive(sops, &given).unwrap(); });
        let n = rows.rows().len();
        for i in [3, 4] { time(i, &mut || { black_box(sops.rows(&mut team, &sparse[c].0, &mut rows, &input.quantized[0], &mut ints[..n]).unwrap()); }); }
        time(7, &mut || lc.set(sops, &hin.quantized[0]).unwrap());
        for i in [5, 6] { time(i, &mut || sops.columns(&mut team, &sparse[c].1, &lc, &mut sums).unwrap()); }
    }
    for (n, t) in names.iter().zip(&mut t) {
        t.sort_by(f64::total_cmp);
        println!("{n:<22} min {:7.1}  p10 {:7.1}  median {:7.1}", t[0], t[t.len()/10], t[t.len()/2]);
    }
    let p = |i: usize| t[i][t[i].len()/10];
    println!("dense {:.1}  sparse {:.1}  ratio {:.2}", p(1)+p(2), p(0)+p(8)+p(3)+p(7)+p(5), (p(1)+p(2))/(p(0)+p(8)+p(3)+p(7)+p(5)));
}
