//! `count`: exact instruction counts of one call, beside what a static model and a stopwatch say about it.

use crate::cmd::count_asm::{self, Shown};
use crate::count::{Call, Counted, Method, Model, StaticModel, Subject, count};
use crate::error::{Error, Exit, Result};
use crate::guests::{GuestArgs, Guests};
use crate::machine::{Machine, MachineArgs, emulated};
use crate::measure::limits;
use crate::measure::micro::alone::{time_alone, time_guest};
use crate::output::{Output, note, table};
use crate::progress::Progress;
use crate::scenario::{Cell, Scaling, Shape};
use crate::worker::protocol::JobCell;
use crate::{build_info, interrupt, operation, words};
use clap::Args;
use kernels::{Kernel, Operation};
use receipt::{CountRecord, Mix, Residency, Unsupported};
use serde::Serialize;

/// Flags of `count`.
#[derive(Args, Debug)]
pub struct CountArgs {
    /// Kernels to count; all that run here and have the operation by default
    #[arg(long, alias = "kernel", value_delimiter = ',', value_parser = words::name, value_name = "A,B")]
    pub kernels: Option<Vec<String>>,
    /// Print the hot loop's instructions, each with how often it ran; of two kernels side by side. Names kernels as
    /// --kernels does
    #[arg(long, value_delimiter = ',', num_args = 0..=1, value_parser = words::name, value_name = "A,B")]
    #[arg(conflicts_with = "ghz")]
    pub asm: Option<Vec<String>>,
    /// What to call
    #[arg(long, value_parser = operation::flag(), ignore_case = true, default_value_t = Operation::Gemv)]
    pub op: Operation,
    /// Rows x columns
    #[arg(long, value_parser = words::shape, value_name = "MxK", default_value = "256x2560")]
    pub shape: String,
    /// Tokens of a gemm
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub tokens: usize,
    /// Seed of weights and activations
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stop after every instruction instead of at branches: the same counts, slower
    #[arg(long)]
    pub single_step: bool,
    /// Time the call too, and show its cycles beside the static model's; the clock is measured unless given
    #[arg(long, value_name = "X")]
    pub ghz: Option<Option<f64>>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Kernels of others
    #[command(flatten)]
    pub guests: GuestArgs,
    /// Features
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Most tokens of a counted gemm.
const MAX_TOKENS: usize = 1024;

/// What `count --json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    counts: &'a [Row],
    /// Kernels that do not match the oracle, or whose worker died, hung or answered nonsense.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    failed: &'a [Unsupported],
    #[serde(skip_serializing_if = "Option::is_none")]
    static_model_skipped: Option<String>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    record: CountRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    static_model: Option<StaticModel>,
    /// Those of other CPUs, after the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_static_models: Vec<StaticModel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    static_model_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
    /// With `--asm`: every instruction of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    assembly: Option<Shown>,
}

/// The same call, timed with its weights in cache.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Measured {
    ghz: f64,
    ns_per_call: f64,
    cycles_per_64_weights: f64,
}

/// Runs `count`.
pub fn run(args: &CountArgs, out: &Output) -> Result<()> {
    build_info::refuse_to_time_a_debug_build()?;
    if args.ghz.is_some() {
        emulated::refuse_to_time()?;
    }
    let machine = args.machine.to_measure(1)?;
    if machine.threads != 1 {
        return Err(Error::input("count follows one thread: run it without --threads"));
    }
    if args.ghz.flatten().is_some_and(|ghz| !(0.1..=20.0).contains(&ghz)) {
        return Err(Error::input("--ghz must be between 0.1 and 20, for example 3.7"));
    }
    let shape = Shape::parse(&args.shape).map_err(|e| Error::input(format!("--shape: {e}")))?;
    let op = args.op;
    let tokens = if op == Operation::Gemm { args.tokens } else { 1 };
    if !(1..=MAX_TOKENS).contains(&tokens) {
        return Err(Error::input(format!("--tokens {tokens} is not between 1 and {MAX_TOKENS}")));
    }
    let mut guests = Guests::open(&args.guests, &machine, args.seed)?;
    let kernels = kernels(args, &machine, op, &mut guests)?;
    let call = Call { op, shape, tokens, seed: args.seed, scaling: Scaling::default() };
    let method = if args.single_step { Method::Steps } else { Method::Branches };
    let model = Model::find();
    let theirs: Vec<usize> = guests.to_count(operation::recorded(op));
    let counted = || kernels.iter().map(Of::Ours).chain(theirs.iter().copied().map(Of::Theirs));
    let all = kernels.len() + theirs.len();
    let progress = Progress::start("counting instructions", all as u64);
    let (mut counts, mut failed) = (Vec::new(), Vec::new());
    for (done, kernel) in counted().enumerate() {
        interrupt::check(format!("interrupted after counting {done} of {all} kernels"))?;
        let subject = kernel.subject(&guests);
        progress.step(done, format!("counting {}", subject.id));
        let Counted { record, static_models, assembly } = match count(subject, call, method, &model) {
            Ok(counted) => counted,
            // Not here at all, or stopped by the user.
            Err(error) if error.exit() != Exit::Failed => return Err(error),
            Err(error) => {
                failed.push(Unsupported { kernel: subject.id.into(), reason: error.to_string() });
                continue;
            }
        };
        let measured = args.ghz.map(|ghz| measured(&kernel, call, ghz, &machine, &mut guests)).transpose()?;
        let (mut answers, mut reasons) = (Vec::new(), Vec::new());
        static_models.into_iter().for_each(|answer| match answer {
            Ok(cycles) => answers.push(cycles),
            Err(why) => reasons.push(why),
        });
        let mut answers = answers.into_iter();
        let (static_model, more_static_models) = (answers.next(), answers.collect());
        let static_model_reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        let assembly = args.asm.is_some().then(|| Shown::new(assembly, &model));
        counts.push(Row { record, static_model, more_static_models, static_model_reason, measured, assembly });
    }
    drop(progress);
    if args.json {
        let static_model_skipped = model.absent().map(str::to_owned);
        out.json(&Printed { counts: &counts, failed: &failed, static_model_skipped })?;
    } else if args.asm.is_some() {
        let shown: Vec<_> = counts.iter().filter_map(|row| Some((&row.record, row.assembly.as_ref()?))).collect();
        count_asm::print(&shown, out)?;
        print_failed(&failed, out)?;
        model.absent().into_iter().for_each(note);
    } else {
        print(&counts, &failed, out)?;
        model.absent().into_iter().for_each(note);
    }
    let names: Vec<&str> = failed.iter().map(|f| f.kernel.as_str()).collect();
    if names.is_empty() { Ok(()) } else { Err(Error::failed(format!("not counted: {}", names.join(", ")))) }
}

/// Those asked for, which must have the operation; else all that have it.
fn kernels(args: &CountArgs, machine: &Machine, op: Operation, guests: &mut Guests) -> Result<Vec<Kernel>> {
    let has = |kernel: &Kernel| kernel.descriptor().has(op);
    let of_asm = args.asm.as_ref().filter(|ids| !ids.is_empty());
    if of_asm.is_some() && args.kernels.is_some() {
        return Err(Error::input("--asm and --kernels both name kernels; give --asm alone"));
    }
    let asked = of_asm.or(args.kernels.as_ref());
    let named = guests.take_named(asked.cloned())?;
    let mut kernels = machine.kernels(named.as_deref())?;
    let ours = kernels.iter().map(|k| (k.id(), k.descriptor().operations().map(Operation::name).collect::<Vec<_>>()));
    let theirs = guests.records().map(|r| (r.id.as_str(), r.ops.iter().map(|op| op.name()).collect()));
    let without = theirs.chain(ours).find(|(_, have)| !have.contains(&op.name()));
    if let (Some(_), Some((id, have))) = (asked, without) {
        return Err(Error::input(format!("kernel {id} has no {op}; it has {}", have.join(", "))));
    }
    kernels.retain(has);
    Ok(kernels)
}

/// A kernel that is counted: ours, or a library's by its index.
enum Of<'k> {
    Ours(&'k Kernel),
    Theirs(usize),
}

impl Of<'_> {
    fn subject<'a>(&'a self, guests: &'a Guests) -> Subject<'a> {
        match self {
            Self::Ours(kernel) => (*kernel).into(),
            Self::Theirs(index) => guests.subject(*index),
        }
    }
}

/// Times the call alone, at the clock `ghz`, else at the one measured right before.
fn measured(kernel: &Of<'_>, call: Call, ghz: Option<f64>, machine: &Machine, guests: &mut Guests) -> Result<Measured> {
    let no_clock = || Error::unsupported("no clock can be measured on this CPU; give it as --ghz X");
    let ghz = ghz.or_else(limits::clock_ghz).ok_or_else(no_clock)?;
    let Call { op, shape, tokens, scaling, .. } = call;
    let cell = Cell { op, shape, tokens, residency: Residency::Llc, scaling, of_groups: false };
    let ns_per_call = match kernel {
        Of::Ours(kernel) => time_alone(cell, **kernel, call.seed, machine.features, interrupt::flag())?,
        Of::Theirs(index) => {
            let job = JobCell::of_product(cell, guests.record(*index).family);
            time_guest(guests, *index, &job, interrupt::flag())?
        }
    };
    let weights = (call.shape.m * call.shape.k * call.tokens) as f64;
    Ok(Measured { ghz, ns_per_call, cycles_per_64_weights: ns_per_call * ghz * 64.0 / weights })
}

fn print(rows: &[Row], failed: &[Unsupported], out: &Output) -> Result<()> {
    let Some(first) = rows.first().map(|r| &r.record) else {
        return if failed.is_empty() { out.line("no kernel that runs here has it") } else { print_failed(failed, out) };
    };
    let tokens = if first.tokens == 1 { String::new() } else { format!(", {} tokens", first.tokens) };
    out.line(format!("{} {}x{}{tokens}, instructions of one call, for each 64 weights", first.op, first.m, first.k))?;
    type Column = (&'static str, fn(&Mix<f64>) -> f64);
    let columns: [Column; 13] = [
        ("all", |mix| mix.instructions),
        ("vector", Mix::vector),
        ("reads", |mix| mix.memory.reads),
        ("mul/add", |mix| mix.classes.multiply_add),
        ("shuffle", |mix| mix.classes.shuffle),
        ("shift", |mix| mix.classes.shift),
        ("logic", |mix| mix.classes.logic),
        ("arith.", |mix| mix.classes.arithmetic),
        ("convert", |mix| mix.classes.convert),
        ("moves", |mix| mix.classes.register_move),
        ("scalar", |mix| mix.classes.scalar),
        ("branch", |mix| mix.classes.branch),
        ("bytes read", |mix| mix.memory.bytes_loaded),
    ];
    let header: Vec<&str> = ["kernel", "instructions"].into_iter().chain(columns.map(|(name, _)| name)).collect();
    let right: Vec<usize> = (1..header.len()).collect();
    let figure = |x: f64| if x == 0.0 { "0".into() } else { format!("{x:.2}") };
    let cells = rows.iter().map(|Row { record: r, .. }| {
        let figures = columns.map(|(_, share)| figure(share(&r.per_64_weights)));
        [r.kernel.clone(), r.total.instructions.to_string()].into_iter().chain(figures).collect()
    });
    out.line(table(&header, &right, cells))?;
    print_failed(failed, out)?;
    out.line("")?;
    out.line("its hot loop: weights of one pass; instructions and cycles for each 64 weights")?;
    let header = ["kernel", "passes", "share", "weights", "all", "vector", "ceiling", "simulated", "measured", "model"];
    let right: Vec<usize> = (1..9).collect();
    let loops = rows.iter().flat_map(|row| {
        let Row { record: r, static_model, more_static_models, static_model_reason, measured, .. } = row;
        let measured = measured.map_or_else(|| "--ghz".into(), |m| figure(m.cycles_per_64_weights));
        let Some(hot) = &r.hot_loop else { return vec![vec![r.kernel.clone(), "none".into()]] };
        let model = static_model.as_ref();
        let cycles =
            |m: &StaticModel| [m.throughput_cycles_per_64_weights, m.simulated_cycles_per_64_weights].map(figure);
        let [ceiling, simulated] = model.map_or_else(|| ["n/a", "n/a"].map(String::from), cycles);
        let named = model.map(|m| m.ports().model());
        let first = vec![
            r.kernel.clone(),
            hot.passes.to_string(),
            format!("{:.0}%", 100.0 * hot.share),
            figure(hot.weights_per_pass),
            figure(hot.per_64_weights.instructions),
            figure(hot.per_64_weights.vector()),
            ceiling,
            simulated,
            measured,
            named.or_else(|| static_model_reason.clone()).unwrap_or_else(|| "none".into()),
        ];
        let more = more_static_models.iter().map(|m| {
            let [ceiling, simulated] = cycles(m);
            let mut cells = vec![String::new(); 6];
            cells.extend([ceiling, simulated, String::new(), m.ports().model()]);
            cells
        });
        let silent = static_model_reason.iter().filter(|_| static_model.is_some()).map(|why| {
            let mut cells = vec![String::new(); 9];
            cells.push(why.clone());
            cells
        });
        [first].into_iter().chain(more).chain(silent).collect()
    });
    out.line(table(&header, &right, loops))
}

/// A row each of what could not be counted.
fn print_failed(failed: &[Unsupported], out: &Output) -> Result<()> {
    failed.iter().try_for_each(|f| out.line(format!(" not counted: {}", f.reason)))
}
