//! `compare`, the main job, and `micro`, its first half: correctness, then microbenchmarks, then real generation, then the report.

use super::list::kernel_records;
use super::verify::verify;
use crate::bitnet_environment;
use crate::build_info;
use crate::choose::prefill_kernel::PrefillPolicy;
use crate::cmd::measure_args::{CompareArgs, MeasureArgs, MicroArgs};
use crate::count;
use crate::count::{Call, Method};
use crate::error::{Error, Exit, Result};
use crate::estimate;
use crate::estimate::Asked;
use crate::interrupt;
use crate::kernel_ids::in_registry_order;
use crate::load_model::{Loaded, load};
use crate::machine::Machine;
use crate::machine::host;
use crate::matrix;
use crate::measure::end_to_end::WeightStore;
use crate::measure::limits::Effort;
use crate::measure::micro::Plan;
use crate::measure::{blocks, end_to_end, head, last_level, limits, micro, sparsity};
use crate::output::{Output, note};
use crate::progress::Progress;
use crate::runs;
use crate::runs::{ReportPaths, RunFolder};
use crate::scenario::{Cell, Scenario};
use kernels::parallel::Team;
use kernels::{Family, HeadFormat, Kernel, registry};
use model::sparse_ffn::Sparsity;
use receipt::judge::amdahl::AmdahlRow;
use receipt::judge::findings::findings;
use receipt::judge::{amdahl, bound, claims, sequential};
use receipt::{MicroCell, Outcome, Receipt, Rule, SCHEMA_VERSION, Status, Verdict, judge, titles};
use reports::export;
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs `compare`.
pub fn run(args: &CompareArgs, out: &Output) -> Result<()> {
    let mut scenario = Scenario::load(&args.measure.scenario)?;
    if let Some(model) = &args.model {
        scenario.model = Some(model.clone());
    }
    let sparsity = Sparsity::from_flags(args.dense, args.sparse, Sparsity::Measured);
    let prefill = PrefillPolicy::parse(&args.prefill_kernel)?;
    if args.measure.matrix.any() {
        scenario.require_micro()?;
    }
    measure(&args.measure, scenario, args.head.into(), sparsity, prefill, out)
}

/// Runs `micro`.
pub fn run_micro(args: &MicroArgs, out: &Output) -> Result<()> {
    let mut scenario = Scenario::load(&args.measure.scenario)?;
    scenario.require_micro()?;
    (scenario.generate, scenario.perplexity, scenario.sparsity, scenario.model) = (None, None, None, None);
    measure(&args.measure, scenario, HeadFormat::F16, Sparsity::Dense, PrefillPolicy::Same, out)
}

fn measure(
    args: &MeasureArgs,
    mut scenario: Scenario,
    head: HeadFormat,
    sparsity: Sparsity,
    prefill: PrefillPolicy,
    out: &Output,
) -> Result<()> {
    build_info::refuse_to_time_a_debug_build()?;
    if args.quick {
        scenario.make_quick();
    }
    args.matrix.apply(&mut scenario)?;
    let deterministic = args.deterministic || bitnet_environment::deterministic()?;
    if deterministic && scenario.generate.as_ref().is_some_and(|g| g.timeout_s.is_some()) {
        let name = &scenario.name;
        let what = "its time limit decides how many tokens there are; take another scenario";
        return Err(Error::input(format!("--deterministic: scenario {name}: {what}")));
    }
    let machine = args.machine.check(1)?;
    let strict = args.strict || bitnet_environment::strict_mode()?;
    if strict {
        machine.refuse_mask()?;
    }
    let asked = args.kernels.clone().or_else(|| scenario.kernel_ids());
    let kernels = machine.kernels(asked.as_deref())?;
    prefill.check(&machine)?;
    args.matrix.check(&scenario, &kernels, &machine)?;
    if scenario.model.is_none() && (scenario.generate.is_some() || scenario.perplexity.is_some()) {
        scenario.model = Some("builtin".into());
    }
    let timestamp = jiff::Timestamp::now().to_string();
    let mut folder = RunFolder::create(args.out.as_deref(), &scenario.name, &timestamp)?;
    let mut receipt = new_receipt(timestamp, &scenario, &machine, args.seed);
    receipt.settings.kernels_requested = asked.clone();
    receipt.settings.deterministic = deterministic;
    // From here on a killed run leaves a readable receipt.
    let begun = folder.begin(&receipt).and_then(|()| {
        let Some(model) = scenario.model.as_deref() else { return Ok(None) };
        let loaded = load(model, None, &machine)?;
        require_memory_for_all(&loaded, &kernels)?;
        Ok(Some(loaded))
    });
    let loaded = match begun {
        Ok(begun) => begun,
        Err(error) => {
            folder.abandon();
            return Err(error);
        }
    };
    let cells = scenario.cells(machine.l2());
    let model_weights = loaded.as_ref().map_or(0, |l| l.model.ternary_weights());
    note(estimate::in_words(&Asked { scenario: &scenario, cells: &cells, kernels: &kernels, model_weights }));
    receipt.model = loaded.as_ref().map(|l| l.record.clone());
    let store = WeightStore::default();
    let start = Instant::now();
    let mut run = Run {
        start,
        scenario,
        machine,
        kernels,
        named: asked,
        sparsity,
        prefill,
        loaded,
        head,
        store,
        folder,
        receipt,
    };
    let outcome = run.parts();
    let unstable = run.finish(outcome, args, out)?;
    match unstable {
        Some(what) if strict => Err(Error::verdict(
            Outcome::Unstable,
            format!("--strict: {what}; stop what else runs on this machine and run again"),
        )),
        _ => Ok(()),
    }
}

/// One copy of the weights for each packing that the kernels read; all are kept, so that kernels can take turns.
fn require_memory_for_all(loaded: &Loaded, kernels: &[Kernel]) -> Result<()> {
    let packings: std::collections::HashSet<_> = kernels.iter().map(|k| k.descriptor().packing).collect();
    let bytes = packings.iter().map(|&packing| loaded.model.packed_bytes(packing)).sum();
    let what = format!("model {} in {} packings (name fewer with --kernels)", loaded.record.path, packings.len());
    crate::machine::memory::require_memory(bytes, &what)
}

/// What is known before the first measurement.
pub fn new_receipt(timestamp: String, scenario: &Scenario, machine: &Machine, seed: u64) -> Receipt {
    Receipt {
        schema_version: SCHEMA_VERSION.into(),
        status: Status::Running,
        error: None,
        timestamp,
        elapsed_s: 0.0,
        argv: std::env::args().collect(),
        build: build_info::build(),
        host: host::host(),
        scenario: scenario.record(),
        settings: machine.settings(seed),
        kernels: kernel_records(machine),
        model: None,
        verify: Vec::new(),
        limits: None,
        micro: Vec::new(),
        counts: Vec::new(),
        counts_skipped: None,
        static_model_skipped: None,
        rule: None,
        gate: None,
        calibration: None,
        generation: None,
        perplexity: None,
        head_effect: None,
        sparsity: None,
        findings: Vec::new(),
        bitnet_rs: None,
        integrity: None,
    }
}

/// A run in progress. The receipt is written after every part, so that a killed run leaves what it had.
struct Run {
    start: Instant,
    scenario: Scenario,
    machine: Machine,
    kernels: Vec<Kernel>,
    named: Option<Vec<String>>,
    sparsity: Sparsity,
    prefill: PrefillPolicy,
    loaded: Option<Loaded>,
    head: HeadFormat,
    /// Weights and heads that the parts share.
    store: WeightStore,
    folder: RunFolder,
    receipt: Receipt,
}

impl Run {
    fn parts(&mut self) -> Result<()> {
        self.verify()?;
        self.micro()?;
        self.counts()?;
        self.sparsity()?;
        self.head()?;
        self.generation()?;
        self.perplexity()
    }

    fn save(&mut self) -> Result<()> {
        self.receipt.elapsed_s = self.start.elapsed().as_secs_f64();
        self.folder.save(&self.receipt).map(|_| ())
    }

    /// Every kernel asked for; those that fail are not measured further.
    fn verify(&mut self) -> Result<()> {
        let descriptors = match &self.named {
            Some(ids) => in_registry_order(ids)?,
            None => registry::KERNELS.to_vec(),
        };
        self.receipt.verify = verify(&descriptors, &self.machine)?;
        let passed = |k: &Kernel| {
            let record = self.receipt.verify.iter().find(|v| v.id == k.id());
            record.is_some_and(|v| v.mismatches == 0) && !k.descriptor().may_saturate
        };
        self.kernels.retain(passed);
        self.save()
    }

    fn micro(&mut self) -> Result<()> {
        let Some(plan) = &self.scenario.micro else { return Ok(()) };
        let cells = self.scenario.cells(self.machine.l2());
        let family = |f: Family| self.kernels.iter().filter(move |k| k.descriptor().family() == f).copied();
        let families = Family::ALL.map(|f| family(f).collect::<Vec<Kernel>>());
        let entries = |cell: &Cell| families.clone().map(|f| micro::comparisons(&micro::with_operation(*cell, &f)));
        let own: usize = cells.iter().flat_map(entries).sum();
        // A cell may be measured once more, and both measurements count.
        let comparisons = 2 * own + self.block_comparisons();
        let rule = Rule::new(sequential::DELTA, "round", &sequential::ROUND_LOOKS, plan.rounds, comparisons);
        self.receipt.rule = Some(rule.clone());
        let epoch_ns = f64::from(plan.epoch_us) * 1e3;
        self.limits()?;
        let found = self.receipt.limits.as_ref().and_then(|limits| limits.last_level.as_ref());
        let last_level_cache_bytes = last_level::outgrown(&self.receipt.host.caches_bytes, found, self.machine.threads);
        matrix::require_memory(&cells, &self.kernels, last_level_cache_bytes)?;
        let plan = Plan {
            rule,
            epoch_ns,
            seed: self.receipt.settings.seed,
            last_level_cache_bytes,
            features: self.machine.features,
            interrupted: interrupt::flag(),
            until: None,
        };
        let mut team = self.machine.team()?;
        let progress = Progress::start("microbenchmarks", (cells.len() * Family::ALL.len()) as u64);
        let mut done = 0;
        let mut measured: Vec<Measured<'_>> = Vec::new();
        for cell in cells {
            for (family, kernels) in Family::ALL.iter().zip(&families) {
                if interrupt::requested() {
                    return Err(Error::interrupted("interrupted during the microbenchmarks"));
                }
                let (op, m, k) = (cell.op, cell.shape.m, cell.shape.k);
                progress.say(format!("{op} {m}x{k} {} {}", family.name(), titles::residency(cell.residency)));
                let start = Instant::now();
                let record = micro::measure(cell, kernels, &plan, &mut team)?;
                done += 1;
                progress.set(done);
                if let Some(record) = record {
                    measured.push(Measured { cell, kernels, took: start.elapsed() });
                    self.receipt.micro.push(self.bounded(record));
                    self.save()?;
                }
            }
        }
        self.once_more(&measured, &plan, &mut team, &progress)
    }

    /// Cells in which the same code differed from itself get a second chance when all others are done: what disturbed them may be over.
    /// The first measurement stays in the receipt.
    fn once_more(
        &mut self,
        measured: &[Measured<'_>],
        plan: &Plan<'_>,
        team: &mut Team,
        progress: &Progress,
    ) -> Result<()> {
        let until = Instant::now() + ONCE_MORE;
        let plan = Plan { until: Some(until), ..plan.clone() };
        for (i, first) in measured.iter().enumerate() {
            let record = &self.receipt.micro[i];
            let enough_time = Instant::now() + first.took / 2 < until;
            if !judge::unstable(record) || !enough_time || interrupt::requested() {
                continue;
            }
            progress.say(format!("once more: {} {}", record.family, titles::cell_title(record)));
            let Some(again) = micro::measure(first.cell, first.kernels, &plan, team)? else { continue };
            // Cut off before its first look it would say less than the first.
            if plan.rule.looks.first().is_none_or(|look| again.rounds.len() < *look) {
                continue;
            }
            let again = self.bounded(again);
            let first = std::mem::replace(&mut self.receipt.micro[i], again);
            self.receipt.micro[i].unstable_first = Some(Box::new(first));
            self.save()?;
        }
        Ok(())
    }

    fn bounded(&self, mut record: MicroCell) -> MicroCell {
        if let Some(limits) = &self.receipt.limits {
            bound::fill(&mut record, limits, &self.receipt.host.caches_bytes);
        }
        record
    }

    /// Instructions of each kernel's gemv. Where they cannot be counted, the receipt says why, and the run goes on.
    fn counts(&mut self) -> Result<()> {
        if self.scenario.micro.is_none() {
            return Ok(());
        }
        let model = count::Model::find();
        let call = Call { op: "gemv", shape: count::SMALL_SHAPE, tokens: 1, seed: self.receipt.settings.seed };
        let progress = Progress::start("counting instructions", self.kernels.len() as u64);
        for (done, kernel) in self.kernels.iter().enumerate() {
            if interrupt::requested() {
                return Err(Error::interrupted("interrupted while counting instructions"));
            }
            progress.set(done as u64);
            progress.say(format!("counting {}", kernel.id()));
            match count::count(kernel, call, Method::Branches, &model) {
                Ok(record) => self.receipt.counts.push(record),
                Err(e) if e.exit() == Exit::Unsupported => {
                    self.receipt.counts_skipped = Some(e.to_string());
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        self.receipt.static_model_skipped = model.absent().map(str::to_owned);
        self.save()
    }

    /// A short look at the machine's limits, at the sizes that are about to be timed.
    fn limits(&mut self) -> Result<()> {
        let cells = self.scenario.cells(self.machine.l2());
        let operands = cells.iter().map(|c| ((c.shape.m * c.shape.k) as u64, c.op == "dequantize"));
        let mut threads = vec![1, self.machine.threads];
        threads.dedup();
        let plan = limits::Plan {
            threads,
            caches_bytes: &self.receipt.host.caches_bytes,
            memory_bytes: self.receipt.host.memory_bytes,
            operand_bytes: bound::operand_bytes(operands),
            effort: Effort::BRIEF,
            interrupted: interrupt::flag(),
        };
        let progress = Progress::start("the machine's limits", 1);
        let measured = limits::measure(&self.machine, &self.kernels, &plan, |what| progress.say(what))?;
        drop(progress);
        self.receipt.limits = Some(measured);
        self.save()
    }

    /// Feed-forward blocks with and without their zeros skipped.
    fn sparsity(&mut self) -> Result<()> {
        let Some(asked) = &self.scenario.sparsity else { return Ok(()) };
        let progress = Progress::start("feed-forward blocks over live shares", asked.shares.len() as u64);
        let record = sparsity::sweep(asked, &self.kernels, &self.machine, &self.receipt, |done, what| {
            progress.set(done as u64);
            progress.say(what.to_owned());
        })?;
        drop(progress);
        self.receipt.sparsity = Some(record);
        self.save()?;
        self.interrupted("the sparsity sweep")
    }

    /// What a quantised head does, said before anything is generated with it.
    fn head(&mut self) -> Result<()> {
        let used = self.scenario.generate.is_some() || self.scenario.perplexity.is_some();
        let fastest = self.kernels.iter().rfind(|k| k.descriptor().exact()).or(self.kernels.last());
        let (Some(loaded), Some(&kernel), true) = (&self.loaded, fastest, used) else { return Ok(()) };
        self.receipt.head_effect =
            head::announce(loaded, &mut self.store, kernel, &self.machine, self.head, interrupt::flag())?;
        let goldens = self.scenario.generate.as_ref().is_some_and(|g| g.goldens) && loaded.known.is_some();
        if self.head != HeadFormat::F16 && goldens {
            note("head: known answers are those of the f16 head; they are checked with it");
        }
        Ok(())
    }

    /// Comparisons of generation, which share the run's chance of a false alarm with those of the microbenchmarks.
    fn block_comparisons(&self) -> usize {
        self.scenario.generate.as_ref().map_or(0, |asked| blocks::comparisons(&self.kernels, asked.rounds))
    }

    fn generation(&mut self) -> Result<()> {
        let (Some(asked), Some(loaded)) = (&self.scenario.generate, &self.loaded) else { return Ok(()) };
        let goldens = loaded.known.as_ref().filter(|_| asked.goldens).map(|k| k.goldens.clone()).unwrap_or_default();
        let stop_ids = loaded.known.as_ref().map(|k| k.stop_ids.clone()).unwrap_or_default();
        let total = (asked.rounds * self.kernels.len()) as u64;
        let rule = self.receipt.rule.as_ref();
        let comparisons = rule.map_or_else(|| self.block_comparisons(), |rule| rule.comparisons);
        let progress = Progress::start(format!("generating with {} kernels", self.kernels.len()), total);
        let record = end_to_end::generation(
            &loaded.model,
            &mut self.store,
            &self.kernels,
            asked,
            &goldens,
            &stop_ids,
            &self.machine,
            self.head,
            self.receipt.settings.seed,
            comparisons,
            self.sparsity,
            &self.prefill,
            interrupt::flag(),
            |kernel, done, _| {
                progress.set(done as u64);
                progress.say(format!("generating with {kernel}"));
            },
        )?;
        drop(progress);
        self.receipt.generation = Some(record);
        self.save()?;
        self.interrupted("generation")
    }

    fn perplexity(&mut self) -> Result<()> {
        let (Some(asked), Some(loaded)) = (&self.scenario.perplexity, &self.loaded) else { return Ok(()) };
        let progress = Progress::start("perplexity with every kernel", self.kernels.len() as u64 + 1);
        let record = end_to_end::perplexity(
            &loaded.model,
            &mut self.store,
            &self.kernels,
            asked,
            &self.machine,
            self.head,
            interrupt::flag(),
            |kernel, done, _| {
                progress.set(done as u64);
                progress.say(format!("perplexity with {kernel}"));
            },
        )?;
        drop(progress);
        self.receipt.perplexity = Some(record);
        self.save()?;
        self.interrupted("perplexity")
    }

    fn interrupted(&self, part: &str) -> Result<()> {
        if interrupt::requested() { Err(Error::interrupted(format!("interrupted during {part}"))) } else { Ok(()) }
    }

    /// Writes everything, whatever the outcome, and prints the table and, last, the report's path. Returns what was unstable, if anything.
    fn finish(mut self, outcome: Result<()>, args: &MeasureArgs, out: &Output) -> Result<Option<String>> {
        self.receipt.status = match &outcome {
            Ok(()) => Status::Complete,
            Err(e) if e.exit() == Exit::Interrupted => Status::Interrupted,
            Err(e) => {
                self.receipt.error = Some(e.to_string());
                Status::Failed
            }
        };
        self.receipt.host.load_after = Some(host::load());
        self.receipt.findings = findings(&self.receipt);
        self.save()?;
        let paths = runs::render_run(self.folder.path())?;
        if args.json {
            out.json(&Printed::new(&self.receipt, self.folder.path(), &paths))?;
        } else if args.markdown {
            // Only what goes into the comment.
            out.line(export::markdown(&self.receipt).trim_end())?;
            note(paths.html.display().to_string());
        } else {
            out.line(reports::summary(&self.receipt, out.look()).trim_end())?;
            out.line(paths.html.display().to_string())?;
        }
        outcome?;
        self.checks()?;
        Ok(self.unstable())
    }

    /// The first comparison of a machine that differs from itself.
    fn unstable(&self) -> Option<String> {
        let reason = |verdict: Option<&Verdict>| {
            verdict.filter(|v| v.outcome == Outcome::Unstable).map(|verdict| verdict.reason.clone())
        };
        let cells = self.receipt.micro.iter().find_map(|cell| {
            let reason = cell.summaries.iter().find_map(|s| reason(s.verdict.as_ref()))?;
            Some(format!("{} {}x{} {}: {reason}", cell.op, cell.m, cell.k, titles::residency(cell.residency)))
        });
        cells.or_else(|| {
            self.receipt.generation.iter().flat_map(|g| &g.blocks).find_map(|blocks| {
                let reason = blocks.summaries.iter().find_map(|s| reason(s.verdict.as_ref()))?;
                Some(format!("{} decoding: {reason}", blocks.family))
            })
        })
    }

    /// A complete run still fails when something in it is wrong.
    fn checks(&self) -> Result<()> {
        let wrong: Vec<&str> = self.receipt.verify.iter().filter(|v| v.mismatches > 0).map(|v| v.id.as_str()).collect();
        if !wrong.is_empty() {
            return Err(Error::failed(format!("mismatches in {}; see /verify in the receipt", wrong.join(", "))));
        }
        let kernels = self.receipt.generation.iter().flat_map(|g| &g.kernels);
        let failed = kernels.flat_map(|k| k.goldens.iter().filter(|g| !g.passed).map(move |g| (k, g)));
        let failed: Vec<String> = failed.map(|(k, g)| format!("{} on {:?}", k.kernel, g.prompt)).collect();
        if !failed.is_empty() {
            return Err(Error::failed(format!("known answers are not reproduced: {}", failed.join("; "))));
        }
        if self.receipt.settings.deterministic { self.deterministic() } else { Ok(()) }
    }

    /// What `--deterministic` promises.
    fn deterministic(&self) -> Result<()> {
        let Some(generation) = &self.receipt.generation else { return Ok(()) };
        if let Some(k) = generation.kernels.iter().find(|k| k.ids_equal_in_rounds == Some(false)) {
            return Err(Error::failed(format!("--deterministic: {} gave other tokens in another round", k.kernel)));
        }
        let exact: Vec<_> = generation.kernels.iter().filter(|k| k.family == Family::W2A8.name()).collect();
        match exact.iter().find(|k| k.token_ids != exact[0].token_ids) {
            Some(other) => Err(Error::failed(format!(
                "--deterministic: the exact kernels {} and {} gave different tokens",
                exact[0].kernel, other.kernel
            ))),
            None => Ok(()),
        }
    }
}

/// Most time for cells that are measured once more.
const ONCE_MORE: Duration = Duration::from_secs(20);

/// A cell that was measured, in the order of the receipt's.
struct Measured<'k> {
    cell: Cell,
    kernels: &'k [Kernel],
    took: Duration,
}

/// What `compare --json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    status: Status,
    run_folder: String,
    receipt: String,
    report: String,
    csv: String,
    charts: Vec<String>,
    elapsed_s: f64,
    findings: &'a [receipt::Finding],
    amdahl: Vec<AmdahlRow>,
    claims: Vec<claims::Judged>,
}

impl<'a> Printed<'a> {
    fn new(receipt: &'a Receipt, folder: &Path, paths: &ReportPaths) -> Self {
        Self {
            status: receipt.status,
            run_folder: folder.display().to_string(),
            receipt: folder.join(receipt::RECEIPT_FILE).display().to_string(),
            report: paths.html.display().to_string(),
            csv: paths.csv.display().to_string(),
            charts: paths.charts.iter().map(|chart| chart.display().to_string()).collect(),
            elapsed_s: receipt.elapsed_s,
            findings: &receipt.findings,
            amdahl: amdahl::rows(receipt),
            claims: claims::judge_all(reports::seed::claims(), receipt),
        }
    }
}
