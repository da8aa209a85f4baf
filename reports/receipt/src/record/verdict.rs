//! Verdicts as receipts keep them: what was asked, by which rule, what came out, and what to do about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a comparison came to. The exit codes of `gate` follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Not slower than its partner by as much as the effective threshold.
    Pass,
    /// Slower than its partner by more than the effective threshold.
    Fail,
    /// Every look was taken and neither pass nor fail could be said.
    Inconclusive,
    /// The same code against itself came out different: nothing here should be believed.
    Unstable,
    /// The comparison cannot run here.
    Unsupported,
}

/// The rule by which a run's verdicts are made, fixed before its first measurement.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Rule {
    /// Smallest slowdown that matters, as a share: 0.03 is 3%.
    pub delta: f64,
    /// Chance of any false alarm in the whole run.
    pub alpha: f64,
    /// Sample sizes at which a comparison is looked at; `alpha` is shared equally among them.
    pub looks: Vec<usize>,
    /// Comparisons of the run; `alpha` is divided by them for an alarm.
    pub comparisons: usize,
    /// What one sample is: `round`, or `process pair` when two builds are compared.
    pub sample: String,
}

/// The verdict on one comparison. Every number here can be computed again from the raw rounds and the rule.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Verdict {
    /// What the comparison came to.
    pub outcome: Outcome,
    /// What was compared with: a kernel id, or the other build.
    pub partner: String,
    /// Number of samples at the look that decided.
    pub samples: usize,
    /// Median of own time / partner time, less 1: 0.05 is 5% slower, negative is faster.
    pub change: f64,
    #[doc = "Lower end of the interval for an alarm (confidence 1 - alpha / looks / comparisons); absent with too few \
             samples."]
    pub alarm_low: Option<f64>,
    /// Upper end of that interval: below 0, the partner is the slower one. Read from the rounds in receipts before 1.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_high: Option<f64>,
    /// Upper end of the interval for a pass (confidence 1 - alpha / looks); absent with too few samples.
    pub pass_high: Option<f64>,
    /// Lower end of the interval for a pass. Read from the rounds where a receipt before 1.2 lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_low: Option<f64>,
    /// The threshold that counts here, as a share: `max(delta, 2 x aa_p95)`.
    pub delta_eff: f64,
    #[doc = "95th percentile of |median change| of the same code against itself, over resamples: what the machine \
             makes up in the very\nstatistic that is judged."]
    pub aa_p95: f64,
    /// Median change of the same code against itself (A/A), as a share.
    pub aa_change: f64,
    /// Lower end of the 99% interval of `aa_change`.
    pub aa_low: Option<f64>,
    /// Upper end of the 99% interval of `aa_change`.
    pub aa_high: Option<f64>,
    /// Why the verdict is what it is, in one sentence.
    pub reason: String,
    /// What the user can do next.
    pub next_step: String,
}
