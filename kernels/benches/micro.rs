//! Time of one gemv of every kernel that runs here: `cargo bench -p kernels --bench micro`. For a look while writing a
//! kernel; criterion times one kernel after the other, so ratios belong to `tritbench compare`, which lets them take
//! turns.

mod operands;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::registry;
use operands::Prepared;
use std::hint::black_box;
use std::time::Duration;

/// Fits the second-level cache in every packing.
const ROWS: usize = 1024;
const K: usize = 2560;

fn gemv(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("gemv-{ROWS}x{K}"));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    // Weights a second.
    group.throughput(Throughput::Elements((ROWS * K) as u64));
    for descriptor in registry::KERNELS {
        let Some(mut prepared) = Prepared::new(descriptor, ROWS, K) else {
            println!("{}: not on this CPU", descriptor.id);
            continue;
        };
        assert_eq!(prepared.id(), descriptor.id);
        group.bench_function(descriptor.id, |bencher| bencher.iter(|| black_box(&mut prepared).call()));
        prepared.check();
    }
    group.finish();
}

criterion_group!(benches, gemv);
criterion_main!(benches);
