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

/// Longer prompts go through the last kernel alone: an emulated CPU takes a minute for one by a portable kernel.
const LONGEST: usize = 65;

/// How far an answer may be from the oracle's, as in the crate's own tests (`golden_tests`, `tiny_tests`), which say
/// where the bounds come from.
struct Bounds {
    /// Of a logit.
    logit: f32,
    /// The best logit's lead where an id counts.
    margin: f32,
}

const BUILT_IN: Bounds = Bounds { logit: 0.2, margin: 0.1 };
const OF_TINY: Bounds = Bounds { logit: 0.4, margin: 0.4 };

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

/// What a prompt was continued by, and the logits before each of these ids, one after the other.
struct Answer {
    ids: Vec<u32>,
    logits: Vec<f32>,
}

impl Text<'_> {
    fn print(&self, goldens: &[Golden], bounds: Bounds) {
        let (exact, rounding) = self.kernels();
        let by = |kernels: &[Kernel]| kernels.iter().map(Kernel::id).collect::<Vec<_>>().join(", ");
        let prompt = self.model.tokenizer.encode("ROMEO: what light", None).expect("encodes");
        for format in HeadFormat::ALL {
            let head = self.head(format);
            let answer = self.by_each(&exact, &head, (&prompt, self.tokens));
            let ids: Vec<u8> = answer.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            line(&format!("ids of {}, head {}", self.name, format.name()), &ids, &by(&exact));
            let logits = bytes_of(&answer.logits);
            line(&format!("logits of {}, head {}", self.name, format.name()), &logits, &by(&exact));
        }
        let head = self.head(HeadFormat::F16);
        for golden in goldens {
            let asked = (&golden.prompt_ids[..], golden.token_ids.len());
            let what = format!("golden of {}, prompt of {} ids", self.name, golden.prompt_ids.len());
            let check = |answer: &Answer, by: &str| {
                if let Err(off) = holds(golden, answer, &bounds) {
                    refuse(&format!("{what}, {by}: {off}"));
                }
            };
            let short = golden.prompt_ids.len() <= LONGEST;
            let asks = if short { &exact[..] } else { &exact[exact.len() - 1..] };
            let answer = self.by_each(asks, &head, asked);
            check(&answer, &by(asks));
            line(&what, &bytes_of(&answer.logits), &by(asks));
            for &kernel in rounding.iter().filter(|_| short) {
                check(&self.by(kernel, &head, asked), kernel.id());
            }
        }
    }

    /// Every kernel that can: exact ones of one family, as those with scales of groups round a matrix's one scale
    /// elsewhere; and all others, whose bits are their own.
    fn kernels(&self) -> (Vec<Kernel>, Vec<Kernel>) {
        let needs = self.model.needs(&mut Team::single()).expect("sound");
        let here = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
        let able: Vec<Kernel> = here.filter(|k| k.descriptor().can_run(needs).is_ok()).collect();
        let first = able.iter().find(|k| k.descriptor().exact()).expect("a portable kernel runs everywhere");
        let family = first.descriptor().family();
        able.iter().partition(|k| k.descriptor().exact() && k.descriptor().family() == family)
    }

    /// The portable head: f16 heads with vectors add in another order.
    fn head(&self, format: HeadFormat) -> Arc<Head> {
        Arc::new(self.model.head(format, CpuFeatures::NONE, &mut Team::single()).expect("finite").into())
    }

    /// What each kernel answers, which must be one answer.
    fn by_each(&self, kernels: &[Kernel], head: &Arc<Head>, (prompt, tokens): (&[u32], usize)) -> Answer {
        let answers = kernels.iter().map(|&kernel| (kernel, self.by(kernel, head, (prompt, tokens))));
        let one = answers.reduce(|first, other| {
            if other.1.ids != first.1.ids || bytes_of(&other.1.logits) != bytes_of(&first.1.logits) {
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
            let next = decoder.logits().expect("finite");
            logits.extend_from_slice(next);
            let best = (0..next.len()).fold(0, |best, i| if next[i] > next[best] { i } else { best });
            ids.push(best as u32);
            decoder.forward(&ids[ids.len() - 1..]).expect("fits");
        }
        Answer { ids, logits }
    }
}

/// Whether an answer is the oracle's: its ids as far as the oracle itself is sure of them, and the first logits nearly.
fn holds(golden: &Golden, answer: &Answer, bounds: &Bounds) -> Result<(), String> {
    let (wanted, margins) = (golden.logits_last.as_ref(), golden.margins.as_ref());
    let (wanted, margins) = wanted.zip(margins).expect("goldens of the oracle have both");
    let off = wanted.iter().zip(&answer.logits).position(|(want, got)| (want - got).abs() >= bounds.logit);
    if let Some(n) = off {
        return Err(format!("logit {n} is {}, the oracle's {}", answer.logits[n], wanted[n]));
    }
    let safe = margins.iter().position(|margin| *margin <= bounds.margin).unwrap_or(margins.len());
    let same = golden.token_ids[..safe] == answer.ids[..safe];
    if same { Ok(()) } else { Err(format!("ids are {:?}, the oracle's {:?}", answer.ids, golden.token_ids)) }
}

fn refuse(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(1);
}
