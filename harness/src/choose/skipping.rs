//! Whether feed-forward blocks skip zero gates, and with which form of the sparse products. What is timed is in
//! `model::sparse_probe`, which alone has the weights; how, is here, as for every choice.

use super::by_evidence;
use super::probe::{Evidence, Plan, take_turns};
use crate::machine::host;
use model::decoder::Decoder;
use model::sparse_ffn::{Call, Choosing, Sparsity, Timed};
use model::weights::Model;
use receipt::Choice;
use std::time::Duration;

const PROBE: Duration = Duration::from_millis(40);

/// What the choice of a form is about, in receipts.
const FORM: &str = "products that skip zeros";

/// Feed-forward blocks skip zero gates where a probe finds that it pays, or with `--dense` never. `tokens` is the most
/// that will be decoded, `None` for a run that is about skipping.
pub fn skipping(dense: bool, tokens: Option<usize>) -> Sparsity {
    if dense {
        return Sparsity::Dense;
    }
    let taken = |us: &[f64]| Evidence { us: us.to_vec(), passes: 0 }.chosen().unwrap_or(0);
    Sparsity::Measured(Choosing { turns, taken, fits_caches: host::fits_last_level, tokens })
}

fn turns(candidates: usize, from_memory: bool, call: &mut Call<'_>) -> model::Result<Timed> {
    let Evidence { us, passes } = take_turns(Plan { candidates, time: PROBE, ready_each_call: from_memory }, call)?;
    Ok(Timed { us, passes })
}

/// Why nothing is skipped in a model that could, but for its rule of activations; `None` where that is not the reason.
pub fn off_by_rule(model: &Model, dense: bool) -> Option<Choice> {
    if dense || !model.config.skips() || model.skips() {
        return None;
    }
    let rule = model.activations;
    let reason = format!("the products that skip take one scale a token, activations have one for each {rule}");
    let (what, candidates) = ("skipping zero gates".into(), Vec::new());
    Some(Choice { what, chosen: "dense".into(), reason, candidates })
}

/// What was measured of skipping for this decoder: the form that was taken, or why nothing is skipped.
pub fn choice(decoder: &Decoder<'_>) -> Option<Choice> {
    let probe = decoder.sparse_probe()?;
    if let Some((gain, cost)) = probe.too_short {
        let reason = format!("the text gains at most {gain:.2} s, its copies of the weights cost {cost:.2} s");
        let (what, candidates) = ("skipping zero gates".into(), Vec::new());
        return Some(Choice { what, chosen: "dense".into(), reason, candidates });
    }
    let (names, us) = probe.forms.iter().map(|(id, us)| ((*id).to_owned(), *us)).unzip::<_, _, Vec<_>, Vec<_>>();
    let [low, high] = probe.shares.map(|share| 100.0 * share);
    let on = format!("up and down of a block at {low:.0}% and {high:.0}% of gates live");
    Some(by_evidence(FORM, &on, &names, &Evidence { us, passes: probe.passes }))
}
