//! What became of one figure from a first run to another of the same machine.
//!
//! The figure is a paired ratio: partner and kernel took turns inside each run, so its median survives much of what a
//! machine does to wall times. The change is the ratio of the two runs' ratios; as the runs are independent, an
//! interval of at least 99% comes from the two exact sign-test intervals of 99.5%. Its direction is the judge's, from
//! both runs' rounds and A/A pairs.

use receipt::figures;
use receipt::judge::Direction;
use receipt::judge::sequential::{Side, across};
use receipt::judge::stats::sign_test_interval;

/// Of each run's own interval: both hold together with at least 99%.
const CONFIDENCE: f64 = 0.995;

/// The direction of a change, or none where there are not two figures that could be compared.
pub type Found = Option<Direction>;

/// All results of a comparison, the gravest first.
pub const ALL: [Found; 6] = [
    Some(Direction::Slower),
    Some(Direction::Faster),
    Some(Direction::Undecided),
    Some(Direction::Unstable),
    Some(Direction::Same),
    None,
];

/// How one figure changed from a first run to another, with direction and interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whether the figure became slower, faster or neither; none where nothing could be compared.
    pub direction: Found,
    /// The other run's ratio over the first's: above 1 is faster. Absent where nothing could be compared.
    pub ratio: Option<f64>,
    /// Lower end of the 99% interval of `ratio`.
    pub low: Option<f64>,
    /// Upper end of the 99% interval of `ratio`.
    pub high: Option<f64>,
    /// The smallest change that counts, as a share: 0.03 is 3%.
    pub threshold: Option<f64>,
    /// Why the change has its direction, in one phrase.
    pub reason: String,
}

impl Change {
    /// A change that could not be computed, and why.
    pub fn none(reason: impl Into<String>) -> Self {
        Self { direction: None, ratio: None, low: None, high: None, threshold: None, reason: reason.into() }
    }

    /// The change of a figure between two runs on one machine.
    pub fn between(first: &Side<'_>, other: &Side<'_>) -> Self {
        let interval = |side: &Side<'_>| sign_test_interval(&side.effect, CONFIDENCE);
        let (Some(a), Some(b)) = (interval(first), interval(other)) else {
            let rounds = (first.effect.len(), other.effect.len());
            return Self::none(format!("too few rounds for an interval ({} and {})", rounds.0, rounds.1));
        };
        let verdict = across(first, other, "its partner");
        // Own over partner, so that the smaller one is the faster one.
        let ratio = 1.0 / (1.0 + verdict.change);
        let (low, high) = ((a.0 - b.1).exp(), (a.1 - b.0).exp());
        if ![ratio, low, high].iter().all(|x| x.is_finite()) {
            return Self::none("a figure is not a number");
        }
        let direction = verdict.direction();
        let size = figures::percent(ratio.max(1.0 / ratio) - 1.0);
        let counts = figures::percent(verdict.delta_eff);
        let reason = match direction {
            Direction::Faster => format!("{size} faster against its partner"),
            Direction::Slower => format!("{size} slower against its partner"),
            Direction::Same => format!("no change beyond {counts}"),
            Direction::Unstable => "the same code differs from itself in one of the runs".into(),
            Direction::Undecided if verdict.alarm_low.is_none() => "the rounds are too few".into(),
            Direction::Undecided => format!("the interval reaches across {counts}, the smallest change that counts"),
        };
        Self {
            direction: Some(direction),
            ratio: Some(ratio),
            low: Some(low),
            high: Some(high),
            threshold: Some(verdict.delta_eff),
            reason,
        }
    }

    /// Whether the figure became slower or faster.
    pub fn is_change(&self) -> bool {
        matches!(self.direction, Some(Direction::Slower | Direction::Faster))
    }

    /// The change's direction in a word.
    pub fn word(&self) -> &'static str {
        self.direction.map_or("not comparable", Direction::word)
    }

    /// The change as text, `1.12× [1.08, 1.16]`, if there is one.
    pub fn figure(&self) -> Option<String> {
        let (ratio, low, high) = (self.ratio?, self.low?, self.high?);
        Some(format!("{} [{low:.2}, {high:.2}]", figures::ratio(ratio)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use receipt::Rule;
    use receipt::judge::sequential::{DELTA, ROUND_LOOKS, Same, Sample};

    /// ln(own / partner) of rounds around a speed-up of `ratio`, with a spread of 1%.
    fn rounds(ratio: f64, n: usize) -> Vec<f64> {
        (0..n).map(|i| -ratio.ln() + 0.01 * ((i * 7 % 11) as f64 / 5.0 - 1.0)).collect()
    }

    fn between(first: f64, other: f64, n: usize, noise: f64) -> Change {
        let rule = Rule::new(DELTA, "round", &ROUND_LOOKS, 100, 10);
        let side = |ratio: f64, noise: f64| {
            // Blocks of ten rounds that lie above and below in turns.
            let same: Vec<f64> = (0..n).map(|i| if i / 10 % 2 == 0 { noise } else { -noise }).collect();
            Side { rule: &rule, effect: rounds(ratio, n), same: Same::new(Sample::Round, &same) }
        };
        Change::between(&side(first, 0.001), &side(other, noise))
    }

    #[test]
    fn each_direction_has_its_case() {
        let found = |first, other, n, noise| between(first, other, n, noise).direction;
        assert_eq!(found(5.0, 5.0, 100, 0.001), Some(Direction::Same));
        assert_eq!(found(5.0, 5.6, 100, 0.001), Some(Direction::Faster));
        assert_eq!(found(5.0, 4.4, 100, 0.001), Some(Direction::Slower));
        assert_eq!(found(5.0, 5.6, 100, 0.2), Some(Direction::Unstable), "a machine with 20% of noise");
        assert_eq!(found(5.0, 5.13, 100, 0.001), Some(Direction::Undecided), "2.6% with an interval beyond 3%");
        assert_eq!(found(5.0, 9.0, 8, 0.001), None);
        assert!(between(5.0, 9.0, 8, 0.001).reason.contains("too few rounds for an interval (8 and 8)"));
    }

    #[test]
    fn the_change_is_a_ratio_of_ratios_with_its_interval() {
        let change = between(5.0, 6.0, 100, 0.001);
        let (ratio, low, high) = (change.ratio.unwrap(), change.low.unwrap(), change.high.unwrap());
        assert!((ratio - 1.2).abs() < 1e-9 && low < 1.2 && high > 1.2 && low > 1.17 && high < 1.23, "{change:?}");
        assert_eq!(change.threshold, Some(DELTA), "little noise does not lower it");
        assert!(change.reason.contains("20.0% faster"), "{}", change.reason);
        // Both ways by the same factor.
        assert!((between(6.0, 5.0, 100, 0.001).ratio.unwrap() * ratio - 1.0).abs() < 1e-9);
    }

    #[test]
    fn equal_code_rarely_alarms() {
        use receipt::random::SplitMix64;
        let random = &mut SplitMix64::new(11);
        let rule = Rule::new(DELTA, "round", &ROUND_LOOKS, 100, 1);
        let mut run = || -> Vec<f64> { (0..100).map(|_| f64::from(random.signed_unit()) * 0.05).collect() };
        let alarms = (0..500).filter(|_| {
            let mut side = || Side { rule: &rule, effect: run(), same: Same::new(Sample::Round, &[]) };
            Change::between(&side(), &side()).is_change()
        });
        assert!(alarms.count() <= 5);
    }
}
