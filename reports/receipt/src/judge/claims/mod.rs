//! What an analysis claims, in figures, and each claim's verdict from a receipt.

mod evidence;
mod judge;
mod numbers;
mod parse;

pub use judge::{Judged, Verdict, judge_all};
pub use numbers::Positive;
pub use parse::{KernelCheck, parse, schema};

pub use crate::record::Operation;
pub(super) use numbers::positive;
use numbers::share;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The figures that an analysis claims, as a claims file holds them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claims {
    /// Title of the analysis.
    pub title: String,
    /// Where the analysis is from.
    pub source: String,
    /// Kernels that are the analysis's stages, in its order; cumulative factors are over the first.
    pub ladder: Vec<String>,
    /// The claims, in the order of the file.
    pub claims: Vec<Claim>,
}

impl Claims {
    /// Each stage's cumulative factor, in the order of the ladder: the first claim of its speed-up over the first
    /// stage, not bound to a size.
    pub fn stages(&self) -> impl Iterator<Item = &Claim> {
        self.ladder.iter().filter_map(|stage| self.stage(stage))
    }

    /// The claim that states the cumulative factor of one stage, if the analysis states one.
    pub fn stage(&self, stage: &str) -> Option<&Claim> {
        let first = self.ladder.first().filter(|_| self.ladder.iter().any(|id| id == stage))?;
        self.claims.iter().find(|claim| {
            matches!(&claim.metric, Metric::SpeedUp { kernel, over, k: None, .. } if kernel == stage && over == first)
        })
    }
}

/// One figure that an analysis states.
#[derive(Clone, Debug, PartialEq, JsonSchema, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Short id of the claim, unique in its file.
    pub id: String,
    /// Section of the analysis that states the figure.
    pub section: String,
    /// What the analysis says, in words.
    pub text: String,
    /// What is looked up in a receipt to check the claim.
    pub metric: Metric,
    /// The figure that the analysis states, in `unit`.
    #[serde(deserialize_with = "positive")]
    pub expected: f64,
    /// Unit of the figure, as tables write it.
    pub unit: String,
    /// How the figure is held against a measurement.
    pub judge: Rule,
    /// How far a measurement may be off, as a share of the figure: 0.1 is 10%.
    #[serde(default, deserialize_with = "share")]
    pub tolerance: f64,
    /// How the figure came to be, as the analysis itself says.
    pub standing: Standing,
    /// What a reader should know about this claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a claim is held against a measured interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The interval reaches the figure or lies above it.
    AtLeast,
    /// The interval reaches the figure or lies below it.
    AtMost,
    /// The interval meets the figure, give or take the tolerance.
    About,
    /// The whole interval lies within the tolerance of the figure.
    Equals,
}

/// How a figure came to be, as the analysis itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Published in the analysis as measured.
    Published,
    /// An estimate of the analysis; its section 6.3 lists the code as "Planned".
    Planned,
}

impl Standing {
    /// The standing in words, for tables.
    pub fn words(self) -> &'static str {
        ["published", "never measured"][self as usize]
    }
}

/// Part of the time of one decoded token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// All transformer blocks.
    Forward,
    /// Final norm and output head.
    Logits,
    /// Choosing the next token.
    Sampling,
    /// Embedding, stop checks and text.
    Other,
    /// The whole token.
    Total,
}

/// What is looked up in a receipt, or computed from the analysis's own numbers.
#[derive(Clone, Debug, PartialEq, JsonSchema, Deserialize, Serialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Metric {
    /// Weights a nanosecond of `kernel`, for an operation on one row of `k` (the largest cell without `k`).
    GelemS { kernel: String, op: Operation, k: Option<usize> },
    /// Time of `over` over time of `kernel`, paired by round.
    SpeedUp { kernel: String, over: String, op: Operation, k: Option<usize> },
    /// (time of `over` - time of `kernel`) / time of `of`, paired by round.
    SavedShare { kernel: String, over: String, of: String, op: Operation },
    /// Share of a decoded token's time that one phase takes with `kernel`.
    PhaseShare { kernel: String, phase: Phase },
    /// Milliseconds of one phase of a decoded token with `kernel`, on a model of the 2B size.
    PhaseMs { kernel: String, phase: Phase },
    /// Tokens a second that `kernel` decodes, on a model of the 2B size.
    TokensPerS { kernel: String },
    /// Seconds that `kernel` takes to decode that many tokens, at its measured speed.
    Seconds { kernel: String, tokens: u32 },
    /// Tokens that `kernel` decodes in that many seconds, at its measured speed.
    TokensWithin { kernel: String, seconds: f64 },
    /// Milliseconds that all weights of the 2B model take at a kernel's rate for `op`.
    ImpliedMs { kernel: String, op: Operation },
    /// Milliseconds in which memory can deliver all weights of the 2B model, in the packing of `kernel`.
    ForwardFloorMs { kernel: String },
    /// Bits that one weight takes in the packing of `kernel`.
    BitsPerWeight { kernel: String },
    /// Largest relative error of `kernel` against the oracle.
    MaxError { kernel: String },
    /// Perplexity with the analysis's code table, divided by that with the table of the model file.
    TablePerplexity {},
    /// The first of two numbers of the analysis divided by the second.
    Quotient { numbers: [Positive; 2] },
    /// Tokens a second after a part of a token becomes faster: total ms, part ms, factor.
    RateAfter { numbers: [Positive; 3] },
    /// A claim that no receipt can check, and why.
    None { why: String },
}

impl Metric {
    /// Whether the metric compares two times, which needs an interval.
    pub fn is_ratio(&self) -> bool {
        matches!(self, Self::SpeedUp { .. } | Self::SavedShare { .. })
    }

    /// Id of the kernel that the metric is about, if there is one.
    pub fn kernel(&self) -> Option<&str> {
        match self {
            Self::GelemS { kernel, .. }
            | Self::SpeedUp { kernel, .. }
            | Self::SavedShare { kernel, .. }
            | Self::PhaseShare { kernel, .. }
            | Self::PhaseMs { kernel, .. }
            | Self::TokensPerS { kernel }
            | Self::Seconds { kernel, .. }
            | Self::TokensWithin { kernel, .. }
            | Self::ImpliedMs { kernel, .. }
            | Self::ForwardFloorMs { kernel }
            | Self::BitsPerWeight { kernel }
            | Self::MaxError { kernel } => Some(kernel),
            Self::TablePerplexity {} | Self::Quotient { .. } | Self::RateAfter { .. } | Self::None { .. } => None,
        }
    }

    /// All kernels that it names.
    fn kernels(&self) -> impl Iterator<Item = &str> {
        let others: [Option<&str>; 2] = match self {
            Self::SpeedUp { over, .. } => [Some(over), None],
            Self::SavedShare { over, of, .. } => [Some(over), Some(of)],
            _ => [None, None],
        };
        self.kernel().into_iter().chain(others.into_iter().flatten())
    }
}

/// The analysis that this repository answers.
#[cfg(test)]
pub fn builtin() -> Claims {
    parse("claims.toml", include_str!("../../../../../scenarios/claims.toml"), &|_| Ok(())).expect("valid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_built_in_claims_are_valid_and_complete() {
        let file = builtin();
        let claims = &file.claims;
        let ids: HashSet<&str> = claims.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids.len(), claims.len(), "ids are unique");
        // Every figure of the analysis that the issue names, by section.
        let figures: [(&str, &[f64]); 7] = [
            ("1.3", &[0.95, 0.04, 0.005]),
            ("1.4", &[80.0]),
            ("2.4", &[0.1, 0.3]),
            ("3.2", &[0.4, 0.3, 0.15]),
            ("3.3", &[2.27, 3.25, 3.79, 4.29]),
            ("5.1", &[1.2]),
            ("6.2", &[1.47, 1.69, 27.0]),
        ];
        for (section, expected) in figures.into_iter().flat_map(|(s, all)| all.iter().map(move |x| (s, *x))) {
            assert!(claims.iter().any(|c| c.section == section && c.expected == expected), "{section} {expected}");
        }
        let sizes = claims.iter().filter(|c| c.section == "2.4" && matches!(c.metric, Metric::GelemS { .. }));
        assert_eq!(sizes.count(), 10);
        let factors: Vec<f64> = file.stages().map(|claim| claim.expected).collect();
        assert_eq!((file.ladder.len(), factors), (6, vec![1.2, 2.27, 3.25, 3.79, 4.29]));
        assert!(file.stage(&file.ladder[0]).is_none() && file.stage("another").is_none());
    }
}
