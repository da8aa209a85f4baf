//! Generation with every kernel. First each kernel generates the whole text (tokens/s). Then the kernels take turns
//! every 4 tokens of it (ratios); this needs two rounds.

use super::bench::{Bench, room};
use super::blocks;
use super::blocks::Column;
use super::clock::ThreadUsage;
use super::generation::{as_round, check_golden, first_ids, greedy, same_ids, summarize};
use super::rounds::orders;
use super::sparse_pair::{Pair, sparse_id};
use crate::choose::prefill_kernel::{PrefillPlan, PrefillPolicy};
use crate::error::Result;
use crate::scenario;
use kernels::{CodeTable, Family, HeadFormat, Kernel};
use model::decoder::{Builder, Decoder};
use model::generate::{Generation, Request, Session};
use model::known::Golden;
use model::sparse_ffn::Sparsity;
use receipt::judge::{Method, medians};
use receipt::{
    GenerationKernel, GenerationRecord, GenerationRound, GoldenCheck, KvCacheRecord, PrefillRecord, TokenBlocks, judge,
};
use std::sync::Arc;
use std::time::Duration;

/// What is generated.
pub struct Plan<'a> {
    /// Prompt, length and rounds.
    pub asked: &'a scenario::Generate,
    /// Who generates it.
    pub kernels: &'a [Kernel],
    /// Answers to check, always with the f16 head, which they were made with.
    pub goldens: &'a [Golden],
    /// Where a text ends, beside the model's own end token.
    pub stop_ids: &'a [u32],
    /// Which kernel computes batches of prompt tokens.
    pub prefill: &'a PrefillPolicy,
    /// Whether the fastest exact kernel generates it without zero gates too.
    pub sparsity: Sparsity,
    /// Seed of the order.
    pub seed: u64,
    /// Comparisons of the whole run.
    pub comparisons: usize,
}

/// A kernel and what it did so far.
struct Player<'m> {
    kernel: Kernel,
    plan: Option<PrefillPlan>,
    decision: Option<PrefillRecord>,
    decoder: Decoder<'m>,
    runs: Vec<(GenerationRound, Generation)>,
}

impl Player<'_> {
    fn column(&self) -> Column<'_> {
        Column { kernel: self.kernel, ids: first_ids(&self.runs), sparse: false }
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

/// Generates what is planned. `step` is called with (what comes next, texts done).
pub fn generation(
    bench: &mut Bench<'_>,
    plan: &Plan<'_>,
    mut step: impl FnMut(&str, usize),
) -> Result<GenerationRecord> {
    let mut texts = Texts::new(bench, plan)?;
    texts.whole(bench, &mut step)?;
    let mut blocks = texts.by_blocks(bench, &mut step)?;
    let mut kernels = texts.records(bench)?;
    medians::compare(Method::Current, &mut kernels, &blocks);
    if let Some((record, in_turns)) = texts.sparse(bench, &kernels, &mut step)? {
        kernels.push(record);
        blocks.extend(in_turns);
    }
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
    judge::sparse(&mut record);
    Ok(record)
}

impl<'p, 'm> Texts<'p, 'm> {
    /// Chooses kernels for the prompt and makes a decoder for each kernel.
    fn new(bench: &mut Bench<'m>, plan: &'p Plan<'p>) -> Result<Self> {
        let prompt = bench.model().tokenizer.encode(&plan.asked.prompt, None)?;
        let room = room(bench.model(), prompt.len(), plan.asked.max_tokens)?;
        let mut texts = Self { plan, prompt, room, players: Vec::new() };
        for &kernel in plan.kernels {
            let decision = plan.prefill.decide(&kernel, texts.prompt.len(), bench.model(), bench.machine)?;
            let (decision, chosen) = decision.map(|d| (d.record, d.plan)).unzip();
            let chosen = chosen.flatten();
            let prefill = bench.prefill(chosen.as_ref())?;
            let decoder = texts.decoder(bench, kernel)?.prefill(prefill).build()?;
            texts.players.push(Player { kernel, plan: chosen, decision, decoder, runs: Vec::new() });
        }
        Ok(texts)
    }

    /// A decoder with room for the text and for every known answer.
    fn decoder(&self, bench: &mut Bench<'m>, kernel: Kernel) -> Result<Builder<'m>> {
        let longest = self.plan.goldens.iter().map(|g| g.prompt_ids.len() + g.token_ids.len()).max().unwrap_or(0);
        Ok(bench.decoder(kernel, CodeTable::TERNARY)?.context(self.room.max(longest)))
    }

    fn request(&self) -> Request {
        let asked = self.plan.asked;
        let timeout = asked.timeout_s.map(Duration::from_secs_f64);
        greedy(self.prompt.clone(), asked.max_tokens, timeout, self.plan.stop_ids.to_vec())
    }

    fn turns<'s>(&'s self, bench: &Bench<'s>) -> blocks::Plan<'s> {
        blocks::Plan {
            prompt: &self.prompt,
            generations: self.plan.asked.rounds,
            threads: bench.machine.threads,
            comparisons: self.plan.comparisons,
            seed: self.plan.seed,
            interrupted: bench.stop,
        }
    }

    /// Whole texts, kernels in turn.
    fn whole(&mut self, bench: &Bench<'m>, step: &mut impl FnMut(&str, usize)) -> Result<()> {
        let mut done = 0;
        let orders = orders(self.players.len(), self.plan.asked.rounds, self.plan.seed);
        for (round, order) in orders.into_iter().enumerate() {
            for (position, index) in order.into_iter().map(usize::from).enumerate() {
                if bench.stopped() {
                    return Ok(());
                }
                let request = self.request();
                let player = &mut self.players[index];
                step(player.kernel.id(), done);
                let session = Session::new(&mut player.decoder, request)?;
                let before = ThreadUsage::now();
                let out = session.run(bench.stop, &mut |_| {})?;
                let used = ThreadUsage::now().since(before);
                same_ids(player.kernel.id(), round, player.runs.first().map(|(_, first)| first), &out)?;
                player.runs.push((as_round(round, position, &out, used), out));
                done += 1;
            }
        }
        Ok(())
    }

    /// The kernels of each family in turn, by blocks of tokens, and its last kernel once more.
    fn by_blocks(&self, bench: &mut Bench<'m>, step: &mut impl FnMut(&str, usize)) -> Result<Vec<TokenBlocks>> {
        let mut blocks = Vec::new();
        for family in Family::ALL {
            let in_family = self.players.iter().filter(|player| player.kernel.descriptor().family() == family);
            let Some(last) = in_family.clone().next_back() else { continue };
            if self.plan.asked.rounds < 2 || bench.stopped() {
                continue;
            }
            let texts = self.plan.asked.rounds * self.players.len();
            step(&format!("{} kernels in turn, by blocks of tokens", family.name()), texts);
            let columns: Vec<Column<'_>> = in_family.chain([last]).map(Player::column).collect();
            blocks.extend(blocks::measure(&columns, &self.turns(bench), |column| {
                let player = self.players.iter().find(|player| player.kernel.id() == column.kernel.id());
                let prefill = bench.prefill(player.and_then(|player| player.plan.as_ref()))?;
                let decoder = bench.decoder(column.kernel, CodeTable::TERNARY)?;
                Ok(decoder.context(self.room).prefill(prefill).build()?)
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
            let goldens = known_answers(bench, self.plan.goldens, &mut player.decoder)?;
            records.push(GenerationKernel { goldens, prefill: player.decision.take(), ..record });
        }
        Ok(records)
    }

    /// The fastest exact kernel without zero gates: whole texts in turn with itself as it is, then by blocks of tokens.
    fn sparse(
        &mut self,
        bench: &mut Bench<'m>,
        records: &[GenerationKernel],
        step: &mut impl FnMut(&str, usize),
    ) -> Result<Option<(GenerationKernel, Option<TokenBlocks>)>> {
        let exact = records.iter().filter(|r| r.family == Family::W2A8.name() && r.decode_tokens_per_s > 0.0);
        let fastest = exact.max_by(|a, b| a.decode_tokens_per_s.total_cmp(&b.decode_tokens_per_s));
        let at = fastest.and_then(|fastest| self.players.iter().position(|p| p.kernel.id() == fastest.kernel));
        let Some(at) = at.filter(|&at| self.players[at].kernel.descriptor().exact()) else { return Ok(None) };
        if matches!(self.plan.sparsity, Sparsity::Dense) || bench.stopped() {
            return Ok(None);
        }
        let (kernel, asked) = (self.players[at].kernel, self.plan.asked);
        let mut sparse = self.decoder(bench, kernel)?.sparse(self.plan.sparsity).build()?;
        let texts = asked.rounds * self.players.len();
        step(&sparse_id(&kernel), texts);
        let request = self.request();
        let dense = &mut self.players[at].decoder;
        let pair = Pair { kernel, dense, sparse: &mut sparse, request, seed: self.plan.seed };
        let Some(record) = pair.run(asked.rounds, bench.stop)? else { return Ok(None) };
        let mut in_turns = None;
        if asked.rounds > 1 && !bench.stopped() {
            let column = |sparse| Column { kernel, ids: &record.token_ids, sparse };
            let columns = [column(false), column(true), column(true)];
            in_turns = blocks::measure(&columns, &self.turns(bench), |column| {
                let sparsity = if column.sparse { self.plan.sparsity } else { Sparsity::Dense };
                Ok(self.decoder(bench, kernel)?.context(self.room).sparse(sparsity).build()?)
            })?;
        }
        let goldens = known_answers(bench, self.plan.goldens, &mut sparse)?;
        Ok(Some((GenerationKernel { goldens, ..record }, in_turns)))
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
