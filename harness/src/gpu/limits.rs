//! `limits --device gpu`: how fast a device reads from its caches and its memory, and what a dispatch and a submission
//! cost the host.

use super::bench::Session;
use super::cells::refuse;
use super::column::{Column, Source};
use super::open::{Adapter, of_device};
use super::run::device_record;
use crate::cmd::limits::LimitsArgs;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::output::{Output, table};
use crate::progress::Progress;
use crate::{build_info, machine::host};
use kernels::conformance::Token;
use kernels::{CodeTable, Codes, PackedWeights, QuantizedActivations, Scales};
use kernels_gpu::{Copies, Device, GpuError, Inputs, LADDER, Rotation, Stream};
use receipt::figures::bytes;
use receipt::{DeviceRecord, Host, Spread};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Sizes of a buffer, and copies of it in rotation: within caches first, then from memory.
const SIZES: [(u64, usize); 6] =
    [(1 << 20, 1), (4 << 20, 1), (16 << 20, 1), (64 << 20, 1), (256 << 20, 1), (256 << 20, 4)];
/// Nanoseconds of an epoch.
const EPOCH_NS: f64 = 5e6;
/// Time before the first size in which the device's clocks rise.
const WARM_UP: Duration = Duration::from_millis(500);
/// Dispatches of a pass whose cost is looked at: as many as a token of a 2B model has.
const DISPATCHES: u32 = 300;
/// Rows and columns of the product that such a dispatch makes.
const SMALLEST: (usize, usize) = (1024, 64);

/// How fast a device reads so many bytes.
#[derive(Debug, Serialize)]
pub struct StreamRate {
    /// Bytes of a buffer.
    bytes: u64,
    /// Buffers that are read in turn.
    copies: usize,
    /// Read bandwidth in 10^9 bytes a second, by the device's clock.
    gb_s: Spread,
    /// The same by the host's clock.
    wall_gb_s: Spread,
}

/// What work costs the host.
#[derive(Debug, Serialize)]
pub struct HostCost {
    /// Microseconds of a dispatch: recorded and submitted among 300 in one pass.
    dispatch_us: Spread,
    /// Microseconds of a submission of one dispatch, without waiting.
    submission_us: Spread,
    /// Microseconds of a submission of one dispatch, until it has come back.
    round_trip_us: Spread,
}

/// What is printed.
#[derive(Serialize)]
struct Printed {
    device: DeviceRecord,
    host: Host,
    streams: Vec<StreamRate>,
    host_cost: HostCost,
    elapsed_s: f64,
}

/// Runs `limits --device gpu`.
pub fn limits(adapter: &Adapter, args: &LimitsArgs, out: &Output) -> Result<()> {
    refuse(&args.machine.given().map(|flag| (flag, true)).into_iter().collect::<Vec<_>>())?;
    adapter.refuse_to_time_software()?;
    adapter.refuse_without_clock()?;
    build_info::refuse_to_time_a_debug_build()?;
    let start = Instant::now();
    let samples = if args.quick { 9 } else { 31 };
    let session = Session::open(adapter)?;
    let device = &session.device;
    let progress = Progress::start("the device's limits", SIZES.len() as u64 + 1);
    let mut streams = Vec::new();
    for (done, (size, copies)) in SIZES.into_iter().enumerate() {
        interrupt::check("interrupted while the device's limits were measured")?;
        progress.step(done, bytes(size * copies as u64));
        let warm_up = if done == 0 { WARM_UP } else { Duration::ZERO };
        let rate = stream(device, (size, copies), samples, warm_up).map_err(|error| failed(size, &error))?;
        streams.push(rate);
    }
    let host_cost = host_cost(device, samples).map_err(|error| of_device(&error))?;
    drop(progress);
    let device = device_record(adapter.facts(), device, &LADDER.iter().collect::<Vec<_>>());
    let printed = Printed { device, host: host::host(), streams, host_cost, elapsed_s: start.elapsed().as_secs_f64() };
    if args.json { out.json(&printed) } else { out.line(text(&printed)) }
}

fn failed(size: u64, error: &GpuError) -> Error {
    Error::failed(format!("reading {}: {error}", bytes(size)))
}

/// Samples of reading buffers in turn.
pub fn stream(
    device: &Device,
    (size, copies): (u64, usize),
    samples: usize,
    warm_up: Duration,
) -> std::result::Result<StreamRate, GpuError> {
    let mut column = Column::new(Source::Stream(Stream::of_bytes(device, size, copies)?));
    let mut calls = 1;
    // Until an epoch is long enough, which warms it up too.
    while f64::from(calls) * column.ns_per_call() < EPOCH_NS / 2.0 && calls < 1 << 16 {
        column.epoch(device, calls)?;
        let wanted = EPOCH_NS / column.ns_per_call().max(1.0);
        calls = (wanted as u32).clamp(calls.saturating_add(1), 4 * calls);
    }
    let start = Instant::now();
    while start.elapsed() < warm_up {
        column.epoch(device, calls)?;
    }
    column.forget_walls();
    let read = size as f64 * f64::from(calls);
    let (mut rates, mut walls) = (Vec::new(), Vec::new());
    for sample in 0..samples {
        rates.push(read / column.epoch(device, calls)?.ns.max(1) as f64);
        walls.push(read / column.wall(sample).max(1) as f64);
    }
    Ok(StreamRate { bytes: size, copies, gb_s: spread(rates), wall_gb_s: spread(walls) })
}

/// What recording and submitting costs, by the smallest product of the first kernel.
pub fn host_cost(device: &Device, samples: usize) -> std::result::Result<HostCost, GpuError> {
    let (rows, k) = SMALLEST;
    let (codes, table, scales) = (vec![1; rows * k], CodeTable::TERNARY, Scales::PerTensor(1.0));
    let kernel = &LADDER[0];
    let weights = PackedWeights::pack(kernel.descriptor.layout, Codes { rows, k, codes: &codes, table, scales })
        .map_err(|error| GpuError::Operands(error.to_string()))?;
    let floats = vec![1.0; k];
    let token = Token { rounded: QuantizedActivations::from_values(&vec![1; k], 1.0), floats };
    let weights = Rotation::new(device, &weights, 1)?;
    let mut copies = Copies::new(kernel, device, &weights, &Inputs::new(device, &[token])?)?;
    let dispatches = (DISPATCHES as usize * copies.dispatches()) as f64;
    let (mut of_dispatch, mut of_submission, mut round_trip) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..samples + 1 {
        let [many, _] = copies.host_ns(device, DISPATCHES)?;
        let [one, back] = copies.host_ns(device, 1)?;
        of_dispatch.push(many as f64 / dispatches / 1e3);
        of_submission.push(one as f64 / 1e3);
        round_trip.push(back as f64 / 1e3);
    }
    // The first was a warm-up.
    let [dispatch_us, submission_us, round_trip_us] =
        [of_dispatch, of_submission, round_trip].map(|all| spread(all[1..].to_vec()));
    Ok(HostCost { dispatch_us, submission_us, round_trip_us })
}

fn spread(mut samples: Vec<f64>) -> Spread {
    samples.sort_by(f64::total_cmp);
    let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
    Spread { median: at(samples.len() / 2), low: at(0), high: at(samples.len().saturating_sub(1)) }
}

fn text(printed: &Printed) -> String {
    let range = |s: &Spread| format!("{:.1} [{:.1}, {:.1}]", s.median, s.low, s.high);
    let rows = printed.streams.iter().map(|stream| {
        let place = if stream.copies > 1 { format!("{} buffers in turn", stream.copies) } else { "one buffer".into() };
        let (size, device, wall) = (stream.bytes * stream.copies as u64, &stream.gb_s, &stream.wall_gb_s);
        vec![bytes(size), place, range(device), range(wall)]
    });
    let streams = table(&["bytes", "read", "GB/s, device", "GB/s, wall"], &[0, 2, 3], rows);
    let cost = &printed.host_cost;
    let (each, one, trip) = (range(&cost.dispatch_us), range(&cost.submission_us), range(&cost.round_trip_us));
    format!(
        "on {}\n\n{streams}\n\na dispatch costs the host {each} us ({DISPATCHES} in one pass, recorded and submitted)\n\
         a submission of one dispatch costs it {one} us, and comes back after {trip} us\n\n\
         median [smallest, largest] of the samples; measured in {:.1} s",
        printed.device.in_words(),
        printed.elapsed_s
    )
}
