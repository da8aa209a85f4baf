//! The rule that turns paired samples into a verdict: looks at fixed sample sizes, the chance of a false alarm shared among the looks
//! and the comparisons of a run, and the same code against itself as the measure of what the machine makes up.
//!
//! An alarm and a pass are held to different levels. Crying wolf anywhere in a run must stay below `alpha`, so an alarm's level is divided
//! by the run's comparisons; a pass only speaks for its own cell, so its level is not.
//!
//! The A/A floor is that of the statistic that is judged, the median over all samples: its spread over resamples of the A/A parts (process
//! pairs, or blocks of ten rounds, because neighbouring rounds are alike). A floor for single rounds (2-5% on shared machines) or single
//! pairs (1-3%) would hide every slowdown below twice that, however many samples there are.

use super::stats::{median, quantile, sign_test_interval};
use crate::random::SplitMix64;
use crate::record::{Outcome, Rule, Verdict};

/// Looks of a comparison inside one process, in rounds.
pub const ROUND_LOOKS: [usize; 5] = [50, 100, 200, 400, 800];
/// Looks of a comparison of two builds, in process pairs. At the first a pass can be said; 16 pairs that all agree are enough for an alarm
/// among 65 comparisons.
pub const PAIR_LOOKS: [usize; 5] = [12, 16, 20, 24, 32];
/// Smallest slowdown that matters, unless the user says otherwise.
pub const DELTA: f64 = 0.03;
/// Chance of any false alarm in a run.
pub const ALPHA: f64 = 0.01;
/// Rounds of a block whose median stands for the noise of a median.
pub const BLOCK: usize = 10;

/// Confidence of the A/A interval.
const AA_CONFIDENCE: f64 = 0.99;
/// An A/A pair that differs for sure, but by less than this share of delta, cannot move a verdict: with hundreds of rounds a bias of a
/// thousandth is always "significant".
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

    /// Most samples that are ever looked at.
    pub fn most(&self) -> usize {
        self.looks.last().copied().unwrap_or(0)
    }

    fn level(&self) -> f64 {
        self.alpha / self.looks.len().max(1) as f64
    }
}

/// What is judged: log(own time / partner time) of each sample, and of the same code against itself.
pub struct Samples<'a> {
    /// The comparison.
    pub effect: &'a [f64],
    /// Same code against itself.
    pub same: &'a [f64],
    /// Parts of `same` that are independent of each other: what the noise of the median is taken from.
    pub same_parts: &'a [f64],
}

/// The verdict over the samples as they are, and whether it stands: false when a later look may still decide.
///
/// Between looks it is not to be called: looking whenever one likes spends the chance of a false alarm over and over.
pub fn judge(rule: &Rule, samples: &Samples<'_>, partner: &str) -> (Verdict, bool) {
    let evidence = Evidence {
        samples: samples.effect.len(),
        change: median(samples.effect),
        alarm: sign_test_interval(samples.effect, 1.0 - rule.level() / rule.comparisons as f64),
        pass: sign_test_interval(samples.effect, 1.0 - rule.level()),
        same: Same::of(samples.same, samples.same_parts),
    };
    conclude(rule, &evidence, partner)
}

/// The same code against itself.
#[derive(Clone, Copy, Debug)]
pub struct Same {
    change: f64,
    interval: Option<(f64, f64)>,
    p95: f64,
}

impl Same {
    /// Of these samples, whose independent parts are given apart.
    pub fn of(same: &[f64], parts: &[f64]) -> Self {
        let interval = sign_test_interval(same, AA_CONFIDENCE);
        Self { change: median(same), interval, p95: noise_of_median(parts).exp_m1() }
    }

    /// Whether it differs from itself for sure, by more than could move no verdict.
    fn is_biased(&self, rule: &Rule) -> bool {
        self.interval.is_some_and(|(low, high)| low > 0.0 || high < 0.0)
            && self.change.abs().exp_m1() > rule.delta * AA_HARMLESS
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
    /// That run's rule.
    pub rule: &'a Rule,
    /// The pair.
    pub effect: Vec<f64>,
    /// The run's own A/A pair.
    pub same: Same,
}

/// Whether a kernel changed against its partner from the first run to the other. The runs are independent: each gives its interval at half
/// the level, and the noisier one's A/A pair says what counts.
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
    let share = |log: f64| log.exp_m1();
    let (alarm_low, pass_high) = (alarm.map(|i| i.0), pass.map(|i| i.1));
    let (same_change, same_interval, aa_p95) = (same.change, same.interval, same.p95);
    let delta_eff = rule.delta.max(2.0 * aa_p95);
    let threshold = delta_eff.ln_1p();

    let biased = same.is_biased(rule);
    let too_noisy = delta_eff > DELTA_EFF_LIMIT;
    let slower = alarm_low.is_some_and(|low| low > 0.0) && change > threshold;
    let not_slower = pass_high.is_some_and(|high| high < threshold);
    let percent = |share: f64| format!("{:+.1}%", 100.0 * share);
    let size = |share: f64| format!("{:.1}%", 100.0 * share);
    let samples_of = format!("{n} {}s", rule.sample);
    let (outcome, stands, reason, next_step) = match () {
        () if biased || too_noisy => (
            Outcome::Unstable,
            n >= rule.most(),
            if biased {
                format!("the same code differs from itself by {} over {samples_of}", percent(share(same_change)))
            } else {
                format!("the same code differs from itself by up to {} ({samples_of})", size(aa_p95))
            },
            "stop what else runs on this machine, or pin with --pin, and run again".into(),
        ),
        () if slower => (
            Outcome::Fail,
            true,
            format!(
                "{} slower than {partner}, above the threshold of {} ({samples_of})",
                size(share(change)),
                size(delta_eff)
            ),
            "compare instruction counts and the assembly of the hot loop with the partner's".into(),
        ),
        () if not_slower => (
            Outcome::Pass,
            true,
            format!(
                "{} against {partner}, at most {} ({samples_of}, threshold {})",
                percent(share(change)),
                percent(share(pass_high.unwrap_or(change))),
                size(delta_eff)
            ),
            "nothing to do".into(),
        ),
        () => {
            let why = match alarm_low {
                None if pass_high.is_none() => format!("{samples_of} are too few for any interval"),
                _ => format!(
                    "{} against {partner} and the threshold of {} cannot be told apart in {samples_of}",
                    percent(share(change)),
                    size(delta_eff)
                ),
            };
            (Outcome::Inconclusive, n >= rule.most(), why, "run again on a quieter machine, or with more rounds".into())
        }
    };
    let verdict = Verdict {
        outcome,
        partner: partner.into(),
        samples: n,
        change: share(change),
        alarm_low: alarm_low.map(share),
        alarm_high: alarm.map(|i| share(i.1)),
        pass_high: pass_high.map(share),
        pass_low: pass.map(|i| share(i.0)),
        delta_eff,
        aa_p95,
        aa_change: share(same_change),
        aa_low: same_interval.map(|i| share(i.0)),
        aa_high: same_interval.map(|i| share(i.1)),
        reason,
        next_step,
    };
    (verdict, stands)
}

/// 95th percentile of |median| over resamples of the A/A parts (Efron's bootstrap, with a fixed seed so that it can be recomputed).
fn noise_of_median(parts: &[f64]) -> f64 {
    const RESAMPLES: usize = 999;
    let Ok(n) = u32::try_from(parts.len()) else { return f64::INFINITY };
    if n == 0 {
        return 0.0;
    }
    let mut random = SplitMix64::new(0x0b00_7574_2a9d);
    let mut resample = || median(&(0..n).map(|_| parts[random.below(n) as usize]).collect::<Vec<_>>()).abs();
    quantile(&(0..RESAMPLES).map(|_| resample()).collect::<Vec<_>>(), 0.95)
}

/// What a sample stands for, which is what `same_parts` are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// One round of a process: noise is that of medians of [`BLOCK`] rounds.
    Round,
    /// The median of one process pair, and its own part.
    ProcessPair,
    /// A block of tokens of a text that has so many of them. Blocks of one text share what is particular to its engines, so the A/A pair
    /// counts by text.
    TokenBlock(usize),
}

/// Until when a comparison is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until PASS or FAIL can be said: the first look that stands is the verdict. Samples past it change nothing, so a comparison that
    /// others in its cell outlast keeps its verdict.
    Decided,
    /// Until the direction can be said. All samples up to the last look are judged, so that word and figure are of the same rounds.
    Settled,
}

/// Takes the looks that there are samples for. The flag says whether the verdict stands: false while a later look may still say more.
pub fn decide(
    rule: &Rule,
    until: Until,
    sample: Sample,
    effect: &[f64],
    same: &[f64],
    partner: &str,
) -> (Verdict, bool) {
    let have = effect.len().min(same.len());
    let at = |look: usize| {
        let same = &same[..look];
        let parts = match sample {
            Sample::Round => blocks(same),
            Sample::ProcessPair => same.to_vec(),
            Sample::TokenBlock(of_a_text) => same.chunks(of_a_text.max(1)).map(median).collect(),
        };
        let same = if matches!(sample, Sample::TokenBlock(_)) { &parts } else { same };
        judge(rule, &Samples { effect: &effect[..look], same, same_parts: &parts }, partner)
    };
    let mut looks = rule.looks.iter().copied().filter(|look| *look <= have);
    let last = match until {
        Until::Decided => {
            let mut last = None;
            for look in looks {
                let (verdict, stands) = at(look);
                if stands {
                    return (verdict, true);
                }
                last = Some(verdict);
            }
            last
        }
        Until::Settled => match looks.next_back().map(at) {
            Some((verdict, _)) if verdict.samples >= rule.most() || verdict.direction().is_settled() => {
                return (verdict, true);
            }
            last => last.map(|(verdict, _)| verdict),
        },
    };
    let mut verdict = last.unwrap_or_else(|| {
        let nothing = Samples { effect: &effect[..have], same: &same[..have], same_parts: &[] };
        let mut verdict = judge(rule, &nothing, partner).0;
        verdict.reason = format!("stopped after {have} {}s, before the first look", rule.sample);
        verdict.outcome = Outcome::Inconclusive;
        // Between looks there is no direction.
        (verdict.alarm_high, verdict.pass_low) = (None, None);
        verdict
    });
    verdict.next_step = "run it to its end".into();
    (verdict, false)
}

/// Medians of blocks of [`BLOCK`] samples.
pub fn blocks(same: &[f64]) -> Vec<f64> {
    same.chunks(BLOCK).filter(|block| block.len() == BLOCK || same.len() < BLOCK).map(median).collect()
}

/// ln(own / partner) by round, above 0 for slower; rounds without both are left out. The one sign of this program.
pub fn log_ratios(partner_ns: &[u64], own_ns: &[u64]) -> Vec<f64> {
    let both = partner_ns.iter().zip(own_ns).filter(|(p, o)| **p > 0 && **o > 0);
    both.map(|(&p, &o)| (o as f64 / p as f64).ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(comparisons: usize) -> Rule {
        Rule::new(DELTA, "round", &ROUND_LOOKS, 800, comparisons)
    }

    /// Noise like a shared machine's: a core of about 1% and outliers of 30%, which a median must shrug off.
    fn noise(random: &mut SplitMix64) -> f64 {
        let core = (0..4).map(|_| f64::from(random.signed_unit())).sum::<f64>() * 0.01;
        if random.next_u64().is_multiple_of(20) { core + 0.3 } else { core }
    }

    fn run(rule: &Rule, effect: f64, seed: u64) -> Verdict {
        let random = &mut SplitMix64::new(seed);
        let (effect, same): (Vec<f64>, Vec<f64>) =
            (0..rule.most()).map(|_| (effect + noise(random) - noise(random), noise(random) - noise(random))).unzip();
        let (verdict, stands) = decide(rule, Until::Decided, Sample::Round, &effect, &same, "partner");
        assert!(stands, "the last look always stands");
        verdict
    }

    #[test]
    fn null_pairs_pass_early_and_never_alarm() {
        let verdicts: Vec<Verdict> = (0..2000).map(|seed| run(&rule(40), 0.0, seed)).collect();
        assert!(verdicts.iter().all(|v| v.outcome != Outcome::Fail));
        let passed: Vec<_> = verdicts.iter().filter(|v| v.outcome == Outcome::Pass).collect();
        assert!(passed.len() > 1960, "{}", passed.len());
        let rounds: usize = passed.iter().map(|v| v.samples).sum();
        assert!(rounds / passed.len() <= 110, "{} rounds on average", rounds / passed.len());
    }

    #[test]
    fn a_true_five_percent_is_found() {
        let found = (0..1000).filter(|seed| run(&rule(40), 0.05f64.ln_1p(), *seed).outcome == Outcome::Fail).count();
        assert!(found >= 950, "{found} of 1000");
    }

    #[test]
    fn process_pairs_decide_both_ways() {
        let rule = Rule::new(DELTA, "process pair", &PAIR_LOOKS, 32, 45);
        let verdict = |effect: f64, n: usize| {
            let effect: Vec<f64> = (0..n).map(|i| effect + 0.002 * (i % 5) as f64).collect();
            let same: Vec<f64> = (0..n).map(|i| 0.004 * (i % 3) as f64 - 0.004).collect();
            judge(&rule, &Samples { effect: &effect, same: &same, same_parts: &same }, "b")
        };
        let (null, stands) = verdict(0.0, 12);
        assert!(stands && null.outcome == Outcome::Pass, "{null:?}");
        let (early, stands) = verdict(0.05, 12);
        assert!(
            !stands && early.outcome == Outcome::Inconclusive,
            "12 pairs cannot carry an alarm among 45: {early:?}"
        );
        let (slow, stands) = verdict(0.05, 16);
        assert!(stands && slow.outcome == Outcome::Fail && slow.reason.contains("slower than b"), "{slow:?}");
    }

    #[test]
    fn the_chance_of_a_false_alarm_is_shared_among_looks_and_comparisons() {
        let effect: Vec<f64> = (0..200).map(|i| 0.1 + 0.0001 * f64::from(i)).collect();
        let same = vec![0.0; 200];
        let samples = Samples { effect: &effect, same: &same, same_parts: &[] };
        for (comparisons, alarm) in [(1, 0.01 / 5.0), (40, 0.01 / 5.0 / 40.0)] {
            let verdict = judge(&rule(comparisons), &samples, "p").0;
            let ends = |alpha: f64| sign_test_interval(&effect, 1.0 - alpha).expect("200 are enough");
            assert_eq!(verdict.alarm_low, Some(ends(alarm).0.exp_m1()), "{comparisons} comparisons");
            assert_eq!(verdict.pass_high, Some(ends(0.01 / 5.0).1.exp_m1()), "a pass speaks for its own cell");
        }
        assert!(sign_test_interval(&effect, 1.0 - 0.01 / 5.0) != sign_test_interval(&effect, 1.0 - 0.01 / 5.0 / 40.0));
    }

    #[test]
    fn the_threshold_is_delta_or_twice_the_noise() {
        let verdict = |effect: f64, same: &[f64]| {
            let effect: Vec<f64> = (0..100).map(|i| effect + 1e-5 * f64::from(i % 3)).collect();
            judge(&rule(1), &Samples { effect: &effect, same: &[0.0; 100], same_parts: same }, "p").0
        };
        let quiet = verdict(0.0, &[0.0; 12]);
        assert_eq!((quiet.delta_eff, quiet.aa_p95, quiet.outcome), (DELTA, 0.0, Outcome::Pass));
        // Parts that are all alike have one median, whatever is drawn.
        let noisy = verdict(0.04, &[0.05; 12]);
        assert_eq!((noisy.delta_eff, noisy.aa_p95), (2.0 * 0.05f64.exp_m1(), 0.05f64.exp_m1()));
        assert_eq!(noisy.outcome, Outcome::Pass, "within the noise");
        assert_eq!(verdict(0.2, &[0.05; 12]).outcome, Outcome::Fail);
        assert_eq!(verdict(0.031, &[0.0; 12]).outcome, Outcome::Fail);
        assert_eq!(verdict(0.029, &[0.0; 12]).outcome, Outcome::Pass, "certain, and too small to matter");
        let (machine, stands) = {
            let samples = Samples { effect: &[0.2; 100], same: &[0.0; 100], same_parts: &[0.08; 12] };
            judge(&rule(1), &samples, "p")
        };
        assert_eq!((machine.outcome, stands), (Outcome::Unstable, false));
        assert!(machine.reason.contains("by up to 8.3% (100 rounds)"), "{}", machine.reason);
    }

    #[test]
    fn a_bias_of_the_machine_counts_in_both_directions_and_only_when_it_is_certain() {
        let outcome = |zeros: usize, bias: f64| {
            let same: Vec<f64> = (0..100).map(|i| if i < zeros { 0.0 } else { bias }).collect();
            judge(&rule(1), &Samples { effect: &[0.0; 100], same: &same, same_parts: &[0.0; 12] }, "p").0.outcome
        };
        assert_eq!([outcome(0, 0.02), outcome(0, -0.02)], [Outcome::Unstable; 2]);
        // The 37th of 100 is an end of the interval: at exactly 0 it does not exclude 0.
        assert_eq!([outcome(45, 0.02), outcome(45, -0.02)], [Outcome::Pass; 2]);
    }

    #[test]
    fn looks_are_those_that_fit() {
        let looks = |most| Rule::new(DELTA, "round", &ROUND_LOOKS, most, 0).looks;
        assert_eq!([looks(49), looks(50), looks(60), looks(800)], [vec![49], vec![50], vec![50], ROUND_LOOKS.to_vec()]);
        let rule = Rule::new(DELTA, "round", &ROUND_LOOKS, 60, 0);
        assert_eq!((rule.most(), rule.comparisons, rule.alpha), (50, 1, ALPHA));
    }

    #[test]
    fn blocks_are_whole_or_the_only_one() {
        let values: Vec<f64> = (0..25).map(f64::from).collect();
        assert_eq!(blocks(&values), [4.5, 14.5]);
        assert_eq!((blocks(&values[..10]), blocks(&values[..3]), blocks(&[])), (vec![4.5], vec![1.0], vec![]));
        assert_eq!(log_ratios(&[100, 0, 100, 100], &[100, 100, 0, 200]), [0.0, 2f64.ln()]);
    }

    #[test]
    fn the_floor_is_that_of_the_median() {
        let random = &mut SplitMix64::new(7);
        let normal = |random: &mut SplitMix64| (0..12).map(|_| f64::from(random.signed_unit())).sum::<f64>() / 2.0;
        let parts: Vec<f64> = (0..400).map(|_| 0.01 * normal(random)).collect();
        // The median of n normal values has standard deviation 1.25 / sqrt(n), and 95% lie within 1.96 of it.
        for n in [12, 100, 400] {
            let expected = 1.96 * 1.2533 * 0.01 / (n as f64).sqrt();
            let got = noise_of_median(&parts[..n]);
            assert!((0.5..2.0).contains(&(got / expected)), "{n}: {got} for {expected}");
        }
        assert_eq!(noise_of_median(&[]), 0.0);
    }

    #[test]
    fn a_machine_that_differs_from_itself_is_unstable() {
        let same: Vec<f64> = (0..100).map(|i| 0.02 + 0.0001 * f64::from(i % 7)).collect();
        let samples = Samples { effect: &[0.0; 100], same: &same, same_parts: &blocks(&same) };
        let (verdict, stands) = judge(&rule(1), &samples, "p");
        assert_eq!((verdict.outcome, stands), (Outcome::Unstable, false));
        assert!(verdict.reason.contains("+2.1%") && verdict.next_step.contains("--pin"), "{verdict:?}");
        // A bias that is certain and tiny moves nothing.
        let same: Vec<f64> = same.iter().map(|s| s / 20.0).collect();
        let samples = Samples { effect: &[0.0; 100], same: &same, same_parts: &blocks(&same) };
        assert_eq!(judge(&rule(1), &samples, "p").0.outcome, Outcome::Pass);
    }

    #[test]
    fn blocks_of_one_text_are_not_independent() {
        let rule = Rule::new(DELTA, "token block", &[81], 81, 10);
        // Each text is off by as much as its engines' places in memory make it, one way or the other.
        let same: Vec<f64> =
            (0..81).map(|i| if (i / 9) % 3 == 0 { -0.05 } else { 0.04 } + 0.0001 * f64::from(i % 7)).collect();
        let by = |sample| decide(&rule, Until::Decided, sample, &[0.0; 81], &same, "p").0;
        assert_eq!(by(Sample::Round).outcome, Outcome::Unstable);
        let verdict = by(Sample::TokenBlock(9));
        assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:?}");
        assert!(verdict.aa_p95 > 0.03 && verdict.delta_eff > 0.06 && verdict.samples == 81, "{verdict:?}");
        let all: Vec<f64> = same.iter().map(|s| s.abs()).collect();
        assert_eq!(
            decide(&rule, Until::Decided, Sample::TokenBlock(9), &[0.0; 81], &all, "p").0.outcome,
            Outcome::Unstable
        );
    }

    #[test]
    fn what_comes_after_the_deciding_look_changes_nothing() {
        let mut effect = vec![0.001; 50];
        let same = vec![0.0; 60];
        let first = decide(&rule(3), Until::Decided, Sample::Round, &effect, &same, "p");
        effect.extend([0.5; 10]);
        assert!(first.1 && first.0.outcome == Outcome::Pass);
        assert_eq!(decide(&rule(3), Until::Decided, Sample::Round, &effect, &same, "p"), first);
        let (early, stands) = decide(&rule(3), Until::Decided, Sample::Round, &effect[..49], &same, "p");
        assert!(!stands && early.reason == "stopped after 49 rounds, before the first look", "{early:?}");
    }

    #[test]
    fn few_rounds_are_said_to_be_few() {
        let rule = Rule::new(DELTA, "round", &ROUND_LOOKS, 5, 3);
        assert_eq!(rule.looks, [5]);
        let (verdict, stands) = judge(&rule, &Samples { effect: &[0.0; 5], same: &[0.0; 5], same_parts: &[] }, "p");
        assert!(
            stands && verdict.outcome == Outcome::Inconclusive && verdict.reason.contains("too few"),
            "{verdict:?}"
        );
    }
}
