//! Texts on a GPU, whichever there is, software too. Without one these tests say so, aloud; where
//! TRITBENCH_NEEDS_GPU is set that is a failure.

use crate::common::*;
use crate::goldens::{assert_holds, assert_perplexity, golden, numbers};

/// Whether there is an adapter.
pub fn there_is_one() -> bool {
    let listed = run("list devices --json");
    if listed.status.code() == Some(5) {
        assert!(std::env::var_os("TRITBENCH_NEEDS_GPU").is_none(), "{}", stderr(&listed));
        eprintln!("no GPU adapter, not even a software one: nothing of this test was run");
        return false;
    }
    succeeds(listed);
    true
}

#[test]
fn ids_and_logits_of_every_golden() {
    if !there_is_one() {
        return;
    }
    for case in list(&golden(), "cases") {
        let answer = assert_holds(case, "auto", "gpu");
        assert_eq!(answer["kernel"]["executed"], "gpu-dp4a-tile32");
        // Nothing of a software adapter is timed.
        let timed = answer.get("decode_tokens_per_s").is_some() || answer.get("time_to_first_token_ms").is_some();
        assert_eq!(timed, answer["software"] == false, "{answer}");
    }
}

#[test]
fn perplexity_within_the_goldens_margin() {
    if there_is_one() {
        assert_perplexity(&json("perplexity --json --device gpu"));
    }
}

/// SiLU and squared ReLU, with and without sub-norms, scales of rows and of tensors, neighbours and halves rotated,
/// embeddings of several types, a head of its own.
#[test]
fn other_architectures_give_what_they_give_on_the_cpu() {
    if !there_is_one() {
        return;
    }
    for name in ["bitnet", "llama"] {
        let model = scenarios().join(format!("model/tiny/{name}.gguf"));
        let answer = |device: &str| {
            let args = "generate --json --logits --greedy --ignore-eos --head f16 --threads 1 --max-tokens 12 --device";
            let named = [device, "--model", &model.display().to_string(), "--prompt", "First Citizen: Before we"];
            json(&[&args.words()[..], &named.words()[..]].concat()[..])
        };
        let (cpu, gpu) = (answer("cpu"), answer("gpu"));
        assert_eq!(gpu["token_ids"], cpu["token_ids"], "{name}");
        let (got, want) = (numbers(&gpu["logits_last"]), numbers(&cpu["logits_last"]));
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // A rounding of activations that goes the other way moves logits of random weights by some hundredths.
        assert!(worst <= 0.1, "{name}: off by {worst}");
    }
}

#[test]
fn sampling_follows_its_seed_and_a_text_repeats_itself() {
    if !there_is_one() {
        return;
    }
    let sampled = |device: &str| {
        let args = "generate --prompt ROMEO: --max-tokens 30 --temperature 0.9 --seed 7 --json --threads 1 --device";
        json(&[&args.words()[..], &[device.to_owned()]].concat()[..])["token_ids"].clone()
    };
    assert_eq!(sampled("gpu"), sampled("gpu"));
    assert_eq!(sampled("gpu"), sampled("cpu"));
    let greedy = json("generate --prompt ROMEO: --max-tokens 30 --json --deterministic --device gpu:0");
    assert_eq!((&greedy["deterministic"], list(&greedy, "token_ids").len()), (&true.into(), 30));
}

#[test]
fn what_a_device_does_not_compute_is_refused_by_its_flag() {
    if !there_is_one() {
        return;
    }
    for (flags, code, part) in [
        ("--kernel avx2-i8", 2, "--kernel avx2-i8"),
        ("--head q8", 2, "--head"),
        ("--activations 32", 2, "--activations"),
        ("--dense", 2, "--dense"),
        ("--prefill-kernel scalar-i8", 2, "--prefill-kernel"),
    ] {
        ends_with_error(&run(&format!("generate --prompt a --device gpu {flags}")), code, &["--device gpu", part]);
    }
    ends_with_error(&run("perplexity --device gpu --lut seed"), 2, &["--lut seed"]);
    let groups = scenarios().join("model/tiny/qwen3.gguf");
    let args = ["generate", "--prompt", "a", "--device", "gpu", "--model", &groups.display().to_string()];
    ends_with_error(&run(&args), 5, &["a scale for each 64 weights", "leave --device out"]);
    ends_with_error(&run("generate --prompt a --device gpu:7"), 2, &["there is no gpu:7; there", "gpu:0"]);
}
