//! Generation with every kernel. First each kernel generates the whole text (tokens/s). Then the kernels take turns
//! every 4 tokens of it (ratios); this needs two rounds.

use super::bench::{Bench, room};
use super::blocks::{self, Broken, Column};
use super::generation::{Said, Speaker, as_round, asked_of, check_golden, greedy, same_ids, summarize};
use super::plays::{Theirs, Who};
use super::records;
use super::rounds::{ThreadUsage, orders};
use super::speaker::{self, Foreign, Hall};
use crate::choose::decode_kernel;
use crate::choose::prefill_kernel::{PrefillPlan, PrefillPolicy, Prompt};
use crate::choose::skipping;
use crate::error::{Error, Result};
use crate::guests::{Failed, Guests, excuse};
use crate::output::note;
use crate::scenario::activations;
use crate::worker::composition::JobComposition;
use crate::{operation, scenario};
use kernels::{CodeTable, Family, HeadFormat, Kernel};
use model::decoder::Decoder;
use model::generate::Session;
use model::known::Golden;
use model::sparse_ffn::Sparsity;
use model::weights::Opened;
use receipt::judge::{Method, medians};
use receipt::{
    GenerationKernel, GenerationRecord, GenerationRound, GoldenCheck, KvCacheRecord, PrefillRecord, RowStatus,
    TokenBlocks, WithoutTime, judge,
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
    /// Why a text that reads so many bytes a token cannot be decoded at so many tokens a second, if it cannot.
    pub impossible: &'a dyn Fn(u64, f64) -> Option<String>,
}

/// A kernel and what it did so far.
struct Player<'m> {
    kernel: Kernel,
    sparse: bool,
    plan: Option<PrefillPlan>,
    decision: Option<PrefillRecord>,
    decoder: Decoder<'m>,
    runs: Vec<(GenerationRound, Said)>,
}

impl Player<'_> {
    fn id(&self) -> String {
        blocks::id(self.kernel.id(), self.sparse)
    }

    fn column(&self) -> Column<'_> {
        let ids = self.runs.first().map_or(&[][..], |(_, first)| &first.token_ids);
        Column { who: Who::Ours(self.kernel), ids, sparse: self.sparse, again: false, rule: None }
    }

    /// Ids and last logits must be those of `dense`, bit for bit, unless a time limit or the user ended either.
    fn same_as(&self, dense: &Self) -> Result<()> {
        let (Some((_, own)), Some((_, other))) = (self.runs.last(), dense.runs.last()) else { return Ok(()) };
        let (cut, both) = (own.cut_off() || other.cut_off(), own.token_ids.len().min(other.token_ids.len()));
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
    /// Kernels of libraries.
    foreign: Vec<Foreign>,
    /// Kernels that have no time.
    without_time: Vec<WithoutTime>,
}

/// Generates what the plan asks for. `step` is called with (what comes next, texts done).
pub fn generation(
    bench: &mut Bench<'_>,
    guests: &Guests,
    plan: &Plan<'_>,
    mut step: impl FnMut(&str, usize),
) -> Result<GenerationRecord> {
    let mut texts = Texts::new(bench, plan)?;
    let hall = Hall::of(bench, texts.most_room());
    for index in guests.to_speak() {
        texts.foreign.extend(speaker::begin(guests, index, &hall, &mut texts.without_time)?);
    }
    texts.whole(bench, guests, &mut step)?;
    // In this order: a wrong kernel that is fast besides is wrong.
    texts.leave_out_the_wrong(guests);
    texts.leave_out_the_impossible();
    let blocks = texts.by_blocks(bench, guests, &mut step)?;
    let mut kernels = texts.records(bench)?;
    kernels.extend(texts.foreign_records(bench)?);
    let kv_cache = texts.players.first().map(|player| KvCacheRecord::f16(player.decoder.kv_bytes_per_position()));
    let mut record = GenerationRecord {
        prompt: plan.asked.prompt.clone(),
        prompt_ids: texts.prompt,
        max_tokens: plan.asked.max_tokens,
        sampling: "greedy".into(),
        timeout_s: plan.asked.timeout_s,
        threads: bench.machine.threads,
        head: bench.head_id(plan.kernels.first())?.into(),
        activations: activations(bench.model().activations),
        kv_cache,
        kernels,
        blocks,
        without_time: texts.without_time,
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
        let (players, foreign, without_time) = (Vec::new(), Vec::new(), Vec::new());
        let mut texts = Self { plan, prompt, room, players, foreign, without_time };
        for &kernel in plan.kernels {
            let kernel = bench.chooser.one_way(kernel)?;
            let prompt = Prompt { tokens: texts.prompt.len(), unpacked: false };
            let decision = plan.prefill.decide(&kernel, prompt, &mut bench.chooser)?;
            let (chosen, decision) = decision.unzip();
            let player = texts.player(bench, kernel, chosen.flatten(), Sparsity::Dense)?;
            texts.players.push(Player { decision, ..player });
        }
        let exact = plan.kernels.iter().filter(|kernel| blocks::may_skip(kernel)).copied().collect::<Vec<_>>();
        let dense = matches!(plan.sparsity, Sparsity::Dense);
        let skips = !dense && bench.model().skips();
        if let Some(off) = skipping::off_by_rule(bench.model(), dense) {
            note(format!("skipping zero gates: off ({})", off.reason));
            bench.chooser.keep(off);
        }
        if skips && !exact.is_empty() {
            let kernel = decode_kernel::fastest(&exact, texts.prompt.len(), &mut bench.chooser)?.kernel;
            let dense = texts.players.iter().find(|player| player.kernel.id() == kernel.id());
            let player = texts.player(bench, kernel, dense.and_then(|dense| dense.plan), plan.sparsity)?;
            texts.players.push(player);
        }
        Ok(texts)
    }

    /// Tokens of the longest of the text and the known answers.
    fn most_room(&self) -> usize {
        let longest = self.plan.goldens.iter().map(Golden::positions).max();
        self.room.max(longest.unwrap_or(0))
    }

    /// A kernel with a decoder that has room for the text and for every known answer.
    fn player(
        &self,
        bench: &mut Bench<'m>,
        kernel: Kernel,
        plan: Option<PrefillPlan>,
        sparsity: Sparsity,
    ) -> Result<Player<'m>> {
        let prefill = bench.prefill(plan.as_ref())?;
        let decoder = bench.decoder(kernel, CodeTable::TERNARY)?.context(self.most_room());
        let decoder = decoder.prefill(prefill).sparse(sparsity).build()?;
        skipping::choice(&decoder).into_iter().for_each(|choice| bench.chooser.keep(choice));
        let sparse = !matches!(sparsity, Sparsity::Dense);
        Ok(Player { kernel, sparse, plan, decision: None, decoder, runs: Vec::new() })
    }

    /// Whole texts, kernels in turn.
    fn whole(&mut self, bench: &Bench<'m>, guests: &Guests, step: &mut impl FnMut(&str, usize)) -> Result<()> {
        let (mut done, asked) = (0, self.plan.asked);
        let job = JobComposition {
            prompt: self.prompt.clone(),
            max_tokens: asked.max_tokens,
            stop_ids: self.plan.stop_ids.to_vec(),
            stop_at_eos: true,
            timeout_s: asked.timeout_s,
        };
        let mut lost = vec![false; self.foreign.len()];
        let orders = orders(self.players.len() + self.foreign.len(), asked.rounds, self.plan.seed);
        for (round, order) in orders.into_iter().enumerate() {
            for (position, index) in order.into_iter().map(usize::from).enumerate() {
                if bench.stopped() {
                    return Ok(());
                }
                if let Some(at) = index.checked_sub(self.players.len()) {
                    let foreign = &mut self.foreign[at];
                    step(&foreign.id, done);
                    if !lost[at] {
                        let renewed = if round == 0 { Ok(()) } else { foreign.renew(guests) };
                        let said = renewed.and_then(|()| foreign.say(round, position, &job));
                        lost[at] = excuse(&foreign.id, said, &mut self.without_time)?.is_none();
                    }
                    done += 1;
                    continue;
                }
                let timeout = asked.timeout_s.map(Duration::from_secs_f64);
                let request = greedy(self.prompt.clone(), asked.max_tokens, timeout, self.plan.stop_ids.to_vec());
                let player = &mut self.players[index];
                step(&player.id(), done);
                let session = Session::new(&mut player.decoder, request)?;
                let before = ThreadUsage::now();
                let out = session.run(bench.stop, &mut |_| {})?;
                let used = ThreadUsage::now().since(before);
                let record = as_round(round, position, &out, used);
                let said = Said { token_ids: out.token_ids, text: out.text, stop_reason: out.stop_reason };
                same_ids(&player.id(), round, player.runs.first().map(|(_, first)| first), &said)?;
                player.runs.push((record, said));
                done += 1;
            }
        }
        let mut lost = lost.into_iter();
        self.foreign.retain(|_| lost.next() == Some(false));
        for sparse in self.players.iter().filter(|player| player.sparse) {
            let dense = self.players.iter().find(|player| !player.sparse && player.kernel.id() == sparse.kernel.id());
            dense.map_or(Ok(()), |dense| sparse.same_as(dense))?;
        }
        Ok(())
    }

    /// What is faster than this machine can be has no time.
    fn leave_out_the_impossible(&mut self) {
        let (plan, without_time) = (self.plan, &mut self.without_time);
        let mut possible = |kernel: &str, bytes: u64, runs: &[(GenerationRound, Said)]| {
            let speed = medians::decode_tokens_per_s(runs.iter().map(|(round, _)| round));
            let found = (plan.impossible)(bytes, speed).map(|why| WithoutTime {
                kernel: kernel.into(),
                status: RowStatus::Impossible,
                why,
            });
            let possible = found.is_none();
            without_time.extend(found);
            possible
        };
        // One that skips reads fewer bytes than it says.
        self.players.retain(|p| p.sparse || possible(&p.id(), p.decoder.bytes_per_token(), &p.runs));
        self.foreign.retain(|f| possible(&f.id, f.bytes_per_token, &f.runs));
    }

    /// Exact kernels of one family generate the same ids, as far as the shorter text goes.
    fn leave_out_the_wrong(&mut self, guests: &Guests) {
        let (players, without_time) = (&self.players, &mut self.without_time);
        self.foreign.retain(|foreign| {
            let alike =
                |p: &&Player<'_>| p.kernel.descriptor().exact() && p.kernel.descriptor().family() == foreign.family;
            let exact = players.iter().find(alike).filter(|_| guests.is_exact(&foreign.id));
            let (Some(player), Some((_, own))) = (exact, foreign.runs.first()) else { return true };
            let Some((_, said)) = player.runs.first() else { return true };
            let mut ids = own.token_ids.iter().zip(&said.token_ids).enumerate();
            let Some((at, (own, said))) = ids.find(|(_, (own, said))| own != said) else { return true };
            let why = format!("generates id {own} at {at}, {} {said}", player.id());
            without_time.push(WithoutTime { kernel: foreign.id.clone(), status: RowStatus::Wrong, why });
            false
        });
    }

    /// The kernels of each family in turn, by blocks of tokens, and its last kernel once more.
    fn by_blocks(
        &mut self,
        bench: &mut Bench<'m>,
        guests: &Guests,
        step: &mut impl FnMut(&str, usize),
    ) -> Result<Vec<TokenBlocks>> {
        let mut blocks = Vec::new();
        for family in Family::ALL {
            if self.plan.asked.rounds < 2 || bench.stopped() {
                continue;
            }
            let texts = self.plan.asked.rounds * (self.players.len() + self.foreign.len());
            step(&format!("{} kernels in turn, by blocks of tokens", family.name()), texts);
            // Without one that fails, once more.
            while let Some(Broken(at, failed)) = match self.in_turn(family, bench, guests) {
                Ok(measured) => {
                    blocks.extend(measured);
                    None
                }
                Err(broken) => Some(broken),
            } {
                excuse::<()>(&self.foreign[at].id, Err(failed), &mut self.without_time)?;
                self.foreign.remove(at);
            }
        }
        Ok(blocks)
    }

    /// The kernels of a family in turn; or which of the libraries' failed. A failure of ours is one of the run.
    fn in_turn(
        &self,
        family: Family,
        bench: &mut Bench<'m>,
        guests: &Guests,
    ) -> std::result::Result<Option<TokenBlocks>, Broken> {
        let turns = blocks::Plan {
            prompt: &self.prompt,
            generations: self.plan.asked.rounds,
            threads: bench.machine.threads,
            comparisons: self.plan.comparisons,
            seed: self.plan.seed,
            interrupted: bench.stop,
            builds_on: &|id| guests.builds_on(id),
        };
        let ours = self.players.iter().filter(|player| player.kernel.descriptor().family() == family);
        let again = ours.clone().rfind(|player| !player.sparse).map(Player::column);
        let Some(again) = again.map(|column| Column { again: true, ..column }) else { return Ok(None) };
        let mut columns: Vec<Column<'_>> = ours.map(Player::column).collect();
        let theirs = self.foreign.iter().enumerate().filter(|(_, foreign)| foreign.family == family);
        columns.extend(theirs.map(|(index, foreign)| Column {
            who: Who::Theirs { index, id: &foreign.id, family },
            ids: foreign.runs.first().map_or(&[][..], |(_, first)| &first.token_ids),
            sparse: false,
            again: false,
            rule: None,
        }));
        columns.push(again);
        let measured = blocks::measure(&columns, &turns, |column| {
            let kernel = match column.who {
                Who::Ours(kernel) => kernel,
                Who::Theirs { index, .. } => {
                    let foreign = &self.foreign[index];
                    foreign.renew(guests)?;
                    return Ok(Box::new(Theirs(&foreign.process)));
                }
            };
            let player = self.players.iter().find(|player| player.id() == column.id());
            let prefill = bench.prefill(player.and_then(|player| player.plan.as_ref()))?;
            let sparsity = if column.sparse { self.plan.sparsity } else { Sparsity::Dense };
            let decoder = bench.decoder(kernel, CodeTable::TERNARY)?.context(self.room);
            let decoder = decoder.prefill(prefill).sparse(sparsity).build().map_err(Error::from)?;
            Ok(Box::new(decoder))
        });
        measured.map_err(|Broken(column, failed)| match columns[column].who {
            Who::Theirs { index, .. } => Broken(index, failed),
            Who::Ours(_) => Broken(0, Failed::Run(failed.into())),
        })
    }

    /// What each kernel did, and whether it gives the known answers.
    fn records(&mut self, bench: &mut Bench<'m>) -> Result<Vec<GenerationKernel>> {
        let mut records = Vec::new();
        for player in &mut self.players {
            let runs = std::mem::take(&mut player.runs);
            let (kernel, bytes_per_token) = (player.kernel, player.decoder.bytes_per_token());
            let family = operation::family(kernel.descriptor().family());
            let speaker = Speaker { kernel: kernel.id().into(), family, bytes_per_token };
            let Some(record) = summarize(speaker, runs) else { continue };
            let asked: Vec<&Golden> = asked_of(kernel.descriptor().family(), self.plan.goldens).collect();
            let (kernel, sparse_ffn) = (player.id(), player.decoder.sparse().map(records::sparse_ffn));
            let goldens = known_answers(bench, &asked, &mut player.decoder)?;
            records.push(GenerationKernel { kernel, sparse_ffn, goldens, prefill: player.decision.take(), ..record });
        }
        Ok(records)
    }
}

impl Texts<'_, '_> {
    /// The same of libraries' kernels.
    fn foreign_records(&mut self, bench: &Bench<'_>) -> Result<Vec<GenerationKernel>> {
        let goldens = if bench.stopped() { &[] } else { self.plan.goldens };
        let mut records = Vec::new();
        for mut foreign in std::mem::take(&mut self.foreign) {
            let record = foreign.record(goldens);
            if let Some(record) = excuse(&foreign.id, record, &mut self.without_time)? {
                records.extend(record);
            }
        }
        Ok(records)
    }
}

/// Checks the known answers with the f16 head, which they were made with. None after an interrupt.
fn known_answers<'m>(
    bench: &mut Bench<'m>,
    goldens: &[&Golden],
    decoder: &mut Decoder<'m>,
) -> Result<Vec<GoldenCheck>> {
    if goldens.is_empty() || bench.stopped() {
        return Ok(Vec::new());
    }
    let head = Arc::clone(decoder.head());
    decoder.set_head(bench.head_as(HeadFormat::F16)?)?;
    let checks = goldens.iter().map(|golden| check_golden(decoder, golden, bench.stop)).collect::<Result<_>>()?;
    decoder.set_head(head)?;
    Ok(checks)
}
