//! A prompt to text, with `kernels` and `model` alone: cargo run -p model --example complete -- "ROMEO:"

use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, HeadFormat, Kernel, registry};
use model::decoder::Decoder;
use model::generate::{Request, Session};
use model::loading::Loading;
use model::sampler::Sampling;
use model::weights::Model;
use model::{Error, Result, builtin};
use std::sync::{Arc, atomic::AtomicBool};

fn complete(prompt: &str) -> Result<String> {
    let features = CpuFeatures::detect();
    let mut exact = registry::KERNELS.iter().rev().filter(|kernel| kernel.exact());
    let kernel = exact.find_map(|kernel| Kernel::new(kernel, features).ok());
    let kernel = kernel.ok_or_else(|| Error::unsupported("no exact kernel runs on this CPU"))?;
    // Another file: `model::gguf::Gguf::open(path)`.
    let model = Model::load(builtin::open()?, None, &mut Loading::alone())?;
    let weights = model.weights(kernel.descriptor().packing, CodeTable::TERNARY, &mut Loading::alone())?;
    let head = Arc::new(model.head(HeadFormat::F16, features, &mut Team::single())?);
    let prompt = model.tokenizer.encode(prompt, None)?;
    let (max_tokens, sampling) = (48, Sampling::Greedy);
    let capacity = prompt.len() + max_tokens;
    let mut decoder = Decoder::new(&model, Arc::new(weights), kernel, head, Team::single(), features, capacity)?;
    let (stop_ids, stop_strings) = (Vec::new(), Vec::new());
    let request = Request { prompt, max_tokens, sampling, stop_ids, stop_at_eos: true, stop_strings, timeout: None };
    let generation = Session::new(&mut decoder, request)?.run(&AtomicBool::new(false), &mut |_| {})?;
    Ok(generation.text)
}

fn main() -> std::process::ExitCode {
    let prompt = std::env::args().nth(1).unwrap_or_default();
    match complete(&prompt) {
        Ok(text) => println!("{prompt}{text}"),
        Err(error) => {
            eprintln!("error: {error}");
            return std::process::ExitCode::FAILURE;
        }
    }
    std::process::ExitCode::SUCCESS
}
