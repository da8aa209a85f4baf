//! The part of a run that is about engines: foreign programs beside our own.

use super::run::Run;
use crate::engines::run::{Plan, measure};
use crate::error::Result;
use crate::interrupt;
use crate::load_model::Head;
use crate::output::note;
use crate::progress::Progress;
use receipt::Rule;
use receipt::judge::reading::Reads;
use receipt::judge::{engines as judge, sequential};

/// Asks all engines of the run, and lets those that are right take turns.
pub fn part(run: &mut Run<'_>) -> Result<()> {
    let engines = &run.plan.texts.engines;
    let (Some(bench), Some(model)) = (&run.bench, &run.plan.scenario.model) else { return Ok(()) };
    if engines.is_empty() {
        return Ok(());
    }
    let asked = run.plan.scenario.engines.clone().unwrap_or_default();
    let comparisons = engines.iter().filter(|engine| engine.left_out.is_none()).count().saturating_sub(1);
    // Each is compared with our own program, in decoding and in the prompt, and looked at once.
    let comparisons = 2 * comparisons.max(1);
    let rule = Rule::new(sequential::DELTA, "round", &[asked.rounds], asked.rounds, comparisons);
    let plan = Plan {
        engines,
        asked: &asked,
        machine: &run.plan.machine,
        model,
        head_bits: head_bits(run.plan.texts.head),
        seed: run.receipt.settings.seed,
        rule: &rule,
        timed: true,
    };
    let progress = Progress::start("engines", 1);
    let mut record = measure(bench.loaded, &plan, |what| progress.say(what))?;
    drop(progress);
    judge::summarize(&mut record, Reads::of(&run.receipt));
    for engine in record.engines.iter().filter(|engine| !engine.status.is_ok()) {
        note(format!("engine {}: {}: {}", engine.name, engine.status, engine.why));
    }
    run.receipt.engines = Some(record);
    run.save()?;
    interrupt::check("interrupted while engines took turns")
}

/// Bits of the head that engines are asked for.
fn head_bits(head: Option<Head>) -> u32 {
    match head {
        Some(Head::Q8) => 8,
        Some(Head::Q4) => 4,
        Some(Head::F16 | Head::Ternary) | None => 16,
    }
}
