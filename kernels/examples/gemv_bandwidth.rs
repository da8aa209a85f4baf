//! How fast kernels bring weights in from memory, against a plain read of the same bytes, in turn: what prefetch
//! distances are chosen by.
//!
//! `cargo run --release -p kernels --example gemv_bandwidth -- [THREADS] [ROUNDS] [COPIES] [KERNEL...]`; matrices are
//! 6912 x 2560, one after the other as in a model. COPIES 40 are 177 MB at 2 bits a weight; 1 shows the speed in cache.

mod median;

use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{
    Codes, CpuFeatures, Gemv, Kernel, PackedWeights, Prefetch, QuantizedActivations, Tuning, registry, stream,
};
use median::median;
use std::hint::black_box;
use std::time::Instant;

const ROWS: usize = 6912;
const K: usize = 2560;
/// Matrices a round and participant: long against the clock and the wake-up of a thread, short against drifting
/// bandwidth.
const CALLS: usize = 8;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().map_or(default, |a| a.parse().expect("a number"));
    let (threads, rounds, copies) = (number(1), number(42), number(40).max(1));
    let ids: Vec<String> = args.collect();
    let kernels: Vec<Kernel> = registry::KERNELS
        .iter()
        .filter(|d| matches!(d.gemv, Gemv::I8(_)) && (ids.is_empty() || ids.iter().any(|id| id == d.id)))
        .filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok())
        .collect();
    let mut random = SplitMix64::new(1);
    let codes = random.ternary_codes(ROWS * K);
    let input = QuantizedActivations::from_values(&random.int8s(K), 1.0);
    let mut team = Team::new(threads, |_| {}).expect("threads start");
    let mut y = vec![0i32; ROWS];
    for kernel in kernels {
        let layout = kernel.descriptor().layout;
        for prefetch in Prefetch::ALL {
            let kernel = kernel.tuned(Tuning { prefetch, ..kernel.tuning() });
            let first = PackedWeights::pack(layout, Codes::ternary(ROWS, K, &codes, 1.0)).expect("valid codes");
            let weights = vec![first.clone(); copies];
            let (mut own, mut read) = (Vec::new(), Vec::new());
            for round in 0..=rounds {
                let next = |call: usize| &weights[(round * CALLS + call) % copies];
                for turn in 0..2 {
                    let start = Instant::now();
                    // Who is first alternates.
                    if (turn + round) % 2 == 0 {
                        for call in 0..CALLS {
                            let weights = next(call);
                            let gemv = |rows, y: &mut [i32]| kernel.gemv_i8(weights, rows, &input, y);
                            team.split_rows(layout.rows, &mut y, gemv).expect("shapes fit");
                            black_box(&y);
                        }
                        own.push(start.elapsed().as_secs_f64());
                    } else {
                        // The copies that are furthest from what the kernel reads in this round.
                        for call in 0..CALLS {
                            let bytes = next(call + copies / 2).code_bytes();
                            black_box(stream::read(&mut team, CpuFeatures::detect(), Prefetch::TwoLevels, bytes));
                        }
                        read.push(start.elapsed().as_secs_f64());
                    }
                }
            }
            // The first round touches the memory.
            let (own, read) = (&own[1..], &read[1..]);
            let share = median(read.iter().zip(own).map(|(read, own)| read / own));
            let (seconds, bytes) = (median(own.iter().copied()), (CALLS * first.code_bytes().len()) as f64);
            println!(
                "{:<18} {:<10} {:>6.1} Gw/s {:>6.1} GB/s, {share:.3} of a plain read ({:.1} GB/s), \
             {threads} thread(s), {copies} copies",
                kernel.id(),
                prefetch.name(),
                (CALLS * ROWS * K) as f64 / seconds / 1e9,
                bytes / seconds / 1e9,
                bytes / median(read.iter().copied()) / 1e9
            );
        }
    }
}
