//! `--kernel auto`: which exact kernel decodes, by a probe of one token on the model's own weights.

use super::chooser::Chooser;
use super::operands::MOST_TOKENS;
use super::probe::Evidence;
use super::tuning::{Batch, OneToken, batches, name, one_token};
use super::{by_evidence, without_probe};
use crate::error::{Error, Result};
use kernels::{CpuFeatures, Kernel};
use serde::{Serialize, Serializer};
use std::time::Duration;

/// Time for the probe of one token with all kernels.
const PROBE: Duration = Duration::from_millis(80);

/// What the choice is about, in receipts.
const WHAT: &str = "decoding kernel";

/// The kernel that decodes, and the reason why it was taken.
#[derive(Serialize)]
pub struct Selection {
    /// What the user asked for: a kernel id, or `auto`.
    pub requested: String,
    /// The kernel that was taken, as it is called.
    #[serde(rename = "executed", serialize_with = "id")]
    pub kernel: Kernel,
    /// Why this kernel was taken, in one line.
    pub reason: String,
}

fn id<S: Serializer>(kernel: &Kernel, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(kernel.id())
}

/// The kernel with the id `requested`, or for `auto` the fastest exact one for a prompt of so many tokens. Its
/// conformance suite runs from now on; [`Chooser::verified`] has the outcome.
pub fn select(requested: &str, prompt_tokens: usize, chooser: &mut Chooser<'_>) -> Result<Selection> {
    if requested == "auto" {
        let exact = chooser.candidates()?.into_iter().filter(|kernel| kernel.descriptor().exact());
        let selection = fastest(&exact.collect::<Vec<_>>(), prompt_tokens, chooser)?;
        chooser.verify_meanwhile(selection.kernel)?;
        return Ok(selection);
    }
    let kernel = chooser.machine.kernel(requested)?;
    chooser.check_needs(&kernel)?;
    chooser.verify_meanwhile(kernel)?;
    let kernel = chooser.one_way(kernel)?;
    Ok(Selection { requested: requested.into(), kernel, reason: "named on the command line".into() })
}

/// The fastest of `candidates`, exact kernels, for a prompt of so many tokens: each in its better way to ask ahead.
/// Among kernels that tie, the one whose packing has the fastest product for batches, so that a prompt needs no second
/// copy.
pub fn fastest(candidates: &[Kernel], prompt_tokens: usize, chooser: &mut Chooser<'_>) -> Result<Selection> {
    if candidates.is_empty() {
        let what = "no exact kernel runs on this CPU with these features; `list kernels` says why";
        return Err(Error::unsupported(what));
    }
    if let Some(why) = chooser.cannot_probe()? {
        let kernel = without_measuring(candidates);
        chooser.keep(without_probe(WHAT, &name(&kernel), &why));
        chooser.adopt(kernel);
        return Ok(Selection { requested: "auto".into(), kernel, reason: format!("static choice: {why}") });
    }
    let operands = chooser.operands()?;
    let one = one_token(&with_vectors(candidates), operands, PROBE)?;
    let tied = one.tied();
    // Only where it matters: several that tie, and a prompt.
    let most = MOST_TOKENS.min(prompt_tokens);
    let probed = if tied.len() > 1 { batches(&tied, operands, most)?.sizes } else { Vec::new() };
    let (ways, us) = by_want(&one, probed.last());
    let names: Vec<String> = ways.iter().map(name).collect();
    let evidence = Evidence { us, passes: one.evidence.passes };
    let choice = by_evidence(WHAT, &operands.shape(), &names, &evidence);
    let chosen = evidence.chosen().unwrap_or(0);
    let (kernel, reason) = (ways[chosen], format!("{}: {:.1} us a call", choice.reason, evidence.us[chosen]));
    chooser.keep(choice);
    Ok(Selection { requested: "auto".into(), kernel, reason })
}

/// Those that use what this CPU has beyond its architecture's base. The portable ones are candidates where there are no
/// others: they take ten times as long, and a tenth of the probe's time for the turns that say so.
fn with_vectors(kernels: &[Kernel]) -> Vec<Kernel> {
    let vectors = |kernel: &&Kernel| kernel.descriptor().requires != CpuFeatures::NONE;
    let some = kernels.iter().any(|kernel| vectors(&kernel));
    kernels.iter().filter(|kernel| !some || vectors(kernel)).copied().collect()
}

/// All ways and their times, first those of the kernel with the fastest gemm for the probed batch, last those without.
fn by_want(one: &OneToken, batch: Option<&Batch>) -> (Vec<Kernel>, Vec<f64>) {
    let gemm = |kernel: &Kernel| batch.map_or(f64::INFINITY, |batch| batch.gemm(kernel.id()));
    let mut ways: Vec<(Kernel, f64)> = one.ways.iter().copied().zip(one.evidence.us.iter().copied()).collect();
    // Stable: else the order of the registry, and one level before two.
    ways.sort_by(|a, b| gemm(&a.0).total_cmp(&gemm(&b.0)));
    ways.into_iter().unzip()
}

/// The widest of these kernels that computes batches too, as the registry has them in order.
fn without_measuring(kernels: &[Kernel]) -> Kernel {
    let batches = |kernel: &&Kernel| kernel.descriptor().gemm.is_some() && !kernel.descriptor().tables_per_call;
    *kernels.iter().rfind(batches).unwrap_or(&kernels[kernels.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::{Prefetch, Tuning, registry};

    /// Faked timings: a tie goes to the kernel whose packing prefill wants, a clear winner wins whatever its packing.
    #[test]
    fn a_tie_takes_the_packing_that_prefill_wants() {
        let exact = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
        let exact: Vec<Kernel> = exact.filter(|kernel| kernel.descriptor().exact()).take(2).collect();
        let [a, b] = exact[..] else { return };
        let ways =
            |kernel: Kernel| Prefetch::ALL.map(|prefetch| kernel.tuned(Tuning { prefetch, ..Tuning::default() }));
        let ways = [ways(a), ways(b)].concat();
        let chosen = |us: [f64; 4], gemm_us: Vec<(&'static str, f64)>| {
            let one = OneToken { ways: ways.clone(), evidence: Evidence { us: us.to_vec(), passes: 9 } };
            let batch = Batch { tokens: 24, token_by_token_us: 9.0, gemm_us };
            let (ways, us) = by_want(&one, Some(&batch));
            let chosen = ways[Evidence { us, passes: 9 }.chosen().expect("some")];
            (chosen.id(), chosen.tuning().prefetch)
        };
        let gemms = |a_us, b_us| vec![(a.id(), a_us), (b.id(), b_us)];
        let [one, two] = Prefetch::ALL;
        assert_eq!(chosen([100.0, 100.0, 101.0, 90.0], gemms(5.0, 7.0)), (b.id(), two), "a clear winner");
        assert_eq!(chosen([100.0, 120.0, 101.0, 140.0], gemms(7.0, 5.0)), (b.id(), one), "a tie");
        assert_eq!(chosen([101.0, 120.0, 100.0, 140.0], gemms(5.0, 7.0)), (a.id(), one), "a tie");
        assert_eq!(chosen([101.0, 120.0, 100.0, 140.0], vec![(b.id(), 7.0)]), (b.id(), one), "only one has a gemm");
    }
}
