//! What scales of groups and blocks cost: W2gA8 kernels against the one of their instruction set with one scale a
//! tensor, and against a plain read of the same bytes, in the same rounds.
//!
//! `cargo run --release -p kernels --example group_ratios -- l2|dram|gemm THREADS ROUNDS [KERNEL [ROWSxK]]`
//! prints for each kernel, size of groups and rule of activations the weights (gemm: products) a second, and the median
//! and the 95% interval of the ratio of times, partner over kernel: 1 is as fast. Every result is compared with the
//! oracle first.
//! - l2: one matrix of 1024 x 2560 that stays in the cache. dram: 6912 x 2560, copies in turn, 200 MB of each packing,
//!   and the share of the plain read. gemm: 128 tokens, 6912 x 2560.

mod median;

use kernels::parallel::{Columns, Team};
use kernels::random::SplitMix64;
use kernels::{
    ActivationRule, AlignedBuffer, CodeTable, Codes, CpuFeatures, F32Ops, Family, GemmTile, Kernel, LinearInput,
    PackedWeights, Prefetch, QuantizedActivations, Scales, Tuning, reference, registry, stream,
};
use median::{interval, median};
use std::cmp::Ordering;
use std::hint::black_box;
use std::time::Instant;

/// A kernel's partner: the one that does the same work with one scale.
const PARTNERS: [(&str, &str); 5] = [
    ("scalar-groups", "scalar-i8"),
    ("avx2-groups", "avx2-i8-tile8"),
    ("avxvnni-groups", "avxvnni-tile8"),
    ("avx512-vnni-groups", "avx512-vnni"),
    ("avx512-vnni-trit5-groups", "avx512-vnni-trit5"),
];

struct Place {
    rows: usize,
    k: usize,
    tokens: usize,
    bytes: usize,
}

/// One kernel with its operands.
struct Side {
    kernel: Kernel,
    weights: Vec<PackedWeights>,
    input: LinearInput,
    integers: AlignedBuffer<i32>,
    floats: AlignedBuffer<f32>,
    next: usize,
}

impl Side {
    fn new(id: &str, place: &Place, group: usize, rule: ActivationRule, team: &mut Team) -> Option<Self> {
        let kernel = Kernel::new(registry::find(id)?, CpuFeatures::detect()).ok()?;
        let &Place { rows, k, tokens, bytes } = place;
        let grouped = kernel.descriptor().family() == Family::W2gA8;
        let rule = if grouped { rule } else { ActivationRule::Token };
        if !kernel.descriptor().rules.contains(&rule)
            || grouped && !kernel.descriptor().layout.group_sizes().any(|size| size == group)
            || tokens > 1 && kernel.descriptor().gemm.is_none()
        {
            return None;
        }
        let mut random = SplitMix64::new(1);
        let codes = random.ternary_codes(rows * k);
        let half = |value: f32| half::f16::from_f32(0.01 + value.abs() / 16.0).to_f32();
        let scales = if grouped {
            Scales::PerGroup {
                group,
                values: random.signed_units(rows * k.div_ceil(group)).into_iter().map(half).collect(),
            }
        } else {
            Scales::PerTensor(0.5)
        };
        let codes = Codes { rows, k, codes: &codes, table: CodeTable::TERNARY, scales };
        let one = PackedWeights::pack(kernel.descriptor().layout, codes).expect("valid codes");
        let copies = bytes.div_ceil(one.bytes()).max(1);
        let mut input = LinearInput::by_rule(tokens, k, rule, F32Ops::select(CpuFeatures::detect()));
        input.prepare(team, &kernel, k, &SplitMix64::new(2).signed_units(tokens * k)).expect("finite");
        let mut side = Self {
            kernel,
            weights: vec![one; copies],
            input,
            integers: AlignedBuffer::zeroed(rows * tokens),
            floats: AlignedBuffer::zeroed(rows * tokens),
            next: 0,
        };
        side.call(team);
        side.check(place);
        Some(side)
    }

    fn call(&mut self, team: &mut Team) {
        let Self { kernel, weights, input, integers, floats, next } = self;
        *next = (*next + 1) % weights.len();
        let (weights, panel, rows) = (black_box(&weights[*next]), kernel.descriptor().layout.rows, weights[0].rows());
        let (x, batch) = (&input.quantized[0], input.quantized.len() > 1);
        let done = match (kernel.descriptor().family(), batch) {
            (Family::W2gA8, false) => team.split_rows(panel, floats, |rows, y| kernel.gemv_groups(weights, rows, x, y)),
            (Family::W2gA8, true) => {
                let fill = |_: usize, rows: std::ops::Range<usize>, mut y: Columns<'_, f32>| {
                    kernel.gemm_groups(weights, rows, &input.quantized, &mut y).expect("shapes fit");
                };
                team.split_columns(panel, floats, rows, fill);
                Ok(())
            }
            (_, false) => team.split_rows(panel, integers, |rows, y| kernel.gemv_i8(weights, rows, x, y)),
            (_, true) => {
                team.split_columns(panel, integers, rows, |_, rows, mut y| {
                    kernel.gemm_i8(weights, rows, &input.quantized, &mut y).expect("shapes fit");
                });
                Ok(())
            }
        };
        done.expect("shapes fit");
    }

    /// Some rows of some tokens, bit for bit.
    fn check(&self, place: &Place) {
        let weights = &self.weights[0];
        for (token, row) in [(0, 0), (place.tokens / 2, place.rows / 3), (place.tokens - 1, place.rows - 1)] {
            let (x, at): (&QuantizedActivations, usize) = (&self.input.quantized[token], token * place.rows + row);
            let right = if self.kernel.descriptor().family() == Family::W2gA8 {
                reference::row_groups(weights, row, x).to_bits() == self.floats[at].to_bits()
            } else {
                reference::row_i64(weights, row, x.values()) == i64::from(self.integers[at])
            };
            assert!(right, "{}: row {row} of token {token} is wrong", self.kernel.id());
        }
    }

    /// A plain read of all copies in turn, in the fastest way.
    fn read(&mut self, team: &mut Team, prefetch: Option<Prefetch>) {
        self.next = (self.next + 1) % self.weights.len();
        black_box(stream::read_passes(team, CpuFeatures::detect(), self.weights[self.next].code_bytes(), 1, prefetch));
    }
}

/// Nanoseconds of a call, of as many as take some time: of the thread's own clock where it is alone, so that a thread
/// that others displace is not taken for slow.
fn time(team: &mut Team, calls: usize, mut call: impl FnMut(&mut Team)) -> f64 {
    let (start, own) = (Instant::now(), own_seconds());
    (0..calls).for_each(|_| call(team));
    let own = own.filter(|_| team.threads() == 1).zip(own_seconds()).map(|(start, end)| end - start);
    own.unwrap_or(start.elapsed().as_secs_f64()) * 1e9 / calls as f64
}

#[cfg(target_os = "linux")]
fn own_seconds() -> Option<f64> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(now.tv_sec as f64 + now.tv_nsec as f64 / 1e9)
}

#[cfg(not(target_os = "linux"))]
fn own_seconds() -> Option<f64> {
    None
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (place, what) = match args.first().map(String::as_str) {
        Some("l2") => (Place { rows: 1024, k: 2560, tokens: 1, bytes: 0 }, "Gw/s"),
        Some("dram") => (Place { rows: 6912, k: 2560, tokens: 1, bytes: 200_000_000 }, "Gw/s"),
        Some("gemm") => (Place { rows: 6912, k: 2560, tokens: 128, bytes: 0 }, "GMAC/s"),
        _ => {
            eprintln!("usage: l2|dram|gemm THREADS ROUNDS [KERNEL [ROWSxK]]");
            std::process::exit(2);
        }
    };
    let place = match args.get(4) {
        None => place,
        Some(shape) => {
            let (rows, k) = shape.split_once('x').expect("ROWSxK");
            Place { rows: rows.parse().expect("a number"), k: k.parse().expect("a number"), ..place }
        }
    };
    let number = |at: usize, or: usize| args.get(at).map_or(or, |text| text.parse().expect("a number"));
    let (threads, rounds) = (number(1, 1), number(2, 25).max(12));
    let team = &mut Team::new(threads, |_| {}).expect("threads start");
    println!("{:<26}{:>6}{:>7}{:>9}  of one scale a tensor     of a plain read", "kernel", "group", "rule", what);
    for (id, partner) in PARTNERS.iter().filter(|(id, _)| args.get(3).is_none_or(|only| only == id)) {
        for (group, rule) in [64, 128, 256].into_iter().flat_map(|g| ActivationRule::ALL.map(|rule| (g, rule))) {
            let (Some(mut own), Some(mut other)) =
                (Side::new(id, &place, group, rule, team), Side::new(partner, &place, group, rule, team))
            else {
                continue;
            };
            measure(&mut own, &mut other, &place, (group, rule, rounds), team);
        }
    }
}

fn measure(
    own: &mut Side,
    other: &mut Side,
    place: &Place,
    (group, rule, rounds): (usize, ActivationRule, usize),
    team: &mut Team,
) {
    let from_memory = place.bytes > 0;
    // As a run chooses: the way to ask ahead that is faster from memory, in cache one level, and the faster tile.
    for side in [&mut *own, &mut *other] {
        let descriptor = side.kernel.descriptor();
        let asks = if from_memory { descriptor.prefetches } else { &descriptor.prefetches[..1] };
        let tiles = if place.tokens > 1 { descriptor.tiles(side.input.rule()) } else { &GemmTile::ALL[..1] };
        let way = |prefetch, tile| side.kernel.tuned(Tuning { prefetch, tile, ..side.kernel.tuning() });
        let ways: Vec<Kernel> = asks.iter().flat_map(|&ask| tiles.iter().map(move |&tile| way(ask, tile))).collect();
        if ways.len() > 1 {
            let mut timed = |way: Kernel| {
                side.kernel = way;
                (median((0..5).map(|_| time(team, side.weights.len(), |team| side.call(team)))), way)
            };
            let times: Vec<(f64, Kernel)> = ways.into_iter().map(&mut timed).collect();
            side.kernel = times.iter().min_by(|a, b| a.0.total_cmp(&b.0)).expect("one way at least").1;
        }
    }
    let calls = if from_memory {
        own.weights.len()
    } else {
        let once = time(team, 3, |team| own.call(team)).max(1.0);
        (5e6 / once).ceil() as usize
    };
    // The read too is made in the way that a probe finds fastest: the least of three times of each round would be less
    // than any way takes.
    let fastest_read = [None, Some(Prefetch::OneLevel), Some(Prefetch::TwoLevels)].into_iter().min_by(|&a, &b| {
        let mut taken = |way| median((0..5).map(|_| time(team, calls, |team| own.read(team, way))));
        if from_memory { taken(a).total_cmp(&taken(b)) } else { Ordering::Equal }
    });
    let (mut times, mut of_tensor, mut of_read) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut taken = [0.0; 3];
        for turn in 0..3 {
            let at = (turn + round) % 3;
            taken[at] = match at {
                0 => time(team, calls, |team| own.call(team)),
                1 => time(team, if from_memory { other.weights.len() } else { calls }, |team| other.call(team)),
                _ => match fastest_read {
                    Some(way) if from_memory => time(team, calls, |team| own.read(team, way)),
                    _ => f64::NAN,
                },
            };
        }
        times.push(taken[0]);
        of_tensor.push(taken[1] / taken[0]);
        of_read.push(taken[2] / taken[0]);
    }
    let rate = (place.rows * place.k * place.tokens) as f64 / median(times.iter().copied());
    let ratio = |of: &[f64]| {
        let [low, high] = interval(of);
        format!("{:.3} [{low:.3}, {high:.3}]", median(of.iter().copied()))
    };
    let read = if from_memory { ratio(&of_read) } else { String::new() };
    let tile = if own.kernel.tuning().tile == GemmTile::Wide { " wide tile" } else { "" };
    println!("{:<26}{group:>6}{:>7}{rate:>9.1}  {:<26}{read}{tile}", own.kernel.id(), rule.name(), ratio(&of_tensor));
}
