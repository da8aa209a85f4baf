//! What a token needs beside the ternary products, timed in every way that this CPU has: output heads from memory, and
//! the operations between the products in cache. Each way passed its suite, and gives the same bits as the others here.

use super::rounds::orders;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::machine::Machine;
use kernels::conformance::products::paths;
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{
    AlignedBuffer, CachedHead, F32Ops, HalfRows, HeadFormat, HeadInput, KernelError, Norm, OutputHead, Prefetch,
    QuantizedActivations, Queries, head_implementations, stream,
};
use receipt::{BesideCell, BesideEntry, Residency};
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of the f16 rows that heads are timed on: long against the clock; they are taken out of the caches each time.
const HEAD_BYTES: usize = 8 << 20;
/// Columns of the heads, and lengths of the vectors: those of the 2B model.
const K: usize = 2560;
const WIDE: usize = 6912;
const HEAD_DIM: usize = 128;
/// Query heads that share a cached head, and positions that they look at.
const GROUP: usize = 4;
const POSITIONS: usize = 64;
/// Calls of a turn of the short operations.
const CALLS: u32 = 128;

/// All cells, in so many rounds each.
pub fn measure(machine: &Machine, rounds: usize, seed: u64) -> Result<Vec<BesideCell>> {
    let mut cells = heads(machine, rounds, seed)?;
    cells.extend(between(machine, rounds, seed)?);
    Ok(cells)
}

fn failed(e: KernelError) -> Error {
    Error::failed(format!("beside the products: {e}"))
}

/// Nanoseconds of `work`. The clock alone: asking the system for CPU time takes longer than a norm.
fn took<E>(work: impl FnOnce() -> std::result::Result<(), E>) -> std::result::Result<u64, E> {
    let start = Instant::now();
    work()?;
    Ok((start.elapsed().as_nanos() as u64).max(1))
}

fn stopped() -> Result<()> {
    interrupt::check("interrupted while timing what lies beside the products")
}

/// Each output format, by every implementation in both ways to ask ahead.
fn heads(machine: &Machine, rounds: usize, seed: u64) -> Result<Vec<BesideCell>> {
    let (mut team, mut random) = (machine.team()?, SplitMix64::new(seed));
    let mut rows = AlignedBuffer::zeroed(HEAD_BYTES / 2);
    let ops = F32Ops::select(machine.features);
    for row in rows.chunks_exact_mut(K) {
        ops.narrow_to_f16(&random.signed_units(K), row).map_err(failed)?;
    }
    let (whole, x) = (HEAD_BYTES / 2 / K, random.signed_units(K));
    let bytes = AlignedBuffer::from(&vec![1u8; HEAD_BYTES][..]);
    let rows: HalfRows = Arc::new(AlignedBuffer::from(&rows[..whole * K]));
    let mut cells = Vec::new();
    for format in HeadFormat::ALL {
        stopped()?;
        let made = OutputHead::new(format, &rows, K, machine.features, &mut team).map_err(failed)?;
        let mut ways = Vec::new();
        for way in head_implementations(format, machine.features).into_iter().rev() {
            suite(way.id)?;
            let asks = if way.requires == kernels::CpuFeatures::NONE { &Prefetch::ALL[..1] } else { &Prefetch::ALL };
            for &prefetch in asks {
                ways.push(made.tuned(way, prefetch).map_err(failed)?);
            }
        }
        let cell = Head { ways, x: &x, bytes: &bytes[..made.bytes().min(HEAD_BYTES)], rounds, seed };
        cells.push(cell.cell(machine, &mut team)?);
    }
    Ok(cells)
}

/// The conformance suite of one implementation.
fn suite(id: &'static str) -> Result<()> {
    let path = paths().into_iter().find(|path| path.id == id);
    let outcome = path.map(|path| path.verify()).unwrap_or_default();
    match outcome.first_mismatch {
        None => Ok(()),
        Some(first) => Err(Error::failed(format!("{id} fails its suite and is not timed; first: {first}"))),
    }
}

/// One format's ways, and as many bytes to read.
struct Head<'a> {
    ways: Vec<OutputHead>,
    x: &'a [f32],
    bytes: &'a [u8],
    rounds: usize,
    seed: u64,
}

impl Head<'_> {
    fn cell(&self, machine: &Machine, team: &mut Team) -> Result<BesideCell> {
        let (rows, k) = (self.ways[0].rows(), self.ways[0].k());
        let (mut input, mut y) = (HeadInput::new(k), vec![0f32; rows]);
        let mut first: Option<Vec<f32>> = None;
        for way in &self.ways {
            way.gemv(team, self.x, &mut input, &mut y).map_err(failed)?;
            if *first.get_or_insert_with(|| y.clone()) != y {
                return Err(Error::failed(format!("{} and {} give other bits", way.id(), self.ways[0].id())));
            }
        }
        let name =
            |way: &OutputHead| BesideEntry { name: format!("{}, {}", way.id(), way.prefetch().name()), ns: Vec::new() };
        let mut cell = BesideCell {
            what: format!("{} output head", self.ways[0].format().name()),
            shape: format!("{rows}x{k}"),
            threads: team.threads(),
            residency: Residency::Dram,
            bytes_per_call: self.ways[0].bytes() as u64,
            oracle: "its suite against the oracle; the same bits as the other ways on these rows".into(),
            entries: self.ways.iter().map(name).collect(),
            read_ns: Vec::new(),
        };
        let read = self.ways.len();
        for order in orders(read + 1, self.rounds, self.seed) {
            stopped()?;
            for turn in order.into_iter().map(usize::from) {
                if turn == read {
                    cell.read_ns.push(self.plain_read(machine, team));
                    continue;
                }
                self.ways[turn].evict(team);
                let ns = took(|| self.ways[turn].gemv(team, self.x, &mut input, &mut y)).map_err(failed)?;
                cell.entries[turn].ns.push(ns);
            }
        }
        Ok(cell)
    }

    /// The faster of both ways to read.
    fn plain_read(&self, machine: &Machine, team: &mut Team) -> u64 {
        let mut once = |prefetch| {
            stream::evict(team, self.bytes);
            let Ok(ns) = took(|| {
                black_box(stream::read(team, machine.features, prefetch, black_box(self.bytes)));
                Ok::<(), Infallible>(())
            });
            ns
        };
        once(Prefetch::OneLevel).min(once(Prefetch::TwoLevels))
    }
}

/// Vectors of the lengths that a block works on.
struct Vectors {
    x: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    gain: Vec<f32>,
    cached: Vec<u16>,
    normed: Vec<f32>,
    wide: Vec<f32>,
    attended: Vec<f32>,
    scores: Vec<f32>,
    quantized: QuantizedActivations,
}

/// An operation between the products: its name, its shape, the bytes of its inputs, and one call of it.
type Between = (&'static str, &'static str, usize, fn(F32Ops, &mut Vectors) -> std::result::Result<(), KernelError>);

const EPS: f32 = 1e-5;

const OPERATIONS: [Between; 4] = [
    ("norm", "2560", 4 * 2 * K, |ops, v| {
        ops.rms_norm(&v.x, Norm { gain: &v.gain[..K], eps: EPS }, &mut v.normed);
        Ok(())
    }),
    ("activation and norm", "6912", 4 * 3 * WIDE, |ops, v| {
        ops.gated_rms_norm(&v.gate, &v.up, Norm { gain: &v.gain, eps: EPS }, &mut v.wide);
        Ok(())
    }),
    ("quantising", "2560", 4 * K, |ops, v| v.quantized.quantize(ops, &v.x)),
    ("attention", "64 positions, 4 heads of 128", 2 * 2 * POSITIONS * HEAD_DIM + 4 * GROUP * HEAD_DIM, |ops, v| {
        let cache = CachedHead { keys: &v.cached, values: &v.cached, stride: HEAD_DIM };
        let (q, scores, out) = (&v.x[..GROUP * HEAD_DIM], &mut v.scores[..], &mut v.attended[..]);
        ops.attend(&mut [Queries { q, head_dim: HEAD_DIM, factor: 0.1, scores, out }], cache);
        Ok(())
    }),
];

impl Vectors {
    /// What operations write, bit by bit.
    fn written(&self) -> (Vec<u32>, Vec<i8>) {
        let floats = self.normed.iter().chain(&self.wide).chain(&self.attended);
        (floats.map(|v| v.to_bits()).collect(), self.quantized.values().to_vec())
    }
}

/// What lies between the products, on one thread, as one token has it.
fn between(machine: &Machine, rounds: usize, seed: u64) -> Result<Vec<BesideCell>> {
    let mut random = SplitMix64::new(seed);
    let mut v = Vectors {
        x: random.signed_units(K),
        gate: random.signed_units(WIDE),
        up: random.signed_units(WIDE),
        gain: random.signed_units(WIDE),
        cached: vec![0; POSITIONS * HEAD_DIM],
        normed: vec![0.0; K],
        wide: vec![0.0; WIDE],
        attended: vec![0.0; GROUP * HEAD_DIM],
        scores: vec![0.0; GROUP * POSITIONS],
        quantized: QuantizedActivations::new(K),
    };
    let mut ways = F32Ops::all(machine.features);
    ways.reverse();
    let keys = random.signed_units(v.cached.len());
    ways[0].narrow_to_f16(&keys, &mut v.cached).map_err(failed)?;
    let mut cells = Vec::new();
    for (what, shape, bytes, call) in OPERATIONS {
        stopped()?;
        call(ways[0], &mut v).map_err(failed)?;
        let first = v.written();
        for way in &ways {
            call(*way, &mut v).map_err(failed)?;
            if v.written() != first {
                return Err(Error::failed(format!("{what}: {} gives other bits than {}", way.id(), ways[0].id())));
            }
        }
        let entry = |way: &F32Ops| BesideEntry { name: way.id().into(), ns: Vec::new() };
        let mut cell = BesideCell {
            what: what.into(),
            shape: shape.into(),
            threads: 1,
            residency: Residency::L2,
            bytes_per_call: bytes as u64,
            oracle: "the same bits as plain Rust".into(),
            entries: ways.iter().map(entry).collect(),
            read_ns: Vec::new(),
        };
        let (mut team, buffer) = (Team::single(), AlignedBuffer::from(&vec![1u8; bytes.next_multiple_of(256)][..]));
        for order in orders(ways.len() + 1, rounds, seed) {
            for turn in order.into_iter().map(usize::from) {
                let spent = took(|| match ways.get(turn) {
                    Some(way) => (0..CALLS).try_for_each(|_| call(*way, black_box(&mut v))),
                    None => {
                        let (features, passes) = (machine.features, CALLS as usize);
                        black_box(stream::read_passes(&mut team, features, black_box(&buffer), passes, None));
                        Ok(())
                    }
                });
                let ns = spent.map_err(failed)? / u64::from(CALLS);
                match cell.entries.get_mut(turn) {
                    Some(entry) => entry.ns.push(ns.max(1)),
                    None => cell.read_ns.push(ns.max(1)),
                }
            }
        }
        cells.push(cell);
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::CpuFeatures;

    #[test]
    fn every_format_and_operation_has_a_cell_with_whole_rounds() {
        let cells = measure(&Machine::for_tests(CpuFeatures::detect()), 2, 1).expect("measures");
        assert_eq!(cells.len(), HeadFormat::ALL.len() + OPERATIONS.len());
        for cell in cells {
            assert_eq!(cell.read_ns.len(), 2, "{}", cell.what);
            assert!(!cell.entries.is_empty() && cell.entries.iter().all(|entry| entry.ns.len() == 2), "{cell:?}");
        }
    }
}
