//! What a comparison came to, in the five words that a reader meets.

use crate::record::{Outcome, Verdict};
use serde::Serialize;

/// The direction of a comparison: which of the two is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Slower than its partner by more than the threshold.
    Slower,
    /// Faster than its partner by more than the threshold.
    Faster,
    /// As fast as its partner: the whole interval lies within the threshold.
    Same,
    /// Undecided: the rounds do not say which of the two is faster.
    Undecided,
    /// The same code differs from itself there: nothing in such a cell should be believed.
    Unstable,
}

impl Direction {
    /// All directions, the gravest first.
    pub const ALL: [Self; 5] = [Self::Slower, Self::Faster, Self::Same, Self::Undecided, Self::Unstable];

    /// The word for a direction, the same on the page, in the terminal, in Markdown and in CSV.
    pub fn word(self) -> &'static str {
        ["slower", "faster", "same", "undecided", "unstable"][self as usize]
    }

    /// The sign that tells directions apart without colour, such as `▼` for slower.
    pub fn marker(self) -> &'static str {
        ["▼", "▲", "=", "?", "!"][self as usize]
    }

    /// Whether the direction answers which of the two is faster, or that neither is.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Slower | Self::Faster | Self::Same)
    }
}

impl Verdict {
    /// The one rule. `FAIL` is slower; faster is the same with the two sides exchanged; same is an interval wholly
    /// within the threshold.
    pub fn direction(&self) -> Direction {
        // In logarithms, so that both sides are held to one factor: 3% slower is x 1.03, 3% faster is / 1.03.
        let threshold = self.delta_eff.ln_1p();
        let faster = -self.change.ln_1p() > threshold && self.alarm_high.is_some_and(|high| high < 0.0);
        let ends = self.pass_low.zip(self.pass_high);
        let same = ends.is_some_and(|(low, high)| low.ln_1p() > -threshold && high.ln_1p() < threshold);
        match self.outcome {
            Outcome::Unstable => Direction::Unstable,
            Outcome::Fail => Direction::Slower,
            _ if faster => Direction::Faster,
            _ if same => Direction::Same,
            _ => Direction::Undecided,
        }
    }

    /// Why the verdict has its direction, in one sentence; `sample` is what a sample is called.
    pub fn sentence(&self, sample: &str) -> String {
        let limit = crate::figures::percent(self.delta_eff);
        let rounds = format!("{} {sample}{}", self.samples, if self.samples == 1 { "" } else { "s" });
        let partner = &self.partner;
        let speed = format!("{} as fast as {partner} over {rounds}", crate::figures::ratio(1.0 / (1.0 + self.change)));
        match self.direction() {
            Direction::Unstable => self.reason.clone(),
            Direction::Slower | Direction::Faster => format!("{speed}; differences up to {limit} would not count"),
            Direction::Same => format!("within {limit} of {partner} for sure, over {rounds}"),
            Direction::Undecided if self.alarm_high.is_none() && self.pass_low.is_none() => {
                format!("{rounds} are too few to tell it from {partner}")
            }
            Direction::Undecided => format!("{speed}: too near to the threshold of {limit} to be called"),
        }
    }
}

/// Number of comparisons by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([usize; 5]);

impl Tally {
    /// Counts these directions.
    pub fn of(directions: impl IntoIterator<Item = Direction>) -> Self {
        let mut tally = Self::default();
        directions.into_iter().for_each(|direction| tally.0[direction as usize] += 1);
        tally
    }

    /// How many came to `direction`.
    pub fn count(&self, direction: Direction) -> usize {
        self.0[direction as usize]
    }

    /// Number of all comparisons.
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }

    /// The counts in words, zeros left out: `61 faster, 23 slower, 7 same, 5 undecided, 5 unstable`.
    pub fn in_words(&self) -> String {
        let order = [Direction::Faster, Direction::Slower, Direction::Same, Direction::Undecided, Direction::Unstable];
        let words = order.iter().filter(|d| self.count(**d) > 0).map(|d| format!("{} {}", self.count(*d), d.word()));
        words.collect::<Vec<_>>().join(", ")
    }

    /// Number of comparisons with an answer: slower, faster or same.
    pub fn settled(&self) -> usize {
        Direction::ALL.iter().filter(|d| d.is_settled()).map(|d| self.count(*d)).sum()
    }
}
