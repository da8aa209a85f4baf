//! Files read rightly and wrongly: a right reading has the model's perplexity, a wrong one is named.

use crate::common::*;
use serde_json::Value;

/// Perplexities of the oracle (scenarios/model/variants.json) over the same four windows: of the model, and of it with
/// reciprocal scales.
const RIGHT: f64 = 17.56;
const RECIPROCAL: f64 = 22.7;

/// What `model inspect --score` says of a model, and its exit code.
fn scored(model: &str) -> (Value, i32) {
    let output = run(&format!("model inspect {model} --score --json --threads 1"));
    let code = output.status.code().expect("ended by itself");
    (serde_json::from_str(&stdout(&output)).expect("JSON"), code)
}

fn perplexity(found: &Value, reading: &str) -> f64 {
    let readings = found["score"]["readings"].as_array().expect("readings");
    let scored = readings.iter().find(|scored| scored["reading"] == reading).expect("a reading");
    scored["perplexity"].as_f64().unwrap_or_else(|| panic!("no perplexity of {reading:?}: {found}"))
}

fn near(found: f64, wanted: f64) {
    assert!((found / wanted - 1.0).abs() < 0.01, "{found} and not {wanted}");
}

#[test]
fn a_right_reading_has_the_models_perplexity_in_every_encoding() {
    let folder = Folder::new();
    for encoding in ["i2_s", "tq1_0", "tq2_0", "q2_0", "q2_0-g128", "pq2_0", "ptq1_0", "iq2_bn"] {
        let file = folder.at(&format!("{encoding}.gguf"));
        succeeds(run(&format!("model convert builtin --to {encoding} --out {file}")));
        let (found, code) = scored(&file);
        assert_eq!((code, found["score"].get("findings")), (0, None), "{encoding}: {found}");
        near(perplexity(&found, ""), RIGHT);
        near(perplexity(&found, "scale=reciprocal"), RECIPROCAL);
    }
}

#[test]
fn a_wrong_layout_is_a_finding_that_names_the_right_one() {
    let folder = Folder::new();
    for layout in ["x86-rows", "arm"] {
        let file = folder.at(&format!("{layout}.gguf"));
        succeeds(run(&format!("model convert builtin --to i2_s-{layout} --out {file}")));
        let (found, code) = scored(&file);
        assert_eq!(code, 1, "{found}");
        assert!(perplexity(&found, "") > 1024.0);
        near(perplexity(&found, &format!("i2s-layout={layout}")), RIGHT);
        let findings = found["score"]["findings"].to_string();
        assert!(findings.contains("worse than guessing") && findings.contains(&format!("--i2s-layout {layout}")));
        let (found, code) = scored(&format!("{file} --i2s-layout {layout}"));
        assert_eq!((code, found["score"].get("findings")), (0, None), "{found}");
        // Without --score it does not pass in silence either.
        let output = succeeds(run(&format!("perplexity --windows 2 --model {file} --threads 1")));
        assert!(stderr(&output).contains("worse than guessing"), "{}", stderr(&output));
    }
}

/// Sub-norms cancel most scales, so that reciprocals give a text that looks fair: only the other reading shows it.
#[test]
fn reciprocal_scales_are_found_by_the_better_reading() {
    let (found, code) = scored("builtin?scale=reciprocal");
    assert_eq!(code, 1, "{found}");
    near(perplexity(&found, "scale=reciprocal"), RECIPROCAL);
    near(perplexity(&found, ""), RIGHT);
    let finding = found["score"]["findings"][0].as_str().expect("a finding").to_owned();
    assert!(finding.contains("17.59") && finding.contains("the file was written that way"), "{finding}");
}

/// A conversion reads its source as every other command does: reciprocals of reciprocals are the scales again.
#[test]
fn a_conversion_keeps_the_reading_of_its_source() {
    let folder = Folder::new();
    let file = folder.at("reciprocal.gguf");
    succeeds(run(&format!("model convert builtin?scale=reciprocal --to i2_s --out {file}")));
    let (found, code) = scored(&file);
    assert_eq!(code, 1, "{found}");
    near(perplexity(&found, ""), RECIPROCAL);
    near(perplexity(&found, "scale=reciprocal"), RIGHT);
}

#[test]
fn facts_and_traps_are_said_with_their_evidence() {
    let found = json("model inspect builtin --json");
    let fact = |what: &str| {
        let facts = found["facts"].as_array().expect("facts");
        facts.iter().find(|fact| fact["what"] == what).unwrap_or_else(|| panic!("no {what}")).clone()
    };
    assert!(fact("encoding")["value"].as_str().expect("text").starts_with("i2_s: 128 weights in 32 bytes"));
    assert_eq!(fact("activation")["value"], "relu2");
    assert!(fact("activation")["evidence"].as_str().expect("text").starts_with("by architecture"));
    assert_eq!(fact("output head")["value"], "the embedding");
    let traps: Vec<&str> =
        found["traps"].as_array().expect("traps").iter().filter_map(|t| t["trap"].as_str()).collect();
    assert_eq!(traps, ["three byte layouts share I2_S", "reciprocal scale", "activation function"]);
}

/// A kernel that cannot multiply a model's weights is unsupported, by name and with the way out.
#[test]
fn kernels_are_asked_what_they_can_multiply() {
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/model/tiny/qwen3.gguf");
    let line =
        ends_with_error(&run(&format!("generate --prompt x --kernel scalar-i8 --model {tiny}")), 5, &["error: "]);
    for part in ["qwen3.gguf", "scalar-i8", "a scale for each 64 weights", "scalar-groups"] {
        assert!(line.contains(part), "{part:?} not in {line}");
    }
    let made = json(&format!("generate --prompt ROMEO: --max-tokens 2 --kernel scalar-groups --json --model {tiny}"));
    assert_eq!(made["token_ids"], serde_json::json!([293, 293]));
}
