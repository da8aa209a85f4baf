//! The small committed models of other architectures and encodings against the float64 oracle that wrote them
//! (scenarios/model/tiny.py), with every kernel that can multiply their weights.

use crate::fixtures::{NEVER, builder, kernels, request};
use crate::generate::Session;
use crate::gguf::Gguf;
use crate::head::{Head, TernaryHead};
use crate::loading::Loading;
use crate::weights::Model;
use kernels::parallel::Team;
use kernels::random::SplitMix64;
use kernels::{
    ActivationRule, CodeTable, CpuFeatures, F32Ops, Family, FloatActivations, Kernel, LinearInput, Needs, ScaleUnit,
};
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

fn tiny(name: &str) -> Model {
    load(FILES.iter().find(|file| file.0 == name).expect("there").1)
}

/// The head as its ternary matrix, for a kernel that can multiply it by the rule.
fn ternary_head(model: &Model, kernel: Kernel, rule: ActivationRule) -> TernaryHead {
    let (d, team) = (kernel.descriptor(), &mut Team::single());
    let needs = model.ternary_head_needs(d, Needs { rule, ..Needs::NONE }, team).expect("sound").expect("it can");
    TernaryHead::new(kernel, model.ternary_head(d.layout, needs, team).expect("packs").into())
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
    let needs = |name: &str| tiny(name).needs(&mut Team::single()).expect("sound");
    assert_eq!((needs("qwen3").scales, needs("qwen3").four_codes), (ScaleUnit::Group(64), false));
    assert!(needs("qwen3-four").four_codes);
    assert_eq!((needs("bitnet").scales, needs("bitnet").four_codes), (ScaleUnit::Tensor, false));
}

/// A ternary head gives the file's rows times the quantised hidden state, by every rule, the same bits with every
/// kernel and any number of threads; and what quantising moved is no more than half a step of each element.
#[test]
fn a_ternary_head_multiplies_the_files_rows() {
    for (name, rule) in
        ["qwen3", "qwen3-four"].into_iter().flat_map(|name| ActivationRule::ALL.map(|rule| (name, rule)))
    {
        let model = tiny(name);
        let output = model.output_rows();
        let (k, rows) = (output.k(), output.rows());
        let x = SplitMix64::new(3).signed_units(k);
        let mut weights = vec![0f32; k];
        let mut first: Option<Vec<f32>> = None;
        let takes = |kernel: &Kernel| {
            kernel.descriptor().family() == Family::W2gA8 && kernel.descriptor().rules.contains(&rule)
        };
        for (kernel, threads) in kernels().filter(takes).flat_map(|kernel| [1, 3].map(|threads| (kernel, threads))) {
            if kernel.descriptor().layout.group_sizes().all(|group| group != 64) {
                continue;
            }
            let head = ternary_head(&model, kernel, rule);
            let mut team = Team::new(threads, |_| {}).expect("threads start");
            let mut input = LinearInput::by_rule(1, k, rule, F32Ops::select(CpuFeatures::detect()));
            let (mut y, what) = (vec![f32::NAN; rows], format!("{name} {} {rule}", kernel.id()));
            head.logits(&mut team, &x, (&mut input, &mut []), &mut y).expect("shapes fit");
            let mut undone = FloatActivations::new(k);
            undone.set_dequantized(&input.quantized[0]).expect("as long");
            for (row, &y) in y.iter().enumerate() {
                output.decode(row, &mut weights);
                let terms = weights.iter().enumerate().map(|(i, &w)| (f64::from(w), i));
                let (mut sum, mut size, mut moved) = (0.0, 0.0, 0.0);
                for (w, i) in terms {
                    let own = f64::from(undone.values()[i]);
                    (sum, size) = (sum + w * own, size + (w * own).abs());
                    moved += w * (own - f64::from(x[i]));
                }
                assert!((f64::from(y) - sum).abs() < 1e-5 * size, "{what} row {row}: {y}, in f64 {sum}");
                let steps: f64 = weights.iter().map(|&w| f64::from(w).abs() / 127.0).sum();
                assert!(moved.abs() < 0.51 * steps, "{what} row {row}: moved by {moved}");
            }
            assert_eq!(first.get_or_insert_with(|| y.clone()), &y, "{what}");
        }
        assert!(first.is_some());
    }
}

/// With its ternary head a decoder gives the oracle's logits too, and counts the packed bytes.
#[test]
fn a_decoder_takes_a_ternary_head() {
    let golden: Value = serde_json::from_str(GOLDEN).expect("JSON");
    for name in ["qwen3", "qwen3-four"] {
        let model = tiny(name);
        let needs = model.needs(&mut Team::single()).expect("sound");
        for kernel in kernels().filter(|k| k.descriptor().can_run(needs).is_ok()) {
            let decoder = builder(&model, kernel, CodeTable::TERNARY, CpuFeatures::detect()).context(64);
            let mut decoder = decoder.build().expect("fits");
            let (halves, all) = (decoder.head().bytes(), decoder.bytes_per_token());
            let head = Head::from(ternary_head(&model, kernel, needs.rule));
            assert_eq!((head.id(), head.rows(), head.k()), ("ternary", model.config.vocab, model.config.dim));
            // At most 2.5 bits a weight with its scales, and up to 15 rows of padding.
            assert!(head.bytes() < halves / 6, "{}: {} of {halves} bytes", kernel.id(), head.bytes());
            decoder.set_head(head.clone().into()).expect("of this model");
            assert_eq!(all - decoder.bytes_per_token(), (halves - head.bytes()) as u64);
            let case = &golden[name]["cases"][0];
            let prompt: Vec<u32> = numbers(&case["prompt_ids"]).iter().map(|&id| id as u32).collect();
            prompt.iter().for_each(|&id| decoder.forward(&[id]).expect("runs"));
            let got = decoder.logits().expect("runs");
            for (n, (want, &got)) in numbers(&case["logits_last"]).iter().zip(got).enumerate() {
                assert!((want - f64::from(got)).abs() < TOLERANCE, "{name} {} logit {n}: {got}, {want}", kernel.id());
            }
        }
    }
}

/// Why a head is not taken as a ternary matrix is said.
#[test]
fn heads_that_are_no_ternary_matrix_for_a_kernel_are_refused() {
    let refused = |name: &str, kernel: &Kernel| {
        let needs = tiny(name).ternary_head_needs(kernel.descriptor(), Needs::NONE, &mut Team::single());
        needs.expect("sound").expect_err("refused")
    };
    let scalar = kernels().find(|kernel| kernel.id() == "scalar-i8").expect("runs everywhere");
    let why = refused("llama", &scalar);
    assert!(why.contains("\"output.weight\"") && why.contains("no ternary matrix but Q6_K"), "{why}");
    let why = refused("qwen3", &scalar);
    assert!(why.contains("scalar-i8") && why.contains("each 64 weights"), "{why}");
    let model = tiny("llama");
    let error = model.ternary_head(scalar.descriptor().layout, Needs::NONE, &mut Team::single()).map(|_| ());
    assert!(error.expect_err("refused").to_string().contains("take another --head"));
}
