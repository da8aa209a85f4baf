//! `--activations`: which activations share a scale, in texts, in products, and in what is said of both.

use crate::common::*;
use serde_json::Value;

/// The rules that are not the built-in model's own.
const OTHERS: [&str; 3] = ["256", "128", "32"];

fn nats(rule: &str, kernel: &str) -> f64 {
    let report = json(&format!("perplexity --json --quick --threads 1 --kernel {kernel} --activations {rule}"));
    assert_eq!((text(&report, "activations"), text(&report["kernel"], "executed")), (rule, kernel));
    report["nats_per_token"].as_f64().expect("a number")
}

/// Each rule is a function of its own, which kernels with f32 activations and with scales of groups both compute.
#[test]
fn each_rule_is_one_function() {
    let own = nats("token", "scalar-i8");
    assert_eq!(json("perplexity --json --quick --threads 1 --kernel scalar-i8")["nats_per_token"], own, "the default");
    let mut seen = vec![own];
    for rule in OTHERS {
        let exact = nats(rule, "scalar-groups");
        let float = nats(rule, "scalar");
        assert!((exact - float).abs() < 1e-3, "{rule}: {exact} and {float}");
        assert!((exact - own).abs() < 0.05 && !seen.contains(&exact), "{rule}: {exact}, before {seen:?}");
        seen.push(exact);
    }
}

#[test]
fn auto_takes_a_kernel_that_has_the_rule_and_says_what_is_off() {
    let output = succeeds(run("generate --prompt ROMEO: --max-tokens 4 --json --threads 1 --activations 32"));
    let (report, said) = (parsed(&output), stderr(&output));
    assert_eq!(text(&report, "activations"), "32");
    let family = list(&json("list kernels --json"), "kernels").clone();
    let executed = text(&report["kernel"], "executed");
    let packing =
        family.iter().find(|kernel| kernel["id"] == executed).map(|kernel| text(kernel, "packing").to_owned());
    assert!(
        executed.ends_with("-groups") || packing.as_deref().is_some_and(|name| name.starts_with("planes16")),
        "{executed}"
    );
    assert!(
        said.contains("bitnet-b1.58 is trained with one scale a token and runs with a scale for each 32"),
        "{said}"
    );
    assert!(said.contains("skipping zero gates: off (the products that skip take one scale a token"), "{said}");
    assert!(report.get("sparse_ffn").is_none());
    let off = list(&report, "choices").iter().find(|choice| choice["what"] == "skipping zero gates");
    assert_eq!(off.expect("recorded")["chosen"], "dense");
}

/// Named, it is refused: exit 5, with those that have it.
#[test]
fn a_kernel_that_lacks_the_rule_is_unsupported() {
    for rule in OTHERS {
        let why = format!("kernel scalar-i8 takes activations by the rule token, not {rule}");
        let parts = ["builtin", why.as_str(), "take one of scalar", "scalar-groups"];
        refused(&format!("generate --prompt a --max-tokens 2 --kernel scalar-i8 --activations {rule}"), 5, &parts);
        refused(&format!("perplexity --quick --kernel scalar-i8 --activations {rule}"), 5, &parts);
    }
    let folder = Folder::new();
    let out = folder.at("run");
    let all = format!("compare --kernels scalar-i8 --activations 128 --quick --out {out}");
    refused(&all, 5, &["scalar-i8 takes activations by the rule token, not 128"]);
    assert!(!folder.has("run"), "a run that measured nothing leaves nothing");
}

#[test]
fn what_is_no_rule_is_refused() {
    for command in ["generate --prompt a", "perplexity", "compare"] {
        for wrong in ["64", "tokens", "-1", ""] {
            let args = [&command.words()[..], &[format!("--activations={wrong}")]].concat();
            let line = refused(&args[..], 2, &["--activations"]);
            assert!(line.contains("take one of token, 256, 128, 32") || wrong.is_empty(), "{line}");
        }
    }
    succeeds(run("perplexity --quick --threads 1 --activations Token"));
}

/// A scenario with one small product and texts.
fn scenario(folder: &Folder, more: &str) -> String {
    let text = format!(
        "name = \"rules\"\nsummary = \"s\"\nanalysis = \"a\"\n\
         kernels = [\"scalar\", \"scalar-i8\", \"scalar-groups\"]\n{more}\n\
         [micro]\nrounds = 9\nepoch_us = 100\nresidency = [\"llc\"]\ngemv = [\"32x512\"]\n\
         [generate]\nprompt = \"ROMEO:\"\nmax_tokens = 3\nrounds = 1\ngoldens = true\n\
         [perplexity]\nwindows = 1\nwindow = 16\n"
    );
    folder.write("rules.toml", text)
}

/// The cell of kernels with scales of groups.
fn grouped(receipt: &Value) -> &Value {
    let mut cells = list(receipt, "micro").iter();
    assert!(list(receipt, "micro").iter().all(|c| c["family"] == "W2gA8" || c.get("activations").is_none()));
    cells.find(|cell| cell["family"] == "W2gA8").expect("a cell of groups")
}

/// Texts, products and what follows from them hold the rule, the flag wins over the scenario, and the receipt verifies.
#[test]
fn a_run_holds_its_rule() {
    let folder = Folder::new();
    let (scenario, out) = (scenario(&folder, "activations = \"256\""), folder.at("run"));
    let output = succeeds(run(&format!("compare --scenario {scenario} --activations 32 --out {out}")));
    let said = stderr(&output);
    assert!(said.contains("known answers are those of one scale a token; they are not checked"), "{said}");
    let receipt = read_json(format!("{out}/receipt.json"));
    assert_eq!(text(&receipt, "schema_version"), "1.9.0");
    let cell = grouped(&receipt);
    assert_eq!((&cell["activations"], &cell["weight_group"]), (&"32".into(), &128.into()));
    for part in ["generation", "perplexity"] {
        assert_eq!(receipt[part]["activations"], "32");
        let rows = if part == "generation" { "without_time" } else { "without_score" };
        let rows = list(&receipt[part], rows);
        assert_eq!((rows.len(), &rows[0]["kernel"]), (1, &"scalar-i8".into()));
        assert_eq!(rows[0]["status"], "unsupported");
        let ids: Vec<&str> = list(&receipt[part], "kernels").iter().map(|kernel| text(kernel, "kernel")).collect();
        assert_eq!(ids, ["scalar", "scalar-groups"]);
    }
    assert!(
        list(&receipt["generation"], "kernels")
            .iter()
            .all(|kernel| kernel["goldens"].as_array().is_none_or(Vec::is_empty))
    );
    succeeds(run(&format!("receipt verify {out}")));
    let csv = printed(&format!("receipt export --format csv {out}/receipt.json"));
    assert!(csv.lines().next().expect("a header").contains(",weight_group,activations,"));
    assert!(csv.lines().any(|line| line.contains("W2gA8") && line.contains(",128,32,")), "{csv}");
    let markdown = printed(&format!("receipt export --format markdown {out}/receipt.json"));
    assert!(markdown.contains("groups of 128, activations by 32"), "{markdown}");
    // Another rule beside it: no product of groups and no text of both.
    let other = folder.at("other");
    succeeds(run(&format!("compare --scenario {scenario} --out {other}")));
    assert_eq!(read_json(format!("{other}/receipt.json"))["generation"]["activations"], "256");
    let both = printed(&format!("report {out} {other} --markdown"));
    assert!(both.contains("activations by 32") && both.contains("activations by 256"), "{both}");
}

/// Groups are the model's where it has them; `micro` has no model and takes the scenario's rule.
#[test]
fn cells_have_the_groups_of_the_model() {
    let folder = Folder::new();
    let (scenario, tiny) = (scenario(&folder, "activations = \"128\""), scenarios().join("model/tiny/qwen3.gguf"));
    let out = folder.at("tiny");
    succeeds(run(&format!("compare --scenario {scenario} --activations token --model {} --out {out}", tiny.display())));
    let receipt = read_json(format!("{out}/receipt.json"));
    let cell = grouped(&receipt);
    assert_eq!((&cell["activations"], &cell["weight_group"]), (&"token".into(), &64.into()));
    let out = folder.at("micro");
    succeeds(run(&format!("micro --scenario {scenario} --out {out}")));
    let receipt = read_json(format!("{out}/receipt.json"));
    let cell = grouped(&receipt);
    assert_eq!((&cell["activations"], &cell["weight_group"]), (&"128".into(), &128.into()));
    let counts = list(&receipt, "counts").iter().find(|count| count["kernel"] == "scalar-groups");
    if let Some(count) = counts {
        assert_eq!((&count["activations"], &count["weight_group"]), (&"128".into(), &128.into()));
    }
}

/// A list of rules is a question besides: each against activations that are not rounded, and against the first in
/// speed. The first is the run's own.
#[test]
fn a_list_of_rules_finds_out_what_each_costs() {
    let folder = Folder::new();
    let out = folder.at("run");
    let output = succeeds(run(&format!("compare --scenario activation-rules --quick --threads 1 --out {out}")));
    let receipt = read_json(format!("{out}/receipt.json"));
    let rules = &receipt["activation_rules"];
    assert_eq!((&rules["tokens"], &rules["window"]), (&256.into(), &128.into()));
    let names: Vec<&str> = list(rules, "rules").iter().map(|rule| text(rule, "activations")).collect();
    assert_eq!(names, ["token", "256", "128", "32"]);
    for rule in list(rules, "rules") {
        let kl = rule["kl_nats"].as_f64().expect("a number");
        assert!(kl > 0.0 && kl < 0.1 && rule["same_top"].as_u64().expect("a count") > 200, "{rule}");
        let near = (rule["nats_per_token"].as_f64().unwrap() - rules["nats_per_token"].as_f64().unwrap()).abs();
        assert!(near < 0.05, "{rule}");
    }
    // What `perplexity` says of the same tokens, by the kernel and to the last digits.
    let (first, kernel) = (&rules["rules"][0], text(&rules["rules"][0], "kernel"));
    let alone = json(&format!("perplexity --json --quick --threads 1 --kernel {kernel} --activations token"));
    let [here, there] = [first, &alone].map(|of| of["nats_per_token"].as_f64().expect("a number"));
    assert!((here - there).abs() < 1e-9, "{here} {there}");
    let summaries = list(&rules["blocks"], "summaries");
    assert_eq!(summaries.len(), 5);
    assert!(summaries.iter().all(|own| own["tokens_per_s"].as_f64().expect("a speed") > 0.0));
    assert!(summaries[1..4].iter().all(|own| own["vs_baseline"]["partner"] == "token"));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("lose least of 4 rules") && shown.contains("Activation rules"), "{shown}");
    succeeds(run(&format!("receipt verify {out}")));
    let page = std::fs::read_to_string(format!("{out}/report.html")).expect("there");
    assert!(page.contains("id=\"activation-rules\"") && page.contains("rules.svg"));
    let csv = std::fs::read_to_string(format!("{out}/measurements.csv")).expect("there");
    assert_eq!(csv.lines().filter(|line| line.starts_with("activation_rule,")).count(), 4);
}

#[test]
fn lists_of_rules_that_are_no_question_are_refused() {
    let folder = Folder::new();
    for (list, why) in [
        ("[\"token\"]", "a list names two rules or more"),
        ("[\"32\", \"token\", \"32\"]", "names the rule 32 twice"),
        ("[\"32\", \"64\"]", "\"64\" is no rule of activations; take one of token, 256, 128, 32"),
        ("7", "invalid type: integer `7`, expected a string, or a list of several"),
    ] {
        let scenario = scenario(&folder, &format!("activations = {list}"));
        refused(&format!("compare --scenario {scenario}"), 2, &["line ", why]);
    }
}
