//! Ids and logits of whole texts, of models of each kind, with every exact kernel that can multiply their weights.

use crate::alike::{bytes_of, line};
use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, HeadFormat, Kernel, registry};
use model::decoder::Decoder;
use model::kernel_weights::KernelWeights;
use model::{builtin, gguf::Gguf, loading::Loading, weights::Model};
use std::sync::Arc;

static TINY: [(&str, &[u8]); 4] = [
    ("qwen3, groups of 64", include_bytes!("../../../../scenarios/model/tiny/qwen3.gguf")),
    ("qwen3, four codes", include_bytes!("../../../../scenarios/model/tiny/qwen3-four.gguf")),
    ("llama", include_bytes!("../../../../scenarios/model/tiny/llama.gguf")),
    ("bitnet", include_bytes!("../../../../scenarios/model/tiny/bitnet.gguf")),
];

pub fn print() {
    let load = |gguf| Model::load(gguf, None, &mut Loading::alone()).expect("a valid model");
    text("built in", &load(builtin::open().expect("built in")), 48);
    for (name, bytes) in TINY {
        text(name, &load(Gguf::from_bytes("tiny.gguf", bytes.to_vec()).expect("sound")), 16);
    }
}

fn text(name: &str, model: &Model, tokens: usize) {
    let prompt = model.tokenizer.encode("ROMEO: what light", None).expect("encodes");
    let needs = model.needs(&mut Team::single()).expect("sound");
    let here = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
    let able = here.filter(|k| k.descriptor().exact() && k.descriptor().can_run(needs).is_ok());
    let mut kernels: Vec<Kernel> = able.collect();
    // Kernels with scales of groups round a matrix's one scale elsewhere: a family gives one answer.
    let family = kernels.first().expect("a portable kernel runs everywhere").descriptor().family();
    kernels.retain(|kernel| kernel.descriptor().family() == family);
    for format in HeadFormat::ALL {
        // The portable head: f16 heads with vectors add in another order.
        let head = Arc::new(model.head(format, CpuFeatures::NONE, &mut Team::single()).expect("finite").into());
        let mut first: Option<(Vec<u32>, Vec<f32>)> = None;
        for &kernel in &kernels {
            let layout = kernel.descriptor().layout;
            let weights = model.weights(layout, CodeTable::TERNARY, &mut Loading::alone()).expect("packs");
            let weights = KernelWeights::new(kernel, Arc::new(weights)).expect("its layout");
            let decoder = Decoder::of(model, weights, Arc::clone(&head)).features(CpuFeatures::detect());
            let mut decoder = decoder.context(prompt.len() + tokens).build().expect("fits");
            let (mut ids, mut logits) = (prompt.clone(), Vec::new());
            for ids in prompt.chunks(decoder.batch()) {
                decoder.forward(ids).expect("fits");
            }
            for _ in 0..tokens {
                let next = decoder.logits().expect("finite");
                logits.extend_from_slice(next);
                let best = (0..next.len()).fold(0, |best, i| if next[i] > next[best] { i } else { best });
                ids.push(best as u32);
                decoder.forward(&ids[ids.len() - 1..]).expect("fits");
            }
            let (want_ids, want_logits) = first.get_or_insert_with(|| (ids.clone(), logits.clone()));
            if ids != *want_ids || bytes_of(&logits) != bytes_of(want_logits) {
                eprintln!("{name}: {} and {} give other ids or logits", kernel.id(), kernels[0].id());
                std::process::exit(1);
            }
        }
        let (ids, logits) = first.expect("a portable kernel runs everywhere");
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let by: Vec<&str> = kernels.iter().map(Kernel::id).collect();
        line(&format!("ids of {name}, head {}", format.name()), &bytes, &by.join(", "));
        line(&format!("logits of {name}, head {}", format.name()), &bytes_of(&logits), &by.join(", "));
    }
}
