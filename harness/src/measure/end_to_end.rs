//! Generation with every kernel. First each kernel generates the whole text (tokens/s). Then the kernels take turns
//! every 4 tokens of it (ratios); this needs two rounds.

use super::bench::{Bench, room};
use super::blocks::{self, Column};
use super::generation::{as_round, check_golden, greedy, same_ids, summarize};
use super::records;
use super::rounds::{ThreadUsage, orders};
use crate::choose::decode_kernel;
use crate::choose::prefill_kernel::{PrefillPlan, PrefillPolicy};
use crate::choose::skipping;
use crate::error::{Error, Result};
use crate::scenario;
use kernels::{CodeTable, Family, HeadFormat, Kernel};
use model::decoder::Decoder;
use model::generate::{Generation, Session};
use model::known::Golden;
use model::sparse_ffn::Sparsity;
use model::stop::StopReason;
use model::weights::Opened;
use receipt::judge::{Method, medians};
use receipt::{
    GenerationKernel, GenerationRecord, GenerationRound, GoldenCheck, KvCacheRecord, PrefillRecord, TokenBlocks, judge,
};
use std::sync::Arc;
use std::time::Duration;

/// How a scenario names the length of an answer.
const MAX_TOKENS: &str = "max_tokens =";

/// Checks that what a scenario asks for fits the model, before its weights are read.
pub fn fits(asked: &scenario::Generate, opened: &Opened) -> Result<()> {
    let prompt = opened.tokenizer.encode(&asked.prompt, None)?;
    room(opened.config.context, prompt.len(), asked.max_tokens, MAX_TOKENS).map(|_| ())
}

/// What is generated, with which kernels, and what is checked.
pub struct Plan<'a> {
    pub asked: &'a scenario::Generate,
    pub kernels: &'a [Kernel],
    /// Known answers to check, always with the f16 head, which they were made with.
    pub goldens: &'a [Golden],
    /// Ids of tokens that end a text, beside the model's own end token.
    pub stop_ids: &'a [u32],
    /// Which kernel computes batches of prompt tokens.
    pub prefill: &'a PrefillPolicy,
    /// Whether the fastest exact kernel also generates the text while it skips zero gates.
    pub sparsity: Sparsity,
    pub seed: u64,
    /// Number of comparisons of the whole run, which share its chance of a false alarm.
    pub comparisons: usize,
}

/// A kernel and what it did so far.
struct Player<'m> {
    kernel: Kernel,
    sparse: bool,
    plan: Option<PrefillPlan>,
    decision: Option<PrefillRecord>,
    decoder: Decoder<'m>,
    runs: Vec<(GenerationRound, Generation)>,
}

impl Player<'_> {
    fn id(&self) -> String {
        blocks::id(&self.kernel, self.sparse)
    }

    fn column(&self) -> Column<'_> {
        let ids = self.runs.first().map_or(&[][..], |(_, first)| &first.token_ids);
        Column { kernel: self.kernel, ids, sparse: self.sparse, again: false }
    }

    /// Ids and last logits must be those of `dense`, bit for bit, unless a time limit or the user ended either.
    fn same_as(&self, dense: &Self) -> Result<()> {
        let (Some((_, own)), Some((_, other))) = (self.runs.last(), dense.runs.last()) else { return Ok(()) };
        let cut_off = |out: &Generation| matches!(out.stop_reason, StopReason::Timeout | StopReason::Interrupted);
        let (cut, both) = (cut_off(own) || cut_off(other), own.token_ids.len().min(other.token_ids.len()));
        if own.token_ids[..both] != other.token_ids[..both] || (!cut && own.token_ids != other.token_ids) {
            return Err(Error::failed(format!("{} generates other ids than {}", self.id(), dense.id())));
        }
        let mut logits = self.decoder.last_logits().iter().zip(dense.decoder.last_logits()).enumerate();
        match logits.find(|(_, (own, other))| !cut && own.to_bits() != other.to_bits()) {
            Some((at, (own, other))) => {
                Err(Error::failed(format!("{}: last logit {at} is {own}, of {} {other}", self.id(), dense.id())))
            }
            None => Ok(()),
        }
    }
}

/// A generation in progress.
struct Texts<'p, 'm> {
    plan: &'p Plan<'p>,
    prompt: Vec<u32>,
    /// Tokens of prompt and answer.
    room: usize,
    players: Vec<Player<'m>>,
}

/// Generates what the plan asks for. `step` is called with (what comes next, texts done).
pub fn generation(
    bench: &mut Bench<'_>,
    plan: &Plan<'_>,
    mut step: impl FnMut(&str, usize),
) -> Result<GenerationRecord> {
    let mut texts = Texts::new(bench, plan)?;
    texts.whole(bench, &mut step)?;
    let blocks = texts.by_blocks(bench, &mut step)?;
    let kernels = texts.records(bench)?;
    let kv_cache = texts.players.first().map(|player| KvCacheRecord::f16(player.decoder.kv_bytes_per_position()));
    let mut record = GenerationRecord {
        prompt: plan.asked.prompt.clone(),
        prompt_ids: texts.prompt,
        max_tokens: plan.asked.max_tokens,
        sampling: "greedy".into(),
        timeout_s: plan.asked.timeout_s,
        threads: bench.machine.threads,
        head: bench.head_as(bench.head)?.id().into(),
        kv_cache,
        kernels,
        blocks,
    };
    medians::compare(Method::Current, &mut record.kernels, &record.blocks);
    judge::texts(&mut record);
    Ok(record)
}

impl<'p, 'm> Texts<'p, 'm> {
    /// Chooses kernels for the prompt and makes a decoder for each kernel.
    fn new(bench: &mut Bench<'m>, plan: &'p Plan<'p>) -> Result<Self> {
        let prompt = bench.model().tokenizer.encode(&plan.asked.prompt, None)?;
        let room = room(bench.model().config.context, prompt.len(), plan.asked.max_tokens, MAX_TOKENS)?;
        let mut texts = Self { plan, prompt, room, players: Vec::new() };
        for &kernel in plan.kernels {
            let kernel = bench.chooser.one_way(kernel)?;
            let decision = plan.prefill.decide(&kernel, texts.prompt.len(), &mut bench.chooser)?;
            let (chosen, decision) = decision.unzip();
            let player = texts.player(bench, kernel, chosen.flatten(), Sparsity::Dense)?;
            texts.players.push(Player { decision, ..player });
        }
        let exact = plan.kernels.iter().filter(|kernel| kernel.descriptor().exact()).copied().collect::<Vec<_>>();
        if !matches!(plan.sparsity, Sparsity::Dense) && !exact.is_empty() {
            let kernel = decode_kernel::fastest(&exact, texts.prompt.len(), &mut bench.chooser)?.kernel;
            let dense = texts.players.iter().find(|player| player.kernel.id() == kernel.id());
            let player = texts.player(bench, kernel, dense.and_then(|dense| dense.plan), plan.sparsity)?;
            texts.players.push(player);
        }
        Ok(texts)
    }

    /// A kernel with a decoder that has room for the text and for every known answer.
    fn player(
        &self,
        bench: &mut Bench<'m>,
        kernel: Kernel,
        plan: Option<PrefillPlan>,
        sparsity: Sparsity,
    ) -> Result<Player<'m>> {
        let longest = self.plan.goldens.iter().map(|g| g.prompt_ids.len() + g.token_ids.len()).max().unwrap_or(0);
        let prefill = bench.prefill(plan.as_ref())?;
        let decoder = bench.decoder(kernel, CodeTable::TERNARY)?.context(self.room.max(longest));
        let decoder = decoder.prefill(prefill).sparse(sparsity).build()?;
        skipping::choice(&decoder).into_iter().for_each(|choice| bench.chooser.keep(choice));
        let sparse = !matches!(sparsity, Sparsity::Dense);
        Ok(Player { kernel, sparse, plan, decision: None, decoder, runs: Vec::new() })
    }

    /// Whole texts, kernels in turn.
    fn whole(&mut self, bench: &Bench<'m>, step: &mut impl FnMut(&str, usize)) -> Result<()> {
        let (mut done, asked) = (0, self.plan.asked);
        let orders = orders(self.players.len(), asked.rounds, self.plan.seed);
        for (round, order) in orders.into_iter().enumerate() {
            for (position, index) in order.into_iter().map(usize::from).enumerate() {
                if bench.stopped() {
                    return Ok(());
                }
                let timeout = asked.timeout_s.map(Duration::from_secs_f64);
                let request = greedy(self.prompt.clone(), asked.max_tokens, timeout, self.plan.stop_ids.to_vec());
                let player = &mut self.players[index];
                step(&player.id(), done);
                let session = Session::new(&mut player.decoder, request)?;
                let before = ThreadUsage::now();
                let out = session.run(bench.stop, &mut |_| {})?;
                let used = ThreadUsage::now().since(before);
                same_ids(&player.id(), round, player.runs.first().map(|(_, first)| first), &out)?;
                player.runs.push((as_round(round, position, &out, used), out));
                done += 1;
            }
        }
        for sparse in self.players.iter().filter(|player| player.sparse) {
            let dense = self.players.iter().find(|player| !player.sparse && player.kernel.id() == sparse.kernel.id());
            dense.map_or(Ok(()), |dense| sparse.same_as(dense))?;
        }
        Ok(())
    }

    /// The kernels of each family in turn, by blocks of tokens, and its last kernel once more.
    fn by_blocks(&self, bench: &mut Bench<'m>, step: &mut impl FnMut(&str, usize)) -> Result<Vec<TokenBlocks>> {
        let mut blocks = Vec::new();
        let turns = blocks::Plan {
            prompt: &self.prompt,
            generations: self.plan.asked.rounds,
            threads: bench.machine.threads,
            comparisons: self.plan.comparisons,
            seed: self.plan.seed,
            interrupted: bench.stop,
        };
        for family in Family::ALL {
            let in_family = self.players.iter().filter(|player| player.kernel.descriptor().family() == family);
            let Some(again) = in_family.clone().rfind(|player| !player.sparse).map(Player::column) else { continue };
            if self.plan.asked.rounds < 2 || bench.stopped() {
                continue;
            }
            let texts = self.plan.asked.rounds * self.players.len();
            step(&format!("{} kernels in turn, by blocks of tokens", family.name()), texts);
            let again = Column { again: true, ..again };
            let columns: Vec<Column<'_>> = in_family.map(Player::column).chain([again]).collect();
            blocks.extend(blocks::measure(&columns, &turns, |column| {
                let player = self.players.iter().find(|player| player.id() == column.id());
                let prefill = bench.prefill(player.and_then(|player| player.plan.as_ref()))?;
                let sparsity = if column.sparse { self.plan.sparsity } else { Sparsity::Dense };
                let decoder = bench.decoder(column.kernel, CodeTable::TERNARY)?.context(self.room);
                Ok(decoder.prefill(prefill).sparse(sparsity).build()?)
            })?);
        }
        Ok(blocks)
    }

    /// What each kernel did, and whether it gives the known answers.
    fn records(&mut self, bench: &mut Bench<'m>) -> Result<Vec<GenerationKernel>> {
        let mut records = Vec::new();
        for player in &mut self.players {
            let runs = std::mem::take(&mut player.runs);
            let Some(record) = summarize(&player.kernel, runs, player.decoder.bytes_per_token()) else { continue };
            let (kernel, sparse_ffn) = (player.id(), player.decoder.sparse().map(records::sparse_ffn));
            let goldens = known_answers(bench, self.plan.goldens, &mut player.decoder)?;
            records.push(GenerationKernel { kernel, sparse_ffn, goldens, prefill: player.decision.take(), ..record });
        }
        Ok(records)
    }
}

/// Checks the known answers with the f16 head, which they were made with. None after an interrupt.
fn known_answers<'m>(bench: &mut Bench<'m>, goldens: &[Golden], decoder: &mut Decoder<'m>) -> Result<Vec<GoldenCheck>> {
    if goldens.is_empty() || bench.stopped() {
        return Ok(Vec::new());
    }
    let head = Arc::clone(decoder.head());
    decoder.set_head(bench.head_as(HeadFormat::F16)?)?;
    let checks = goldens.iter().map(|golden| check_golden(decoder, golden, bench.stop)).collect::<Result<_>>()?;
    decoder.set_head(head)?;
    Ok(checks)
}
