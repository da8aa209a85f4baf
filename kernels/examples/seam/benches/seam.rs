//! What the interface costs: a kernel called directly, against itself exported through `tritbench.h` and called as the
//! bench calls every foreign kernel.
//!
//! `cargo bench --manifest-path kernels/examples/seam/Cargo.toml [-- KERNEL]` (`avx512-vnni` or the first that runs
//! here). Both sides read the same packed weights and write to the same place, because where memory lies moves a kernel
//! by several per cent; both have activations of their own for each call. One thread, from the caches.

use kernels::foreign::{ForeignKernel, Prepared, Work};
use kernels::random::SplitMix64;
use kernels::{
    AlignedBuffer, Codes, CpuFeatures, Gemv, Kernel, KernelDescriptor, PackedWeights, QuantizedActivations, registry,
};
use receipt::judge::{Method, paired::Paired};
use std::hint::black_box;
use std::time::Instant;

const SHAPES: [(usize, usize); 2] = [(640, 2560), (6912, 2560)];
const ROUNDS: usize = 2000;
/// Products of a turn: each with the next activations.
const CALLS: usize = 16;
const DEFAULT: &str = "avx512-vnni";

/// How a product is asked for.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    /// The token prepared for each product, as foreign kernels are timed.
    Through,
    /// The token prepared before.
    Product,
}

fn main() {
    // cargo gives `--bench`, too.
    let asked = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let exported = exported();
    let runs = |d: &&&'static KernelDescriptor| Kernel::new(d, CpuFeatures::detect()).is_ok();
    let by_name = |id: &str| exported.iter().filter(runs).find(|d| d.id == format!("{id}-abi"));
    let through = match &asked {
        Some(id) => by_name(id),
        None => by_name(DEFAULT).or_else(|| exported.iter().find(runs)),
    };
    let Some(through) = through else {
        eprintln!("no such kernel runs here; exported are {}", names(&exported));
        std::process::exit(2);
    };
    let direct = registry::find(through.id.trim_end_matches("-abi")).expect("exported by this name");
    for shape in SHAPES {
        compare(shape, direct, through);
    }
}

fn names(exported: &[&KernelDescriptor]) -> String {
    exported.iter().map(|d| d.id.trim_end_matches("-abi")).collect::<Vec<_>>().join(", ")
}

/// What the library exports, read as the bench reads every library.
fn exported() -> Vec<&'static KernelDescriptor> {
    let mut count = 0;
    // SAFETY: a place for the number; the library is this program's own.
    let all = unsafe { seam::tb_kernels(kernels::foreign::abi::ABI, &mut count) };
    let read = |number: u32| {
        // SAFETY: there are `count` of them, and they stay.
        unsafe { ForeignKernel::read(*all.add(number as usize), number as usize) }
    };
    (0..count).map(|number| read(number).expect("well described").describe()).collect()
}

fn compare((rows, k): (usize, usize), direct: &'static KernelDescriptor, through: &'static KernelDescriptor) {
    let mut random = SplitMix64::new(1);
    let codes = random.ternary_codes(rows * k);
    let weights = PackedWeights::pack(direct.layout, Codes::ternary(rows, k, &codes, 1.0)).expect("valid codes");
    let kernel = Kernel::new(direct, CpuFeatures::detect()).expect("it runs here");
    let Gemv::Foreign(foreign) = through.gemv else { panic!("a foreign kernel") };
    let x: Vec<_> = (0..CALLS).map(|_| QuantizedActivations::from_values(&random.int8s(k), 1.0)).collect();
    let mut prepared: Vec<_> = x.iter().map(|_| Prepared::new(foreign, &weights, 1).expect("a token")).collect();
    let mut y = AlignedBuffer::<i32>::zeroed(rows);
    let mut call = |way: Way, call: usize, y: &mut [i32]| {
        let (weights, prepared) = (black_box(&weights), &mut prepared[call]);
        match way {
            Way::Direct => kernel.gemv_i8(weights, 0..rows, &x[call], y),
            Way::Through => {
                // SAFETY: `x` stays as it is.
                let set = unsafe { prepared.set([&x[call]]) };
                set.and_then(|()| foreign.gemv_words(&Work { weights, prepared }, 0..rows, y))
            }
            Way::Product => foreign.gemv_words(&Work { weights, prepared }, 0..rows, y),
        }
        .expect("shapes fit");
    };
    // Exact before fast.
    for number in 0..CALLS {
        let mut sums = [Way::Direct, Way::Through, Way::Product].map(|way| {
            y.fill(i32::MIN);
            call(way, number, &mut y);
            y.to_vec()
        });
        sums.sort();
        assert!(sums[0] == sums[2], "{} gives other sums than {}", through.id, direct.id);
    }
    // Direct twice: how far the same calls scatter. The order goes round.
    let ways = [Way::Direct, Way::Through, Way::Product, Way::Direct];
    let mut times = ways.map(|_| Vec::new());
    for round in 0..ROUNDS {
        for turn in 0..ways.len() {
            let column = (turn + round) % ways.len();
            let start = Instant::now();
            (0..CALLS).for_each(|number| call(ways[column], number, black_box(&mut y)));
            times[column].push(start.elapsed().as_nanos() as u64);
        }
    }
    let ratio = |column: usize| {
        let r = Paired::new(Method::default(), &times[0], &times[column]).ratio(direct.id);
        format!("{:.4} [{:.4}, {:.4}]", r.median, r.low.unwrap_or(f64::NAN), r.high.unwrap_or(f64::NAN))
    };
    println!(
        "{} {rows}x{k}, times as fast as called directly: prepare and gemv through tritbench.h {}, gemv alone {}, \
         directly again {}; {ROUNDS} rounds",
        direct.id,
        ratio(1),
        ratio(2),
        ratio(3),
    );
}
