//! What became of one figure from a first run to another of the same machine.
//!
//! The figure is a paired ratio: partner and kernel took turns inside each run, so its median survives much of what a machine does
//! to wall times. The change is the ratio of the two runs' ratios; as the runs are independent, an interval of at least 99% comes
//! from the two exact sign-test intervals of 99.5%. A run's A/A pair says how far single rounds of one kernel are apart: a change
//! inside that, or inside 3%, by which two processes of one build already differ, is none.

use crate::measure::sequential::DELTA;
use crate::measure::stats::{median, sign_test_interval};
use crate::report::figures;
use serde::Serialize;

/// Of each run's own interval: both hold together with at least 99%.
const CONFIDENCE: f64 = 0.995;
/// Above this noise nothing is called the same: the gate draws the same line.
const TOO_NOISY: f64 = 0.15;

/// What it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Slower against its partner than in the first run, beyond noise.
    Worse,
    /// Faster.
    Better,
    /// Neither better nor worse, nor the same for sure.
    Undecided,
    /// The whole interval is within the noise.
    Same,
    /// There are not two figures that could be compared.
    NotComparable,
}

impl Verdict {
    /// All of them, the gravest first.
    pub const ALL: [Self; 5] = [Self::Worse, Self::Better, Self::Undecided, Self::Same, Self::NotComparable];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Undecided => "undecided",
            Self::Same => "the same",
            Self::NotComparable => "not comparable",
        }
    }

    /// Worse or better.
    pub fn is_change(self) -> bool {
        matches!(self, Self::Worse | Self::Better)
    }

    /// Tells verdicts apart without colour, before the word.
    pub fn marker(self) -> &'static str {
        match self {
            Self::Worse => "▼",
            Self::Better => "▲",
            Self::Undecided => "?",
            Self::Same => "=",
            Self::NotComparable => "–",
        }
    }

    /// As a CSS class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Worse => "bad",
            Self::Better => "ok",
            Self::Undecided | Self::Same | Self::NotComparable => "plain",
        }
    }
}

/// One verdict with its figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What it came to.
    pub verdict: Verdict,
    /// The other run's ratio over the first's: above 1 is better. Absent where nothing could be compared.
    pub ratio: Option<f64>,
    /// Ends of its 99% interval.
    pub low: Option<f64>,
    /// See `low`.
    pub high: Option<f64>,
    /// The change that counts: the larger A/A noise of the two, and at least 3%.
    pub threshold: Option<f64>,
    /// In one phrase.
    pub reason: String,
}

/// The logs of a run's paired ratios, and its A/A noise.
pub struct Side<'a> {
    /// log(partner time / own time) of each round.
    pub log_ratios: &'a [f64],
    /// A/A noise of a round.
    pub floor: f64,
}

impl Change {
    /// Nothing to compare, and why.
    pub fn none(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::NotComparable,
            ratio: None,
            low: None,
            high: None,
            threshold: None,
            reason: reason.into(),
        }
    }

    /// Of two runs on one machine.
    pub fn between(first: &Side<'_>, other: &Side<'_>) -> Self {
        let interval = |side: &Side<'_>| sign_test_interval(side.log_ratios, CONFIDENCE);
        let (Some(a), Some(b)) = (interval(first), interval(other)) else {
            let rounds = (first.log_ratios.len(), other.log_ratios.len());
            return Self::none(format!("too few rounds for an interval ({} and {})", rounds.0, rounds.1));
        };
        let change = median(other.log_ratios) - median(first.log_ratios);
        let (low, high) = (b.0 - a.1, b.1 - a.0);
        let threshold = DELTA.max(first.floor).max(other.floor);
        if ![change, low, high, threshold].iter().all(|x| x.is_finite()) {
            return Self::none("a figure is not a number");
        }
        let bound = threshold.ln_1p();
        let verdict = match () {
            () if low > 0.0 && change > bound => Verdict::Better,
            () if high < 0.0 && change < -bound => Verdict::Worse,
            () if low > -bound && high < bound && threshold <= TOO_NOISY => Verdict::Same,
            () => Verdict::Undecided,
        };
        let noise = figures::percent(threshold);
        let size = figures::percent(change.abs().exp_m1());
        let reason = match verdict {
            Verdict::Better => format!("{size} faster against its partner"),
            Verdict::Worse => format!("{size} slower against its partner"),
            Verdict::Same => format!("no change beyond {noise}"),
            Verdict::Undecided if threshold > TOO_NOISY => format!("noise of {noise} would hide a change"),
            Verdict::Undecided => format!("the interval reaches beyond the noise of {noise}"),
            Verdict::NotComparable => String::new(),
        };
        Self {
            verdict,
            ratio: Some(change.exp()),
            low: Some(low.exp()),
            high: Some(high.exp()),
            threshold: Some(threshold),
            reason,
        }
    }

    /// `1.12× [1.08, 1.16]`, if there is one.
    pub fn figure(&self) -> Option<String> {
        let (ratio, low, high) = (self.ratio?, self.low?, self.high?);
        Some(format!("{} [{low:.2}, {high:.2}]", figures::ratio(ratio)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds around `ratio` with a spread of 1%.
    fn rounds(ratio: f64, n: usize) -> Vec<f64> {
        (0..n).map(|i| ratio.ln() + 0.01 * ((i * 7 % 11) as f64 / 5.0 - 1.0)).collect()
    }

    fn between(first: f64, other: f64, n: usize, floor: f64) -> Change {
        let (a, b) = (rounds(first, n), rounds(other, n));
        Change::between(&Side { log_ratios: &a, floor: 0.02 }, &Side { log_ratios: &b, floor })
    }

    #[test]
    fn each_verdict_has_its_case() {
        let verdict = |first, other, n, floor| between(first, other, n, floor).verdict;
        assert_eq!(verdict(5.0, 5.0, 100, 0.02), Verdict::Same);
        assert_eq!(verdict(5.0, 5.6, 100, 0.02), Verdict::Better);
        assert_eq!(verdict(5.0, 4.4, 100, 0.02), Verdict::Worse);
        assert_eq!(verdict(5.0, 4.4, 100, 0.2), Verdict::Undecided, "12% less is inside 20% of noise");
        assert_eq!(verdict(5.0, 5.0, 100, 0.2), Verdict::Undecided, "no noise of 20% shows that two are equal");
        assert_eq!(verdict(5.0, 5.13, 100, 0.02), Verdict::Undecided, "2.6% with an interval beyond 3%");
        assert_eq!(verdict(5.0, 9.0, 8, 0.02), Verdict::NotComparable);
        assert!(between(5.0, 9.0, 8, 0.02).reason.contains("too few rounds for an interval (8 and 8)"));
    }

    #[test]
    fn the_change_is_a_ratio_of_ratios_with_its_interval() {
        let change = between(5.0, 6.0, 100, 0.02);
        let (ratio, low, high) = (change.ratio.unwrap(), change.low.unwrap(), change.high.unwrap());
        assert!((ratio - 1.2).abs() < 1e-9 && low < 1.2 && high > 1.2 && low > 1.18 && high < 1.22, "{change:?}");
        assert_eq!(change.threshold, Some(DELTA), "floors below 3% do not lower it");
        assert!(change.reason.contains("20.0% faster"), "{}", change.reason);
        // Both ways by the same factor.
        assert!((between(6.0, 5.0, 100, 0.02).ratio.unwrap() * ratio - 1.0).abs() < 1e-9);
    }

    #[test]
    fn equal_code_rarely_alarms() {
        use kernels::random::SplitMix64;
        let random = &mut SplitMix64::new(11);
        let mut run = || -> Vec<f64> { (0..100).map(|_| f64::from(random.signed_unit()) * 0.05).collect() };
        let alarms = (0..500).filter(|_| {
            let (a, b) = (run(), run());
            let change = Change::between(&Side { log_ratios: &a, floor: 0.0 }, &Side { log_ratios: &b, floor: 0.0 });
            matches!(change.verdict, Verdict::Better | Verdict::Worse)
        });
        assert!(alarms.count() <= 5);
    }
}
