//! The built-in model's known answers, written by an independent float64 implementation, through the command line with
//! every kernel.

mod common;

use common::{available_kernels, json, read_json, scenarios};
use serde_json::Value;

/// Rounding may decide a step whose two best logits are closer than this (scenarios/model/README.md).
const MARGIN: f64 = 0.1;
const LOGIT_TOLERANCE: f64 = 0.2;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|n| n.as_f64().expect("a number")).collect()
}

fn cases() -> Vec<Value> {
    let golden = read_json(&scenarios().join("model/golden.json"));
    golden["cases"].as_array().expect("cases").clone()
}

/// One thread unless `more` says otherwise: tests share the cores.
fn generate(case: &Value, kernel: &str, more: &[&str]) -> Value {
    let prompt = case["prompt"].as_str().expect("a prompt");
    let n = numbers(&case["greedy_ids"]).len().to_string();
    let args = ["generate", "--greedy", "--json", "--ignore-eos", "--kernel", kernel, "--max-tokens", &n];
    let threads: &[&str] = if more.contains(&"--threads") { &[] } else { &["--threads", "1"] };
    json(&[&args[..], &["--prompt", prompt], threads, more].concat())
}

#[test]
fn greedy_ids_of_every_kernel() {
    for kernel in available_kernels() {
        for case in cases() {
            let got = generate(&case, &kernel, &[]);
            assert_eq!(got["kernel"]["executed"], kernel.as_str());
            assert_eq!(got["prompt_ids"], case["prompt_ids"], "{kernel} {}", case["prompt"]);
            let safe = numbers(&case["margins"]).iter().take_while(|margin| **margin > MARGIN).count();
            let (want, have) = (numbers(&case["greedy_ids"]), numbers(&got["token_ids"]));
            assert_eq!(have.len(), want.len());
            assert_eq!(have[..safe], want[..safe], "{kernel} {}", case["prompt"]);
        }
    }
}

#[test]
fn logits_after_the_prompt_of_every_kernel() {
    for kernel in available_kernels() {
        for case in cases() {
            let got = numbers(&generate(&case, &kernel, &["--logits"])["logits_last"]);
            let want = numbers(&case["logits_last"]);
            assert_eq!(got.len(), want.len());
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst <= LOGIT_TOLERANCE, "{kernel} {}: off by {worst}", case["prompt"]);
        }
    }
}

#[test]
fn exact_kernels_agree_on_every_token_with_one_thread_and_with_two() {
    let list = json(&["list", "kernels", "--json"]);
    let exact =
        list["kernels"].as_array().expect("an array").iter().filter(|k| k["exact"] == true && k["available"] == true);
    let exact: Vec<&str> = exact.map(|k| k["id"].as_str().expect("an id")).collect();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cpus.min(2).to_string();
    for case in cases() {
        let first = generate(&case, exact[0], &["--threads", "1"])["token_ids"].clone();
        for kernel in &exact {
            let two = generate(&case, kernel, &["--threads", &threads]);
            assert_eq!(two["token_ids"], first, "{kernel}");
        }
    }
}

#[test]
fn perplexity_of_the_fastest_exact_kernel() {
    let golden = &read_json(&scenarios().join("model/golden.json"))["perplexity"];
    let got = json(&["perplexity", "--json", "--threads", "1"]);
    assert_eq!(got["window"], golden["window"]);
    let (got, want) = (got["perplexity"].as_f64().expect("a number"), golden["perplexity"].as_f64().expect("a number"));
    assert!((got / want - 1.0).abs() <= 1e-3, "{got} instead of {want}");
}

#[test]
fn sampling_is_repeated_by_its_seed() {
    let sample = |seed: &str| {
        let args =
            ["generate", "--prompt", "ROMEO:", "--max-tokens", "20", "--temperature", "1.2", "--json", "--seed", seed];
        json(&[&args[..], &["--kernel", "scalar-i8", "--threads", "1"]].concat())["token_ids"].clone()
    };
    assert_eq!(sample("7"), sample("7"));
    assert_ne!(sample("7"), sample("8"));
}
