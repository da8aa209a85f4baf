//! A decoder that is ready to speak: the kernel for its prompt, skipping and room are chosen.

use super::bench::Bench;
use super::records;
use crate::choose::prefill_kernel::PrefillPolicy;
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

/// A decoder, and why another kernel computes its prompts or none does; the bench's chooser has the other choices.
pub struct Ready<'m> {
    pub decoder: Decoder<'m>,
    /// None where nothing was chosen.
    pub prefill: Option<PrefillRecord>,
}

/// Makes the decoder of a kernel that was selected, and says what is chosen.
pub fn ready<'m>(
    bench: &mut Bench<'m>,
    kernel: Kernel,
    policy: &PrefillPolicy,
    dense: bool,
    lengths: Lengths,
) -> Result<Ready<'m>> {
    let decision = policy.decide(&kernel, lengths.prompt, &mut bench.chooser)?;
    let (plan, record) = decision.unzip();
    let prefill = bench.prefill(plan.flatten().as_ref())?;
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
    Ok(Ready { decoder, prefill: record })
}
