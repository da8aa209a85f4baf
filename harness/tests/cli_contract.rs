//! What CLI.md promises to scripts: fields, their types, which stream gets what, exit codes, colours, closed pipes.

mod common;

use common::{harness, harness_path, json, parsed, read_json, run, scenario_with_rounds, stderr, stdout};
use serde_json::Value;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Checks `value` against lines of `path: type`, where `a.b` goes into objects, `[]` into every element of an array (of
/// at least one), and a type is string, number, integer, bool, object, numbers, integers or strings; `?` at its end
/// allows null or absence.
fn assert_fields(value: &Value, fields: &str) {
    for line in fields.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (path, kind) = line.split_once(": ").expect("path: type");
        at_path(value, path, &mut |found| {
            assert!(is(found, kind), "{path} should be {kind}, is {found} in {value:#}");
        });
    }
}

fn at_path(value: &Value, path: &str, check: &mut dyn FnMut(&Value)) {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let (name, each) = head.strip_suffix("[]").map_or((head, false), |name| (name, true));
    let found = &value[name];
    let next = |found: &Value, check: &mut dyn FnMut(&Value)| match rest {
        Some(rest) => at_path(found, rest, check),
        None => check(found),
    };
    if !each {
        return next(found, check);
    }
    let items = found.as_array().unwrap_or_else(|| panic!("{name} is no array in {value:#}"));
    assert!(!items.is_empty(), "{name} is empty");
    items.iter().for_each(|item| next(item, check));
}

fn is(value: &Value, kind: &str) -> bool {
    let all = |test: fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(test));
    match kind.strip_suffix('?') {
        Some(_) if value.is_null() => true,
        Some(kind) => is(value, kind),
        None => match kind {
            "string" => value.as_str().is_some_and(|text| !text.is_empty()),
            "number" => value.is_number(),
            "integer" => value.is_u64(),
            "bool" => value.is_boolean(),
            "object" => value.is_object(),
            "numbers" => all(Value::is_number),
            "integers" => all(Value::is_u64),
            "strings" => all(Value::is_string),
            other => panic!("no type {other}"),
        },
    }
}

#[test]
fn list() {
    let kernels = json(&["list", "kernels", "--json"]);
    assert_fields(
        &kernels,
        "kernels[].id: string
         kernels[].isa: string
         kernels[].available: bool
         kernels[].reason: string?
         kernels[].ops: strings
         kernels[].packing: string
         kernels[].bits_per_weight: number
         kernels[].activations: string
         kernels[].exact: bool
         kernels[].builds_on: string?
         kernels[].summary: string",
    );
    let kernels = kernels["kernels"].as_array().expect("an array");
    assert!(kernels.iter().all(|k| k["activations"] == "f32" || k["activations"] == "i8"));
    assert!(kernels.iter().all(|k| k["available"] == true || k["reason"].is_string()), "what does not run says why");
    assert!(kernels.iter().any(|k| k["id"] == "scalar") && kernels.iter().any(|k| k["id"] == "scalar-i8"));
    let masked = json(&["list", "kernels", "--json", "--cpu-features", "none"]);
    let masked = masked["kernels"].as_array().expect("an array");
    assert!(masked.iter().all(|k| (k["isa"] == "scalar") == (k["available"] == true)), "{masked:?}");
    assert_fields(&json(&["list", "scenarios", "--json"]), "scenarios[].name: string\nscenarios[].analysis: string");
    assert_fields(&json(&["list", "models", "--json"]), "models[].model: string\nmodels[].notes: strings");
}

#[test]
fn verify() {
    let all = json(&["verify", "--json"]);
    assert_fields(
        &all,
        "kernels[].id: string
         kernels[].available: bool
         kernels[].reason: string?
         kernels[].cases: integer
         kernels[].mismatches: integer
         kernels[].max_abs_error: number
         kernels[].max_relative_error: number
         kernels[].exact: bool",
    );
    for kernel in all["kernels"].as_array().expect("an array").iter().filter(|k| k["available"] == true) {
        assert_eq!(kernel["mismatches"], 0, "{kernel}");
        assert!(kernel["cases"].as_u64() > Some(100), "{kernel}");
        let error = kernel["max_relative_error"].as_f64().expect("a number");
        assert!(error <= if kernel["exact"] == true { 0.0 } else { 1e-5 }, "{kernel}");
    }
    let ids: Vec<&str> = all["kernels"].as_array().expect("an array").iter().filter_map(|k| k["id"].as_str()).collect();
    for product in
        ["sparse-scalar-rows", "sparse-avx512-vnni-columns", "head-f16-scalar", "head-q8-avx2", "head-q4-avx512-vnni"]
    {
        assert!(ids.contains(&product), "{product} is not listed: {ids:?}");
    }
    let named = json(&["verify", "--json", "--kernels", "scalar-i8"]);
    assert_eq!(named["kernels"].as_array().map(Vec::len), Some(1));
    assert_eq!((&named["kernels"][0]["id"], &named["kernels"][0]["exact"]), (&"scalar-i8".into(), &true.into()));
}

const GENERATE_FIELDS: &str = "
    prompt_ids: integers
    token_ids: integers
    text: string
    stop_reason: string
    kernel.requested: string
    kernel.executed: string
    threads: integer
    model.path: string
    model.sha256: string
    model.name: string
    time_to_first_token_ms: number
    prefill_tokens_per_s: number
    decode_tokens_per_s: number
    phases_ms.embed: number
    phases_ms.forward: number
    phases_ms.logits: number
    phases_ms.sample: number
    phases_ms.stop_check: number
    forward_ms.qkv: number
    forward_ms.attention: number
    forward_ms.attn_out: number
    forward_ms.gate_up: number
    forward_ms.down: number
    forward_ms.norms: number
    forward_ms.activation_quant: number";

#[test]
fn generate() {
    let dir = TempDir::new().expect("a folder");
    let receipt = dir.path().join("new/r.json");
    let base = ["generate", "--prompt", "ROMEO:", "--max-tokens", "6", "--kernel", "scalar-i8", "--threads", "1"];
    let output = harness().args(base).args(["--json", "--receipt"]).arg(&receipt).output().expect("it ran");
    let report = parsed(&output);
    assert_fields(&report, GENERATE_FIELDS);
    assert_eq!(report["token_ids"].as_array().map(Vec::len), Some(6), "generated ids only");
    assert_eq!(report["kernel"]["executed"], "scalar-i8");
    assert_eq!((&report["stop_reason"], &report["threads"]), (&"max_tokens".into(), &1.into()));
    assert_eq!(report["model"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(read_json(&receipt), report);
    // The text alone goes to stdout, everything else to stderr.
    let plain = run(&base);
    assert_eq!(stdout(&plain), format!("{}\n", report["text"].as_str().expect("text")));
    assert!(stderr(&plain).contains("kernel: scalar-i8") && stderr(&plain).contains("tokens/s"));
    let auto = json(&["generate", "--prompt", "ROMEO:", "--max-tokens", "2", "--json", "--threads", "1"]);
    assert_eq!(auto["kernel"]["requested"], "auto");
    assert_ne!(auto["kernel"]["executed"], "auto");
}

#[test]
fn stop_reasons() {
    let base =
        ["generate", "--prompt", "ROMEO:", "--max-tokens", "24", "--kernel", "scalar-i8", "--threads", "1", "--json"];
    let with = |more: &[&str]| json(&[&base[..], more].concat());
    let whole = with(&[]);
    let text = whole["text"].as_str().expect("text").to_owned();
    let (word, id) = (&text[text.len() / 2..text.len() / 2 + 3], whole["token_ids"][3].to_string());
    let cut = with(&["--stop", word]);
    assert_eq!(cut["stop_reason"], "stop_string");
    assert_eq!(cut["text"].as_str(), text.split(word).next(), "cut before the string");
    let cut = with(&["--stop-id", &id]);
    assert_eq!((&cut["stop_reason"], cut["token_ids"].as_array().map(Vec::len)), (&"stop_id".into(), Some(4)));
    assert_eq!(with(&["--timeout-s", "0"])["stop_reason"], "timeout");
}

#[test]
fn perplexity() {
    let report = json(&["perplexity", "--json", "--quick", "--kernel", "scalar-i8", "--threads", "1"]);
    assert_fields(
        &report,
        "nats_per_token: number
         perplexity: number
         tokens: integer
         window: integer
         kernel.requested: string
         kernel.executed: string
         model.path: string
         model.sha256: string",
    );
    assert_eq!((&report["tokens"], &report["window"]), (&256.into(), &128.into()));
    let (nats, perplexity) = (report["nats_per_token"].as_f64(), report["perplexity"].as_f64());
    assert_eq!(nats.map(f64::exp), perplexity);
    let seed = json(&["perplexity", "--json", "--quick", "--lut", "seed", "--threads", "1"]);
    assert_eq!(seed["lut"], serde_json::json!([-2, -1, 1, 2]));
    assert!(seed["perplexity"].as_f64() > perplexity.map(|p| p * 10.0), "the seed's table is far off");
}

#[test]
fn model_inspect_and_synth() {
    let builtin = json(&["model", "inspect", "builtin", "--json", "--threads", "1"]);
    assert_fields(
        &builtin,
        "path: string
         bytes: integer
         sha256: string
         metadata[].key: string
         metadata[].type: string
         tensors[].name: string
         tensors[].type: string
         tensors[].dims: integers
         tensors[].offset: integer
         checks[].name: string
         checks[].ok: bool
         goldens[].kernel: string
         goldens[].goldens[].passed: bool",
    );
    at_path(&builtin, "goldens[].goldens[].passed", &mut |passed| assert_eq!(passed, true));
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("tiny.gguf").display().to_string();
    let synth = |seed: &str, more: &[&str]| {
        let args = ["model", "synth", "--shape", "tiny", "--layers", "1", "--out", &path, "--json", "--seed", seed];
        json(&[&args[..], more].concat())
    };
    assert_fields(
        &synth("1", &[]),
        "path: string\nbytes: integer\nlayers: integer\nternary_weights: integer\nseed: integer",
    );
    let sha = || json(&["model", "inspect", &path, "--json"])["sha256"].clone();
    let first = sha();
    synth("2", &["--force"]);
    assert_ne!(sha(), first);
    synth("1", &["--force"]);
    assert_eq!(sha(), first, "the same bytes from the same seed");
    let report =
        json(&["generate", "--model", &path, "--prompt", "a", "--max-tokens", "3", "--json", "--threads", "1"]);
    assert_eq!(report["token_ids"].as_array().map(Vec::len), Some(3));
}

#[test]
fn compare_and_report() {
    let dir = TempDir::new().expect("a folder");
    let scenario = scenario_with_rounds(dir.path(), 8).display().to_string();
    let compare = ["compare", "--scenario", &scenario, "--quick"];
    let out = |name: &str| dir.path().join(name).display().to_string();
    let printed = json(&[&compare[..], &["--json", "--out", &out("one")]].concat());
    assert_fields(
        &printed,
        "status: string
         run_folder: string
         receipt: string
         report: string
         csv: string
         charts: strings
         elapsed_s: number
         findings[].title: string
         findings[].text: string
         findings[].evidence: string",
    );
    let receipt = read_json(printed["receipt"].as_str().expect("a path").as_ref());
    assert_eq!((&printed["status"], &receipt["status"]), (&"complete".into(), &"complete".into()));
    for finding in printed["findings"].as_array().expect("an array") {
        assert!(receipt.pointer(finding["evidence"].as_str().expect("text")).is_some(), "{finding}");
    }
    for path in printed["charts"].as_array().expect("charts").iter().chain([&printed["csv"], &printed["report"]]) {
        assert!(std::fs::metadata(path.as_str().expect("a path")).expect("there").len() > 100, "{path}");
    }
    // Without --json: a table, and the report's path last.
    let output = run(&[&compare[..], &["--out", &out("two")]].concat());
    let text = stdout(&output);
    assert_eq!(text.trim_end().lines().last(), Some(format!("{}/report.html", out("two")).as_str()));
    assert!(text.contains("scalar") && !text.contains('\u{1b}'), "{text}");
    assert!(stderr(&output).contains("verifying") && !text.contains("verifying"), "progress is not a result");
    let again = json(&["report", &out("one"), "--out", &out("again"), "--json"]);
    let page = std::fs::read(again["report"].as_str().expect("a path")).expect("there");
    assert_eq!(page, std::fs::read(printed["report"].as_str().expect("a path")).expect("there"));
    let both = json(&["report", &out("one"), &out("two"), "--out", &out("both.html"), "--json"]);
    assert_eq!(both["report"], out("both.html").as_str());
    assert!(dir.path().join("both.html").is_file());
}

/// A quantised head is used only when asked for, and is said to change the logits wherever it is.
#[test]
fn quantised_heads_are_never_silent() {
    let short = ["--quick", "--kernel", "scalar-i8", "--threads", "1", "--json"];
    let plain = json(&[&["perplexity"][..], &short].concat());
    assert!(plain["head"].as_str().is_some_and(|h| h.starts_with("f16-")) && plain["head_effect"].is_null(), "{plain}");
    for head in ["q8", "q4"] {
        let report = json(&[&["perplexity", "--head", head][..], &short].concat());
        assert!(report["head"].as_str().is_some_and(|h| h.starts_with(head)), "{report}");
        assert_fields(
            &report["head_effect"],
            "head: string
             f16_head: string
             nats_per_token: number
             f16_nats_per_token: number
             perplexity: number
             f16_perplexity: number
             perplexity_change_percent: number
             tokens: integer
             window: integer
             text: string",
        );
        assert_eq!(report["head_effect"]["f16_perplexity"], plain["perplexity"]);
        assert_eq!(report["head_effect"]["perplexity"], report["perplexity"]);
    }
    let generate = ["generate", "--prompt", "ROMEO:", "--max-tokens", "4", "--kernel", "scalar-i8", "--threads", "1"];
    let output = run(&[&generate[..], &["--head", "q4", "--json"]].concat());
    assert!(stderr(&output).contains("head: the logits are not those of the file: perplexity"), "{}", stderr(&output));
    let report = parsed(&output);
    assert!(report["head"].as_str().is_some_and(|h| h.starts_with("q4")) && report["head_effect"]["tokens"] == 256);
    assert!(!stderr(&run(&generate)).contains("head:"));
    // Known answers hold with any head, because they are checked with the f16 one.
    let dir = TempDir::new().expect("a folder");
    let scenario = scenario_with_rounds(dir.path(), 8).display().to_string();
    let out = dir.path().join("q4").display().to_string();
    let compare = ["compare", "--scenario", &scenario, "--quick", "--head", "q4", "--json", "--out", &out];
    let receipt = read_json(json(&compare)["receipt"].as_str().expect("a path").as_ref());
    let findings = receipt["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|f| f["title"] == "The output head is quantised"), "{findings:?}");
    assert!(receipt["generation"]["head"].as_str().is_some_and(|h| h.starts_with("q4")), "{receipt:#}");
}

#[test]
fn micro_is_the_first_half() {
    let dir = TempDir::new().expect("a folder");
    let scenario = scenario_with_rounds(dir.path(), 8).display().to_string();
    let out = dir.path().join("run");
    let printed = json(&["micro", "--scenario", &scenario, "--json", "--out", &out.display().to_string()]);
    let receipt = read_json(&out.join("receipt.json"));
    assert_eq!(printed["status"], "complete");
    assert!(receipt["micro"].as_array().is_some_and(|cells| !cells.is_empty()) && receipt["generation"].is_null());
    assert_eq!(receipt["micro"][0]["rounds"].as_array().map(Vec::len), Some(8));
}

#[test]
fn colours_only_when_wanted() {
    let dir = TempDir::new().expect("a folder");
    let scenario = scenario_with_rounds(dir.path(), 4).display().to_string();
    let out = dir.path().join("run").display().to_string();
    json(&["compare", "--scenario", &scenario, "--out", &out, "--json"]);
    let colored = |args: &[&str], no_color: &str| {
        let output = harness().args(["report", &out]).args(args).env("NO_COLOR", no_color).output().expect("it ran");
        assert_eq!(output.status.code(), Some(0));
        stdout(&output).contains('\u{1b}')
    };
    assert!(!colored(&[], ""), "not a terminal");
    assert!(colored(&["--color", "always", "--full"], "1"), "the flag is stronger than the variable");
    assert!(!colored(&["--color", "never", "--full"], ""));
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        &["list"][..],
        &["verify"],
        &["compare"],
        &["micro"],
        &["count"],
        &["limits"],
        &["generate"],
        &["perplexity"],
        &["report"],
        &["gate"],
    ]
    .into_iter()
    .chain([&["model", "inspect"][..], &["model", "synth"], &["baseline", "save"]])
    {
        let help = stdout(&run(&[command, &["--help"]].concat()));
        assert!(help.contains("Usage:") && help.contains("Example"), "{help}");
    }
    assert!(stdout(&run(&["--version"])).starts_with("tritbench "));
}

#[test]
#[cfg(unix)]
fn a_closed_pipe_is_quiet() {
    let dir = TempDir::new().expect("a folder");
    let scenario = scenario_with_rounds(dir.path(), 4).display().to_string();
    let out = dir.path().join("run").display().to_string();
    let commands: [&[&str]; 5] = [
        &["list", "kernels"],
        &["generate", "--prompt", "a", "--max-tokens", "300", "--kernel", "scalar-i8", "--threads", "1"],
        &["model", "inspect", "builtin", "--threads", "1"],
        &["verify", "--json"],
        &["compare", "--scenario", &scenario, "--out", &out],
    ];
    for args in commands {
        let mut command = Command::new(harness_path());
        let mut child =
            command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked") && !stderr(&output).contains("Broken pipe"), "{args:?}");
    }
    assert_eq!(read_json(&dir.path().join("run/receipt.json"))["status"], "complete", "the run is saved all the same");
    // A closed stderr does not stop a run either.
    let mut command = Command::new(harness_path());
    let mut child = command
        .args(["verify", "--json", "--kernels", "scalar"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stderr.take());
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(0));
}
