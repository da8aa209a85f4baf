//! `compare`, the main job, and `micro`, its first half: correctness, then microbenchmarks, then real generation, then
//! the report.

mod finish;
mod products;
mod run;
mod text;

use crate::choose::prefill_kernel::PrefillPolicy;
use crate::cmd::measure_args::{CompareArgs, MeasureArgs, MicroArgs};
use crate::error::{Error, Result};
use crate::estimate::Asked;
use crate::load_model::{Loaded, load};
use crate::measure::end_to_end::WeightStore;
use crate::output::{Output, note};
use crate::runs::RunFolder;
use crate::scenario::Scenario;
use crate::{bitnet_environment, build_info, estimate};
use kernels::{HeadFormat, Kernel};
use model::sparse_ffn::Sparsity;
use receipt::Outcome;
use std::time::Instant;

use crate::runs::new_receipt;
use run::Run;

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
    let packings: std::collections::HashSet<_> = kernels.iter().map(|k| k.descriptor().layout).collect();
    let bytes = packings.iter().map(|&layout| loaded.model.packed_bytes(layout)).sum();
    let what = format!("model {} in {} packings (name fewer with --kernels)", loaded.record.path, packings.len());
    crate::machine::memory::require_memory(bytes, &what)
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
}
