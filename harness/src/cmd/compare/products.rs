//! Every kernel on its own: right or wrong, instructions, the machine's limits, microbenchmarks.

use super::run::Run;
use crate::cmd::verify::verify;
use crate::count::{Call, Method};
use crate::error::{Error, Exit, Result};
use crate::kernel_ids::in_registry_order;
use crate::measure::limits::Effort;
use crate::measure::micro::Plan;
use crate::measure::{last_level, limits, micro};
use crate::progress::Progress;
use crate::scenario::Cell;
use crate::{count, interrupt, matrix};
use kernels::parallel::Team;
use kernels::{Family, Kernel, registry};
use receipt::judge::{bound, sequential};
use receipt::{MicroCell, Rule, Unsupported, judge, titles};
use std::time::{Duration, Instant};

/// Most time for cells that are measured once more.
const ONCE_MORE: Duration = Duration::from_secs(20);

/// A cell that was measured, in the order of the receipt's.
struct Measured<'k> {
    cell: Cell,
    kernels: &'k [Kernel],
    took: Duration,
}

impl Run {
    /// Every kernel asked for; those that fail are not measured further.
    pub fn verify(&mut self) -> Result<()> {
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

    pub fn micro(&mut self) -> Result<()> {
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

    /// Cells in which the same code differed from itself get a second chance when all others are done: what disturbed
    /// them may be over. The first measurement stays in the receipt.
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
    pub fn counts(&mut self) -> Result<()> {
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
                Err(e) if e.exit() == Exit::Interrupted => return Err(e),
                Err(e) => {
                    self.receipt.counts_failed.push(Unsupported { kernel: kernel.id().into(), reason: e.to_string() });
                }
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
}
