//! The rule that turns paired samples into a verdict: looks at fixed sample sizes, the chance of a false alarm shared
//! among the looks and the comparisons of a run, and the same code against itself as the measure of what the machine
//! makes up.
//!
//! An alarm and a pass are held to different levels. Crying wolf anywhere in a run must stay below `alpha`, so an
//! alarm's level is divided by the run's comparisons; a pass only speaks for its own cell, so its level is not.
//!
//! The A/A floor is that of the statistic that is judged, the median over all samples: its spread over resamples of the
//! A/A parts (process pairs, or blocks of ten rounds, because neighbouring rounds are alike). A floor for single rounds
//! (2-5% on shared machines) or single pairs (1-3%) would hide every slowdown below twice that, however many samples
//! there are.

use super::stats::{median, median_of, quantile, sign_test_interval};
use crate::random::SplitMix64;
use crate::record::{Outcome, Rule, Verdict};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Numbers of rounds at which a comparison inside one process is looked at.
pub const ROUND_LOOKS: [usize; 5] = [50, 100, 200, 400, 800];
/// Looks of a comparison of two builds, in process pairs. At the first a pass can be said; 16 pairs that all agree are
/// enough for an alarm among 81 comparisons.
pub const PAIR_LOOKS: [usize; 4] = [12, 16, 22, 32];
/// Smallest slowdown that matters by default, as a share: 0.03 is 3%.
pub const DELTA: f64 = 0.03;
/// Chance of any false alarm in a whole run, by default: 0.01 is 1%.
pub const ALPHA: f64 = 0.01;
/// Number of neighbouring rounds whose median is one sample of a median's noise.
pub const BLOCK: usize = 10;

/// Confidence of the A/A interval.
const AA_CONFIDENCE: f64 = 0.99;
/// An A/A pair that differs for sure, but by less than this share of delta, cannot move a verdict: with hundreds of
/// rounds a bias of a thousandth is always "significant".
const AA_HARMLESS: f64 = 1.0 / 3.0;
/// A machine on which the same code differs by this much against itself cannot judge anything.
const DELTA_EFF_LIMIT: f64 = 0.15;

impl Rule {
    /// The default rule for `comparisons` comparisons of `sample`s, at those of `looks` that fit within `most` samples.
    pub fn new(delta: f64, sample: &str, looks: &[usize], most: usize, comparisons: usize) -> Self {
        let mut looks: Vec<usize> = looks.iter().copied().filter(|l| *l <= most).collect();
        if looks.last() != Some(&most) && looks.is_empty() {
            looks.push(most);
        }
        Self { delta, alpha: ALPHA, looks, comparisons: comparisons.max(1), sample: sample.into() }
    }

    /// The largest number of samples that is ever looked at.
    pub fn most(&self) -> usize {
        self.looks.last().copied().unwrap_or(0)
    }

    fn level(&self) -> f64 {
        self.alpha / self.looks.len().max(1) as f64
    }
}

/// The verdict over log(own time / partner time) of each sample as they are, and whether it stands: false when a later
/// look may still decide.
///
/// Between looks it is not to be called: looking whenever one likes spends the chance of a false alarm over and over.
pub fn judge(rule: &Rule, effect: &[f64], same: Same, partner: &str) -> (Verdict, bool) {
    let evidence = Evidence {
        samples: effect.len(),
        change: median(effect),
        alarm: sign_test_interval(effect, 1.0 - rule.level() / rule.comparisons as f64),
        pass: sign_test_interval(effect, 1.0 - rule.level()),
        same,
    };
    conclude(rule, &evidence, partner)
}

/// What an A/A pair shows: how far the same code differs from itself, and how noisy the machine is.
#[derive(Clone, Copy, Debug)]
pub struct Same {
    change: f64,
    interval: Option<(f64, f64)>,
    p95: f64,
}

impl Same {
    /// What the samples of an A/A pair show; each is ln(again / first).
    pub fn new(sample: Sample, same: &[f64]) -> Self {
        let parts = match sample {
            Sample::Round => blocks(same),
            Sample::ProcessPair => same.to_vec(),
            Sample::TokenBlock(blocks_a_text) => same.chunks(blocks_a_text.max(1)).map(median).collect(),
        };
        // Blocks of one text are no samples of their own.
        let same = if matches!(sample, Sample::TokenBlock(_)) { &parts } else { same };
        Self::of_parts(same, &parts)
    }

    /// Samples, and those parts of them that are independent of each other: what the noise of the median is taken from.
    fn of_parts(same: &[f64], parts: &[f64]) -> Self {
        let interval = sign_test_interval(same, AA_CONFIDENCE);
        Self { change: median(same), interval, p95: noise_of_median(parts).exp_m1() }
    }

    /// Whether it differs from itself for sure, by more than could move no verdict.
    fn is_biased(&self, rule: &Rule) -> bool {
        self.interval.is_some_and(|(low, high)| low > 0.0 || high < 0.0)
            && self.change.abs().exp_m1() > rule.delta * AA_HARMLESS
    }
}

/// The samples of an A/A pair, and what they showed at each look: all comparisons of a cell have the same pair, and
/// resampling its noise takes longer than everything else of a verdict.
pub struct SamePair {
    sample: Sample,
    /// ln(again / first) of each sample.
    samples: Vec<f64>,
    looked: RefCell<BTreeMap<usize, Same>>,
}

impl SamePair {
    /// A pair of which each sample is such a one.
    pub fn new(sample: Sample, samples: Vec<f64>) -> Self {
        Self { sample, samples, looked: RefCell::default() }
    }

    /// ln(again / first) of each sample.
    pub fn samples(&self) -> &[f64] {
        &self.samples
    }

    /// What all samples show.
    pub fn whole(&self) -> Same {
        self.at(self.samples.len())
    }

    /// What so many samples show.
    fn at(&self, look: usize) -> Same {
        let mut looked = self.looked.borrow_mut();
        *looked.entry(look).or_insert_with(|| Same::new(self.sample, &self.samples[..look]))
    }
}

/// What a verdict is made of, in logarithms.
struct Evidence {
    samples: usize,
    change: f64,
    /// At level alpha / looks / comparisons.
    alarm: Option<(f64, f64)>,
    /// At level alpha / looks.
    pass: Option<(f64, f64)>,
    same: Same,
}

/// One side of a comparison of two runs: a pair of kernels that took turns in one of them.
pub struct Side<'a> {
    /// The rule of this side's run.
    pub rule: &'a Rule,
    /// ln(own time / partner time) of each sample of the pair.
    pub effect: Vec<f64>,
    /// What the run's own A/A pair shows.
    pub same: Same,
}

/// Whether a kernel changed against its partner from the first run to the other. The runs are independent: each gives
/// its interval at half the level, and the noisier one's A/A pair says what counts.
pub fn across(first: &Side<'_>, other: &Side<'_>, partner: &str) -> Verdict {
    let rule = if first.rule.comparisons >= other.rule.comparisons { first.rule } else { other.rule };
    let interval = |level: f64| {
        let own = |side: &Side<'_>| sign_test_interval(&side.effect, 1.0 - level / 2.0);
        own(first).zip(own(other)).map(|(a, b)| (b.0 - a.1, b.1 - a.0))
    };
    let biased = [first.same, other.same].into_iter().find(|same| same.is_biased(rule));
    let noisier = if first.same.p95 >= other.same.p95 { first.same } else { other.same };
    let evidence = Evidence {
        samples: first.effect.len().min(other.effect.len()),
        change: median(&other.effect) - median(&first.effect),
        alarm: interval(rule.level() / rule.comparisons as f64),
        pass: interval(rule.level()),
        same: Same { p95: noisier.p95, ..biased.unwrap_or(noisier) },
    };
    conclude(rule, &evidence, partner).0
}

fn conclude(rule: &Rule, evidence: &Evidence, partner: &str) -> (Verdict, bool) {
    let Evidence { samples: n, change, alarm, pass, same } = *evidence;
    let share = f64::exp_m1;
    let ends = |interval: Option<(f64, f64)>| interval.map(|(low, high)| (share(low), share(high))).unzip();
    let delta_eff = rule.delta.max(2.0 * same.p95);
    let threshold = delta_eff.ln_1p();
    let is_biased = same.is_biased(rule);
    let is_slower = alarm.is_some_and(|(low, _)| low > 0.0) && change > threshold;
    let is_not_slower = pass.is_some_and(|(_, high)| high < threshold);

    let percent = |log: f64| format!("{:+.1}%", 100.0 * share(log));
    let size = |share: f64| format!("{:.1}%", 100.0 * share);
    let (samples, by, limit) = (format!("{n} {}s", rule.sample), percent(change), size(delta_eff));
    let is_last = n >= rule.most();
    // Who asks for a larger delta than that is answered by it.
    let is_noisy = delta_eff > DELTA_EFF_LIMIT.max(rule.delta);
    let (outcome, stands, reason, next_step) = if is_biased || is_noisy {
        let reason = if is_biased {
            format!("the same code differs from itself by {} over {samples}", percent(same.change))
        } else {
            format!("the same code differs from itself by up to {} ({samples})", size(same.p95))
        };
        (Outcome::Unstable, is_last, reason, "stop what else runs on this machine, or pin with --pin, and run again")
    } else if is_slower {
        let slower = size(share(change));
        let reason = format!("{slower} slower than {partner}, above the threshold of {limit} ({samples})");
        let next_step = "compare instruction counts and the assembly of the hot loop with the partner's";
        (Outcome::Fail, true, reason, next_step)
    } else if is_not_slower {
        let most = percent(pass.map_or(change, |(_, high)| high));
        let reason = format!("{by} against {partner}, at most {most} ({samples}, threshold {limit})");
        (Outcome::Pass, true, reason, "nothing to do")
    } else {
        let reason = if alarm.is_none() && pass.is_none() {
            format!("{samples} are too few for any interval")
        } else {
            format!("{by} against {partner} and the threshold of {limit} cannot be told apart in {samples}")
        };
        (Outcome::Inconclusive, is_last, reason, "run again on a quieter machine, or with more rounds")
    };
    let ((alarm_low, alarm_high), (pass_low, pass_high)) = (ends(alarm), ends(pass));
    let (aa_low, aa_high) = ends(same.interval);
    let verdict = Verdict {
        outcome,
        partner: partner.into(),
        samples: n,
        change: share(change),
        alarm_low,
        alarm_high,
        pass_high,
        pass_low,
        delta_eff,
        aa_p95: same.p95,
        aa_change: share(same.change),
        aa_low,
        aa_high,
        reason,
        next_step: next_step.into(),
    };
    (verdict, stands)
}

/// 95th percentile of |median| over resamples of the A/A parts (Efron's bootstrap, with a fixed seed so that it can be
/// recomputed).
fn noise_of_median(parts: &[f64]) -> f64 {
    const RESAMPLES: usize = 999;
    let Ok(n) = u32::try_from(parts.len()) else { return f64::INFINITY };
    if n == 0 {
        return 0.0;
    }
    let mut random = SplitMix64::new(0x0b00_7574_2a9d);
    let mut sample = vec![0.0; parts.len()];
    let mut resample = || {
        sample.fill_with(|| parts[random.below(n) as usize]);
        median_of(&mut sample).abs()
    };
    quantile(&(0..RESAMPLES).map(|_| resample()).collect::<Vec<_>>(), 0.95)
}

/// What one sample of a comparison is, which says what parts of the A/A pair are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// One round of a process; noise is that of medians of [`BLOCK`] rounds.
    Round,
    /// The median over one process pair, independent of the others.
    ProcessPair,
    /// A block of tokens of a text that has so many of them. Blocks of one text share what is particular to its
    /// engines, so the A/A pair counts by text.
    TokenBlock(usize),
}

/// How long a comparison is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until PASS or FAIL can be said: the first look that stands is the verdict. Samples past it change nothing, so a
    /// comparison that others in its cell outlast keeps its verdict.
    Decided,
    /// Until the direction can be said. All samples up to the last look are judged, so that word and figure are of the
    /// same rounds.
    Settled,
}

/// How the samples of one comparison become a verdict.
#[derive(Clone, Copy)]
pub struct Test<'r> {
    /// The rule of the run: threshold, chance of a false alarm, looks.
    pub rule: &'r Rule,
    /// How long the comparison is looked at.
    pub until: Until,
}

/// Takes the looks that there are samples for: log(own time / partner time) of each, and of the same code against
/// itself. The flag says whether the verdict stands: false while a later look may still say more.
pub fn decide(test: Test<'_>, effect: &[f64], same: &SamePair, partner: &str) -> (Verdict, bool) {
    let Test { rule, until } = test;
    let have = effect.len().min(same.samples.len());
    let verdict_at = |look: usize| judge(rule, &effect[..look], same.at(look), partner);
    let looks = rule.looks.iter().copied().filter(|look| *look <= have);
    let mut last = None;
    // Looks before the last settle nothing where all samples are judged.
    let skipped = if until == Until::Settled { looks.clone().count().saturating_sub(1) } else { 0 };
    for look in looks.skip(skipped) {
        let (verdict, stands) = verdict_at(look);
        let is_over = match until {
            Until::Decided => stands,
            Until::Settled => verdict.samples >= rule.most() || verdict.direction().is_settled(),
        };
        if is_over {
            return (verdict, true);
        }
        last = Some(verdict);
    }
    // Between looks there is no direction.
    let cut_off = || Verdict {
        outcome: Outcome::Inconclusive,
        alarm_high: None,
        pass_low: None,
        reason: format!("stopped after {have} {}s, before the first look", rule.sample),
        ..judge(rule, &effect[..have], Same::of_parts(&same.samples[..have], &[]), partner).0
    };
    (Verdict { next_step: "run it to its end".into(), ..last.unwrap_or_else(cut_off) }, false)
}

/// Medians of neighbouring blocks of [`BLOCK`] samples.
pub fn blocks(same: &[f64]) -> Vec<f64> {
    same.chunks(BLOCK).filter(|block| block.len() == BLOCK || same.len() < BLOCK).map(median).collect()
}

/// ln(own / partner) by round, above 0 for slower; rounds without both are left out. The one sign of this program.
pub fn log_ratios(partner_ns: &[u64], own_ns: &[u64]) -> Vec<f64> {
    let both = partner_ns.iter().zip(own_ns).filter(|(p, o)| **p > 0 && **o > 0);
    both.map(|(&p, &o)| (o as f64 / p as f64).ln()).collect()
}

#[cfg(test)]
#[path = "sequential_tests.rs"]
mod tests;
