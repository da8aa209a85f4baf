//! How long one call of a product takes: what `ci/sweep-constants.py` compares builds by that differ in a constant.
//!
//! `cargo run --release -p kernels --example product_times -- WHAT OP ROWSxKxTOKENS MEGABYTES WAY THREADS SECONDS`
//! prints the median in nanoseconds, the number of calls and a digest of the result, which no constant may change.
//! - WHAT and OP: a kernel and gemv, gemm or linear (gemm with its scales, as a model calls it); an output head and
//!   gemv; sparse products (`sparse-avx2`) and rows (0.4 of them live) or columns (0.2); `stream` and read.
//! - MEGABYTES: weights that calls take in turn, one matrix after the other as in a model. With 0 there is one matrix,
//!   which stays in the caches. (One matrix, flushed before each call, is no stand-in for many: on an AMD EPYC, family
//!   25 model 17, `avx512-vnni` was 1.3 times as fast on it with one level of prefetch, 1.07 times with two.)
//! - WAY: `one` or `two` levels of prefetch, `wide` for one level and the wide tile.
//!
//! Exit code 3: this CPU cannot run it.

mod median;

use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::sparse::{ColumnWeights, LiveColumns, LiveRows, RowsProduct, SparseOps};
use kernels::{
    AlignedBuffer, Codes, CpuFeatures, F32Ops, Family, GemmTile, HEADS, HalfRows, HeadDescriptor, HeadInput, Kernel,
    Layout, LinearInput, OutputHead, PackedWeights, Prefetch, Product, QuantizedActivations, Tuning, layouts, registry,
    stream,
};
use median::median;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// What the command line asks for.
struct Asked {
    what: String,
    op: String,
    rows: usize,
    k: usize,
    tokens: usize,
    bytes: usize,
    prefetch: Prefetch,
    tile: GemmTile,
}

impl Asked {
    fn matrix(&self, layout: &'static Layout) -> PackedWeights {
        let codes = SplitMix64::new(1).ternary_codes(self.rows * self.k);
        PackedWeights::pack(layout, Codes::ternary(self.rows, self.k, &codes, 1.0)).expect("valid codes")
    }

    fn copies<T: Clone>(&self, one: T, bytes_of: fn(&T) -> usize) -> Vec<T> {
        let bytes = bytes_of(&one);
        vec![one; self.bytes.div_ceil(bytes).max(1)]
    }
}

/// A product with its operands; each copy of the weights has its own place in memory.
trait Timed {
    fn copies(&self) -> usize;
    fn call(&mut self, team: &mut Team, copy: usize);
    /// Not timed, before each call where weights come from memory: takes out of the caches what other copies did not.
    fn before(&self, _: &mut Team, _: usize) {}
    /// Depends on every bit of the last result.
    fn digest(&self) -> u64;
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, op, shape, megabytes, way, threads, seconds] = &args[..] else {
        eprintln!("usage: WHAT OP ROWSxKxTOKENS MEGABYTES WAY THREADS SECONDS");
        return ExitCode::from(2);
    };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let shape: Vec<usize> = shape.split('x').map(number).collect();
    let [rows, k, tokens] = shape[..] else { panic!("a shape is ROWSxKxTOKENS") };
    let (prefetch, tile) = match way.as_str() {
        "two" => (Prefetch::TwoLevels, GemmTile::Tall),
        "wide" => (Prefetch::OneLevel, GemmTile::Wide),
        _ => (Prefetch::OneLevel, GemmTile::Tall),
    };
    let (what, op, bytes) = (what.clone(), op.clone(), number(megabytes) * 1_000_000);
    let mut team = Team::new(number(threads), |_| {}).expect("threads start");
    let seconds: f64 = seconds.parse().expect("seconds");
    let timed = make(&Asked { what, op, rows, k, tokens, bytes, prefetch, tile }, &mut team);
    let mut timed = match timed {
        Ok(timed) => timed,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(3);
        }
    };
    let copies = timed.copies();
    (0..copies).for_each(|copy| timed.call(&mut team, copy));
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.is_empty() || begin.elapsed().as_secs_f64() < seconds {
        let copy = times.len() % copies;
        if copies > 1 {
            timed.before(&mut team, copy);
        }
        let start = Instant::now();
        timed.call(&mut team, copy);
        times.push(start.elapsed().as_secs_f64() * 1e9);
    }
    println!("{:.1} {} {:016x}", median(times.iter().copied()), times.len(), timed.digest());
    ExitCode::SUCCESS
}

/// Operands that are the same in every process.
///
/// # Errors
/// What this CPU lacks.
fn make(asked: &Asked, team: &mut Team) -> Result<Box<dyn Timed>, String> {
    let features = CpuFeatures::detect();
    if let Some(descriptor) = registry::find(&asked.what) {
        let kernel = Kernel::new(descriptor, features).map_err(|e| e.to_string())?;
        return Ok(Box::new(KernelCall::new(kernel, asked, team)));
    }
    if let Some(way) = HEADS.iter().find(|head| head.id == asked.what) {
        way.check(features).map_err(|e| e.to_string())?;
        return Ok(Box::new(HeadCall::new(way, asked, team)));
    }
    if asked.what == "stream" {
        let ones = AlignedBuffer::from(&vec![1u8; asked.rows * asked.k / 4][..]);
        let bytes = asked.copies(ones, |ones| ones.len());
        return Ok(Box::new(Read { bytes, prefetch: asked.prefetch, sum: 0 }));
    }
    let ops = SparseOps::all(features).into_iter().find(|ops| ops.id() == asked.what);
    let ops = ops.ok_or_else(|| format!("{} is not a product, or this CPU lacks its features", asked.what))?;
    Ok(if asked.op == "rows" {
        Box::new(SparseRows::new(ops, asked))
    } else {
        Box::new(SparseColumns::new(ops, asked, team))
    })
}

fn digest(results: impl Iterator<Item = u32>) -> u64 {
    results.fold(0, |sum, result| (sum.rotate_left(5) ^ u64::from(result)).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn digest_integers(y: &[i32]) -> u64 {
    digest(y.iter().map(|y| y.cast_unsigned()))
}

fn digest_floats(y: &[f32]) -> u64 {
    digest(y.iter().map(|y| y.to_bits()))
}

struct KernelCall {
    kernel: Kernel,
    op: String,
    weights: Vec<PackedWeights>,
    input: LinearInput,
    integers: Vec<i32>,
    floats: Vec<f32>,
}

impl KernelCall {
    fn new(kernel: Kernel, asked: &Asked, team: &mut Team) -> Self {
        let &Asked { rows, k, tokens, prefetch, tile, .. } = asked;
        let kernel = kernel.tuned(Tuning { prefetch, tile, ..kernel.tuning() });
        let mut input = LinearInput::new(tokens, k, F32Ops::select(CpuFeatures::detect()));
        input.prepare(team, &kernel, k, &SplitMix64::new(2).signed_units(tokens * k)).expect("finite");
        let weights = asked.copies(asked.matrix(kernel.descriptor().layout), PackedWeights::bytes);
        let scaled = asked.op == "linear" || kernel.descriptor().family() != Family::W2A8;
        let (integers, floats) = (vec![0; tokens * rows], vec![0.0; if scaled { tokens * rows } else { 0 }]);
        Self { kernel, op: asked.op.clone(), weights, input, integers, floats }
    }
}

impl Timed for KernelCall {
    fn copies(&self) -> usize {
        self.weights.len()
    }

    fn call(&mut self, team: &mut Team, copy: usize) {
        let Self { kernel, op, weights, input, integers, floats } = self;
        let (weights, panel) = (&weights[copy], kernel.descriptor().layout.rows);
        let done = match op.as_str() {
            "linear" => kernel.linear(team, [Product { weights, y: floats }], input, integers),
            "gemm" => {
                team.split_columns(panel, integers, weights.rows(), |_, rows, mut y| {
                    kernel.gemm_i8(weights, rows, &input.quantized, &mut y).expect("shapes fit");
                });
                Ok(())
            }
            _ if floats.is_empty() => {
                team.split_rows(panel, integers, |rows, y| kernel.gemv_i8(weights, rows, &input.quantized[0], y))
            }
            _ => team.split_rows(panel, floats, |rows, y| match kernel.descriptor().family() {
                Family::W2gA8 => kernel.gemv_groups(weights, rows, &input.quantized[0], y),
                _ => kernel.gemv_f32(weights, rows, &input.float[0], y),
            }),
        };
        done.expect("shapes fit");
    }

    fn digest(&self) -> u64 {
        // The integers of `linear` are scratch.
        if self.floats.is_empty() { digest_integers(&self.integers) } else { digest_floats(&self.floats) }
    }
}

struct HeadCall {
    heads: Vec<OutputHead>,
    x: Vec<f32>,
    input: HeadInput,
    y: Vec<f32>,
}

impl HeadCall {
    fn new(way: &'static HeadDescriptor, asked: &Asked, team: &mut Team) -> Self {
        let &Asked { rows, k, .. } = asked;
        let mut random = SplitMix64::new(1);
        let mut halves = AlignedBuffer::zeroed(rows * k);
        halves.iter_mut().for_each(|w| *w = half::f16::from_f32(random.signed_unit() * 0.05).to_bits());
        let mut head = || {
            let halves: HalfRows = Arc::new(halves.clone());
            let head = OutputHead::new(way.format, &halves, k, CpuFeatures::detect(), team).expect("finite weights");
            head.tuned(way, asked.prefetch).expect("runs here")
        };
        let first = head();
        let more = asked.bytes.div_ceil(first.bytes()).saturating_sub(1);
        let heads = std::iter::once(first).chain((0..more).map(|_| head())).collect();
        Self { heads, x: random.signed_units(k), input: HeadInput::new(k), y: vec![0.0; rows] }
    }
}

impl Timed for HeadCall {
    fn copies(&self) -> usize {
        self.heads.len()
    }

    fn call(&mut self, team: &mut Team, copy: usize) {
        self.heads[copy].gemv(team, &self.x, &mut self.input, &mut self.y).expect("lengths agree");
    }

    fn digest(&self) -> u64 {
        digest_floats(&self.y)
    }
}

struct SparseRows {
    ops: SparseOps,
    weights: Vec<PackedWeights>,
    live: LiveRows,
    x: QuantizedActivations,
    y: Vec<i32>,
}

impl SparseRows {
    fn new(ops: SparseOps, asked: &Asked) -> Self {
        let mut random = SplitMix64::new(2);
        let gate: Vec<f32> = random.signed_units(asked.rows).into_iter().map(|gate| gate - 0.2).collect();
        let mut live = LiveRows::new(asked.rows, asked.k);
        live.set_positive(ops, &gate).expect("there is room");
        let (x, y) = (QuantizedActivations::from_values(&random.int8s(asked.k), 1.0), vec![0; live.rows().len()]);
        Self { ops, weights: asked.copies(asked.matrix(&layouts::I2S), PackedWeights::bytes), live, x, y }
    }
}

impl Timed for SparseRows {
    fn copies(&self) -> usize {
        self.weights.len()
    }

    fn call(&mut self, team: &mut Team, copy: usize) {
        let product = RowsProduct { weights: &self.weights[copy], x: &self.x, y: &mut self.y };
        self.ops.rows(team, &mut self.live, product).expect("shapes fit");
    }

    // Lines of rows that are not live make no room.
    fn before(&self, team: &mut Team, copy: usize) {
        stream::evict(team, self.weights[copy].code_bytes());
    }

    fn digest(&self) -> u64 {
        digest_integers(&self.y)
    }
}

struct SparseColumns {
    ops: SparseOps,
    weights: Vec<ColumnWeights>,
    live: LiveColumns,
    y: AlignedBuffer<i32>,
}

impl SparseColumns {
    fn new(ops: SparseOps, asked: &Asked, team: &mut Team) -> Self {
        let mut random = SplitMix64::new(2);
        let values = random.int8s(asked.k).into_iter().map(|value| if random.below(5) == 0 { value } else { 0 });
        let x = QuantizedActivations::from_values(&values.collect::<Vec<i8>>(), 1.0);
        let mut live = LiveColumns::new(asked.k);
        live.set(ops, &x).expect("there is room");
        let weights = ColumnWeights::from_packed(&asked.matrix(&layouts::I2S), team).expect("a ternary matrix");
        let y = AlignedBuffer::zeroed(weights.padded_rows());
        Self { ops, weights: asked.copies(weights, ColumnWeights::bytes), live, y }
    }
}

impl Timed for SparseColumns {
    fn copies(&self) -> usize {
        self.weights.len()
    }

    fn call(&mut self, team: &mut Team, copy: usize) {
        self.ops.columns(team, &self.weights[copy], &self.live, &mut self.y).expect("shapes fit");
    }

    // As for rows.
    fn before(&self, team: &mut Team, copy: usize) {
        stream::evict(team, self.weights[copy].code_bytes());
    }

    fn digest(&self) -> u64 {
        digest_integers(&self.y[..self.weights[0].rows()])
    }
}

struct Read {
    bytes: Vec<AlignedBuffer<u8>>,
    prefetch: Prefetch,
    sum: u64,
}

impl Timed for Read {
    fn copies(&self) -> usize {
        self.bytes.len()
    }

    fn call(&mut self, team: &mut Team, copy: usize) {
        self.sum = stream::read(team, CpuFeatures::detect(), self.prefetch, &self.bytes[copy]);
    }

    fn digest(&self) -> u64 {
        self.sum
    }
}
