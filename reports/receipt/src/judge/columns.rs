//! Entries that take turns, whatever record holds them: a cell of microbenchmarks, token blocks, a cell of a gate,
//! engines.
//!
//! Who takes turns and how long each took by round, which entry is another one once more (A/A), and the loop that only
//! reads beside them. Every ratio and verdict is made here.

use super::method::Method;
use super::paired::Paired;
use super::sequential::{self, Same, SamePair, Sample, Side, Test, Until};
use super::stats::median;
use crate::record::{EngineTurns, GatePair, Lead, MicroCell, Ratio, Round, Rule, TokenBlocks, TurnEntry, Verdict};

/// Looks up the id of the stage that a kernel builds on.
pub type BuildsOn<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Column of a gate's round that holds the build that is measured against.
pub const BASELINE: usize = 0;
/// Column of a gate's round that holds the build that is judged.
pub const CURRENT: usize = 1;
/// Column of a gate's round that holds the baseline in a second process (A/A): what differs is the machine's noise.
pub const BASELINE_AGAIN: usize = 2;

/// What an entry's id ends with when it skips the zeros of the gate; without it, it is the id of its dense kernel.
pub const SPARSE: &str = "+sparse";

/// Id of the dense kernel of an entry that skips zeros (`avx2-i8` of `avx2-i8+sparse`); none of other entries.
pub fn dense_kernel(id: &str) -> Option<&str> {
    id.strip_suffix(SPARSE)
}

/// What a summary shows of an entry's comparisons: ratios, and the stored verdict.
pub type Shown<'s> = ([Option<&'s mut Ratio>; 2], &'s mut Option<Verdict>);

/// What an engine does for an id, as the difference of two requests shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineWork {
    /// Generating ids.
    Decode,
    /// Taking in ids of a prompt.
    Prompt,
}

/// A kernel or build that takes turns with others, with its times.
pub struct Entry {
    /// Kernel id, or what the build is called.
    pub id: String,
    /// Nanoseconds by round, 0 where a round lacks it.
    pub ns: Vec<u64>,
    /// Whether it is there for A/A only.
    self_pair: bool,
}

/// Two entries that are the same code (A/A): what they differ by is noise.
#[derive(Clone, Copy)]
pub struct Twin {
    /// Index of the entry that is there in its own right.
    pub first: usize,
    /// Index of the entry that is the same code once more.
    pub again: usize,
}

/// Entries that took turns, with their times by round: what every ratio and verdict is made from.
pub struct Columns {
    /// The entries in the record's order; the first is the baseline.
    pub entries: Vec<Entry>,
    /// The A/A pair among the entries, if there is one.
    pub twin: Option<Twin>,
    /// Nanoseconds by round of the loop that only reads the same bytes.
    pub stream: Option<Vec<u64>>,
    method: Method,
    until: Until,
    sample: Sample,
    /// Rounds of each process pair; empty where a sample is a round.
    pair_rounds: Vec<usize>,
    /// Samples of the twin.
    same: SamePair,
}

impl Columns {
    /// Columns of a cell of microbenchmarks; each round is one sample.
    pub fn micro(cell: &MicroCell) -> Self {
        let entries = cell.entries.iter().enumerate().map(|(i, entry)| Entry {
            id: entry.kernel.clone(),
            ns: cell.method.times(&cell.rounds, i, cell.threads),
            self_pair: entry.self_pair,
        });
        let stream = cell.stream.as_ref().map(|stream| stream.ns.clone());
        Self { stream, ..Self::of_rounds(entries.collect(), cell.method, Sample::Round) }
    }

    /// Columns of token blocks of decoders with `threads` threads; each block is one sample.
    pub fn blocks(record: &TokenBlocks, threads: usize) -> Self {
        let rounds: Vec<Round> = record.rounds.iter().map(|r| r.round.clone()).collect();
        let text = record.rounds.first().map(|r| r.generation);
        let blocks_a_text = record.rounds.iter().take_while(|r| Some(r.generation) == text).count();
        Self::of_rounds(token_entries(record, &rounds, threads), record.method, Sample::TokenBlock(blocks_a_text))
    }

    /// Columns of the prefill beside token blocks: each entry goes through the prompt once a text.
    pub fn prompts(record: &TokenBlocks, threads: usize) -> Self {
        Self::of_rounds(token_entries(record, &record.prompts, threads), record.method, Sample::Round)
    }

    /// Columns of a gate's cell; each process pair is one sample.
    pub fn gate(pairs: &[GatePair], threads: usize) -> Self {
        let entry = |(column, id): (usize, &str)| Entry {
            id: id.into(),
            ns: pairs.iter().flat_map(|pair| Method::Current.times(&pair.rounds, column, threads)).collect(),
            self_pair: column == BASELINE_AGAIN,
        };
        let builds = ["the baseline", "the current build", "the baseline"].into_iter().enumerate().map(entry);
        let pair_rounds = pairs.iter().map(|pair| pair.rounds.len()).collect();
        Self { until: Until::Decided, pair_rounds, ..Self::new(builds.collect(), Method::Current, Sample::ProcessPair) }
            .twinned()
    }

    /// Columns of engines in turns: what the longer request took beyond the short one, by wall time, 0 where that is
    /// nothing. Each round is one sample.
    pub fn engines(turns: &EngineTurns, work: EngineWork) -> Self {
        let longer = match work {
            EngineWork::Decode => &turns.text,
            EngineWork::Prompt => &turns.prompt,
        };
        let of = |round: &Round, i: usize| round.ns.get(i).copied().unwrap_or(0);
        let entry = |(i, entry): (usize, &TurnEntry)| Entry {
            id: entry.engine.clone(),
            ns: longer.iter().zip(&turns.first).map(|(long, first)| of(long, i).saturating_sub(of(first, i))).collect(),
            self_pair: entry.self_pair,
        };
        let entries = turns.entries.iter().enumerate().map(entry).collect();
        Self::of_rounds(entries, Method::Current, Sample::Round)
    }

    fn of_rounds(entries: Vec<Entry>, method: Method, sample: Sample) -> Self {
        Self::new(entries, method, sample).twinned()
    }

    fn new(entries: Vec<Entry>, method: Method, sample: Sample) -> Self {
        let (twin, stream, until, pair_rounds) = (None, None, method.until(), Vec::new());
        let same = SamePair::new(sample, Vec::new());
        Self { entries, twin, stream, method, until, sample, pair_rounds, same }
    }

    /// With the A/A pair, once the entries and what a sample is are known.
    fn twinned(mut self) -> Self {
        let again = self.entries.iter().position(|entry| entry.self_pair);
        self.twin = again.and_then(|again| Some(Twin { first: self.index(&self.entries[again].id)?, again }));
        let same = self.twin.map_or_else(Vec::new, |twin| self.log_ratios(twin.again, twin.first));
        self.same = SamePair::new(self.sample, same);
        self
    }

    /// Index of the entry with this id; the A/A entry has no id of its own.
    pub fn index(&self, id: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.id == id && !entry.self_pair)
    }

    fn id(&self, entry: usize) -> &str {
        self.entries.get(entry).map_or("", |entry| &entry.id)
    }

    /// Nanoseconds of one entry by round.
    pub fn ns(&self, entry: usize) -> &[u64] {
        self.entries.get(entry).map_or(&[], |entry| &entry.ns)
    }

    /// Index of the entry that an entry is compared with: the first, or for the A/A entry its twin.
    pub fn partner(&self, own: usize) -> Option<usize> {
        let entry = self.entries.get(own)?;
        let partner = if entry.self_pair { self.index(&entry.id)? } else { 0 };
        (partner != own).then_some(partner)
    }

    /// The stage that an entry builds on. One that skips builds on its dense kernel; where that is the first entry, the
    /// ratio to the first says it already.
    pub fn previous(&self, own: usize, builds_on: BuildsOn<'_>) -> Option<usize> {
        let entry = self.entries.get(own).filter(|entry| !entry.self_pair)?;
        let dense = || dense_kernel(&entry.id).and_then(|id| self.index(id)).filter(|dense| *dense > 0);
        builds_on(&entry.id).and_then(|id| self.index(&id)).or_else(dense)
    }

    /// Whom an entry's stored verdict is against: the stage that it builds on, or the first where that did not run.
    /// None for the first and the A/A entry.
    pub fn judged_against(&self, own: usize, builds_on: BuildsOn<'_>) -> Option<usize> {
        let entry = self.entries.get(own)?;
        (own > 0 && !entry.self_pair).then(|| self.previous(own, builds_on).unwrap_or(0))
    }

    /// ln(own time / partner time) of each sample: above 0, `own` is slower.
    pub fn log_ratios(&self, own: usize, partner: usize) -> Vec<f64> {
        let (own, partner) = (self.ns(own), self.ns(partner));
        if self.sample != Sample::ProcessPair {
            return sequential::log_ratios(partner, own);
        }
        let mut from = 0;
        let pair = |rounds: &usize| {
            let rounds = from..from + rounds;
            from = rounds.end;
            median(&sequential::log_ratios(&partner[rounds.clone()], &own[rounds]))
        };
        self.pair_rounds.iter().map(pair).collect()
    }

    /// ln(again / first) of each sample of the A/A pair.
    pub fn same(&self) -> &[f64] {
        self.same.samples()
    }

    /// The noise that the A/A pair shows, for a comparison over all samples.
    pub fn noise(&self) -> Same {
        self.same.whole()
    }

    /// The verdict on entry `own` against entry `partner`, and whether it stands or a later look may still decide.
    pub fn verdict(&self, rule: &Rule, own: usize, partner: usize) -> (Verdict, bool) {
        let test = Test { rule, until: self.until };
        sequential::decide(test, &self.log_ratios(own, partner), &self.same, self.id(partner))
    }

    /// The pair `own` against `partner` as one side of a comparison of two runs.
    pub fn side<'r>(&self, rule: &'r Rule, own: usize, partner: usize) -> Side<'r> {
        Side { rule, effect: self.log_ratios(own, partner), same: self.noise() }
    }

    /// The ratio of `own` to `partner` over all rounds, without a verdict.
    pub fn ratio(&self, own: usize, partner: usize) -> Ratio {
        Paired::new(self.method, self.ns(partner), self.ns(own)).ratio(self.id(partner))
    }

    /// Noise of single rounds: 95th percentile of |ratio - 1| over the A/A pair; 0 without one.
    pub fn noise_floor(&self) -> f64 {
        self.twin.map_or(0.0, |twin| Paired::new(self.method, self.ns(twin.first), self.ns(twin.again)).noise_floor())
    }

    /// The entry with the smallest of these median times, 0 for none, against the one with the next.
    pub fn lead(&self, rule: &Rule, medians: impl Iterator<Item = f64>) -> Option<Lead> {
        let mut ranked: Vec<(usize, f64)> = medians.enumerate().filter(|(_, ns)| *ns > 0.0).collect();
        ranked.retain(|(i, _)| self.entries.get(*i).is_some_and(|entry| !entry.self_pair));
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
        let [(fastest, _), (next, _), ..] = ranked[..] else { return None };
        let verdict = Some(Box::new(self.verdict(rule, fastest, next).0));
        Some(Lead { fastest, over_next: Ratio { verdict, ..self.ratio(fastest, next) } })
    }

    /// Judges every ratio that is shown, and fills in what a stored verdict of an older receipt lacks. One item an
    /// entry, in their order.
    pub fn fill<'s>(&self, rule: &Rule, shown: impl Iterator<Item = Shown<'s>>) {
        for (own, (ratios, stored)) in shown.enumerate() {
            let mut known: Option<Verdict> = None;
            let mut against = |id: &str| {
                let partner = self.index(id).filter(|partner| *partner != own && !self.ns(own).is_empty())?;
                if known.as_ref().is_none_or(|verdict| verdict.partner != id) {
                    known = Some(self.verdict(rule, own, partner).0);
                }
                known.clone()
            };
            for ratio in ratios.into_iter().flatten() {
                ratio.verdict = against(&ratio.partner).map(Box::new);
            }
            let Some(stored) = stored.as_mut().filter(|stored| stored.alarm_high.is_none()) else { continue };
            if let Some(again) = against(&stored.partner) {
                (stored.alarm_high, stored.pass_low) = (again.alarm_high, again.pass_low);
            }
        }
    }
}

/// Token blocks and prompts have had the one clock from the first.
fn token_entries(record: &TokenBlocks, rounds: &[Round], threads: usize) -> Vec<Entry> {
    let entry = |(i, entry): (usize, &crate::record::BlockEntry)| Entry {
        id: entry.kernel.clone(),
        ns: Method::Current.times(rounds, i, threads),
        self_pair: entry.self_pair,
    };
    record.entries.iter().enumerate().map(entry).collect()
}
