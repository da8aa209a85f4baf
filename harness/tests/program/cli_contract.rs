//! What MANUAL.md promises to scripts: fields, their types, which stream gets what, exit codes, colours, closed pipes.

use crate::common::*;
use serde_json::Value;

/// Checks `value` against lines of `type: path path`, where `a.b` goes into objects, `[]` into every element of an
/// array (of at least one), and a type is string, number, integer, bool, object, numbers, integers or strings; `?` at
/// its end allows null or absence.
fn assert_fields(value: &Value, fields: &str) {
    for line in fields.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (kind, paths) = line.split_once(": ").expect("a type and paths");
        for path in paths.split(' ') {
            at_path(value, path, &mut |found| {
                assert!(is(found, kind), "{path} should be {kind}, is {found} in {value:#}");
            });
        }
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
fn list_names_kernels_scenarios_and_models() {
    let kernels = json("list kernels --json");
    assert_fields(
        &kernels,
        "string: kernels[].id kernels[].isa kernels[].packing kernels[].activations kernels[].summary
         bool: kernels[].available kernels[].exact
         string?: kernels[].reason kernels[].builds_on
         strings: kernels[].ops
         number: kernels[].bits_per_weight",
    );
    let kernels = list(&kernels, "kernels");
    assert!(kernels.iter().all(|k| k["activations"] == "f32" || k["activations"] == "i8"));
    assert!(kernels.iter().all(|k| k["available"] == true || k["reason"].is_string()), "what does not run says why");
    assert!(["scalar", "scalar-i8"].iter().all(|id| kernels.iter().any(|k| k["id"] == *id)));
    let masked = json("list kernels --json --cpu-features none");
    assert!(list(&masked, "kernels").iter().all(|k| (k["isa"] == "scalar") == (k["available"] == true)), "{masked}");
    assert_fields(&json("list scenarios --json"), "string: scenarios[].name scenarios[].analysis");
    assert_fields(&json("list models --json"), "string: models[].model\nstrings: models[].notes");
}

#[test]
fn verify() {
    let all = json("verify --json");
    assert_fields(
        &all,
        "string: kernels[].id
         bool: kernels[].available kernels[].exact
         string?: kernels[].reason
         integer: kernels[].cases kernels[].mismatches
         number: kernels[].max_abs_error kernels[].max_relative_error",
    );
    for kernel in list(&all, "kernels").iter().filter(|k| k["available"] == true) {
        assert_eq!(kernel["mismatches"], 0, "{kernel}");
        assert!(kernel["cases"].as_u64() > Some(100), "{kernel}");
        let error = kernel["max_relative_error"].as_f64().expect("a number");
        assert!(error <= if kernel["exact"] == true { 0.0 } else { 1e-5 }, "{kernel}");
    }
    let ids: Vec<&str> = list(&all, "kernels").iter().map(|kernel| text(kernel, "id")).collect();
    for product in ["sparse-scalar-rows", "f16-scalar", "q8-scalar", "q4-scalar"] {
        assert!(ids.contains(&product), "{product} is not listed: {ids:?}");
    }
    // A list of what this CPU lacks names its own architecture alone.
    for product in ["sparse-avx512-vnni-columns", "q8-avx2", "q4-avx512-vnni", "avx2-i8"] {
        assert_eq!(ids.contains(&product), cfg!(target_arch = "x86_64"), "{product}: {ids:?}");
    }
    assert_eq!(ids.contains(&"neon-i8"), cfg!(target_arch = "aarch64"), "{ids:?}");
    let named = json("verify --json --kernels scalar-i8");
    assert_eq!(list(&named, "kernels").len(), 1);
    assert_eq!((&named["kernels"][0]["id"], &named["kernels"][0]["exact"]), (&"scalar-i8".into(), &true.into()));
}

const GENERATE_FIELDS: &str = "integers: prompt_ids token_ids
         string: text stop_reason kernel.requested kernel.executed model.path model.sha256 model.name
         integer: threads
         number: time_to_first_token_ms prefill_tokens_per_s decode_tokens_per_s phases_ms.embed
         number: phases_ms.forward phases_ms.logits phases_ms.sample phases_ms.stop_check forward_ms.qkv
         number: forward_ms.attention forward_ms.attn_out forward_ms.gate_up forward_ms.down forward_ms.norms
         number: forward_ms.activation_quant";

/// CPU time is of the whole process, and of each phase what was computed in it. A longer phase has more of it, however
/// busy the machine is.
#[test]
#[cfg(target_os = "linux")]
fn generate_says_the_cpu_time_of_prompt_and_decode() {
    let times = |prompt: &str, tokens: usize| {
        let args = format!("generate --json --ignore-eos --kernel scalar-i8 --threads 1 --max-tokens {tokens}");
        let report = json(&[&args.words()[..], &["--prompt".into(), prompt.into()]].concat()[..]);
        let number = |name: &str| report[name].as_f64().expect("a number");
        let wall_ms = list(&report, "prompt_ids").len() as f64 / number("prefill_tokens_per_s") * 1e3;
        let (prefill, decode) = (number("prefill_cpu_ms"), number("decode_cpu_ms"));
        // One thread computes no longer than the clock runs; the clocks are read one after the other.
        assert!(prefill > 0.0 && prefill < wall_ms * 1.25 + 2.0, "{prefill} ms of CPU time in {wall_ms} ms");
        (prefill, decode)
    };
    let (prefill, decode) = times(&"What is 2+2? ".repeat(24), 1);
    assert!(prefill > 5.0 * decode, "a prompt of 24 lines took {prefill} ms, a token after it {decode} ms");
    let (prefill, decode) = times("First", 48);
    assert!(decode > 5.0 * prefill, "a prompt of one id took {prefill} ms, 47 more {decode} ms");
}

#[test]
fn generate() {
    let folder = Folder::new();
    let receipt = folder.at("new/r.json");
    let base = "generate --prompt ROMEO: --max-tokens 6 --kernel scalar-i8 --threads 1";
    let report = json(&format!("{base} --json --receipt {receipt}"));
    assert_fields(&report, GENERATE_FIELDS);
    assert_eq!(list(&report, "token_ids").len(), 6, "generated ids only");
    assert_eq!(report["kernel"]["executed"], "scalar-i8");
    assert_eq!((&report["stop_reason"], &report["threads"]), (&"max_tokens".into(), &1.into()));
    assert_eq!(text(&report["model"], "sha256").len(), 64);
    assert_eq!(read_json(&receipt), report);
    // The text alone goes to stdout, everything else to stderr.
    let plain = run(base);
    assert_eq!(stdout(&plain), format!("{}\n", text(&report, "text")));
    assert!(stderr(&plain).contains("kernel: scalar-i8") && stderr(&plain).contains("tokens/s"));
    let auto = json("generate --prompt ROMEO: --max-tokens 2 --json --threads 1");
    assert_eq!(auto["kernel"]["requested"], "auto");
    assert_ne!(auto["kernel"]["executed"], "auto");
}

#[test]
fn stop_reasons() {
    let base = "generate --prompt ROMEO: --max-tokens 24 --kernel scalar-i8 --threads 1 --json";
    let with = |flag: &str, value: &str| json(&[&base.words()[..], &[flag.into(), value.into()]].concat()[..]);
    let whole = json(base);
    let all = text(&whole, "text");
    let (word, id) = (&all[all.len() / 2..all.len() / 2 + 3], whole["token_ids"][3].to_string());
    let cut = with("--stop", word);
    assert_eq!(cut["stop_reason"], "stop_string");
    assert_eq!(cut["text"].as_str(), all.split(word).next(), "cut before the string");
    let cut = with("--stop-id", &id);
    assert_eq!((&cut["stop_reason"], list(&cut, "token_ids").len()), (&"stop_id".into(), 4));
}

#[test]
fn perplexity() {
    let report = json("perplexity --json --quick --kernel scalar-i8 --threads 1");
    assert_fields(
        &report,
        "number: nats_per_token perplexity
         integer: tokens window
         string: kernel.requested kernel.executed model.path model.sha256",
    );
    assert_eq!((&report["tokens"], &report["window"]), (&256.into(), &128.into()));
    let (nats, perplexity) = (report["nats_per_token"].as_f64(), report["perplexity"].as_f64());
    assert_eq!(nats.map(f64::exp), perplexity);
    let seed = json("perplexity --json --quick --lut seed --threads 1");
    assert_eq!(seed["lut"], serde_json::json!([-2, -1, 1, 2]));
    assert!(seed["perplexity"].as_f64() > perplexity.map(|p| p * 10.0), "the seed's table is far off");
}

#[test]
fn model_inspect_and_synth() {
    let builtin = json("model inspect builtin --json --threads 1");
    assert_fields(
        &builtin,
        "string: path sha256 metadata[].key metadata[].type tensors[].name tensors[].type checks[].name
         string: goldens[].kernel
         integer: bytes tensors[].offset
         integers: tensors[].dims
         bool: checks[].ok goldens[].goldens[].passed",
    );
    at_path(&builtin, "goldens[].goldens[].passed", &mut |passed| assert_eq!(passed, true));
    let folder = Folder::new();
    let path = folder.at("tiny.gguf");
    let synth = |seed: u32, more: &str| {
        json(&format!("model synth --shape tiny --layers 1 --out {path} --json --seed {seed} {more}"))
    };
    let fields = "string: path
         integer: bytes layers ternary_weights seed";
    assert_fields(&synth(1, ""), fields);
    let sha = || json(&format!("model inspect {path} --json"))["sha256"].clone();
    let first = sha();
    synth(2, "--force");
    assert_ne!(sha(), first);
    synth(1, "--force");
    assert_eq!(sha(), first, "the same bytes from the same seed");
    let report = json(&format!("generate --model {path} --prompt a --max-tokens 3 --json --threads 1"));
    assert_eq!(list(&report, "token_ids").len(), 3);
}

#[test]
fn compare_and_report() {
    assert_fields(
        &RUN.printed,
        "string: status run_folder receipt report csv findings[].title findings[].text findings[].evidence
         strings: charts
         number: elapsed_s",
    );
    let (printed, receipt) = (&RUN.printed, &RUN.receipt);
    assert_eq!((&printed["status"], &receipt["status"]), (&"complete".into(), &"complete".into()));
    for finding in list(printed, "findings") {
        assert!(receipt.pointer(text(finding, "evidence")).is_some(), "{finding}");
    }
    for path in list(printed, "charts").iter().chain([&printed["csv"], &printed["report"]]) {
        assert!(std::fs::metadata(path.as_str().expect("a path")).expect("there").len() > 100, "{path}");
    }
    // Without --json: a table, and the report's path last.
    let folder = Folder::new();
    let (scenario, two) = (folder.small(8), folder.at("two"));
    let output = run(&format!("compare --scenario {scenario} --quick --out {two}"));
    let said = stdout(&output);
    assert_eq!(said.trim_end().lines().last(), Some(format!("{two}/report.html").as_str()));
    assert!(said.contains("scalar") && !said.contains('\u{1b}'), "{said}");
    assert!(stderr(&output).contains("verifying") && !said.contains("verifying"), "progress is not a result");
    let again = json(&format!("report {} --out {} --json", RUN.out, folder.at("again")));
    let page = |printed: &Value| std::fs::read(text(printed, "report")).expect("there");
    assert_eq!(page(&again), page(printed));
    let both = json(&format!("report {} {two} --out {} --json", RUN.out, folder.at("both.html")));
    assert_eq!(both["report"], folder.at("both.html"));
    assert!(folder.has("both.html"));
    // Colours only when wanted.
    let coloured = |flags: &str, no_color: &str| {
        let out = folder.at("colours");
        let mut report = command(&format!("report {} --out {out} --force {flags}", RUN.out));
        stdout(&succeeds(report.env("NO_COLOR", no_color).output().expect("it ran"))).contains('\u{1b}')
    };
    assert!(!coloured("", ""), "not a terminal");
    assert!(coloured("--color always --full", "1"), "the flag is stronger than the variable");
    assert!(!coloured("--color never --full", ""));
}

/// A quantised head is used only when asked for, and is said to change the logits wherever it is.
#[test]
fn quantised_heads_are_never_silent() {
    let perplexity = "perplexity --quick --kernel scalar-i8 --threads 1 --json";
    let plain = json(perplexity);
    assert!(text(&plain, "head").starts_with("f16-") && plain["head_effect"].is_null(), "{plain}");
    for head in ["q8", "q4"] {
        let report = json(&format!("{perplexity} --head {head}"));
        assert!(text(&report, "head").starts_with(head), "{report}");
        assert_fields(
            &report["head_effect"],
            "string: head f16_head text
         number: nats_per_token f16_nats_per_token perplexity f16_perplexity perplexity_change_percent
         integer: tokens window",
        );
        assert_eq!(report["head_effect"]["f16_perplexity"], plain["perplexity"]);
        assert_eq!(report["head_effect"]["perplexity"], report["perplexity"]);
    }
    let generate = "generate --prompt ROMEO: --max-tokens 4 --kernel scalar-i8 --threads 1";
    let output = run(&format!("{generate} --head q4 --json"));
    assert!(stderr(&output).contains("head: the logits are not those of the file: perplexity"), "{}", stderr(&output));
    let report = parsed(&output);
    assert!(text(&report, "head").starts_with("q4") && report["head_effect"]["tokens"] == 256);
    assert!(!stderr(&run(generate)).contains("head:"));
    // Known answers hold with any head, because they are checked with the f16 one.
    let folder = Folder::new();
    let (scenario, out) = (folder.small(8), folder.at("q4"));
    let printed = json(&format!("compare --scenario {scenario} --quick --head q4 --json --out {out}"));
    let receipt = read_json(text(&printed, "receipt"));
    let findings = list(&receipt, "findings");
    assert!(findings.iter().any(|f| f["title"] == "The output head is quantised"), "{findings:?}");
    assert!(text(&receipt["generation"], "head").starts_with("q4"), "{receipt:#}");
}

/// A head that the file stores as a ternary matrix is multiplied as one, unless f16 rows are asked for, and is not
/// called quantised; where there is none it is refused.
#[test]
fn a_ternary_head_is_taken_where_the_file_has_one() {
    let file = scenarios().join("model/tiny/qwen3.gguf");
    let of_file = |head: &str| {
        let report = json(&format!("perplexity --quick --threads 1 --json --model {} {head}", file.display()));
        (text(&report, "head").to_owned(), report["perplexity"].as_f64().expect("a number"), report)
    };
    let [(own, nats, report), (asked, again, _), (rows, f16, _)] = ["", "--head ternary", "--head f16"].map(of_file);
    assert_eq!((&own[..], &asked[..], nats), ("ternary", "ternary", again));
    assert!(report["head_effect"].is_null(), "{report}");
    // Activations of the head are int8 too, which is no more than what they are everywhere else.
    assert!(rows.starts_with("f16-") && nats != f16 && (nats / f16 - 1.0).abs() < 1e-3, "{nats}, {f16}");
    let folder = Folder::new();
    let (scenario, out) = (folder.small(8), folder.at("run"));
    let compare = format!("compare --scenario {scenario} --quick --kernels scalar-groups --json --out {out}");
    let printed = json(&format!("{compare} --model {}", file.display()));
    let receipt = read_json(text(&printed, "receipt"));
    assert_eq!((text(&receipt["generation"], "head"), receipt["head_effect"].is_null()), ("ternary", true));
    let why = ["--head ternary", "\"token_embd.weight\"", "F16", "--head f16"];
    refused("generate --prompt a --max-tokens 1 --kernel scalar-i8 --head ternary", 5, &why);
}

/// The first half of a comparison, in a folder whose files go to `earlier`, whoever wrote them.
#[test]
fn micro_is_the_first_half() {
    let folder = Folder::new();
    let (scenario, names) = (folder.small(8), ["measurements.csv", "summary.md"]);
    for name in names {
        folder.write(&format!("run/{name}"), "mine");
    }
    let printed = json(&format!("micro --scenario {scenario} --json --out {}", folder.at("run")));
    let receipt = read_json(folder.at("run/receipt.json"));
    assert_eq!(printed["status"], "complete");
    assert!(!list(&receipt, "micro").is_empty() && receipt["generation"].is_null());
    assert_eq!(list(&receipt["micro"][0], "rounds").len(), 8);
    assert!(names.iter().all(|name| folder.read(&format!("run/earlier/1/{name}")) == "mine"));
    // Counts, or the reason why there are none.
    let counts = receipt["counts"].as_array().map_or(0, Vec::len);
    assert!(counts == 2 || receipt["counts_skipped"].is_string(), "{receipt:#}");
    assert!(folder.read("run/report.html").contains("Instructions per 64 weights"));
}

#[test]
fn every_command_has_help_with_an_example() {
    let own =
        ["list", "verify", "compare", "micro", "count", "limits", "doctor", "generate", "perplexity", "report", "gate"];
    for command in own.into_iter().chain(["model inspect", "model synth", "model convert", "baseline save"]) {
        let output = succeeds(run(&format!("{command} --help")));
        let help = stdout(&output);
        assert!(help.contains(&format!("Usage: tritbench {command}")) && help.contains("Example"), "{help}");
        assert!(output.stderr.is_empty());
    }
    let version = printed("--version");
    let of_commit = concat!("tritbench ", env!("CARGO_PKG_VERSION"), " (commit ");
    assert!(version.starts_with(of_commit) && version.trim_end().ends_with(')'), "{version}");
}

#[test]
#[cfg(unix)]
fn a_closed_pipe_is_quiet() {
    let folder = Folder::new();
    let compare = format!("compare --scenario {} --out {}", folder.small(4), folder.at("run"));
    for args in [
        "list kernels",
        "generate --prompt a --max-tokens 300 --kernel scalar-i8 --threads 1",
        "model inspect builtin --threads 1",
        "verify --json",
        &compare,
    ] {
        let mut child = start(folder.path(), args);
        drop(child.stdout.take());
        let said = stderr(&succeeds(child.wait_with_output().expect("it ends")));
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{args}");
    }
    assert_eq!(read_json(folder.at("run/receipt.json"))["status"], "complete", "the run is saved all the same");
    // A closed stderr does not stop a run either.
    let mut child = start(folder.path(), "verify --json --kernels scalar");
    drop(child.stderr.take());
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(0));
}
