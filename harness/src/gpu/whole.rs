//! A text on a device within `compare`: its logits against the CPU's, then rounds of prompt and answer.

use super::open::Adapter;
use super::text::GpuSequence;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::load_model::{Head, Loaded};
use crate::machine::Machine;
use crate::measure::bench::{Bench, room};
use crate::measure::generation::greedy;
use crate::scenario::Generate;
use kernels::CodeTable;
use kernels_gpu::Settings;
use model::generate::Session;
use receipt::{DeviceText, DeviceTextRound};

/// Rounds of a text where a scenario asks for fewer.
const ROUNDS: usize = 9;
/// Tokens of a prompt whose logits are compared.
const COMPARED: usize = 64;

/// Generates the scenario's text in rounds, once its logits were held against the CPU's fastest exact kernel's.
///
/// # Errors
/// A model that the device does not compute; logits that are far from the CPU's.
pub fn measure(adapter: &Adapter, loaded: &Loaded, asked: &Generate, machine: &Machine) -> Result<DeviceText> {
    let prompt = loaded.model.tokenizer.encode(&asked.prompt, None)?;
    let context = room(loaded.model.config.context, prompt.len(), asked.max_tokens, "the scenario's max_tokens")?;
    let device = adapter.open(Settings { checked: false, ..Settings::default() })?;
    let mut sequence = GpuSequence::new(&device, &loaded.model, machine, context)?;
    let mut text = compared(&mut sequence, loaded, machine, &prompt[..prompt.len().min(COMPARED)])?;
    for _ in 0..asked.rounds.max(ROUNDS) {
        interrupt::check("interrupted while a text was generated on the GPU")?;
        let request = greedy(prompt.clone(), asked.max_tokens, None, Vec::new());
        let generation = Session::new(&mut sequence, request)?.run(interrupt::flag(), &mut |_| {})?;
        text.rounds.push(DeviceTextRound {
            prefill_ns: generation.prefill.as_nanos() as u64,
            prefill_tokens: generation.prefill_tokens,
            decode_ns: generation.decode.as_nanos() as u64,
            decode_tokens: generation.decode_tokens,
        });
    }
    Ok(text)
}

/// Largest difference of a logit that is a rounding's: an activation that is rounded the other way moves logits of
/// random weights by tenths, those of a trained model by hundredths.
const MOST: f64 = 0.5;

/// Every logit behind these tokens on the device and on the CPU.
fn compared(sequence: &mut GpuSequence<'_>, loaded: &Loaded, machine: &Machine, tokens: &[u32]) -> Result<DeviceText> {
    use model::sequence::Sequence;
    let mut bench = Bench::new(loaded, machine, Some(Head::F16), interrupt::flag());
    let candidates = bench.chooser.candidates()?;
    let exact = candidates.iter().rfind(|kernel| kernel.descriptor().exact());
    let kernel = *exact.ok_or_else(|| Error::failed("no exact kernel of the CPU to compare the GPU with"))?;
    let mut cpu = bench.decoder(kernel, CodeTable::TERNARY)?.context(tokens.len()).build()?;
    let mut text = DeviceText {
        dispatches_per_token: sequence.dispatches_per_token(),
        bytes_per_token: sequence.bytes_per_token(),
        ..DeviceText::default()
    };
    sequence.reset();
    for &token in tokens {
        cpu.forward(&[token])?;
        Sequence::forward(sequence, &[token])?;
        let (want, got) = (cpu.logits()?, sequence.predicted()?);
        for (want, got) in want.iter().zip(got) {
            text.outputs += 1;
            text.differing_bits += u64::from(want.to_bits() != got.to_bits());
            // NaN stays, and fails below.
            let difference = f64::from((want - got).abs());
            text.max_abs_difference =
                if difference <= text.max_abs_difference { text.max_abs_difference } else { difference };
        }
    }
    if text.max_abs_difference <= MOST {
        return Ok(text);
    }
    let what = format!("logits of the GPU are {} off the CPU's, more than roundings are", text.max_abs_difference);
    Err(Error::failed(what))
}
