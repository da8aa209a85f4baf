//! Microbenchmarks: one operation at one shape and residency, all kernels of a family in the same interleaved rounds.

use super::rounds::{self, Epoch, column};
use super::stats::{Paired, median};
use crate::build_info::sha256_hex;
use crate::error::{Error, Result};
use crate::receipt::{MicroCell, MicroEntry, MicroSummary, Residency};
use crate::scenario::Cell;
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{
    AlignedBuffer, CodeTable, CpuFeatures, F32Ops, Family, Kernel, KernelError, LinearInput, PackedWeights, Scales,
    conformance, reference,
};
use std::cell::RefCell;
use std::hint::black_box;
use std::sync::atomic::AtomicBool;

/// What applies to every cell of a run.
pub struct Plan<'a> {
    /// Rounds a cell.
    pub rounds: usize,
    /// Target length of an epoch.
    pub epoch_ns: f64,
    /// Seed of data and order.
    pub seed: u64,
    /// Size of the last-level cache in bytes.
    pub last_level_cache_bytes: u64,
    /// Set to stop between rounds.
    pub interrupted: &'a AtomicBool,
}

/// Last-level cache assumed where the system does not say: larger than most.
pub const UNKNOWN_CACHE_BYTES: u64 = 64 << 20;
/// Copies together are this many times the last-level cache, so that each copy has left it before its turn comes again.
const CACHE_MULTIPLE: u64 = 3;
/// Enough copies for any cache sold; more would only take memory.
const MAX_ROTATED_BYTES: u64 = 4 << 30;

/// Operands of one cell: what every kernel of it is given.
struct Operands {
    copies: Vec<PackedWeights>,
    input: LinearInput,
}

/// Measures `kernels`, which are of one family and share a packing, after checking each on the very bytes that are timed.
/// `None` when none of them has the operation.
pub fn measure(
    cell: Cell,
    kernels: &[Kernel],
    plan: &Plan<'_>,
    team: &mut Team,
    after_round: impl FnMut(usize),
) -> Result<Option<MicroCell>> {
    let has_operation = |k: &&Kernel| k.descriptor().operation_names().contains(&cell.op);
    let mut entries: Vec<Kernel> = kernels.iter().filter(has_operation).copied().collect();
    let (Some(&first), Some(&last)) = (entries.first(), entries.last()) else { return Ok(None) };
    let family = first.descriptor().family();
    let (m, k) = (cell.shape.m, cell.shape.k);
    let seed = plan.seed ^ (m as u64) << 40 ^ (k as u64) << 16 ^ family as u64;
    let mut random = SplitMix64::new(seed);
    let codes = random.ternary_codes(m * k);
    let (operands, x) = operands(cell, &codes, first, plan, &mut random)?;
    let hashes = check(cell, &codes, &operands, &x, &entries, team)?;
    // The A/A column: the most advanced kernel once more.
    entries.push(last);
    let threads = team.threads();

    let team = RefCell::new(team);
    let next_copy = std::cell::Cell::new(0usize);
    let outputs = RefCell::new(Outputs::of(cell));
    let shared = Shared { operands: &operands, team: &team, next_copy: &next_copy, outputs: &outputs };
    let mut epochs: Vec<Epoch<'_>> = entries.iter().map(|&kernel| epoch(cell, kernel, shared)).collect();
    let calls = rounds::calibrate(&mut epochs, plan.epoch_ns);
    let rounds = rounds::run(&mut epochs, calls, plan.rounds, seed, plan.interrupted, after_round);
    drop(epochs);

    let bytes_per_call = operands.copies[0].bytes() as u64;
    let columns = entries.iter().enumerate().map(|(i, kernel)| MicroEntry {
        kernel: kernel.id().into(),
        name: kernel.descriptor().long_name(cell.op),
        self_pair: i + 1 == entries.len(),
        bytes_per_call,
        output_sha256: hashes[i.min(hashes.len() - 1)].clone(),
    });
    let mut record = MicroCell {
        op: cell.op.into(),
        m,
        k,
        residency: cell.residency,
        family: family.name().into(),
        threads,
        weights_per_call: (m * k) as u64,
        calls_per_epoch: calls,
        copies: operands.copies.len(),
        seed,
        entries: columns.collect(),
        rounds,
        summaries: Vec::new(),
        noise_floor: 0.0,
    };
    summarize(&mut record);
    Ok(Some(record))
}

/// Fills in summaries and noise floor from the raw rounds; nothing else is looked at, so a receipt can be recomputed.
pub fn summarize(cell: &mut MicroCell) {
    let nothing_measured = cell.rounds.is_empty();
    let columns: Vec<Vec<u64>> = (0..cell.entries.len()).map(|e| column(&cell.rounds, e)).collect();
    let index = |id: &str| cell.entries.iter().position(|e| e.kernel == id && !e.self_pair);
    let builds_on = |id: &str| kernels::registry::find(id).and_then(|d| d.builds_on);
    let summaries = cell.entries.iter().enumerate().map(|(i, entry)| {
        let per_call: Vec<f64> = columns[i].iter().map(|&ns| ns as f64 / f64::from(cell.calls_per_epoch)).collect();
        let ns = median(&per_call);
        let rate = |amount: u64| if ns > 0.0 { amount as f64 / ns } else { 0.0 };
        let against = |partner: usize| Paired::new(&columns[partner], &columns[i]).ratio(&cell.entries[partner].kernel);
        let previous = builds_on(&entry.kernel).and_then(index);
        // An A/A column is compared with its twin.
        let partner = if entry.self_pair { index(&entry.kernel) } else { Some(0) };
        MicroSummary {
            kernel: entry.kernel.clone(),
            median_ns_per_call: ns,
            gelem_s: rate(cell.weights_per_call),
            gb_s: rate(entry.bytes_per_call),
            vs_baseline: partner.filter(|&p| p != i && !nothing_measured).map(against),
            vs_previous: previous.filter(|_| !entry.self_pair && !nothing_measured).map(against),
        }
    });
    let summaries: Vec<MicroSummary> = summaries.collect();
    let self_pair = cell.entries.iter().position(|e| e.self_pair);
    let twin = self_pair.and_then(|s| index(&cell.entries[s].kernel).map(|t| (s, t)));
    cell.noise_floor = twin.map_or(0.0, |(s, t)| Paired::new(&columns[t], &columns[s]).noise_floor());
    cell.summaries = summaries;
}

fn refused(cell: Cell, kernel: &Kernel, error: &KernelError) -> Error {
    Error::failed(format!("{} {}x{} with {}: {error}", cell.op, cell.shape.m, cell.shape.k, kernel.id()))
}

/// Packed copies and activations. Scales are one for the tensor, so that both families may use them.
fn operands(
    cell: Cell,
    codes: &[u8],
    kernel: Kernel,
    plan: &Plan<'_>,
    random: &mut SplitMix64,
) -> Result<(Operands, Vec<f32>)> {
    let (m, k) = (cell.shape.m, cell.shape.k);
    let packing = kernel.descriptor().packing;
    let packed = PackedWeights::pack(packing, m, k, codes, CodeTable::TERNARY, Scales::PerTensor(0.5));
    let packed = packed.map_err(|e| refused(cell, &kernel, &e))?;
    let copies = match cell.residency {
        Residency::Cache => 1,
        Residency::Dram => {
            let wanted = (CACHE_MULTIPLE * plan.last_level_cache_bytes).min(MAX_ROTATED_BYTES);
            wanted.div_ceil(packed.bytes().max(1) as u64).max(2) as usize
        }
    };
    let x: Vec<f32> = (0..k).map(|_| random.signed_unit()).collect();
    let ops = F32Ops::select(CpuFeatures::detect());
    let mut input = LinearInput::new(1, k);
    input.prepare(&mut Team::single(), &kernel, ops, k, &x).map_err(|e| refused(cell, &kernel, &e))?;
    let mut all = vec![packed; 1];
    while all.len() < copies {
        all.push(all[0].clone());
    }
    let used = input.float[0].values().to_vec();
    Ok((Operands { copies: all, input }, used))
}

/// Every kernel's result on the operands that are about to be timed, against the oracle. Returns the hash of each output.
fn check(
    cell: Cell,
    codes: &[u8],
    operands: &Operands,
    x: &[f32],
    kernels: &[Kernel],
    team: &mut Team,
) -> Result<Vec<String>> {
    let (weights, k) = (&operands.copies[0], cell.shape.k);
    let mut hashes = Vec::new();
    for kernel in kernels {
        let wrong = |row: usize, got: f64, want: f64| {
            let (id, op, m) = (kernel.id(), cell.op, cell.shape.m);
            Error::failed(format!("{op} {m}x{k}: {id} gives {got} in row {row}, the oracle {want}; it is not timed"))
        };
        let failed = |e: KernelError| refused(cell, kernel, &e);
        if cell.op == "dequantize" {
            let mut out = vec![f32::NAN; codes.len()];
            kernel.dequantize(weights, 0..weights.rows(), &mut out).map_err(failed)?;
            for (i, (&got, &code)) in out.iter().zip(codes).enumerate() {
                let want = reference::weight(code, weights.table(), weights.scale_at(i / k, i % k));
                if got != want {
                    return Err(wrong(i / k, got.into(), want.into()));
                }
            }
            hashes.push(sha256_hex(bytemuck::cast_slice(&out)));
        } else if kernel.descriptor().family() == Family::W2A8 {
            let mut y = vec![i32::MIN; weights.rows()];
            team.split_rows(weights.packing().panel_rows(), &mut y, |rows, y| {
                kernel.gemv_i8(weights, rows, &operands.input.quantized[0], y)
            })
            .map_err(failed)?;
            for (row, (&got, codes)) in y.iter().zip(codes.chunks_exact(k)).enumerate() {
                let want = reference::dot_i64(codes, weights.table(), operands.input.quantized[0].values());
                if i64::from(got) != want {
                    return Err(wrong(row, got.into(), want as f64));
                }
            }
            hashes.push(sha256_hex(bytemuck::cast_slice(&y)));
        } else {
            let mut y = vec![f32::NAN; weights.rows()];
            team.split_rows(weights.packing().panel_rows(), &mut y, |rows, y| {
                kernel.gemv_f32(weights, rows, &operands.input.float[0], y)
            })
            .map_err(failed)?;
            for (row, (&got, codes)) in y.iter().zip(codes.chunks_exact(k)).enumerate() {
                let (want, terms) = reference::dot_f64(codes, weights.table(), |j| weights.scale_at(row, j), x);
                let within = (f64::from(got) - want).abs() <= conformance::F32_BOUND * terms;
                if !within {
                    return Err(wrong(row, got.into(), want));
                }
            }
            hashes.push(sha256_hex(bytemuck::cast_slice(&y)));
        }
    }
    Ok(hashes)
}

/// One aligned output for all entries. With a buffer each, a kernel and its A/A twin differed by up to 12%: what their addresses did to
/// the stores.
struct Outputs {
    floats: AlignedBuffer<f32>,
    integers: AlignedBuffer<i32>,
}

impl Outputs {
    fn of(cell: Cell) -> Self {
        let floats = if cell.op == "dequantize" { cell.shape.m * cell.shape.k } else { cell.shape.m };
        Self { floats: AlignedBuffer::zeroed(floats), integers: AlignedBuffer::zeroed(cell.shape.m) }
    }
}

/// What the entries of a cell share; they run one at a time.
#[derive(Clone, Copy)]
struct Shared<'a> {
    operands: &'a Operands,
    team: &'a RefCell<&'a mut Team>,
    next_copy: &'a std::cell::Cell<usize>,
    outputs: &'a RefCell<Outputs>,
}

impl<'a> Shared<'a> {
    /// The copies take turns over all entries, so that no entry finds what another just loaded.
    fn turn(&self) -> &'a PackedWeights {
        let next = (self.next_copy.get() + 1) % self.operands.copies.len();
        self.next_copy.set(next);
        &self.operands.copies[next]
    }
}

/// The timed loop of one entry. `check` made the same calls with the same operands, so the calls below cannot fail.
fn epoch<'a>(cell: Cell, kernel: Kernel, shared: Shared<'a>) -> Epoch<'a> {
    let panel_rows = kernel.descriptor().packing.panel_rows();
    let rows = cell.shape.m;
    match (cell.op, kernel.descriptor().family()) {
        ("dequantize", _) => Box::new(move |calls| {
            let out = &mut shared.outputs.borrow_mut().floats;
            for _ in 0..calls {
                let _ = black_box(kernel.dequantize(black_box(shared.turn()), 0..rows, black_box(&mut *out)));
            }
        }),
        (_, Family::W2A8) => Box::new(move |calls| {
            let (mut team, y) = (shared.team.borrow_mut(), &mut shared.outputs.borrow_mut().integers);
            for _ in 0..calls {
                let (weights, x) = (shared.turn(), &shared.operands.input.quantized[0]);
                let call = |rows: std::ops::Range<usize>, y: &mut [i32]| kernel.gemv_i8(weights, rows, x, y);
                let _ = black_box(team.split_rows(panel_rows, black_box(&mut *y), call));
            }
        }),
        (_, Family::W2A32) => Box::new(move |calls| {
            let (mut team, y) = (shared.team.borrow_mut(), &mut shared.outputs.borrow_mut().floats);
            for _ in 0..calls {
                let (weights, x) = (shared.turn(), &shared.operands.input.float[0]);
                let call = |rows: std::ops::Range<usize>, y: &mut [f32]| kernel.gemv_f32(weights, rows, x, y);
                let _ = black_box(team.split_rows(panel_rows, black_box(&mut *y), call));
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Shape;
    use kernels::registry;

    fn kernels_of(family: Family) -> Vec<Kernel> {
        let available = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
        available.filter(|k| k.descriptor().family() == family).collect()
    }

    fn run(op: &'static str, family: Family, residency: Residency, stop: bool) -> MicroCell {
        let interrupted = AtomicBool::new(stop);
        let plan =
            Plan { rounds: 9, epoch_ns: 1e4, seed: 1, last_level_cache_bytes: 1 << 16, interrupted: &interrupted };
        let cell = Cell { op, shape: Shape { m: 40, k: 512 }, residency };
        let team = &mut Team::new(2, |_| {}).expect("threads start");
        measure(cell, &kernels_of(family), &plan, team, |_| {}).expect("measures").expect("has the operation")
    }

    #[test]
    fn a_cell_holds_what_its_rounds_say() {
        for (op, family) in [("gemv", Family::W2A32), ("gemv", Family::W2A8), ("dequantize", Family::W2A32)] {
            let cell = run(op, family, Residency::Cache, false);
            assert_eq!((cell.rounds.len(), cell.copies, cell.threads), (9, 1, 2));
            let count = kernels_of(family).len();
            assert_eq!((cell.entries.len(), cell.summaries.len()), (count + 1, count + 1));
            assert!(cell.entries[count].self_pair && cell.entries[count].kernel == cell.entries[count - 1].kernel);
            assert!(cell.rounds.iter().flat_map(|r| &r.ns).all(|&ns| ns > 0));
            assert!(cell.summaries[0].vs_baseline.is_none() && cell.summaries[0].gelem_s > 0.0);
            let mut again = cell.clone();
            again.summaries.clear();
            summarize(&mut again);
            assert_eq!(format!("{again:?}"), format!("{cell:?}"));
        }
    }

    #[test]
    fn exact_kernels_have_one_output_hash() {
        let cell = run("gemv", Family::W2A8, Residency::Cache, false);
        assert!(cell.entries.iter().all(|e| e.output_sha256 == cell.entries[0].output_sha256));
    }

    #[test]
    fn copies_exceed_the_cache_in_dram_cells() {
        let cell = run("gemv", Family::W2A8, Residency::Dram, false);
        assert!(cell.copies as u64 * cell.entries[0].bytes_per_call >= 3 << 16);
    }

    #[test]
    fn an_interrupted_cell_is_valid_and_empty() {
        let cell = run("gemv", Family::W2A8, Residency::Cache, true);
        assert!(cell.rounds.is_empty() && cell.summaries.iter().all(|s| s.gelem_s == 0.0 && s.vs_baseline.is_none()));
    }
}
