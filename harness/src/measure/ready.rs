//! A decoder that is ready to speak: the kernel for its prompt, skipping and room are chosen.

use super::bench::Bench;
use super::records;
use super::staged::Staged;
use crate::choose::prefill_kernel::{PrefillPlan, PrefillPolicy, Prompt};
use crate::choose::skipping::{self, skipping};
use crate::error::Result;
use crate::output::note;
use kernels::{CodeTable, Kernel};
use model::decoder::Decoder;
use receipt::PrefillRecord;

/// How long, in tokens, what it will say is: choices depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    pub prompt: usize,
    /// At most.
    pub answer: usize,
    /// Room for both.
    pub context: usize,
}

/// Makes the decoder of a kernel that was selected, and says what is chosen.
pub fn ready<'m>(
    bench: &mut Bench<'m>,
    kernel: Kernel,
    policy: &PrefillPolicy,
    dense: bool,
    lengths: Lengths,
) -> Result<Decoder<'m>> {
    let prompt = Prompt { tokens: lengths.prompt, unpacked: false };
    let (plan, _) = policy.decide(&kernel, prompt, &mut bench.chooser)?.unzip();
    whole(bench, kernel, plan.flatten(), (dense, lengths))
}

/// The same, where the prompt may come to a decoder on the mapped file, before anything is packed; and why another
/// kernel computes it or none does, where that was chosen.
pub fn begun<'b, 'm>(
    bench: &'b mut Bench<'m>,
    kernel: Kernel,
    policy: &PrefillPolicy,
    dense: bool,
    lengths: Lengths,
) -> Result<(Staged<'b, 'm>, Option<PrefillRecord>)> {
    let prompt = Prompt { tokens: lengths.prompt, unpacked: !bench.has_weights(&kernel) };
    let (plan, prefill) = policy.decide(&kernel, prompt, &mut bench.chooser)?.unzip();
    let plan = plan.flatten();
    let stays = bench.chooser.stays_mapped(kernel.descriptor().layout);
    let first = match plan {
        Some(plan) if plan.before_packing => Some(plan.kernel),
        // Nothing to pack, but a head to quantise.
        None if stays && bench.head_to_quantise().is_some() => Some(bench.chooser.kernel(kernel)?),
        _ => None,
    };
    let Some(first) = first else { return Ok((Staged::whole(whole(bench, kernel, plan, (dense, lengths))?), prefill)) };
    let first = bench.first_decoder(first)?.context(lengths.context).build()?;
    Ok((Staged::new(first, lengths.prompt, move || whole(bench, kernel, plan, (dense, lengths))), prefill))
}

/// The decoder with all that it will ever have.
fn whole<'m>(
    bench: &mut Bench<'m>,
    kernel: Kernel,
    plan: Option<PrefillPlan>,
    (dense, lengths): (bool, Lengths),
) -> Result<Decoder<'m>> {
    let prefill = bench.prefill(plan.as_ref())?;
    let sparse = skipping(dense, Some(lengths.answer));
    let decoder = bench.decoder(kernel, CodeTable::TERNARY)?.context(lengths.context);
    let decoder = decoder.prefill(prefill).sparse(sparse).build()?;
    let skips = skipping::choice(&decoder).or_else(|| skipping::off_by_rule(bench.model(), dense));
    match (decoder.sparse(), &skips) {
        (Some(sparse), _) => note(records::sparse_in_words(sparse)),
        (None, Some(choice)) => note(format!("skipping zero gates: off ({})", choice.reason)),
        (None, None) => {}
    }
    skips.into_iter().for_each(|choice| bench.chooser.keep(choice));
    Ok(decoder)
}
