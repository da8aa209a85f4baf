//! Ids and logits of whole texts, of models of each kind, with every exact kernel that can multiply their weights: the
//! same bits by each of them, and on what an oracle in float64 has answered, its ids and nearly its logits.

use crate::alike::{bytes_of, line};
use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, HeadFormat, Kernel, registry};
use model::decoder::Decoder;
use model::hash::sha256_hex;
use model::head::Head;
use model::kernel_weights::KernelWeights;
use model::known::{Golden, KnownModel};
use model::{builtin, gguf::Gguf, loading::Loading, weights::Model};
use std::sync::Arc;

static TINY: [(&str, &str, &[u8]); 4] = [
    ("qwen3, groups of 64", "qwen3", include_bytes!("../../../../scenarios/model/tiny/qwen3.gguf")),
    ("qwen3, four codes", "qwen3-four", include_bytes!("../../../../scenarios/model/tiny/qwen3-four.gguf")),
    ("llama", "llama", include_bytes!("../../../../scenarios/model/tiny/llama.gguf")),
    ("bitnet", "bitnet", include_bytes!("../../../../scenarios/model/tiny/bitnet.gguf")),
];
const TINY_GOLDEN: &str = include_str!("../../../../scenarios/model/tiny/golden.json");

/// Longer prompts are left to the crate's tests: an emulated CPU takes a minute for one.
const LONGEST: usize = 65;

/// How far a logit may be from the oracle's, as in the crate's own tests (`golden_tests`,
/// `tiny_tests`), which say where the bounds come from.
const BUILT_IN: f32 = 0.2;
const OF_TINY: f32 = 0.4;

pub fn print() {
    let load = |gguf| Model::load(gguf, None, &mut Loading::alone()).expect("a valid model");
    let known = KnownModel::find(&sha256_hex(builtin::bytes())).expect("sound").expect("known");
    Text { name: "built in", model: &load(builtin::open().expect("built in")), tokens: 48 }
        .print(&known.goldens, BUILT_IN);
    let golden: serde_json::Value = serde_json::from_str(TINY_GOLDEN).expect("JSON");
    for (name, key, bytes) in TINY {
        let model = load(Gguf::from_bytes("tiny.gguf", bytes.to_vec()).expect("sound"));
        let goldens: Vec<Golden> = serde_json::from_value(golden[key]["cases"].clone()).expect("cases");
        Text { name, model: &model, tokens: 16 }.print(&goldens, OF_TINY);
    }
}

/// A model, and how many tokens it continues a prompt by.
struct Text<'a> {
    name: &'a str,
    model: &'a Model,
    tokens: usize,
}

/// What a prompt was continued by, and the logits before each of these ids.
struct Answer {
    ids: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

impl Text<'_> {
    fn print(&self, goldens: &[Golden], bound: f32) {
        let kernels = self.kernels();
        let by = kernels.iter().map(Kernel::id).collect::<Vec<_>>().join(", ");
        let prompt = self.model.tokenizer.encode("ROMEO: what light", None).expect("encodes");
        for format in HeadFormat::ALL {
            let head = self.head(format);
            let answer = self.by_each(&kernels, &head, (&prompt, self.tokens));
            let ids: Vec<u8> = answer.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            line(&format!("ids of {}, head {}", self.name, format.name()), &ids, &by);
            let logits = bytes_of(&answer.logits.concat());
            line(&format!("logits of {}, head {}", self.name, format.name()), &logits, &by);
        }
        let head = self.head(HeadFormat::F16);
        for golden in goldens.iter().filter(|golden| golden.prompt_ids.len() <= LONGEST) {
            let answer = self.by_each(&kernels, &head, (&golden.prompt_ids, golden.token_ids.len()));
            let what = format!("golden of {}, prompt of {} ids", self.name, golden.prompt_ids.len());
            if let Err(off) = holds(golden, &answer, bound) {
                refuse(&format!("{what}: {off}"));
            }
            line(&what, &bytes_of(&answer.logits.concat()), &by);
        }
    }

    /// Every exact kernel that can, of one family: those with scales of groups round a matrix's one scale elsewhere.
    fn kernels(&self) -> Vec<Kernel> {
        let needs = self.model.needs(&mut Team::single()).expect("sound");
        let here = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
        let able = here.filter(|k| k.descriptor().exact() && k.descriptor().can_run(needs).is_ok());
        let mut kernels: Vec<Kernel> = able.collect();
        let family = kernels.first().expect("a portable kernel runs everywhere").descriptor().family();
        kernels.retain(|kernel| kernel.descriptor().family() == family);
        kernels
    }

    /// The portable head: f16 heads with vectors add in another order.
    fn head(&self, format: HeadFormat) -> Arc<Head> {
        Arc::new(self.model.head(format, CpuFeatures::NONE, &mut Team::single()).expect("finite").into())
    }

    /// What each kernel answers, which must be one answer.
    fn by_each(&self, kernels: &[Kernel], head: &Arc<Head>, (prompt, tokens): (&[u32], usize)) -> Answer {
        let answers = kernels.iter().map(|&kernel| (kernel, self.by(kernel, head, (prompt, tokens))));
        let one = answers.reduce(|first, other| {
            if other.1.ids != first.1.ids || bytes_of(&other.1.logits.concat()) != bytes_of(&first.1.logits.concat()) {
                refuse(&format!("{}: {} and {} give other ids or logits", self.name, other.0.id(), first.0.id()));
            }
            first
        });
        one.expect("a portable kernel runs everywhere").1
    }

    fn by(&self, kernel: Kernel, head: &Arc<Head>, (prompt, tokens): (&[u32], usize)) -> Answer {
        let layout = kernel.descriptor().layout;
        let weights = self.model.weights(layout, CodeTable::TERNARY, &mut Loading::alone()).expect("packs");
        let weights = KernelWeights::new(kernel, Arc::new(weights)).expect("its layout");
        let decoder = Decoder::of(self.model, weights, Arc::clone(head)).features(CpuFeatures::detect());
        let mut decoder = decoder.context(prompt.len() + tokens).build().expect("fits");
        for ids in prompt.chunks(decoder.batch()) {
            decoder.forward(ids).expect("fits");
        }
        let (mut ids, mut logits) = (Vec::new(), Vec::new());
        for _ in 0..tokens {
            let next = decoder.logits().expect("finite").to_vec();
            let best = (0..next.len()).fold(0, |best, i| if next[i] > next[best] { i } else { best });
            ids.push(best as u32);
            logits.push(next);
            decoder.forward(&ids[ids.len() - 1..]).expect("fits");
        }
        Answer { ids, logits }
    }
}

/// Whether an answer is the oracle's: its ids as far as the oracle itself is sure of them, and the first logits nearly.
fn holds(golden: &Golden, answer: &Answer, bound: f32) -> Result<(), String> {
    let (wanted, margins) = (golden.logits_last.as_ref(), golden.margins.as_ref());
    let (wanted, margins) = wanted.zip(margins).expect("goldens of the oracle have both");
    let off = |n: &usize| (wanted[*n] - answer.logits[0][*n]).abs() >= bound;
    if let Some(n) = (0..wanted.len()).find(off) {
        return Err(format!("logit {n} is {}, the oracle's {}", answer.logits[0][n], wanted[n]));
    }
    // Two logits may move towards each other by the bound each.
    let safe = margins.iter().position(|margin| *margin <= 2.0 * bound).unwrap_or(margins.len());
    let same = golden.token_ids[..safe] == answer.ids[..safe];
    if same { Ok(()) } else { Err(format!("ids are {:?}, the oracle's {:?}", answer.ids, golden.token_ids)) }
}

fn refuse(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(1);
}
