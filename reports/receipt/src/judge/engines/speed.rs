//! What the turns say of each engine, by this program's clock. Its own times stand beside it.

use crate::judge::columns::{Columns, EngineWork};
use crate::judge::reading::Reads;
use crate::judge::stats::{median, sign_test_interval};
use crate::record::{EngineRecord, EngineSpeed, EngineTurns, EnginesRecord, OwnTimes, Ratio, Round};

/// Ids a second of one entry in each round by this program's clock; rounds in which the longer request was not the
/// longer one are left out.
pub fn samples(turns: &EngineTurns, columns: &Columns, work: EngineWork, entry: usize) -> Vec<f64> {
    let ids = ids(turns, work) as f64;
    columns.ns(entry).iter().filter(|ns| **ns > 0).map(|ns| ids * 1e9 / *ns as f64).collect()
}

/// Ids by which two requests differ.
fn ids(turns: &EngineTurns, work: EngineWork) -> usize {
    match work {
        EngineWork::Decode => turns.tokens.saturating_sub(1),
        EngineWork::Prompt => turns.long.saturating_sub(turns.short),
    }
}

/// The turns with their two sets of columns.
pub(super) struct Turns<'r> {
    turns: &'r EngineTurns,
    decode: Columns,
    prompt: Columns,
}

impl<'r> Turns<'r> {
    pub(super) fn of(turns: &'r EngineTurns) -> Self {
        let [decode, prompt] = [EngineWork::Decode, EngineWork::Prompt].map(|work| Columns::engines(turns, work));
        Self { turns, decode, prompt }
    }

    /// Ids of the long prompt.
    pub(super) fn long(&self) -> usize {
        self.turns.long
    }

    pub(super) fn noise_floor(&self) -> f64 {
        self.decode.noise_floor()
    }

    /// The entry of an engine.
    pub(super) fn entry(&self, engine: &str) -> Option<usize> {
        self.decode.index(engine)
    }

    /// Medians of what an entry itself says, where it says it in every round: nanoseconds.
    pub(super) fn own_ns(&self, entry: usize, figure: fn(&OwnTimes) -> u64) -> Option<f64> {
        let times: Vec<f64> = self.turns.own_times.get(entry)?.iter().map(|own| figure(own) as f64).collect();
        (!times.is_empty() && times.iter().all(|ns| *ns > 0.0)).then(|| median(&times))
    }

    /// Median wall time of the requests of `text` and of `prompt`, in nanoseconds.
    pub(super) fn wall_ns(&self, entry: usize) -> [f64; 2] {
        [&self.turns.text, &self.turns.prompt].map(|rounds| {
            let ns = rounds.iter().filter_map(|round| round.ns.get(entry)).map(|ns| *ns as f64);
            median(&ns.collect::<Vec<_>>())
        })
    }

    /// How fast an entry decodes at least, in ids a second: the slow end of the 95% interval of the median. `None`
    /// where the rounds are too few to say.
    pub(super) fn decodes_at_least(&self, entry: usize) -> Option<f64> {
        sign_test_interval(&samples(self.turns, &self.decode, EngineWork::Decode, entry), 0.95).map(|(slow, _)| slow)
    }

    /// What the rounds say of an entry, whether it is right or not.
    pub(super) fn speed(&self, entry: usize) -> EngineSpeed {
        let turns = self.turns;
        let of = |columns: &Columns, work| median(&samples(turns, columns, work, entry));
        // An engine times its whole prompt, and all ids behind the first.
        let own = |ids: usize, figure| self.own_ns(entry, figure).map(|ns| ids as f64 * 1e9 / ns);
        let first: Vec<f64> = turns.first.iter().filter_map(|r| r.ns.get(entry)).map(|ns| *ns as f64 / 1e6).collect();
        // Sums: a thread that never sleeps is charged by ticks of some milliseconds, so that one round tells nothing.
        let threads = |rounds: &[Round]| {
            let sum = |of: fn(&Round) -> &Vec<u64>| rounds.iter().filter_map(|r| of(r).get(entry)).sum::<u64>() as f64;
            let (wall, cpu) = (sum(|round| &round.ns), sum(|round| &round.cpu_ns));
            if wall > 0.0 { cpu / wall } else { 0.0 }
        };
        EngineSpeed {
            decode_tokens_per_s: of(&self.decode, EngineWork::Decode),
            prompt_tokens_per_s: of(&self.prompt, EngineWork::Prompt),
            first_token_ms: median(&first),
            own_decode_tokens_per_s: own(turns.tokens.saturating_sub(1), |own| own.text_decode_ns),
            own_prompt_tokens_per_s: own(turns.long, |own| own.prompt_ns),
            threads_used: threads(&turns.text).max(threads(&turns.prompt)),
            share_of_bound: None,
            decode: self.ratio(&self.decode, entry),
            prompt: self.ratio(&self.prompt, entry),
        }
    }

    /// Against our own program; of that one what the same program once more shows (A/A).
    fn ratio(&self, columns: &Columns, entry: usize) -> Option<Ratio> {
        let own = columns.twin.filter(|twin| twin.first == entry).map_or(entry, |twin| twin.again);
        let partner = columns.partner(own)?;
        let verdict = Some(Box::new(columns.verdict(&self.turns.rule, own, partner).0));
        Some(Ratio { verdict, ..columns.ratio(own, partner) })
    }
}

/// Speed of each engine that took turns, right or not, in the order of the record.
pub(super) fn speeds(record: &EnginesRecord, reads: Reads<'_>) -> Vec<Option<EngineSpeed>> {
    let turns = record.turns.as_ref().map(Turns::of);
    let of = |engine: &EngineRecord| {
        let turns = turns.as_ref()?;
        let speed = turns.speed(turns.entry(&engine.name)?);
        let bound = reads.tokens(engine.bytes_per_token, record.threads);
        let share_of_bound = bound.map(|bound| speed.decode_tokens_per_s / bound.tokens_s);
        Some(EngineSpeed { share_of_bound, ..speed })
    };
    record.engines.iter().map(of).collect()
}

/// Judges every ratio that is shown. Nothing that was written is changed.
pub fn fill(record: &mut EnginesRecord) {
    let Some(turns) = record.turns.as_ref().map(Turns::of) else { return };
    let judged = record.engines.iter().map(|engine| {
        turns.entry(&engine.name).map(|entry| {
            [&turns.decode, &turns.prompt].map(|columns| turns.ratio(columns, entry).and_then(|ratio| ratio.verdict))
        })
    });
    let judged: Vec<_> = judged.collect();
    for (engine, verdicts) in record.engines.iter_mut().zip(judged) {
        let Some((speed, verdicts)) = engine.speed.as_mut().zip(verdicts) else { continue };
        for (ratio, verdict) in [&mut speed.decode, &mut speed.prompt].into_iter().zip(verdicts) {
            ratio.iter_mut().for_each(|ratio| ratio.verdict.clone_from(&verdict));
        }
    }
}
