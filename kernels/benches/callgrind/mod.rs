//! The bench itself, on systems that valgrind runs on.

use super::operands::Prepared;
use gungraun::{
    Bench, BinaryBenchmark, BinaryBenchmarkConfig, BinaryBenchmarkGroup, Callgrind, EntryPoint, EventKind,
    binary_benchmark_group,
};
use kernels::{CpuFeatures, MASK_VARIABLE, registry};
use std::env;
use std::hint::black_box;
use std::process::Command;

/// Small, because callgrind is fifty times slower; whole panels and blocks of every packing.
const ROWS: usize = 128;
const K: usize = 2560;

/// Growth of the instruction count that is a regression, in percent.
const SOFT_LIMIT_PERCENT: f64 = 0.5;

/// Set to plant work that a kernel does not have, to see the gate fail: one more pass of a loop for each so many
/// weights.
const PLANT: &str = "TRITBENCH_BENCH_PLANT";

/// What valgrind has.
const UNDER_VALGRIND: CpuFeatures = CpuFeatures::X86_64_V3;

/// Argument that makes this program the measured one: call the kernel of the id that follows.
const ONE_CALL: &str = "--one-call";

/// What callgrind counts: it looks for this function by name.
#[inline(never)]
fn counted_call(prepared: &mut Prepared, planted: usize) {
    prepared.call();
    for i in 0..planted {
        black_box(i);
    }
}

/// The measured program: the right kernel runs, and what it computes is right.
fn one_call(id: &str) {
    let descriptor = registry::find(id).unwrap_or_else(|| panic!("no kernel {id}"));
    let mut prepared =
        Prepared::new(descriptor, ROWS, K).unwrap_or_else(|| panic!("{id} needs more than valgrind has"));
    assert_eq!(prepared.id(), id);
    let planted = env::var(PLANT).ok().and_then(|weights| weights.parse::<usize>().ok()).filter(|weights| *weights > 0);
    counted_call(black_box(&mut prepared), planted.map_or(0, |weights| ROWS * K / weights));
    prepared.check();
}

/// One benchmark a kernel, named after it: what is compared with a baseline stays the same when the registry grows.
fn every_kernel(group: &mut BinaryBenchmarkGroup) {
    let program = env::current_exe().expect("a running program has a path");
    let mut benchmark = BinaryBenchmark::new("gemv");
    let has = CpuFeatures::detect().intersect(UNDER_VALGRIND);
    for descriptor in registry::KERNELS.iter().filter(|d| has.contains(d.requires)) {
        let call =
            gungraun::Command::new(&program).args([ONE_CALL, descriptor.id]).stdout(gungraun::Stdio::Null).build();
        benchmark.bench(Bench::new(descriptor.id.replace('-', "_")).command(call));
    }
    group.binary_benchmark(benchmark);
}

binary_benchmark_group!(name = kernels_gemv, benchmarks = |group: &mut BinaryBenchmarkGroup| every_kernel(group));

/// Says what is left out and why, and runs what can be run.
pub fn bench() {
    if let Some(id) = env::args().skip_while(|argument| argument != ONE_CALL).nth(1) {
        return one_call(&id);
    }
    // The runner starts this program again with arguments of its own.
    if !env::args().any(|argument| argument.starts_with("--gungraun-run")) {
        if let Some(missing) = missing() {
            println!("instructions: skipped, {missing}");
            return;
        }
        for descriptor in registry::KERNELS {
            let (id, beyond) = (descriptor.id, descriptor.requires.without(UNDER_VALGRIND));
            if !beyond.is_empty() {
                println!("instructions: {id} left out, valgrind has no {beyond}; try: tritbench count --kernel {id}");
            }
        }
    }
    run();
}

/// What stands in the way.
fn missing() -> Option<String> {
    let runs = |program| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs("valgrind") {
        return Some("valgrind is not installed; on Debian and Ubuntu: apt-get install valgrind".into());
    }
    // Where `main!` looks: a path that the build was told, or PATH.
    let runner = option_env!("GUNGRAUN_RUNNER").unwrap_or("gungraun-runner");
    (!runs(runner)).then(|| format!("{runner} does not run; install it with: ci/install-gungraun.sh"))
}

fn run() {
    use gungraun::main;
    main!(
        config = BinaryBenchmarkConfig::default().pass_through_envs([PLANT, MASK_VARIABLE]).tool(
            Callgrind::default()
                .entry_point(EntryPoint::Custom("*::counted_call*".into()))
                .soft_limits([(EventKind::Ir, SOFT_LIMIT_PERCENT)])
        ),
        binary_benchmark_groups = kernels_gemv
    );
    main();
}
