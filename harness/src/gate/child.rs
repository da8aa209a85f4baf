//! The child process of a gate: it prepares cells and runs epochs when the gate asks. Only `gate` starts it.

use super::control::{Control, Order, Spent};
use super::job::{ExactResult, Job, JobCell, Offer, PROTOCOL, Reply, Request};
use crate::build_info;
use crate::choose::prefill_kernel::PrefillPolicy;
use crate::count;
use crate::error::{Error, Exit, Result};
use crate::interrupt;
use crate::load_model;
use crate::machine::{Machine, MachineArgs};
use crate::measure::bench::Bench;
use crate::measure::clock::ThreadUsage;
use crate::measure::end_to_end;
use crate::measure::micro::epochs::Shared;
use crate::measure::micro::operands::Operands;
use crate::measure::micro::{check, operand_seed};
use crate::measure::perplexity::perplexity;
use crate::measure::rounds::Epoch;
use crate::runs::kernel_records;
use crate::scenario;
use kernels::parallel::Team;
use kernels::{HeadFormat, Kernel, Operation};
use model::sparse_ffn::Sparsity;
use receipt::{Injection, Residency};
use std::fs::OpenOptions;
use std::io::{BufRead, Lines, StdinLock, Write};
use std::time::{Duration, Instant};

/// How long a child waits for an order before it checks that the gate still runs.
const PATIENCE: Duration = Duration::from_millis(500);
/// Prompt and lengths of the text that is generated and scored: long enough that any wrong weight shows, under a second
/// with the slowest kernel.
const EXACT_PROMPT: &str = "ROMEO:";
const EXACT_TOKENS: usize = 12;
const EXACT_WINDOW: usize = 48;

/// Serves the gate that started this process until its pipe closes.
///
/// It runs on a second thread. The system puts the first thread's stack at a random multiple of 16 bytes, which changed
/// the time of short calls by several per cent from process to process; the stack of a second thread begins at a page.
pub fn run() -> Result<()> {
    let worker = std::thread::Builder::new().name("gate-child".into()).stack_size(8 << 20).spawn(serve);
    let worker = worker.map_err(|e| Error::failed(format!("cannot start a thread: {e}")))?;
    worker.join().unwrap_or_else(|_| Err(Error::failed("the child panicked; its stderr says where")))
}

fn serve() -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let result = first(&mut lines).and_then(|job| Child::new(job)?.serve(&mut lines));
    if let Err(error) = &result {
        // The error goes to the gate; the gate reads this process's stderr only if it ends without an answer.
        let _ = say(&Reply::Error { message: error.to_string() });
    }
    result
}

fn first(lines: &mut Lines<StdinLock<'_>>) -> Result<Job> {
    let text = lines.next().and_then(|line| line.ok());
    let text =
        text.ok_or_else(|| Error::input("this command is started by `tritbench gate` and takes its orders from it"))?;
    parse(&text)
}

fn parse<T: serde::de::DeserializeOwned>(line: &str) -> Result<T> {
    serde_json::from_str(line)
        .map_err(|e| Error::input(format!("the gate said something this build does not know: {e}")))
}

fn say(reply: &Reply) -> Result<()> {
    let mut line = serde_json::to_string(reply).map_err(|e| Error::failed(format!("cannot answer the gate: {e}")))?;
    line.push('\n');
    let mut out = std::io::stdout().lock();
    let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    written.map_err(|e| Error::failed(format!("cannot answer the gate: {e}")))
}

struct Child {
    job: Job,
    control: Control,
    machine: Machine,
    /// Process id of the gate: the child ends when the gate is gone.
    gate: Option<u32>,
}

impl Child {
    fn new(job: Job) -> Result<Self> {
        let gate = parent();
        if job.protocol != PROTOCOL {
            let theirs = job.protocol;
            return Err(Error::unsupported(format!("this build speaks gate protocol {PROTOCOL}, the gate {theirs}")));
        }
        build_info::refuse_to_time_a_debug_build()?;
        if let Some(cpu) = job.cpu {
            // Before the team starts, because its threads inherit it. If the system refuses, results are noisier, not
            // wrong.
            core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
        }
        let path = std::path::Path::new(&job.control);
        let file = OpenOptions::new().read(true).write(true).open(path);
        let control = file.and_then(|f| Control::map(&f)).map_err(|e| Error::io("map", path, &e))?;
        let machine = MachineArgs::for_child(job.threads, job.cpu_features.clone()).check(1)?;
        Ok(Self { job, control, machine, gate })
    }

    fn serve(&self, lines: &mut Lines<StdinLock<'_>>) -> Result<()> {
        let kernels = kernel_records(&self.machine).into_iter().map(|k| Offer {
            id: k.id,
            family: k.family,
            exact: k.exact,
            ops: k.ops,
            reason: k.reason,
        });
        say(&Reply::Ready { protocol: PROTOCOL, build: Box::new(build_info::build()), kernels: kernels.collect() })?;
        let mut team = self.machine.team()?;
        let mut ready: Option<(JobCell, Operands)> = None;
        for line in lines {
            let line = line.map_err(|e| Error::failed(format!("cannot hear the gate: {e}")))?;
            match parse(&line)? {
                Request::Prepare { cell, oracle } => self.cell(cell, oracle, &mut ready, &mut team)?,
                Request::Exact { kernels } => say(&Reply::Exact { results: self.exact(&kernels)? })?,
                Request::Count { kernels } => say(&self.count(&kernels)?)?,
            }
        }
        Ok(())
    }

    fn cell(&self, index: usize, oracle: bool, ready: &mut Option<(JobCell, Operands)>, team: &mut Team) -> Result<()> {
        let unknown = || Error::unsupported(format!("the gate asks for cell {index}, which this build does not know"));
        let asked = self.job.cells.get(index).ok_or_else(unknown)?;
        let cell = asked.cell().ok_or_else(unknown)?;
        let kernels = self.machine.kernels(Some(&asked.kernels))?;
        // In the gate's order: it addresses entries by index.
        let kernels: Vec<Kernel> = asked.kernels.iter().map(|id| by_id(&kernels, id)).collect::<Result<_>>()?;
        let operands = match ready.take() {
            Some((before, operands)) if before.shares_operands(asked) => operands,
            // The old operands are freed before the new ones are made, because three processes share the memory.
            _ => self.operands(asked, cell)?,
        };
        let (_, operands) = ready.insert((asked.clone(), operands));
        let outputs = if oracle {
            check::check(cell, operands, &kernels, team)?.into_iter().map(|c| c.output_sha256).collect()
        } else {
            check::hashes(cell, operands, &kernels, team)?
        };
        let shared = Shared::new(cell, operands, team, self.machine.features);
        let mut epochs: Vec<Epoch<'_>> = kernels.iter().map(|&kernel| shared.epoch(kernel)).collect();
        say(&Reply::Prepared { outputs })?;
        let planted = |kernel: &Kernel| self.job.inject.as_ref().filter(|i| i.kernel == kernel.id());
        loop {
            match self.control.next(PATIENCE) {
                Some(Order::Run { entry, calls }) => {
                    let entry = entry as usize;
                    let (Some(epoch), Some(kernel)) = (epochs.get_mut(entry), kernels.get(entry)) else {
                        return Err(unknown());
                    };
                    if cell.residency != Residency::Dram && calls > 1 {
                        // The caches hold the other processes' weights: one call brings this process's weights back.
                        epoch(1);
                    }
                    self.control.done(timed(epoch, calls, planted(kernel)));
                }
                Some(Order::Leave) => return Ok(()),
                None if parent() != self.gate => return Ok(()),
                None => {}
            }
        }
    }

    /// Operands for every cell of the job that can share them: in memory if any of these is.
    fn operands(&self, asked: &JobCell, mut cell: scenario::Cell) -> Result<Operands> {
        let sharing = || self.job.cells.iter().filter(|c| c.shares_operands(asked));
        if sharing().any(|c| c.residency == Residency::Dram) {
            cell.residency = Residency::Dram;
        }
        let mut ids: Vec<String> = sharing().flat_map(|c| c.kernels.iter().cloned()).collect();
        ids.sort_unstable();
        ids.dedup();
        let kernels = self.machine.kernels(Some(&ids))?;
        let family = kernels.first().map(|k| k.descriptor().family());
        let family = family.ok_or_else(|| Error::unsupported("the gate asks for a cell without kernels"))?;
        let seed = operand_seed(self.job.seed, cell, family);
        // Half of the bytes that one process would need alone: between two turns of this process, two others read as
        // many.
        Operands::new(cell, &kernels, self.job.last_level_cache_bytes / 2, self.machine.features, seed)
    }

    /// Counts nothing where the system forbids ptrace; that is not a regression.
    fn count(&self, ids: &[String]) -> Result<Reply> {
        let call = count::Call { op: Operation::Gemv, shape: count::SMALL_SHAPE, tokens: 1, seed: self.job.seed };
        let subject = format!("gemv {}x{}", call.shape.m, call.shape.k);
        let mut instructions = Vec::new();
        for id in ids {
            match count::count(&self.machine.kernel(id)?, call, count::Method::Branches, &count::Model::none()) {
                Ok(counted) => instructions.push(counted.record.total.instructions),
                Err(error) if error.exit() == Exit::Unsupported => {
                    return Ok(Reply::Counted { instructions: Vec::new(), subject });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Reply::Counted { instructions, subject })
    }

    fn exact(&self, ids: &[String]) -> Result<Vec<ExactResult>> {
        let kernels = self.machine.kernels(Some(ids))?;
        let loaded = load_model::load("builtin", None, &self.machine)?;
        let mut bench = Bench::new(&loaded, &self.machine, HeadFormat::F16, interrupt::flag());
        let generate = scenario::Generate {
            prompt: EXACT_PROMPT.into(),
            max_tokens: EXACT_TOKENS,
            rounds: 1,
            timeout_s: None,
            goldens: false,
        };
        let score = scenario::Perplexity { windows: 1, window: EXACT_WINDOW, seed_table: false };
        let plan = end_to_end::Plan {
            asked: &generate,
            kernels: &kernels,
            goldens: &[],
            stop_ids: &[],
            prefill: &PrefillPolicy::Same,
            sparsity: Sparsity::Dense,
            seed: self.job.seed,
            comparisons: 1,
        };
        let texts = end_to_end::generation(&mut bench, &plan, |_, _| {})?;
        let scores = perplexity(&mut bench, &score, &kernels, |_, _| {})?;
        ids.iter()
            .map(|id| {
                let text = texts.kernels.iter().find(|k| k.kernel == *id);
                let score = scores.kernels.iter().find(|k| k.kernel == *id);
                let (text, score) = text.zip(score).ok_or_else(|| Error::interrupted("interrupted"))?;
                let token_ids = text.token_ids.clone();
                Ok(ExactResult { kernel: id.clone(), token_ids, nats_per_token: score.nats_per_token })
            })
            .collect()
    }
}

fn by_id(kernels: &[Kernel], id: &str) -> Result<Kernel> {
    let found = kernels.iter().find(|k| k.id() == id).copied();
    found.ok_or_else(|| Error::unsupported(format!("{id} does not run here")))
}

/// One epoch. A planted slowdown is inside the measured time.
fn timed(epoch: &mut Epoch<'_>, calls: u32, planted: Option<&Injection>) -> Spent {
    let before = ThreadUsage::now();
    let start = Instant::now();
    epoch(calls);
    if let Some(planted) = planted {
        let until = start.elapsed().mul_f64(1.0 + planted.percent / 100.0);
        while start.elapsed() < until {
            std::hint::spin_loop();
        }
    }
    let ns = start.elapsed().as_nanos() as u64;
    let used = ThreadUsage::now().since(before);
    Spent { ns, cpu_ns: used.cpu_ns, involuntary_switches: used.involuntary_switches as u32 }
}

/// Parent process id; it changes when the parent ends.
#[cfg(unix)]
fn parent() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

#[cfg(not(unix))]
fn parent() -> Option<u32> {
    None
}
