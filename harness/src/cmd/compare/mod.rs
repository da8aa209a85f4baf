//! `compare`, the main job, and `micro`, its first half: checks, microbenchmarks, generation, report.

mod args;
mod engines;
mod finish;
mod parts;
mod plan;
mod products;
mod run;

pub use args::{CompareArgs, MeasureArgs};
#[cfg(feature = "gpu")]
pub use finish::Ended;
pub use finish::{finish, strictly};

use crate::choose::prefill_kernel::PrefillPolicy;
use crate::choose::skipping::skipping;
use crate::engines::selection::select;
use crate::error::Result;
use crate::output::Output;
use crate::scenario::Scenario;
use model::sparse_ffn::Sparsity;
use plan::{Plan, Texts};
use run::Run;

/// Runs `compare`.
pub fn run(args: &CompareArgs, out: &Output) -> Result<()> {
    let mut scenario = Scenario::load(&args.measure.scenario)?;
    scenario.model = args.model.clone().or(scenario.model).map(|model| args.layout.of(&model));
    scenario.by_rule(args.activations);
    if args.measure.matrix.any() {
        scenario.require_micro()?;
    }
    let sparsity = skipping(args.dense, None);
    let engines = select(&args.engine, &scenario)?;
    let texts = Texts { head: args.head, sparsity, prefill: PrefillPolicy::parse(&args.prefill_kernel)?, engines };
    measure(&args.measure, scenario, texts, out)
}

/// Runs `micro`.
pub fn run_micro(args: &MeasureArgs, out: &Output) -> Result<()> {
    let mut scenario = Scenario::load(&args.scenario)?;
    scenario.require_micro()?;
    (scenario.generate, scenario.perplexity, scenario.model) = (None, None, None);
    scenario.rules.clear();
    let engines = Vec::new();
    let texts = Texts { head: None, sparsity: Sparsity::Dense, prefill: PrefillPolicy::Same, engines };
    measure(args, scenario, texts, out)
}

/// The order of a run: everything that can be refused is, then a receipt is begun, then one part after the other writes
/// into it, and whatever becomes of them, the end is written.
fn measure(args: &MeasureArgs, scenario: Scenario, texts: Texts, out: &Output) -> Result<()> {
    let (mut plan, guests) = Plan::new(args, scenario, texts)?;
    let (mut folder, mut receipt) = plan.begin(args, &guests)?;
    let loaded = plan.load(&mut folder, &receipt).inspect_err(|_| folder.abandon())?;
    receipt.model = loaded.as_ref().map(|loaded| loaded.record.clone());
    let mut run = Run::new(&plan, guests, loaded.as_ref(), folder, receipt)?;
    let outcome = all_parts(&mut run);
    strictly(finish(run.ended(), outcome, args, out)?, plan.strict)
}

fn all_parts(run: &mut Run<'_>) -> Result<()> {
    parts::verify(run)?;
    parts::limits(run)?;
    products::part(run)?;
    parts::beside(run)?;
    parts::counts(run)?;
    parts::heads(run)?;
    parts::generation(run)?;
    parts::perplexity(run)?;
    parts::rules(run)?;
    engines::part(run)
}
