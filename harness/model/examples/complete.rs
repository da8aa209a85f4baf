//! A prompt to text, with `kernels` and `model` alone: cargo run -p model --example complete -- "ROMEO:"

use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, Family, HeadFormat, Kernel, registry};
use model::generate::{Request, Session};
use model::kernel_weights::KernelWeights;
use model::{builtin, decoder::Decoder, loading::Loading, sampler::Sampling, weights::Model};
use std::sync::{Arc, atomic::AtomicBool};

fn main() -> model::Result<()> {
    let text = std::env::args().nth(1).unwrap_or_default();
    let features = CpuFeatures::detect();
    // Of the family for tensor scales, which the built-in model has; `Model::needs` says what another one asks.
    let mut exact = registry::KERNELS.iter().rev().filter(|kernel| kernel.exact() && kernel.family() == Family::W2A8);
    let kernel = exact.find_map(|kernel| Kernel::new(kernel, features).ok()).expect("scalar-i8 runs on every CPU");
    // Another file: `model::gguf::Gguf::open(path)`.
    let model = Model::load(builtin::open()?, None, &mut Loading::alone())?;
    let weights = model.weights(kernel.descriptor().layout, CodeTable::TERNARY, &mut Loading::alone())?;
    let head = Arc::new(model.head(HeadFormat::F16, features, &mut Team::single())?.into());
    let (prompt, max_tokens) = (model.tokenizer.encode(&text, None)?, 48);
    let weights = KernelWeights::new(kernel, Arc::new(weights))?;
    let mut decoder = Decoder::of(&model, weights, head).context(prompt.len() + max_tokens).build()?;
    let (sampling, stop_at_eos, timeout) = (Sampling::Greedy, true, None);
    let (stop_ids, stop_strings) = (Vec::new(), Vec::new());
    let request = Request { prompt, max_tokens, sampling, stop_ids, stop_at_eos, stop_strings, timeout };
    let generation = Session::new(&mut decoder, request)?.run(&AtomicBool::new(false), &mut |_| {})?;
    println!("{text}{}", generation.text);
    Ok(())
}
