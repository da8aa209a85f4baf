//! End-to-end runs: every kernel generates the same text and scores the same text, in turn.

use super::blocks;
use super::blocks::Column;
use super::clock::ThreadUsage;
use super::generation::{as_round, check_golden, first_ids, greedy, same_ids, summarize};
use super::rounds::orders;
use super::sparse_pair::{Pair, sparse_id};
use crate::choose::prefill_kernel::{PrefillPlan, PrefillPolicy};
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::scenario;
use kernels::{CodeTable, Family, HeadFormat, Kernel, Layout, OutputHead};
use model::config::ModelConfig;
use model::decoder::{Decoder, PrefillKernel};
use model::generate::{Generation, Session};
use model::known::Golden;
use model::sparse_ffn::Sparsity;
use model::weights::{Model, Weights};
use model::{builtin, perplexity};
use receipt::judge::{Method, medians};
use receipt::{
    GenerationKernel, GenerationRecord, GenerationRound, KvCacheRecord, LutFinding, PerplexityKernel, PerplexityRecord,
    judge,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Packed weights by layout and table: kernels that share a packing share the weights.
#[derive(Default)]
pub struct WeightStore {
    packed: HashMap<(&'static Layout, [i8; 4]), Arc<Weights>>,
    heads: HashMap<HeadFormat, Arc<OutputHead>>,
}

impl WeightStore {
    /// Weights for a kernel, packed on first use.
    pub fn get(
        &mut self,
        model: &Model,
        layout: &'static Layout,
        table: CodeTable,
        machine: &Machine,
    ) -> Result<Arc<Weights>> {
        if let Some(found) = self.packed.get(&(layout, table.0)) {
            return Ok(Arc::clone(found));
        }
        let what = format!("packing weights as {layout}");
        let bytes = model.packed_bytes(layout);
        let weights = machine.loading(what, bytes, |loading| model.weights(layout, table, loading))?;
        let weights = Arc::new(weights);
        self.packed.insert((layout, table.0), Arc::clone(&weights));
        Ok(weights)
    }

    /// The output head in a format, quantised on first use.
    pub fn head(&mut self, model: &Model, format: HeadFormat, machine: &Machine) -> Result<Arc<OutputHead>> {
        if let Some(found) = self.heads.get(&format) {
            return Ok(Arc::clone(found));
        }
        let head = Arc::new(model.head(format, machine.features, &mut machine.team()?)?);
        self.heads.insert(format, Arc::clone(&head));
        Ok(head)
    }
}

/// A decoder for one kernel.
pub fn decoder<'m>(
    model: &'m Model,
    store: &mut WeightStore,
    kernel: Kernel,
    table: CodeTable,
    machine: &Machine,
    capacity: usize,
    head: HeadFormat,
) -> Result<Decoder<'m>> {
    let weights = store.get(model, kernel.descriptor().layout, table, machine)?;
    let head = store.head(model, head, machine)?;
    Ok(Decoder::new(model, weights, kernel, head, machine.team()?, machine.features, capacity)?)
}

/// As [`decoder`], with the prefill kernel of a plan. The weights of both kernels come from the store.
#[allow(clippy::too_many_arguments)]
pub fn decoder_with_prefill<'m>(
    model: &'m Model,
    store: &mut WeightStore,
    kernel: Kernel,
    plan: Option<&PrefillPlan>,
    machine: &Machine,
    capacity: usize,
    head: HeadFormat,
) -> Result<Decoder<'m>> {
    let table = CodeTable::TERNARY;
    let weights = store.get(model, kernel.descriptor().layout, table, machine)?;
    let prefill = match plan {
        Some(plan) => Some(PrefillKernel {
            kernel: plan.kernel,
            weights: store.get(model, plan.kernel.descriptor().layout, table, machine)?,
            from_tokens: plan.from_tokens,
        }),
        None => None,
    };
    let head = store.head(model, head, machine)?;
    Ok(Decoder::with_prefill(model, weights, kernel, prefill, head, machine.team()?, machine.features, capacity)?)
}

/// Checks that the answer alone fits the model's context, which is known before the prompt's tokens are.
pub fn room_for_answer(config: &ModelConfig, max_tokens: usize) -> Result<()> {
    if max_tokens < config.context {
        return Ok(());
    }
    let context = config.context;
    Err(Error::input(format!(
        "--max-tokens {max_tokens} does not fit the model's context of {context} beside a prompt; ask for at most {}",
        context.saturating_sub(1)
    )))
}

/// Checks that prompt and answer fit the model's context, and how much room they need.
pub fn room(model: &Model, prompt_tokens: usize, max_tokens: usize) -> Result<usize> {
    let context = model.config.context;
    let needed = prompt_tokens.saturating_add(max_tokens);
    if needed > context {
        return Err(Error::input(format!(
            "{prompt_tokens} prompt tokens and --max-tokens {max_tokens} do not fit the model's context of \
             {context}; ask for at most {}",
            context.saturating_sub(prompt_tokens)
        )));
    }
    Ok(needed)
}

/// Generation with every kernel. First each kernel generates the whole text (tokens/s). Then the kernels take turns
/// every 4 tokens of it (ratios); this needs two rounds. `comparisons` are those of the whole run. Known answers are
/// always checked with the f16 head, which they were made with. `step` is called before each generation with (kernel,
/// done, total).
#[allow(clippy::too_many_arguments)]
pub fn generation(
    model: &Model,
    store: &mut WeightStore,
    kernels: &[Kernel],
    asked: &scenario::Generate,
    goldens: &[Golden],
    stop_ids: &[u32],
    machine: &Machine,
    head: HeadFormat,
    seed: u64,
    comparisons: usize,
    sparsity: Sparsity,
    prefill: &PrefillPolicy,
    interrupted: &AtomicBool,
    mut step: impl FnMut(&str, usize, usize),
) -> Result<GenerationRecord> {
    let prompt = model.tokenizer.encode(&asked.prompt, None)?;
    let capacity = room(model, prompt.len(), asked.max_tokens)?;
    let longest_golden = goldens.iter().map(|g| g.prompt_ids.len() + g.token_ids.len()).max().unwrap_or(0);
    let timeout = asked.timeout_s.map(Duration::from_secs_f64);
    let (mut decoders, mut decisions, mut plans) = (Vec::new(), Vec::new(), Vec::new());
    for &kernel in kernels {
        let capacity = capacity.max(longest_golden);
        let decision = prefill.decide(&kernel, prompt.len(), model, machine)?;
        let plan = decision.as_ref().and_then(|d| d.plan.as_ref());
        decoders.push(decoder_with_prefill(model, store, kernel, plan, machine, capacity, head)?);
        let (record, plan) = decision.map(|d| (d.record, d.plan)).unzip();
        decisions.push(record);
        plans.push(plan.flatten());
    }
    let mut runs: Vec<Vec<(GenerationRound, Generation)>> = kernels.iter().map(|_| Vec::new()).collect();
    let total = asked.rounds * kernels.len();
    let mut done = 0;
    'rounds: for (round, order) in orders(kernels.len(), asked.rounds, seed).into_iter().enumerate() {
        for (position, &index) in order.iter().enumerate() {
            if interrupted.load(Ordering::Relaxed) {
                break 'rounds;
            }
            let index = usize::from(index);
            step(kernels[index].id(), done, total);
            let request = greedy(prompt.clone(), asked.max_tokens, timeout, stop_ids.to_vec());
            let session = Session::new(&mut decoders[index], request)?;
            let before = ThreadUsage::now();
            let out = session.run(interrupted, &mut |_| {})?;
            let used = ThreadUsage::now().since(before);
            same_ids(kernels[index].id(), round, runs[index].first().map(|(_, first)| first), &out)?;
            runs[index].push((as_round(round, position, &out, used), out));
            done += 1;
        }
    }
    let turns = blocks::Plan {
        prompt: &prompt,
        generations: asked.rounds,
        threads: machine.threads,
        comparisons,
        seed,
        interrupted,
    };
    let mut blocks = Vec::new();
    for family in Family::ALL {
        let last = kernels.iter().rposition(|k| k.descriptor().family() == family);
        let Some(last) = last.filter(|_| asked.rounds > 1 && !interrupted.load(Ordering::Relaxed)) else { continue };
        step(&format!("{} kernels in turn, by blocks of tokens", family.name()), done, total);
        let own = kernels.iter().zip(&runs).filter(|(kernel, _)| kernel.descriptor().family() == family);
        let mut columns: Vec<Column<'_>> =
            own.map(|(&kernel, runs)| Column { kernel, ids: first_ids(runs), sparse: false }).collect();
        columns.push(Column { kernel: kernels[last], ids: first_ids(&runs[last]), sparse: false });
        let measured = blocks::measure(&columns, &turns, |column| {
            let at = kernels.iter().position(|k| k.id() == column.kernel.id());
            let plan = at.and_then(|at| plans[at].as_ref());
            decoder_with_prefill(model, store, column.kernel, plan, machine, capacity, head)
        })?;
        blocks.extend(measured);
    }
    let mut records = Vec::new();
    for ((kernel, runs), decoder) in kernels.iter().zip(runs).zip(&mut decoders) {
        let Some(record) = summarize(kernel, runs, decoder.bytes_per_token()) else { continue };
        let goldens = if asked.goldens && !interrupted.load(Ordering::Relaxed) { goldens } else { &[] };
        if !goldens.is_empty() {
            decoder.set_head(store.head(model, HeadFormat::F16, machine)?)?;
        }
        let checks = goldens.iter().map(|golden| check_golden(decoder, golden, interrupted)).collect::<Result<_>>()?;
        let at = kernels.iter().position(|k| k.id() == kernel.id());
        let prefill = at.and_then(|at| decisions[at].take());
        records.push(GenerationKernel { goldens: checks, prefill, ..record });
    }
    medians::compare(Method::Current, &mut records, &blocks);
    if let (true, false) = (sparsity != Sparsity::Dense, interrupted.load(Ordering::Relaxed)) {
        let exact = |r: &&GenerationKernel| r.family == Family::W2A8.name() && r.decode_tokens_per_s > 0.0;
        let fastest =
            records.iter().filter(exact).max_by(|a, b| a.decode_tokens_per_s.total_cmp(&b.decode_tokens_per_s));
        let at = fastest.and_then(|fastest| kernels.iter().position(|k| k.id() == fastest.kernel));
        if let Some(at) = at.filter(|&at| kernels[at].descriptor().exact()) {
            let capacity = capacity.max(longest_golden);
            let mut sparse = decoder(model, store, kernels[at], CodeTable::TERNARY, machine, capacity, head)?;
            sparse.set_sparsity(sparsity, machine.features)?;
            let request = greedy(prompt.clone(), asked.max_tokens, timeout, stop_ids.to_vec());
            let pair = Pair { kernel: kernels[at], dense: &mut decoders[at], sparse: &mut sparse, request, seed };
            step(&sparse_id(&kernels[at]), total, total);
            if let Some(record) = pair.run(asked.rounds, interrupted)? {
                if asked.rounds > 1 && !interrupted.load(Ordering::Relaxed) {
                    let column = |sparse| Column { kernel: kernels[at], ids: &record.token_ids, sparse };
                    let columns = [column(false), column(true), column(true)];
                    let measured = blocks::measure(&columns, &turns, |column| {
                        let mut made =
                            decoder(model, store, column.kernel, CodeTable::TERNARY, machine, capacity, head)?;
                        if column.sparse {
                            made.set_sparsity(sparsity, machine.features)?;
                        }
                        Ok(made)
                    })?;
                    blocks.extend(measured);
                }
                let goldens = if asked.goldens && !interrupted.load(Ordering::Relaxed) { goldens } else { &[] };
                let checks =
                    goldens.iter().map(|g| check_golden(&mut sparse, g, interrupted)).collect::<Result<_>>()?;
                records.push(GenerationKernel { goldens: checks, ..record });
            }
        }
    }
    let mut record = GenerationRecord {
        prompt: asked.prompt.clone(),
        prompt_ids: prompt,
        max_tokens: asked.max_tokens,
        sampling: "greedy".into(),
        timeout_s: asked.timeout_s,
        threads: machine.threads,
        head: store.head(model, head, machine)?.id().into(),
        kv_cache: decoders
            .first()
            .map(|decoder| KvCacheRecord { format: "f16".into(), bytes_per_position: decoder.kv_bytes_per_position() }),
        kernels: records,
        blocks,
    };
    medians::compare(Method::Current, &mut record.kernels, &record.blocks);
    judge::sparse(&mut record);
    Ok(record)
}

/// Perplexity of the built-in held-out text with every kernel and one head, and with the seed's table on the fastest
/// ladder stage (the last).
#[allow(clippy::too_many_arguments)]
pub fn perplexity(
    model: &Model,
    store: &mut WeightStore,
    kernels: &[Kernel],
    asked: &scenario::Perplexity,
    machine: &Machine,
    head: HeadFormat,
    interrupted: &AtomicBool,
    mut step: impl FnMut(&str, usize, usize),
) -> Result<PerplexityRecord> {
    let text = builtin::held_out_text();
    let tokens = model.tokenizer.encode(text, None)?;
    let window = asked.window.min(model.config.context);
    let head_id = store.head(model, head, machine)?.id().to_owned();
    let mut score = |kernel: Kernel, table: CodeTable, done: usize| -> Result<perplexity::Score> {
        step(kernel.id(), done, kernels.len());
        let mut decoder = decoder(model, store, kernel, table, machine, window, head)?;
        Ok(perplexity::score(&mut decoder, &tokens, window, asked.windows, interrupted, |_, _| {})?)
    };
    let mut record = PerplexityRecord {
        text: "the first tokens of the built-in model's held-out text".into(),
        text_sha256: String::new(),
        tokens: 0,
        window,
        head: Some(head_id),
        kernels: Vec::new(),
        lut: None,
    };
    for (done, &kernel) in kernels.iter().enumerate() {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let result = score(kernel, CodeTable::TERNARY, done)?;
        record.tokens = result.tokens;
        record.kernels.push(PerplexityKernel {
            kernel: kernel.id().into(),
            nats_per_token: result.nats_per_token,
            perplexity: result.nats_per_token.exp(),
        });
    }
    let scored = model.tokenizer.decode(&tokens[..(record.tokens + 1).min(tokens.len())]);
    record.text_sha256 = model::hash::sha256_hex(scored.as_bytes());
    let stage = kernels.iter().rfind(|k| k.descriptor().family() == Family::W2A32);
    if let (true, false, Some(&stage)) = (asked.seed_table, interrupted.load(Ordering::Relaxed), stage) {
        let file = record.kernels.iter().find(|k| k.kernel == stage.id()).map_or(f64::NAN, |k| k.perplexity);
        // Logits that are not finite are reported as a finding; the run goes on.
        let seed = score(stage, CodeTable::SEED, kernels.len()).ok().map(|s| s.nats_per_token.exp());
        record.lut = Some(LutFinding {
            kernel: stage.id().into(),
            file_lut: CodeTable::TERNARY.0,
            file_perplexity: file,
            seed_lut: CodeTable::SEED.0,
            seed_perplexity: seed.filter(|p| p.is_finite()),
            uniform_perplexity: model.config.vocab as f64,
        });
    }
    Ok(record)
}
