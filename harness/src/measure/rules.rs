//! What each rule of activations costs: how far it moves the distribution of the next token from that of activations
//! that are not rounded, on the text of `perplexity`, and how fast the fastest exact kernel decodes by it.
//!
//! All decoders go through a window side by side, so that each is compared with the same pass. Then the rules take
//! turns by blocks of tokens, as kernels do in [`super::blocks`].

use super::bench::Bench;
use super::blocks::{self, Broken, Column, SETTLING_TOKENS, TOKENS};
use super::generation::greedy;
use super::plays::Who;
use crate::choose::chooser::Chooser;
use crate::choose::decode_kernel;
use crate::error::{Error, Result};
use crate::machine::memory;
use crate::operation;
use crate::scenario::activations;
use kernels::{ActivationRule, CodeTable, Kernel, Layout, Needs};
use model::decoder::Decoder;
use model::generate::{Request, Session};
use model::kernel_weights::KernelWeights;
use model::next_token::{self, Sums};
use model::perplexity::Text;
use model::unrounded::Inputs;
use model::{builtin, hash};
use receipt::judge::rules::summarize;
use receipt::{Choice, RuleEntry, RuleSums, RuleWindow, RuleWithout, RulesRecord, TokenBlocks};
use std::time::{Duration, Instant};

/// Tokens of a window, as `perplexity` has it by default.
const WINDOW: usize = 128;
/// After this time no further window begins.
const SCORING: Duration = Duration::from_secs(60);
/// Windows of a quick run.
const QUICK_WINDOWS: usize = 2;
/// Tokens of the prompt of each text that is decoded, the first of the scored text.
const PROMPT: usize = 8;
/// Blocks of each text that is decoded.
const BLOCKS: usize = 8;
/// Texts that are decoded: as many as take about [`DECODING`], and these at least and at most.
const TEXTS: (usize, usize) = (3, 8);
const QUICK_TEXTS: usize = 2;
const DECODING: Duration = Duration::from_secs(60);

/// What is asked.
pub struct Plan<'p> {
    /// The rules, the one first that the others are compared with.
    pub rules: &'p [ActivationRule],
    /// Kernels that passed their suite, exact ones.
    pub kernels: &'p [Kernel],
    /// What the model's weights ask of a kernel.
    pub needs: Needs,
    /// Whether a few windows and texts will do.
    pub quick: bool,
    pub seed: u64,
    /// Comparisons of the whole run.
    pub comparisons: usize,
}

/// A rule with the kernel that was chosen for it, as it is called, and weights for it.
struct Taken {
    rule: ActivationRule,
    weights: KernelWeights,
}

/// Measures all of it. `step` gets what is being done.
///
/// # Errors
/// No kernel for any rule, logits that are not finite, an interrupt while the text is scored.
pub fn measure(bench: &mut Bench<'_>, plan: &Plan<'_>, mut step: impl FnMut(String)) -> Result<RulesRecord> {
    let (taken, without) = take(bench, plan)?;
    let model = bench.model();
    let tokens = model.tokenizer.encode(builtin::held_out_text(), None)?;
    let window = WINDOW.min(model.config.context);
    let mut record = RulesRecord {
        text: "the first tokens of the built-in model's held-out text".into(),
        text_sha256: String::new(),
        tokens: 0,
        window,
        head: bench.head_of_rows()?.id().to_owned(),
        threads: bench.machine.threads,
        nats_per_token: 0.0,
        perplexity: 0.0,
        rules: taken.iter().map(entry).collect(),
        windows: Vec::new(),
        blocks: None,
        without,
    };
    let most = if plan.quick { QUICK_WINDOWS } else { usize::MAX };
    score(bench, &taken, Text { tokens: &tokens, window, max_windows: most }, &mut record, &mut step)?;
    record.tokens = record.windows.len() * window;
    let scored = model.tokenizer.decode(&tokens[..(record.tokens + 1).min(tokens.len())]);
    record.text_sha256 = hash::sha256_hex(scored.as_bytes());
    step("decoding, rules in turn by blocks of tokens".into());
    record.blocks = decode(bench, plan, &taken, &tokens)?;
    summarize(&mut record);
    Ok(record)
}

fn entry(taken: &Taken) -> RuleEntry {
    let kernel = taken.weights.kernel();
    RuleEntry {
        activations: activations(taken.rule),
        kernel: kernel.id().into(),
        family: operation::family(kernel.descriptor().family()),
        kl_nats: 0.0,
        same_top: 0,
        same_top_share: 0.0,
        windows_below_first: 0,
        nats_per_token: 0.0,
        perplexity: 0.0,
    }
}

/// The fastest exact kernel for each rule, by the probe that chooses for `generate`; and the rules that have none.
fn take(bench: &mut Bench<'_>, plan: &Plan<'_>) -> Result<(Vec<Taken>, Vec<RuleWithout>)> {
    let (mut kernels, mut without) = (Vec::new(), Vec::new());
    for &rule in plan.rules {
        let needs = Needs { rule, ..plan.needs };
        let able: Vec<Kernel> =
            plan.kernels.iter().filter(|kernel| kernel.descriptor().can_run(needs).is_ok()).copied().collect();
        if able.is_empty() {
            let why = "no exact kernel of this run takes this rule and the model's weights".into();
            without.push(RuleWithout { activations: activations(rule), why });
            continue;
        }
        let mut chooser = Chooser::by_rule(bench.model(), bench.machine, rule);
        let kernel = decode_kernel::fastest(&able, WINDOW, &mut chooser)?.kernel;
        let kernel = chooser.with_batches(kernel, WINDOW)?;
        for choice in chooser.choices() {
            let what = format!("{}, activations by {rule}", choice.what);
            bench.chooser.keep(Choice { what, ..choice.clone() });
        }
        kernels.push((rule, kernel));
    }
    if kernels.is_empty() {
        return Err(Error::unsupported("no exact kernel takes any of these rules; name others with --kernels"));
    }
    let mut layouts: Vec<&'static Layout> = Vec::new();
    for layout in kernels.iter().map(|(_, kernel)| kernel.descriptor().layout) {
        if !layouts.contains(&layout) {
            layouts.push(layout);
        }
    }
    let bytes = layouts.iter().map(|&layout| bench.model().packed_bytes(layout)).sum();
    memory::require_memory(bytes, "the model in the packings of the rules of activations")?;
    let packed = |(rule, kernel): (ActivationRule, Kernel)| {
        Ok(Taken { rule, weights: bench.packed_for(kernel, CodeTable::TERNARY)? })
    };
    Ok((kernels.into_iter().map(packed).collect::<Result<_>>()?, without))
}

/// Goes through the windows with every rule, beside a decoder that rounds no activation.
fn score(
    bench: &mut Bench<'_>,
    taken: &[Taken],
    text: Text<'_>,
    record: &mut RulesRecord,
    step: &mut impl FnMut(String),
) -> Result<()> {
    let whole = taken.first().map(|first| (Inputs::Whole, &first.weights));
    let rules = taken.iter().map(|taken| (Inputs::Rounded(taken.rule), &taken.weights));
    let made = whole
        .into_iter()
        .chain(rules)
        .map(|(inputs, weights)| Ok(bench.decoder_of(weights.clone())?.context(text.window).inputs(inputs).build()?));
    let mut decoders = made.collect::<Result<Vec<Decoder<'_>>>>()?;
    let begun = Instant::now();
    next_token::compare(&mut decoders, text, bench.stop, |sums| {
        let of = |sums: &Sums| RuleSums { nats: sums.nats, kl: sums.kl, same_top: sums.same_top };
        record.windows.push(RuleWindow { nats: sums[0].nats, by_rule: sums[1..].iter().map(of).collect() });
        step(format!("{} tokens by {} rules of activations", record.windows.len() * text.window, sums.len() - 1));
        begun.elapsed() < SCORING
    })?;
    Ok(())
}

/// The rules in turn, each decoding the text that it generates undisturbed, and the last one once more. None where
/// the model's context or text is too short for it, or an interrupt came first.
fn decode(bench: &mut Bench<'_>, plan: &Plan<'_>, taken: &[Taken], tokens: &[u32]) -> Result<Option<TokenBlocks>> {
    let prompt = &tokens[..PROMPT.min(tokens.len())];
    // Of the last token nothing follows.
    let count = BLOCKS * (SETTLING_TOKENS + TOKENS) + 1;
    let room = prompt.len() + count;
    if prompt.is_empty() || room > bench.model().config.context {
        return Ok(None);
    }
    let (stop, threads) = (bench.stop, bench.machine.threads);
    let mut make = |rule: ActivationRule| -> Result<Decoder<'_>> {
        let own = taken.iter().find(|taken| taken.rule == rule);
        let own = own.ok_or_else(|| Error::failed(format!("activations by {rule} have no kernel")))?;
        Ok(bench.decoder_of(own.weights.clone())?.context(room).inputs(Inputs::Rounded(rule)).build()?)
    };
    let (begun, mut texts) = (Instant::now(), Vec::new());
    for taken in taken {
        let mut decoder = make(taken.rule)?;
        let request = Request { stop_at_eos: false, ..greedy(prompt.into(), count, None, Vec::new()) };
        texts.push(Session::new(&mut decoder, request)?.run(stop, &mut |_| {})?.token_ids);
    }
    let columns = taken.iter().zip(&texts).map(|(taken, ids)| Column {
        who: Who::Ours(*taken.weights.kernel()),
        ids,
        sparse: false,
        again: false,
        rule: Some(taken.rule),
    });
    let mut columns: Vec<Column<'_>> = columns.collect();
    columns.extend(columns.last().copied().map(|last| Column { again: true, ..last }));
    let once = begun.elapsed().as_secs_f64().max(1e-3);
    let fitting = (DECODING.as_secs_f64() / once) as usize;
    let turns = blocks::Plan {
        prompt,
        generations: if plan.quick { QUICK_TEXTS } else { fitting.clamp(TEXTS.0, TEXTS.1) },
        threads,
        comparisons: plan.comparisons,
        seed: plan.seed,
        interrupted: stop,
        builds_on: &|_| None,
    };
    let measured = blocks::measure(&columns, &turns, |column| Ok(Box::new(make(column.rule.unwrap_or_default())?)));
    measured.map_err(|Broken(_, failed)| failed.into())
}
