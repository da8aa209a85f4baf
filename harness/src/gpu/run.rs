//! `compare` and `micro` on a GPU: the suite, then every cell, then for `compare` a whole text, then receipt, CSV and
//! page as on the CPU.

use super::bench::{self, Plan, Session};
use super::cells;
use super::list;
use super::open::Adapter;
use super::verify::{records, selected};
use super::whole;
use crate::cmd::compare::{CompareArgs, Ended, MeasureArgs, finish, now, strictly};
use crate::error::{Error, Result};
use crate::load_model::{Head, load};
use crate::machine::MachineArgs;
use crate::measure::micro as products;
use crate::output::{Output, note};
use crate::progress::Progress;
use crate::runs::{RunFolder, new_receipt};
use crate::scenario::{Cell, Scenario};
use crate::{bitnet_environment, build_info, interrupt};
use kernels::ActivationRule;
use kernels_gpu::{AdapterFacts, Device, GpuKernel, LADDER, Stream, WGPU_VERSION};
use receipt::judge::{bound, sequential};
use receipt::{DeviceRecord, Receipt, RowStatus, Rule, ShaderRecord, titles};
use std::time::{Duration, Instant};

/// Bytes that the copies of a cold matrix take together: no system says how large a card's caches are, and this is four
/// times 256 MiB, more than the second-level cache of any card sold.
const COLD_BYTES: u64 = 1 << 30;
/// Most time for cells that are measured once more.
const ONCE_MORE: Duration = Duration::from_secs(20);

/// Runs `compare --device gpu`.
pub fn compare(adapter: &Adapter, args: &CompareArgs, out: &Output) -> Result<()> {
    let by_group = args.activations.is_some_and(|rule| rule != ActivationRule::Token);
    cells::refuse(&[
        ("--head other than f16", args.head.is_some_and(|head| head != Head::F16)),
        ("--prefill-kernel", args.prefill_kernel != "same"),
        ("--activations other than token", by_group),
        ("--engine", !args.engine.is_empty()),
        ("--dense", args.dense),
    ])?;
    let model = args.model.as_ref().map(|model| args.layout.of(model));
    measure(adapter, &args.measure, Some(model), out)
}

/// Runs `micro --device gpu`.
pub fn micro(adapter: &Adapter, args: &MeasureArgs, out: &Output) -> Result<()> {
    measure(adapter, args, None, out)
}

/// A run, with a whole text where a model may be named.
fn measure(adapter: &Adapter, args: &MeasureArgs, text: Option<Option<String>>, out: &Output) -> Result<()> {
    cells::refuse_of_micro(args)?;
    let kernels = selected(args.kernels.as_deref())?;
    let mut scenario = Scenario::load(&args.scenario)?;
    scenario.require_micro()?;
    if args.quick {
        scenario.make_quick();
    }
    args.matrix.apply(&mut scenario)?;
    let (cells, notes) = cells::of(&scenario, COLD_BYTES);
    if cells.is_empty() {
        let why = notes.first().map_or_else(String::new, |why| format!(": {why}"));
        return Err(Error::input(format!("scenario {} has no cell for a GPU{why}", scenario.name)));
    }
    adapter.refuse_to_time_software()?;
    adapter.refuse_without_clock()?;
    build_info::refuse_to_time_a_debug_build()?;
    let strict = args.strict || bitnet_environment::strict_mode()?;
    let session = Session::open(adapter)?;
    let timestamp = now();
    let mut folder = RunFolder::create(args.out.as_deref(), &scenario.name, &timestamp)?;
    let machine = MachineArgs::default().check(1)?;
    let receipt = Receipt {
        kernels: LADDER.iter().map(list::record).collect(),
        device: Some(device_record(adapter.facts(), &session.device, &kernels)),
        ..new_receipt(timestamp, &scenario, &machine, args.seed)
    };
    folder.begin(&receipt)?;
    let mut ended = Ended { folder, receipt, start: Instant::now() };
    ended.receipt.settings.kernels_requested.clone_from(&args.kernels);
    note(format!("on {}", ended.receipt.measured_on()));
    notes.iter().for_each(note);
    let rounds = scenario.micro.as_ref().map_or((0, 0), |micro| (micro.rounds, micro.epoch_us));
    let outcome = parts(&mut ended, (&cells, kernels), rounds, session, adapter);
    let asked = scenario.generate.as_ref().zip(text);
    let outcome = outcome.and_then(|()| match asked {
        Some((asked, named)) => {
            let model = named.or(scenario.model.clone()).unwrap_or_else(|| "builtin".into());
            let loaded = load(&model, None, &machine)?;
            ended.receipt.model = Some(loaded.record.clone());
            let measured = whole::measure(adapter, &loaded, asked, &machine)?;
            if let Some(device) = &mut ended.receipt.device {
                device.text = Some(measured);
            }
            ended.save()
        }
        None => Ok(()),
    });
    strictly(finish(ended, outcome, args, out)?, strict)
}

/// The suite, the cells, and once more those in which the same code differed from itself.
fn parts(
    ended: &mut Ended,
    (cells, mut kernels): (&[Cell], Vec<&'static GpuKernel>),
    (rounds, epoch_us): (usize, u32),
    mut session: Session<'_>,
    adapter: &Adapter,
) -> Result<()> {
    ended.receipt.verify = records(adapter, &kernels)?;
    ended.save()?;
    let passed = |kernel: &&'static GpuKernel| {
        let record = ended.receipt.verify.iter().find(|record| record.id == kernel.id());
        record.is_some_and(|record| record.row_status() == RowStatus::Ok && record.mismatches == 0)
    };
    kernels.retain(passed);
    let comparisons = |cell: &Cell| {
        let ids: Vec<&str> = bench::with_operation(*cell, &kernels).iter().map(|kernel| kernel.id()).collect();
        products::comparisons_of(&ids, bench::builds_on)
    };
    // A cell may be measured once more, and both measurements count.
    let comparisons = 2 * cells.iter().map(comparisons).sum::<usize>();
    let rule = Rule::new(sequential::DELTA, "round", &sequential::ROUND_LOOKS, rounds, comparisons);
    ended.receipt.rule = Some(rule.clone());
    let mut plan = Plan {
        rule,
        epoch_ns: f64::from(epoch_us) * 1e3,
        seed: ended.receipt.settings.seed,
        cold_bytes: COLD_BYTES,
        interrupted: interrupt::flag(),
        until: None,
    };
    let progress = Progress::start("microbenchmarks", cells.len() as u64);
    let mut took = Vec::new();
    for (done, cell) in cells.iter().enumerate() {
        interrupt::check("interrupted during the microbenchmarks")?;
        progress.step(done, format!("{} {}x{}", cell.op, cell.shape.m, cell.shape.k));
        let start = Instant::now();
        let record = bench::measure(*cell, &kernels, &plan, &mut session)?;
        took.push(start.elapsed());
        ended.receipt.micro.push(record);
        bound::fill(&mut ended.receipt);
        ended.save()?;
    }
    let until = Instant::now() + ONCE_MORE;
    plan.until = Some(until);
    for (i, cell) in cells.iter().enumerate() {
        let first = &ended.receipt.micro[i];
        if !products::has_second_chance(first, took[i], until) {
            continue;
        }
        progress.say(format!("once more: {}", titles::cell_title(first)));
        let again = bench::measure(*cell, &kernels, &plan, &mut session)?;
        if products::replace_first(&mut ended.receipt.micro[i], again, &plan.rule) {
            bound::fill(&mut ended.receipt);
            ended.save()?;
        }
    }
    interrupt::check("interrupted during the microbenchmarks")
}

/// A device as receipts have it, with the shaders of these kernels and of the stream.
pub fn device_record(facts: &AdapterFacts, device: &Device, kernels: &[&'static GpuKernel]) -> DeviceRecord {
    let mut shaders: Vec<ShaderRecord> = Vec::new();
    for (name, sha256) in kernels.iter().flat_map(|kernel| kernel.shaders()).chain([Stream::shader()]) {
        if shaders.iter().all(|known| known.name != name) {
            shaders.push(ShaderRecord { name: name.into(), sha256 });
        }
    }
    DeviceRecord {
        index: facts.index,
        name: facts.name.clone(),
        vendor: facts.vendor,
        device: facts.device,
        kind: facts.kind.into(),
        driver: facts.driver.clone(),
        driver_info: facts.driver_info.clone(),
        backend: facts.backend.clone(),
        max_binding_bytes: facts.max_binding_bytes,
        max_buffer_bytes: facts.max_buffer_bytes,
        offset_alignment: facts.offset_alignment,
        workgroup_bytes: facts.workgroup_bytes,
        workgroup_threads: facts.workgroup_threads,
        workgroups: facts.workgroups,
        buffers_per_shader: facts.buffers_per_shader,
        timestamps: facts.timestamps,
        timestamp_period_ns: f64::from(device.timestamp_period()),
        wgpu: WGPU_VERSION.into(),
        shaders,
        text: None,
    }
}
