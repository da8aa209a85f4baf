//! The small committed models of other architectures and encodings against the float64 oracle that wrote them
//! (scenarios/model/tiny.py), with every kernel that can multiply their weights.

use crate::fixtures::{NEVER, builder, kernels, request};
use crate::generate::Session;
use crate::gguf::Gguf;
use crate::loading::Loading;
use crate::weights::Model;
use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, Kernel, ScaleUnit};
use serde_json::Value;

/// Models of random weights are touchier than trained ones: f32 arithmetic and an f16 cache move a logit by up to 0.23
/// here. A wrong gate, wrong pairs of rotated elements or missing norms move one by 1.1 at least.
const TOLERANCE: f64 = 0.4;

const GOLDEN: &str = include_str!("../../../scenarios/model/tiny/golden.json");
static FILES: [(&str, &[u8]); 4] = [
    ("qwen3", include_bytes!("../../../scenarios/model/tiny/qwen3.gguf")),
    ("qwen3-four", include_bytes!("../../../scenarios/model/tiny/qwen3-four.gguf")),
    ("llama", include_bytes!("../../../scenarios/model/tiny/llama.gguf")),
    ("bitnet", include_bytes!("../../../scenarios/model/tiny/bitnet.gguf")),
];

fn load(bytes: &[u8]) -> Model {
    // A copy, because included bytes lie anywhere.
    let gguf = Gguf::from_bytes("tiny.gguf", bytes.to_vec()).expect("a sound file");
    Model::load(gguf, None, &mut Loading::alone()).expect("a valid model")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

#[test]
fn every_architecture_gives_the_oracles_logits_and_ids() {
    let golden: Value = serde_json::from_str(GOLDEN).expect("JSON");
    for (name, bytes) in FILES {
        let model = load(bytes);
        let needs = model.needs(&mut Team::single()).expect("sound");
        let able: Vec<_> = kernels().filter(|k| k.descriptor().can_run(needs).is_ok()).collect();
        let portable = |k: &&Kernel| k.descriptor().requires == CpuFeatures::NONE;
        assert!(able.iter().any(|k| portable(&k)), "{name}: the portable kernel at least");
        for case in golden[name]["cases"].as_array().expect("cases") {
            let ids = |key: &str| numbers(&case[key]).iter().map(|&id| id as u32).collect::<Vec<_>>();
            let (prompt, wanted) = (ids("prompt_ids"), ids("greedy_ids"));
            let text = case["prompt"].as_str().expect("text");
            assert_eq!(model.tokenizer.encode(text, None).expect("encodes"), prompt, "{name}");
            let (margins, logits) = (numbers(&case["margins"]), numbers(&case["logits_last"]));
            let safe = margins.iter().position(|&margin| margin <= TOLERANCE).unwrap_or(margins.len());
            for &kernel in &able {
                let what = format!("{name} {text:?} {}", kernel.id());
                let decoder = builder(&model, kernel, CodeTable::TERNARY, CpuFeatures::detect()).context(64);
                let mut decoder = decoder.build().expect("fits");
                let mut session = Session::new(&mut decoder, request(&prompt, wanted.len())).expect("valid");
                session.keep_prompt_logits();
                let out = session.run(&NEVER, &mut |_| {}).expect("runs");
                for (n, (want, got)) in logits.iter().zip(out.prompt_logits.expect("kept")).enumerate() {
                    assert!((want - f64::from(got)).abs() < TOLERANCE, "{what} logit {n}: {got}, oracle {want}");
                }
                assert_eq!(out.token_ids[..safe.min(out.token_ids.len())], wanted[..safe], "{what}");
            }
        }
    }
}

/// What each file asks of a kernel, as its description says.
#[test]
fn needs_are_those_of_the_files() {
    let needs = |name: &str| {
        let bytes = FILES.iter().find(|file| file.0 == name).expect("there").1;
        load(bytes).needs(&mut Team::single()).expect("sound")
    };
    assert_eq!((needs("qwen3").scales, needs("qwen3").four_codes), (ScaleUnit::Group(64), false));
    assert!(needs("qwen3-four").four_codes);
    assert_eq!((needs("bitnet").scales, needs("bitnet").four_codes), (ScaleUnit::Tensor, false));
}
