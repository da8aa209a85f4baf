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
        "name = \"rules\"\nsummary = \"s\"\nanalysis = \"a\"\n{more}\n\
         kernels = [\"scalar\", \"scalar-i8\", \"scalar-groups\"]\n\
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
    assert_eq!(text(&receipt, "schema_version"), "1.6.0");
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
    assert!(csv.lines().next().expect("a header").ends_with("weight_group,activations"));
    assert!(csv.lines().any(|line| line.contains("W2gA8") && line.ends_with(",128,32")), "{csv}");
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
