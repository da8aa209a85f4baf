//! The built-in model's known answers, written by an independent float64 implementation, through the command line with
//! every kernel.

use crate::common::*;
use serde_json::Value;

/// Rounding may decide a step whose two best logits are closer than this (scenarios/model/README.md).
const MARGIN: f64 = 0.1;
const LOGIT_TOLERANCE: f64 = 0.2;

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|n| n.as_f64().expect("a number")).collect()
}

pub fn golden() -> Value {
    read_json(scenarios().join("model/golden.json"))
}

fn generate(case: &Value, kernel: &str, more: &str) -> Value {
    let args = format!("generate --json --ignore-eos --kernel {kernel} {more}");
    json(&[&args.words()[..], &["--prompt".into(), text(case, "prompt").into()]].concat()[..])
}

/// Prompts of 1 id and of 63 and more come after the three short ones.
const SHORT: usize = 3;
/// The model's longest sequence.
const CONTEXT: usize = 512;

/// Checks a kernel's answer, and gives the answer.
pub fn assert_holds(case: &Value, kernel: &str, device: &str) -> Value {
    // The program asks for a place for every id that it generates: beside 512 there is none.
    let room = CONTEXT - list(case, "prompt_ids").len();
    let want = numbers(&case["greedy_ids"]);
    let most = want.len().min(room);
    // One thread: tests share the cores.
    let more = format!("--greedy --logits --threads 1 --device {device} --max-tokens {most}");
    let answer = generate(case, kernel, &more);
    assert_eq!(answer["prompt_ids"], case["prompt_ids"], "{kernel} {}", case["prompt"]);
    let safe = numbers(&case["margins"]).iter().take_while(|margin| **margin > MARGIN).count().min(most);
    let have = numbers(&answer["token_ids"]);
    assert_eq!(have.len(), most);
    assert_eq!(have[..safe], want[..safe], "{kernel} {}", case["prompt"]);
    // After the prompt.
    let (got, want) = (numbers(&answer["logits_last"]), numbers(&case["logits_last"]));
    assert_eq!(got.len(), want.len());
    let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst <= LOGIT_TOLERANCE, "{kernel} {}: off by {worst}", case["prompt"]);
    answer
}

#[test]
fn ids_and_logits_of_every_kernel() {
    for kernel in of_builtin(available_kernels()) {
        for case in &list(&golden(), "cases")[..SHORT] {
            assert_eq!(assert_holds(case, &kernel, "cpu")["kernel"]["executed"], kernel.as_str());
        }
    }
}

/// With one kernel: `model inspect` runs them with each.
#[test]
fn ids_and_logits_after_prompts_of_every_length() {
    let golden = golden();
    let cases = &list(&golden, "cases")[SHORT..];
    let lengths: Vec<usize> = cases.iter().map(|case| list(case, "prompt_ids").len()).collect();
    assert_eq!(lengths, [1, 63, 64, 65, 128, 512]);
    cases.iter().for_each(|case| drop(assert_holds(case, "auto", "cpu")));
}

/// Sampling looks at every logit. Three threads share the rows unevenly, where there are CPUs for them.
#[test]
fn exact_kernels_agree_on_every_token_with_any_threads() {
    let kernels = json("list kernels --json");
    let exact = list(&kernels, "kernels").iter().filter(|k| k["exact"] == true && k["available"] == true);
    let exact = of_builtin(exact.map(|kernel| text(kernel, "id").to_owned()).collect());
    for (number, case) in list(&golden(), "cases")[..SHORT].iter().enumerate() {
        let sampled = |kernel: &str, threads: usize| {
            let sampled = "--deterministic --temperature 0.9 --seed 7 --max-tokens 24";
            let report = generate(case, kernel, &format!("{sampled} --threads {threads}"));
            assert_eq!((&report["deterministic"], &report["seed"]), (&true.into(), &7.into()));
            report["token_ids"].clone()
        };
        let first = sampled(&exact[0], 1);
        for kernel in &exact {
            for threads in if number == 0 { 1..=cpus().min(3) } else { cpus().min(2)..=cpus().min(2) } {
                assert_eq!(sampled(kernel, threads), first, "{kernel} with {threads} threads");
            }
        }
    }
}

#[test]
fn perplexity_of_the_fastest_exact_kernel() {
    assert_perplexity(&json("perplexity --json --threads 1"));
}

/// Checks what `perplexity` printed.
pub fn assert_perplexity(got: &Value) {
    let golden = &golden()["perplexity"];
    assert_eq!(got["window"], golden["window"]);
    let (got, want) = (got["perplexity"].as_f64().expect("a number"), golden["perplexity"].as_f64().expect("a number"));
    assert!((got / want - 1.0).abs() <= 1e-3, "{got} instead of {want}");
}

#[test]
fn sampling_is_repeated_by_its_seed() {
    let sample = |seed: u32| {
        let args = "generate --prompt ROMEO: --max-tokens 20 --temperature 1.2 --json --kernel scalar-i8 --threads 1";
        json(&format!("{args} --seed {seed}"))["token_ids"].clone()
    };
    assert_eq!(sample(7), sample(7));
    assert_ne!(sample(7), sample(8));
}
