//! Kernels that take turns within one text, by blocks of tokens: each has its own cached keys and values, all decode
//! the same stretch next to each other, and so a drift of the machine meets all of them. Whole texts in turn give as
//! many pairs as there are rounds; blocks give enough for an interval and a verdict.
//!
//! At the start of a turn the caches hold the other kernels' weights. The first token of a turn is therefore timed
//! apart: it brings this kernel's weights as near as they stay in undisturbed decoding.
//!
//! Where a decoder's memory lies made the fastest kernels up to 7% faster or slower (measured: one kernel in two
//! decoders, the same for a whole run). Every text therefore has new decoders at other places, so that this is noise
//! that the A/A pair shows, and no bias.

use super::plays::{Plays, Who};
use super::rounds::{Spent, orders, round};
use crate::error::Error;
use crate::guests::{Failed, Guests};
use crate::measure::micro;
use crate::operation;
use kernels::random::SplitMix64;
use kernels::{ActivationRule, Family, Kernel};
use receipt::judge::Method;
use receipt::judge::columns::SPARSE;
use receipt::judge::sequential::DELTA;
use receipt::judge::turns::summarize;
use receipt::{BlockEntry, BlockRound, Round, RowStatus, Rule, TokenBlocks};
use std::sync::atomic::{AtomicBool, Ordering};

/// Tokens of a block: each kernel decodes so many in a turn that are timed together.
pub const TOKENS: usize = 4;
/// Tokens that a kernel decodes at the start of a turn before its block, timed apart.
pub const SETTLING_TOKENS: usize = 1;
/// Bytes of a cache line, and lines of a page: the steps and the number of places that matter.
const LINE: usize = 64;
const LINES_OF_A_PAGE: u32 = 64;

/// Whether this kernel's products can skip what zero gates multiply: those that are exact with one scale a tensor.
pub fn may_skip(kernel: &Kernel) -> bool {
    kernel.descriptor().exact() && kernel.descriptor().family() == kernels::Family::W2A8
}

/// Number of comparisons by blocks in a run with these kernels, libraries' too, and rounds; with `sparse` one also
/// skips zero gates.
pub fn comparisons(kernels: &[Kernel], guests: &Guests, rounds: usize, sparse: bool) -> usize {
    if rounds < 2 {
        return 0;
    }
    let in_family = |family: Family| {
        let ours = kernels.iter().filter(|kernel| kernel.descriptor().family() == family).map(Kernel::id);
        let mut ids: Vec<&str> = ours.collect();
        let theirs = guests.to_speak().into_iter().filter(|index| guests.family(*index) == family);
        ids.extend(theirs.map(|index| guests.record(index).id.as_str()));
        ids
    };
    // One that skips is compared with its family's first kernel, and with itself as it is.
    let of_sparse = if sparse && kernels.iter().any(may_skip) { 2 } else { 0 };
    let of_family = |&family: &Family| micro::comparisons_of(&in_family(family), |id| guests.builds_on(id));
    Family::ALL.iter().map(of_family).sum::<usize>() + of_sparse
}

/// Id of a kernel in a record of blocks: `avx2-i8`, or `avx2-i8+sparse` where it skips zero gates.
pub fn id(kernel: &str, sparse: bool) -> String {
    format!("{kernel}{}", if sparse { SPARSE } else { "" })
}

/// A participant in the turns: a kernel, with or without skipping, or a second time for the A/A pair.
#[derive(Clone, Copy)]
pub struct Column<'a> {
    pub who: Who<'a>,
    /// Token ids that the kernel generated undisturbed, and must generate here.
    pub ids: &'a [u32],
    /// Whether the kernel skips what the gate's zeros make irrelevant.
    pub sparse: bool,
    /// Whether this is another column once more (A/A).
    pub again: bool,
    /// The rule of activations, where it is rules that take turns: it names the column then.
    pub rule: Option<ActivationRule>,
}

impl Column<'_> {
    /// Id of this column in the record, see [`id`]; or the name of its rule.
    pub fn id(&self) -> String {
        self.rule.map_or_else(|| id(self.who.id(), self.sparse), |rule| rule.name().to_owned())
    }
}

/// A column with what decodes one text of it.
struct Player<'a, 'm> {
    column: Column<'a>,
    plays: Box<dyn Plays + 'm>,
    /// Keeps the next decoder's memory from lying as this one's does.
    _gap: Vec<u8>,
}

/// What all columns do: prompt, number of texts, threads.
pub struct Plan<'a> {
    pub prompt: &'a [u32],
    /// Number of texts to generate.
    pub generations: usize,
    pub threads: usize,
    pub comparisons: usize,
    pub seed: u64,
    /// A flag that others set to stop the measurement between turns.
    pub interrupted: &'a AtomicBool,
    /// Id of the kernel that a kernel builds on.
    pub builds_on: &'a dyn Fn(&str) -> Option<String>,
}

/// The column that failed, and how.
#[derive(Debug)]
pub struct Broken(pub usize, pub Failed);

/// Measures the kernels of one family, or rules of activations, of which one must be there twice. `make` makes what
/// plays a column. None where the shortest text has no block, or was interrupted before one.
///
/// # Errors
/// Another id than the kernel generated undisturbed.
pub fn measure<'m>(
    columns: &[Column<'_>],
    plan: &Plan<'_>,
    mut make: impl FnMut(&Column<'_>) -> Result<Box<dyn Plays + 'm>, Failed>,
) -> Result<Option<TokenBlocks>, Broken> {
    let steps = columns.iter().map(|c| c.ids.len().saturating_sub(1)).min().unwrap_or(0);
    let turn = SETTLING_TOKENS + TOKENS;
    let per_text = steps / turn;
    let (Some(first), true) = (columns.first(), per_text > 0) else { return Ok(None) };
    let family = first.who.family();
    let most = plan.generations * per_text;
    let mut record = TokenBlocks {
        family: operation::family(family),
        tokens: TOKENS,
        settling_tokens: SETTLING_TOKENS,
        entries: columns.iter().map(|c| BlockEntry { kernel: c.id(), self_pair: c.again }).collect(),
        // The number of blocks is known, and all are wanted for the intervals: one look, at the end.
        rule: Rule::new(DELTA, "token block", &[most], most, plan.comparisons),
        rounds: Vec::with_capacity(most),
        prompts: Vec::with_capacity(plan.generations),
        summaries: Vec::new(),
        noise_floor: 0.0,
        method: Method::Current,
    };
    let seed = plan.seed ^ family as u64;
    let random = &mut SplitMix64::new(seed);
    let mut block_orders = orders(columns.len(), most, seed).into_iter();
    'texts: for (generation, order) in orders(columns.len(), plan.generations, !seed).into_iter().enumerate() {
        let mut players = Vec::with_capacity(columns.len());
        // In this text's order, so that no column gets the same place every time.
        for &index in &order {
            let broken = |failed| Broken(usize::from(index), failed);
            let column = columns[usize::from(index)];
            let _gap = vec![0; LINE * (1 + random.below(LINES_OF_A_PAGE) as usize)];
            let mut player = Player { column, plays: make(&column).map_err(broken)?, _gap };
            player.plays.warm_up(plan.prompt).map_err(broken)?;
            players.push((index, player));
        }
        players.sort_by_key(|(index, _)| *index);
        let mut players: Vec<Player<'_, 'm>> = players.into_iter().map(|(_, player)| player).collect();
        let prompt = turns(&mut players, order, plan.interrupted, |player| player.prompt(plan.prompt))?;
        let Some((round, _)) = prompt else { break };
        record.prompts.push(round);
        for (from, order) in (0..per_text).map(|block| block * turn).zip(&mut block_orders) {
            let round = turns(&mut players, order, plan.interrupted, |player| player.block(from))?;
            let Some((round, settling_ns)) = round else { break 'texts };
            record.rounds.push(BlockRound { generation, from, settling_ns, round });
        }
    }
    if record.rounds.is_empty() {
        return Ok(None);
    }
    summarize(&mut record, plan.threads, &plan.builds_on);
    Ok(Some(record))
}

/// One round, with the time before each column's stretch; none if it was interrupted.
fn turns<'a, 'm>(
    players: &mut [Player<'a, 'm>],
    order: Vec<u8>,
    interrupted: &AtomicBool,
    mut take: impl FnMut(&mut Player<'a, 'm>) -> Result<(Spent, u64), Failed>,
) -> Result<Option<(Round, Vec<u64>)>, Broken> {
    let mut settling_ns = vec![0; players.len()];
    let round = round(order, |entry| {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (spent, settling) = take(&mut players[entry]).map_err(|failed| Broken(entry, failed))?;
        settling_ns[entry] = settling;
        Ok(Some(spent))
    })?;
    Ok(round.map(|round| (round, settling_ns)))
}

/// A turn gives what is timed, and the nanoseconds of wall time before it.
impl Player<'_, '_> {
    /// The whole prompt, up to the logits of the first token.
    fn prompt(&mut self, prompt: &[u32]) -> Result<(Spent, u64), Failed> {
        let turned = self.plays.prompt(prompt)?;
        expect(&self.column, 0, &turned.ids, 1)?;
        Ok((turned.spent, 0))
    }

    /// The turn that begins with feeding the generated id `from`.
    fn block(&mut self, from: usize) -> Result<(Spent, u64), Failed> {
        let turn = SETTLING_TOKENS + TOKENS;
        let turned = self.plays.block(&self.column.ids[from..from + turn], SETTLING_TOKENS)?;
        expect(&self.column, from + 1, &turned.ids, turn)?;
        Ok((turned.spent, turned.settling_ns))
    }
}

/// That `count` ids came, which are those that the kernel generated undisturbed from `at` on.
fn expect(column: &Column<'_>, at: usize, ids: &[u32], count: usize) -> Result<(), Failed> {
    let (own, what) = (&column.ids[at..at + count], "when kernels take turns");
    let Some(i) = (0..count).find(|&i| ids.get(i) != Some(&own[i])) else { return Ok(()) };
    let got = ids.get(i).map_or_else(|| "none".to_owned(), u32::to_string);
    let why = format!("generates id {got} at {} {what}, {} undisturbed", at + i, own[i]);
    Err(match column.who {
        Who::Ours(_) => Error::failed(format!("{} {why}; run `tritbench verify`", column.id())).into(),
        Who::Theirs { .. } => Failed::Row { status: RowStatus::Wrong, why },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::load_model;
    use crate::machine::MachineArgs;
    use crate::measure::bench::Bench;
    use crate::measure::generation::greedy;
    use crate::registered;
    use kernels::CodeTable;
    use model::decoder::Decoder;
    use model::generate::{Request, Session};

    const PROMPT: [u32; 2] = [836, 27];

    /// The built-in model with three kernels and the last of them again; `change` may edit the ids that are expected.
    fn run(tokens: usize, stop: bool, change: impl Fn(&mut Vec<u32>)) -> Result<Option<TokenBlocks>> {
        let machine = MachineArgs::for_child(1, None).check(1).expect("a machine");
        let loaded = load_model::load("builtin", None, &machine).expect("loads");
        let never = AtomicBool::new(false);
        let mut bench = Bench::new(&loaded, &machine, None, &never);
        let ids = ["scalar-i8", "scalar", "scalar-i8", "scalar-i8"];
        let kernels: Vec<Kernel> = ids.iter().map(|id| machine.kernel(id).expect("runs everywhere")).collect();
        let mut make = |kernel: Kernel| -> Result<Decoder<'_>> {
            Ok(bench.decoder(kernel, CodeTable::TERNARY)?.context(32).build()?)
        };
        let mut text = |&kernel: &Kernel| {
            let mut decoder = make(kernel).expect("made");
            let request = Request { stop_at_eos: false, ..greedy(PROMPT.into(), tokens, None, Vec::new()) };
            let session = Session::new(&mut decoder, request).expect("fits");
            let mut ids = session.run(&never, &mut |_| {}).expect("runs").token_ids;
            change(&mut ids);
            ids
        };
        let texts: Vec<Vec<u32>> = kernels.iter().map(&mut text).collect();
        let numbered = kernels.iter().zip(&texts).enumerate();
        let columns: Vec<_> = numbered
            .map(|(i, (&k, ids))| Column { who: Who::Ours(k), ids, sparse: false, again: i == 3, rule: None })
            .collect();
        let interrupted = &AtomicBool::new(stop);
        let builds_on = &registered::builds_on;
        let plan =
            Plan { prompt: &PROMPT, generations: 2, threads: 1, comparisons: 3, seed: 1, interrupted, builds_on };
        let measured = measure(&columns, &plan, |column| {
            let Who::Ours(kernel) = column.who else { panic!("all are ours") };
            Ok(Box::new(make(kernel)?))
        });
        measured.map_err(|Broken(_, failed)| failed.into())
    }

    #[test]
    fn every_kernel_decodes_the_same_stretches() {
        let record = run(2 + 2 * (SETTLING_TOKENS + TOKENS), false, |_| {}).expect("ids agree").expect("blocks");
        let at: Vec<(usize, usize)> = record.rounds.iter().map(|r| (r.generation, r.from)).collect();
        assert_eq!(at, [(0, 0), (0, 5), (1, 0), (1, 5)]);
        assert_eq!((record.prompts.len(), record.entries.len(), record.rule.looks.as_slice()), (2, 4, &[4][..]));
        assert!(record.rounds.iter().all(|r| r.round.ns.iter().chain(&r.settling_ns).all(|ns| *ns > 0)));
        assert!(record.entries[3].self_pair && record.summaries[3].verdict.is_none());
        let own = &record.summaries[1];
        assert!(own.tokens_per_s > 0.0 && own.vs_baseline.as_ref().is_some_and(|r| r.partner == "scalar-i8"));
        assert!(own.prefill_vs_baseline.is_some() && own.verdict.as_ref().is_some_and(|v| v.samples == 4));
        let mut again = record.clone();
        (again.summaries, again.noise_floor) = (Vec::new(), 0.0);
        summarize(&mut again, 1, &registered::builds_on);
        assert_eq!(format!("{again:?}"), format!("{record:?}"));
    }

    #[test]
    fn texts_that_are_too_short_or_interrupted_have_no_blocks_and_another_token_is_an_error() {
        assert!(run(SETTLING_TOKENS + TOKENS, false, |_| {}).expect("nothing is wrong").is_none());
        assert!(run(12, true, |_| {}).expect("nothing is wrong").is_none());
        let error = run(8, false, |ids| ids[3] ^= 1).expect_err("differs").to_string();
        assert!(error.contains("at 3 when kernels take turns"), "{error}");
    }

    #[test]
    fn ratios_are_of_blocks_without_what_came_before() {
        let round = |i: u64| BlockRound {
            generation: 0,
            from: 0,
            settling_ns: vec![9_000, 9_000, 9_000],
            round: Round {
                order: vec![0, 1, 2],
                ns: vec![4_000 + i, 2_000, 2_000 + i],
                cpu_ns: vec![4_000 + i, 2_000, 2_000],
                wall_ns: Vec::new(),
                involuntary_switches: vec![0; 3],
            },
        };
        let entry = |kernel: &str, self_pair| BlockEntry { kernel: kernel.into(), self_pair };
        let mut record = TokenBlocks {
            family: receipt::Family::W2A8,
            tokens: 4,
            settling_tokens: 1,
            entries: vec![entry("a", false), entry("b", false), entry("b", true)],
            rule: Rule::new(DELTA, "token block", &[20], 20, 1),
            rounds: (0..20).map(round).collect(),
            prompts: Vec::new(),
            summaries: Vec::new(),
            noise_floor: 0.0,
            method: Method::Current,
        };
        let builds_on = |id: &str| (id == "b").then(|| "a".to_owned());
        summarize(&mut record, 1, &builds_on);
        let b = &record.summaries[1];
        let ratio = b.vs_baseline.as_ref().expect("a partner");
        assert!((ratio.median - 2.0).abs() < 0.01 && ratio.low.is_some() && b.vs_previous.as_ref() == Some(ratio));
        assert!((b.tokens_per_s - 2e6).abs() < 1.0 && (b.settling_tokens_per_s - 111_111.1).abs() < 1.0);
        assert!(b.verdict.as_ref().is_some_and(|v| v.outcome == receipt::Outcome::Pass && v.partner == "a"));
        // 95th percentile of the twins' deviations, 0 to 19 of 2000 ns.
        assert!((record.noise_floor - (1.0 - 2_000.0 / 2_018.0)).abs() < 1e-9, "{}", record.noise_floor);
        // An epoch that was preempted counts with its CPU time.
        record.rounds.iter_mut().for_each(|r| (r.round.ns[1], r.round.involuntary_switches[1]) = (90_000, 1));
        summarize(&mut record, 1, &builds_on);
        assert_eq!(record.summaries[1].tokens_per_s, 2e6);
        summarize(&mut record, 2, &builds_on);
        assert!(record.summaries[1].tokens_per_s < 1e5);
    }
}
