//! The parts of a run but for the microbenchmarks: each does what its section of the scenario asks for, or nothing.

use super::run::Run;
use crate::count::{self, Call, Counted, Method, Model, Subject};
use crate::error::{Exit, Result};
use crate::interrupt;
use crate::kernel_ids::in_registry_order;
use crate::load_model::Head;
use crate::measure::{beside, end_to_end, head, limits, perplexity, rules};
use crate::output::note;
use crate::progress::Progress;
use crate::registered;
use kernels::{ActivationRule, Family, Kernel, KernelDescriptor, Needs, Operation};
use receipt::judge::{bound, reading};
use receipt::{Unsupported, WithoutTime};

/// Checks every kernel of the run against the oracle; those that fail are not measured further.
pub fn verify(run: &mut Run<'_>) -> Result<()> {
    let descriptors = match &run.plan.named {
        Some(ids) => in_registry_order(ids)?,
        None => {
            let measured = || run.kernels.iter().chain(&run.for_rules);
            let ours = |d: &&KernelDescriptor| measured().any(|kernel| kernel.id() == d.id);
            let always = |d: &&KernelDescriptor| registered::meant_for(Needs::TERNARY).any(|meant| meant.id == d.id);
            registered::all().filter(|d| ours(d) || always(d)).collect()
        }
    };
    run.receipt.verify = crate::cmd::verify::verify(&descriptors, &run.plan.machine)?;
    let theirs = run.guests.verify()?;
    run.receipt.verify.extend(theirs);
    let passed = |k: &Kernel| {
        let record = run.receipt.verify.iter().find(|v| v.id == k.id());
        record.is_some_and(|v| v.mismatches == 0) && !k.descriptor().may_saturate
    };
    run.kernels.retain(passed);
    run.for_rules.retain(passed);
    run.save()
}

/// Measures the machine's limits briefly, at the sizes that are about to be timed.
pub fn limits(run: &mut Run<'_>) -> Result<()> {
    let (scenario, machine) = (&run.plan.scenario, &run.plan.machine);
    if scenario.micro.is_none() && run.plan.texts.engines.is_empty() {
        return Ok(());
    }
    let cells = scenario.cells(machine.l2());
    let products = cells.iter().map(|c| ((c.shape.m * c.shape.k) as u64, c.op == Operation::Dequantize));
    let mut operand_bytes = bound::operand_bytes(products);
    // What a token of a text reads.
    operand_bytes.extend(run.bench.as_ref().map(|bench| bench.model().bytes_per_token()));
    let mut threads = vec![1, machine.threads];
    threads.dedup();
    let plan = limits::Plan {
        threads,
        caches_bytes: &run.receipt.host.caches_bytes,
        memory_bytes: run.receipt.host.memory_bytes,
        operand_bytes,
        effort: limits::Effort::BRIEF,
        interrupted: interrupt::flag(),
    };
    let progress = Progress::start("the machine's limits", 1);
    let measured = limits::measure(machine, &run.kernels, &plan, |what| progress.say(what))?;
    drop(progress);
    run.receipt.limits = Some(measured);
    run.save()
}

/// Rounds of what lies beside the products.
const BESIDE_ROUNDS: usize = 21;
const BESIDE_ROUNDS_QUICK: usize = 9;

/// Times output heads and the operations between the products, in every way that this CPU has.
pub fn beside(run: &mut Run<'_>) -> Result<()> {
    // A run of named kernels is about those.
    if run.plan.scenario.micro.is_none() || run.plan.named.is_some() {
        return Ok(());
    }
    let rounds = if run.plan.scenario.quick { BESIDE_ROUNDS_QUICK } else { BESIDE_ROUNDS };
    let progress = Progress::start("output heads and what lies between the products", 1);
    run.receipt.beside = beside::measure(&run.plan.machine, rounds, run.receipt.settings.seed)?;
    drop(progress);
    run.save()
}

/// Counts the instructions of each kernel's gemv, and asks a static model, where there is one, for the cycles of its
/// loop by ports: in cache these are a bound. Where counting is impossible, the receipt says why, and the run goes on.
pub fn counts(run: &mut Run<'_>) -> Result<()> {
    if run.plan.scenario.micro.is_none() {
        return Ok(());
    }
    let (seed, scaling) = (run.receipt.settings.seed, run.plan.scenario.scaling);
    let call = Call { op: Operation::Gemv, shape: count::SMALL_SHAPE, tokens: 1, seed, scaling };
    let (model, mut unanswered) = (Model::find(), None);
    let theirs = run.guests.to_count(receipt::Operation::Gemv);
    let theirs = theirs.iter().map(|index| run.guests.subject(*index));
    // A kernel that lacks the rule is in no cell either.
    let lacks = |kernel: &&Kernel| {
        let d = kernel.descriptor();
        d.family() == Family::W2gA8 && d.can_run(scaling.needs()).is_err()
    };
    let ours: Vec<Subject<'_>> = run.kernels.iter().filter(|kernel| !lacks(kernel)).map(Subject::from).collect();
    let progress = Progress::start("counting instructions", (ours.len() + theirs.len()) as u64);
    for (done, subject) in ours.into_iter().chain(theirs).enumerate() {
        interrupt::check("interrupted while counting instructions")?;
        progress.step(done, format!("counting {}", subject.id));
        match count::count(subject, call, Method::Branches, &model) {
            Ok(Counted { mut record, static_models, .. }) => {
                match (&mut record.hot_loop, static_models.into_iter().next()) {
                    (Some(hot), Some(Ok(answer))) => hot.ports = Some(answer.ports()),
                    (_, Some(Err(why))) => unanswered = unanswered.or(Some(why)),
                    _ => {}
                }
                run.receipt.counts.push(record);
            }
            Err(e) if e.exit() == Exit::Unsupported => {
                run.receipt.counts_skipped = Some(e.to_string());
                break;
            }
            Err(e) if e.is_interrupt() => return Err(e),
            Err(e) => {
                run.receipt.counts_failed.push(Unsupported { kernel: subject.id.into(), reason: e.to_string() });
            }
        }
    }
    drop(progress);
    unanswered.into_iter().for_each(|why| note(format!("no port mix of some kernels: {why}")));
    bound::fill(&mut run.receipt);
    run.save()
}

/// Settles which output head all texts have, and measures what a quantised one does to perplexity, before anything is
/// generated with it.
pub fn heads(run: &mut Run<'_>) -> Result<()> {
    let scenario = &run.plan.scenario;
    let used = scenario.generate.is_some() || scenario.perplexity.is_some();
    let speakers = run.speakers().0;
    let fastest = speakers.iter().rfind(|k| k.descriptor().exact()).or(speakers.last());
    let (Some(bench), Some(&kernel), true) = (&mut run.bench, fastest, used) else { return Ok(()) };
    bench.settle_head(&speakers, run.guests.to_speak().is_empty())?;
    run.receipt.head_effect = head::announce(bench, kernel)?;
    let by_token = bench.model().activations == ActivationRule::Token;
    let asked = scenario.generate.as_ref().is_some_and(|g| g.goldens) && bench.loaded.known.is_some();
    if asked && !by_token {
        note("activations: known answers are those of one scale a token; they are not checked");
    }
    let goldens = asked && by_token;
    if bench.head != Some(Head::F16) && goldens {
        note("head: known answers are those of the f16 head; they are checked with it");
    }
    Ok(())
}

/// Generates the same text with every kernel: whole texts, then kernels in turn by blocks of tokens.
pub fn generation(run: &mut Run<'_>) -> Result<()> {
    let rule = run.receipt.rule.as_ref();
    let comparisons = rule.map_or_else(|| run.block_comparisons(), |rule| rule.comparisons);
    let (speakers, mute) = run.speakers();
    let (Some(asked), Some(bench)) = (&run.plan.scenario.generate, &mut run.bench) else { return Ok(()) };
    let known = bench.loaded.known.as_ref();
    // The answers were made with one scale a token.
    let by_token = bench.model().activations == ActivationRule::Token;
    let plan = end_to_end::Plan {
        asked,
        kernels: &speakers,
        goldens: known.filter(|_| asked.goldens && by_token).map_or(&[], |known| &known.goldens),
        stop_ids: known.map_or(&[], |known| &known.stop_ids),
        prefill: &run.plan.texts.prefill,
        sparsity: run.plan.texts.sparsity,
        seed: run.receipt.settings.seed,
        comparisons,
        impossible: &|bytes, tokens_s| reading::impossible_text(&run.receipt, bytes, tokens_s),
    };
    let kernels = speakers.len() + run.guests.to_speak().len();
    let progress = Progress::start(format!("generating with {kernels} kernels"), (asked.rounds * kernels) as u64);
    let step = |kernel: &str, done| progress.step(done, format!("generating with {kernel}"));
    let mut generated = end_to_end::generation(bench, &run.guests, &plan, step)?;
    drop(progress);
    generated.without_time.extend(mute);
    note_lost(&generated.without_time, "whole text");
    run.receipt.generation = Some(generated);
    run.receipt.choices = bench.chooser.choices().to_vec();
    run.save()?;
    interrupt::check("interrupted during generation")
}

/// A line for each kernel that fell out: the page has them too.
fn note_lost(rows: &[WithoutTime], place: &str) {
    rows.iter().for_each(|row| note(format!("{}: {} in {place}: {}", row.kernel, row.status, row.why)));
}

/// Scores the same text with every kernel, and once with the analysis's code table [-2,-1,1,2].
pub fn perplexity(run: &mut Run<'_>) -> Result<()> {
    let (speakers, mute) = run.speakers();
    let (Some(asked), Some(bench)) = (&run.plan.scenario.perplexity, &mut run.bench) else { return Ok(()) };
    let progress = Progress::start("perplexity with every kernel", speakers.len() as u64 + 1);
    let step = |kernel: &str, done| progress.step(done, format!("perplexity with {kernel}"));
    let mut record = perplexity::perplexity(bench, asked, &speakers, step)?;
    perplexity::foreign(bench, asked, &speakers, &run.guests, &mut record)?;
    drop(progress);
    record.without_score.extend(mute);
    note_lost(&record.without_score, "perplexity");
    run.receipt.perplexity = Some(record);
    run.save()?;
    interrupt::check("interrupted during perplexity")
}

/// Finds out what each rule of activations costs, where the scenario asks about several: against activations that are
/// not rounded, and in speed.
pub fn rules(run: &mut Run<'_>) -> Result<()> {
    let comparisons = run.receipt.rule.as_ref().map_or_else(|| run.block_comparisons(), |rule| rule.comparisons);
    let (scenario, Some(bench)) = (&run.plan.scenario, &mut run.bench) else { return Ok(()) };
    if scenario.rules.is_empty() {
        return Ok(());
    }
    let plan = rules::Plan {
        rules: &scenario.rules,
        kernels: &run.for_rules,
        needs: run.needs,
        quick: scenario.quick,
        seed: run.receipt.settings.seed,
        comparisons,
    };
    let progress = Progress::start("rules of activations", 1);
    let record = rules::measure(bench, &plan, |what| progress.say(what))?;
    drop(progress);
    record.without.iter().for_each(|out| note(format!("activations by {}: {}", out.activations, out.why)));
    run.receipt.activation_rules = Some(record);
    run.receipt.choices = bench.chooser.choices().to_vec();
    run.save()?;
    interrupt::check("interrupted while rules of activations took turns")
}
