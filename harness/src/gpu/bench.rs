//! A cell on a GPU: kernels that were checked on the very bytes take turns with the best of them once more and a shader
//! that only reads, each turn a submission between two timestamps of the device.

use super::cells::copies;
use super::column::{Column, Source};
use super::open::{Adapter, of_device, status};
use super::operands::Operands;
use crate::error::Result;
use crate::measure::{micro, rounds};
use crate::output::note;
use crate::scenario::Cell;
use kernels::{Family, Layout};
use kernels_gpu::{Copies, Device, GpuError, GpuKernel, Inputs, Rotation, Settings, Stream, find_kernel};
use model::hash::sha256_hex;
use receipt::{MicroCell, MicroEntry, Residency, RowStatus, Rule, WithoutTime, titles};
use std::cell::RefCell;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How long a submission may take before the device is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time before a run's first cell in which the device's clocks rise: they cannot be read.
const WARM_UP: Duration = Duration::from_millis(500);
/// Shortest and longest epoch: long beside a tick of the device's clock, short beside what a system resets a card for.
const EPOCH_NS: (f64, f64) = (1e6, 5e7);
/// Most time of a submission by the slowest kernel.
const MOST_NS: f64 = 9e7;
/// What a check compares with.
const ORACLE: &str = "kernels::reference on the CPU, equal";

/// What applies to every cell of a run.
#[derive(Clone)]
pub struct Plan<'a> {
    /// When a cell is looked at, and what its verdicts are held to.
    pub rule: Rule,
    /// Target length of an epoch in nanoseconds.
    pub epoch_ns: f64,
    pub seed: u64,
    /// Bytes that the copies of a cold matrix take together.
    pub cold_bytes: u64,
    /// A flag that others set to stop the measurement between rounds.
    pub interrupted: &'a AtomicBool,
    /// The time at which to stop between rounds all the same.
    pub until: Option<Instant>,
}

/// A device that is opened again when it is lost.
pub struct Session<'a> {
    adapter: &'a Adapter,
    pub device: Device,
    is_warm: bool,
}

impl<'a> Session<'a> {
    /// Opens a device to time on: shaders do not check their indices.
    pub fn open(adapter: &'a Adapter) -> Result<Self> {
        let settings = Settings { checked: false, patience: PATIENCE, ..Settings::default() };
        Ok(Self { adapter, device: adapter.open(settings)?, is_warm: false })
    }
}

/// Which kernels fell out of a cell, and why.
struct Broken {
    kernels: Vec<&'static str>,
    status: RowStatus,
    why: String,
    /// Whether the device can do nothing more.
    fatal: bool,
}

impl Broken {
    fn of(kernels: Vec<&'static str>, error: &GpuError) -> Self {
        Self { kernels, status: status(error), why: of_device(error).to_string(), fatal: error.is_fatal() }
    }
}

/// Measures those of `kernels` that have the operation. One that fails has a row that says so, and the others go on.
pub fn measure(
    cell: Cell,
    kernels: &[&'static GpuKernel],
    plan: &Plan<'_>,
    session: &mut Session<'_>,
) -> Result<MicroCell> {
    let mut left = with_operation(cell, kernels);
    let operands = Operands::new(cell, &left, micro::operand_seed(plan.seed, cell, Family::W2A8))?;
    let mut without_time: Vec<WithoutTime> = Vec::new();
    let mut record = blank(cell, plan);
    while !left.is_empty() {
        match attempt(record.clone(), &left, &operands, (plan, session)) {
            Ok(measured) => {
                record = measured;
                break;
            }
            Err(broken) => {
                left.retain(|kernel| !broken.kernels.contains(&kernel.id()));
                note(format!("{}, {}: {}", broken.kernels.join(", "), titles::cell_title(&record), broken.why));
                let row = |kernel: &&str| WithoutTime {
                    kernel: (*kernel).into(),
                    status: broken.status,
                    why: broken.why.clone(),
                };
                without_time.extend(broken.kernels.iter().map(row));
                if broken.fatal {
                    *session = Session::open(session.adapter)?;
                }
            }
        }
    }
    record.without_time = without_time;
    Ok(record)
}

/// Those of `kernels` that have a cell's operation.
pub fn with_operation(cell: Cell, kernels: &[&'static GpuKernel]) -> Vec<&'static GpuKernel> {
    kernels.iter().filter(|kernel| kernel.descriptor.has(cell.op)).copied().collect()
}

/// The id of the kernel that a kernel builds on.
pub fn builds_on(id: &str) -> Option<String> {
    find_kernel(id)?.descriptor.builds_on.map(str::to_owned)
}

/// All kernels in turn, or which failed.
fn attempt(
    mut record: MicroCell,
    kernels: &[&'static GpuKernel],
    operands: &Operands,
    (plan, session): (&Plan<'_>, &mut Session<'_>),
) -> std::result::Result<MicroCell, Broken> {
    let device = &session.device;
    let all = || kernels.iter().map(|kernel| kernel.id()).collect::<Vec<_>>();
    let rotations = rotations(&record, kernels, operands, (plan, device))?;
    let of = |kernel: &GpuKernel| {
        let found = rotations.iter().find(|(layout, _)| *layout == kernel.descriptor.layout);
        found.map_or(&rotations[0].1, |(_, rotation)| rotation)
    };
    let inputs = Inputs::new(device, &operands.tokens).map_err(|error| Broken::of(all(), &error))?;
    let mut columns = Vec::new();
    for &kernel in kernels {
        let alone = |error: GpuError| Broken::of(vec![kernel.id()], &error);
        let copies = Copies::new(kernel, device, of(kernel), &inputs).map_err(alone)?;
        let output = copies.first().run(device).map_err(alone)?;
        operands.check(&output).map_err(|why| Broken {
            kernels: vec![kernel.id()],
            status: RowStatus::Wrong,
            why,
            fatal: false,
        })?;
        record.entries.push(MicroEntry {
            kernel: kernel.id().into(),
            name: kernel.descriptor.long_name(operands.op),
            self_pair: false,
            bytes_per_call: of(kernel).bytes(),
            output_sha256: sha256_hex(bytemuck::cast_slice(&output)),
            packing: Some(kernel.descriptor.layout.to_string()),
            prefetch: None,
            oracle: Some(ORACLE.into()),
            max_abs_error: Some(0.0),
            prepare: None,
        });
        columns.push(Column::new(Source::Product(copies)));
    }
    // The A/A column: the most advanced kernel once more.
    let last = kernels[kernels.len() - 1];
    let again = Copies::new(last, device, of(last), &inputs).map_err(|error| Broken::of(vec![last.id()], &error))?;
    record.entries.extend(record.entries.last().cloned().map(|entry| MicroEntry { self_pair: true, ..entry }));
    let stream = Stream::new(device, of(kernels[0])).map_err(|error| Broken::of(all(), &error))?;
    let bytes = stream.bytes();
    columns.extend([Source::Product(again), Source::Stream(stream)].map(Column::new));
    record.copies = of(kernels[0]).copies();
    let columns: Vec<RefCell<Column>> = columns.into_iter().map(RefCell::new).collect();
    let measured = in_turn(&mut record, &columns, plan, (device, &mut session.is_warm));
    measured.map_err(|(column, error)| match column.checked_sub(kernels.len()) {
        None => Broken::of(vec![kernels[column].id()], &error),
        Some(0) => Broken::of(vec![last.id()], &error),
        Some(_) => Broken::of(all(), &error),
    })?;
    record.stream = Some(micro::stream_apart(&mut record, bytes));
    receipt::judge::micro::summarize(&mut record, Some(&plan.rule), &builds_on);
    Ok(record)
}

/// The copies of each packing that the kernels read.
fn rotations(
    record: &MicroCell,
    kernels: &[&'static GpuKernel],
    operands: &Operands,
    (plan, device): (&Plan<'_>, &Device),
) -> std::result::Result<Vec<(&'static Layout, Rotation)>, Broken> {
    let mut made = Vec::new();
    for (layout, weights) in &operands.packed {
        let readers = kernels.iter().filter(|kernel| kernel.descriptor.layout == *layout);
        let readers: Vec<&'static str> = readers.map(|kernel| kernel.id()).collect();
        if readers.is_empty() {
            continue;
        }
        let count = copies(record.residency, weights.code_bytes().len() as u64, plan.cold_bytes);
        let rotation = Rotation::new(device, weights, count).map_err(|error| Broken::of(readers, &error))?;
        made.push((*layout, rotation));
    }
    Ok(made)
}

/// Rounds until every pair is settled, or the rule ends them, in the record, wall times among them.
fn in_turn(
    record: &mut MicroCell,
    columns: &[RefCell<Column>],
    plan: &Plan<'_>,
    (device, is_warm): (&Device, &mut bool),
) -> std::result::Result<(), (usize, GpuError)> {
    let mut turns: Vec<rounds::Turn<'_, GpuError>> = Vec::new();
    for column in columns {
        turns.push(Box::new(move |calls| column.borrow_mut().epoch(device, calls)));
    }
    let target = plan.epoch_ns.clamp(EPOCH_NS.0, EPOCH_NS.1);
    let mut calls = rounds::calibrate(&mut turns, target)?;
    if !*is_warm {
        let start = Instant::now();
        while start.elapsed() < WARM_UP {
            turns[0](capped(calls, columns)).map_err(|error| (0, error))?;
        }
        *is_warm = true;
        calls = rounds::calibrate(&mut turns, target)?;
    }
    let calls = capped(calls, columns);
    record.calls_per_epoch = calls;
    columns.iter().for_each(|column| column.borrow_mut().forget_walls());
    let enough = |rounds: &[receipt::Round]| micro::settled(record, rounds, (&plan.rule, plan.until), &builds_on);
    let orders = rounds::orders(columns.len(), plan.rule.most(), record.seed);
    let mut rounds = rounds::run(&mut turns, calls, orders, plan.interrupted, enough)?;
    drop(turns);
    for (i, round) in rounds.iter_mut().enumerate() {
        round.wall_ns = columns.iter().map(|column| column.borrow().wall(i)).collect();
    }
    record.rounds = rounds;
    Ok(())
}

/// Calls of an epoch, so few that the slowest column's does not hold the device for long.
fn capped(calls: u32, columns: &[RefCell<Column>]) -> u32 {
    let slowest = columns.iter().map(|column| column.borrow().ns_per_call()).fold(1.0, f64::max);
    calls.min((MOST_NS / slowest) as u32).max(1)
}

/// A cell in which nothing was timed yet: hot or cold, on one device.
fn blank(cell: Cell, plan: &Plan<'_>) -> MicroCell {
    let residency = if cell.residency == Residency::Dram { Residency::Dram } else { Residency::L2 };
    micro::nothing_timed((Cell { residency, ..cell }, Family::W2A8), 1, plan.seed)
}
