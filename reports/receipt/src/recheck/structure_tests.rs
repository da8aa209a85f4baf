//! Each rule of `structure`, broken and at its edge.

use super::structure::problems;
use super::{Problem, refusal};
use crate::fixture::{self, gate};
use crate::record::{DecodeTimesNs, Receipt};
use serde_json::{Value, json};

/// A run and a gate in one, as JSON.
fn sound() -> Value {
    let receipt = Receipt { gate: Some(gate::record(0.0)), ..fixture::complete() };
    serde_json::to_value(receipt).expect("JSON")
}

/// What `receipt` becomes when the field at `pointer` is `new`; or, where `new` is an object of pointers, those fields.
fn with(receipt: &Value, pointer: &str, new: &Value) -> Receipt {
    let own = serde_json::Map::from_iter([(pointer.to_owned(), new.clone())]);
    let fields = new.as_object().filter(|fields| fields.keys().all(|key| key.starts_with('/'))).unwrap_or(&own);
    let mut edited = receipt.clone();
    for (pointer, new) in fields {
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        match edited.pointer_mut(parent).expect("it is there") {
            Value::Array(items) => items[field.parse::<usize>().expect("an index")] = new.clone(),
            object => object[field] = new.clone(),
        }
    }
    serde_json::from_value(edited).expect("still a receipt")
}

/// The problem at `field`, which must be there, and say `what`.
fn assert_broken(receipt: &Receipt, field: &str, what: &str) {
    let found = problems(receipt);
    let problem = found.iter().find(|p| p.field == field);
    let problem = problem.unwrap_or_else(|| panic!("nothing is wrong with {field}: {found:?}"));
    assert!(problem.what.contains(what) && problem.found.is_some(), "{field}: {problem:?}");
}

/// `decode_times_ns` whose phases take so many of them.
fn phases(ns: u64) -> Value {
    let mut times = serde_json::to_value(DecodeTimesNs::default()).expect("JSON");
    for (i, phase) in ["embed", "forward", "logits", "sample", "stop_check"].into_iter().enumerate() {
        times[phase] = if i == 0 { ns - 30 } else { 1 << i }.into();
    }
    times
}

#[test]
fn what_breaks_a_rule_is_named() {
    let sound = sound();
    let (e, summaries) = (&sound["micro"][0]["entries"], &sound["micro"][0]["summaries"]);
    let decode_ns = sound["generation"]["kernels"][0]["rounds"][0]["decode_ns"].as_u64().expect("a number");
    let prepare = json!({"ns_per_token": -1.0, "bytes_per_token": 8});
    let refused = json!({"kernel": "scalar", "status": "refused", "why": "it takes no such shape"});
    // Field, what is said of it, and its new value, or else the fields that are edited.
    let edits = [
        ("/timestamp", "RFC 3339", json!("yesterday")),
        ("/micro/0/weight_group", "of W2gA8", json!(128)),
        ("/micro/0/activations", "of W2gA8 alone", json!("128")),
        ("/elapsed_s", "duration", json!(-0.1)),
        ("/settings/threads", "number of threads", json!(0)),
        ("/scenario/sha256", "hex", json!("5E".repeat(32))),
        ("/model/sha256", "hex", json!("unknown")),
        ("/build/cargo_lock_sha256", "hex", json!("ab".repeat(31))),
        ("/micro/1/entries/0/output_sha256", "hex", json!("g".repeat(64))),
        ("/gate/baseline/binary_sha256", "hex", json!("")),
        ("/gate/current/binary_sha256", "hex", json!("a".repeat(65))),
        ("/verify/0/mismatches", "more than", json!(300)),
        ("/verify/0/cases", "only what runs", json!(0)),
        ("/verify/0/available", "reason", json!({"/verify/0/reason": "it does not"})),
        ("/verify/1/max_relative_error", "above the bound", Value::Null),
        ("/verify/7/max_abs_error", "is exact", json!(1.0)),
        ("/micro/0/entries/0/kernel", "never verified", json!("unheard-of")),
        ("/micro/0/entries/0/kernel", "not available", json!({"/verify/0/available": false})),
        ("/micro/0/entries/0/kernel", "has mismatches", json!({"/verify/0/mismatches": 1})),
        ("/generation/kernels/0/kernel", "never verified", json!({"/verify/0/id": "another"})),
        ("/micro/0/weights_per_call", "m x k", json!({"/micro/0/tokens": 2})),
        ("/micro/0/weights_per_call", "m x k", json!({"/micro/0/m": usize::MAX, "/micro/0/k": 3})),
        ("/micro/0/calls_per_epoch", "count", json!(0)),
        ("/micro/0/copies", "residency", json!(2)),
        ("/micro/0/copies", "residency", json!({"/micro/0/residency": "dram"})),
        ("/micro/0/entries", "A/A", json!({"/micro/0/entries/0/self_pair": true})),
        ("/micro/0/entries", "A/A", json!({"/micro/0/entries/6/self_pair": false})),
        ("/micro/0/entries", "A/A", json!([e[6], e[0], e[1], e[2], e[3], e[4], e[5]])),
        ("/micro/0/entries", "A/A", json!([e[6]])),
        ("/micro/0/entries/0/prepare/ns_per_token", "duration", json!({"/micro/0/entries/0/prepare": prepare})),
        (
            "/micro/0/rounds",
            "no kernel has a time",
            json!({"/micro/0/entries": [], "/micro/0/without_time": [refused]}),
        ),
        ("/micro/0/summaries", "one an entry", json!([summaries[0]])),
        (
            "/micro/0/summaries",
            "one an entry",
            json!({"/micro/0/entries": [], "/micro/0/rounds": [], "/micro/0/without_time": [refused]}),
        ),
        ("/micro/2/stream/ns", "one a round", json!([1, 2, 3])),
        ("/micro/0/rounds/1/order", "each entry", json!([0])),
        ("/micro/0/rounds/1/order", "each entry", json!([0, 1, 2, 3, 4, 5, 5])),
        ("/micro/0/rounds/1/order", "each entry", json!([0, 1, 2, 3, 4, 5, 200])),
        ("/micro/0/rounds/1/ns", "one an entry", json!([1])),
        ("/micro/0/rounds/1/ns/1", "no time", json!(0)),
        ("/micro/0/rounds/1/cpu_ns", "one an entry", json!(vec![1; 8])),
        ("/micro/0/rounds/1/involuntary_switches", "one an entry", json!([])),
        ("/gate/cells/1/calls_per_epoch", "count", json!(0)),
        ("/gate/cells/0/pairs/3/rounds", "more than", json!({"/gate/rounds_per_pair": 11})),
        ("/gate/cells/0/pairs/2/rounds/1/ns/2", "no time", json!(0)),
        ("/gate/checks/1/passed", "without a note", json!(false)),
        ("/gate/checks/0/passed", "without a note", json!({"/gate/checks/0/current": "7"})),
        ("/generation/kernels/1/token_ids", "more than", json!(vec![1; 17])),
        ("/generation/kernels/0/goldens/0/compared", "expected", json!(25)),
        ("/generation/kernels/2/rounds", "listed", json!([])),
        ("/generation/kernels/0/rounds/0/decode_tokens", "max_tokens", json!(17)),
        ("/generation/kernels/0/rounds/0/prefill_tokens", "prompt", json!(3)),
        ("/generation/kernels/0/rounds/0/time_to_first_token_ns", "before the prompt", json!(9)),
        ("/generation/kernels/0/rounds/0/decode_times_ns", "more than decode_ns", phases(decode_ns + 1)),
    ];
    for (field, what, new) in edits {
        assert_broken(&with(&sound, field, &new), field, what);
    }
    let endless = Receipt { elapsed_s: f64::INFINITY, ..serde_json::from_value(sound).expect("a receipt") };
    assert_broken(&endless, "/elapsed_s", "duration");
}

#[test]
fn what_is_just_allowed_is_let_pass() {
    let sound = sound();
    let (e, verify) = (&sound["micro"][0]["entries"], &sound["verify"]);
    let cases = verify[0]["cases"].as_u64().expect("a number");
    let round = "/generation/kernels/0/rounds/0";
    let times = sound.pointer(round).expect("there");
    let decode_ns = times["decode_ns"].as_u64().expect("a number");
    let edits = [
        ("nothing", json!({})),
        ("no time at all", json!({"/elapsed_s": 0.0})),
        ("one thread", json!({"/settings/threads": 1})),
        (
            "a cell in which no kernel has a time",
            json!({"/micro/0/entries": [], "/micro/0/rounds": [], "/micro/0/summaries": [],
                "/micro/0/without_time": [{"kernel": "scalar", "status": "refused", "why": "it takes no such shape"}]}),
        ),
        ("an A/A entry that is not the last", json!({"/micro/0/entries": [e[0], e[1], e[2], e[3], e[4], e[6], e[5]]})),
        (
            "every case of a kernel fails that is not timed",
            json!({"/verify/0/mismatches": cases, "/micro": [], "/generation": null}),
        ),
        ("an error of the bound", json!({"/verify/1/max_relative_error": verify[1]["bound"]})),
        (
            "an error of an exact kernel that mismatches",
            json!({"/verify/7/mismatches": 1, "/verify/7/max_abs_error": 1.0, "/micro": [], "/generation": null}),
        ),
        ("a kernel that computes live rows only", json!({"/generation/kernels/0/kernel": "scalar+sparse"})),
        ("all rounds of a pair", json!({"/gate/rounds_per_pair": 12})),
        ("a failed check with a note", json!({"/gate/checks/1/passed": false, "/gate/checks/1/note": "why"})),
        ("as many ids as were asked for", json!({"/generation/kernels/1/token_ids": vec![1; 16]})),
        ("as many tokens", json!({format!("{round}/decode_tokens"): 16, format!("{round}/prefill_tokens"): 2})),
        ("all ids of a golden", json!({"/generation/kernels/0/goldens/0/compared": 24})),
        ("no first token", json!({format!("{round}/time_to_first_token_ns"): 0})),
        ("a first token at once", json!({format!("{round}/time_to_first_token_ns"): times["prefill_ns"]})),
        ("nothing but phases", json!({format!("{round}/decode_times_ns"): phases(decode_ns)})),
        ("several copies in memory", json!({"/micro/0/residency": "dram", "/micro/0/copies": 2})),
        ("an old receipt", json!({"/schema_version": "1.0.3", "/gate": null, "/rule": null})),
        ("a run that is going on", json!({"/status": "running"})),
    ];
    for (what, fields) in edits {
        assert_eq!(problems(&with(&sound, "", &fields)), [], "{what}");
    }
}

/// A library's kernel in a cell of groups is not equal to the oracle, and its scales are the cell's.
#[test]
fn only_what_applied_scales_of_groups_may_have_a_distance() {
    let sound = sound();
    let index = |list: &str, key: &str, value: &Value| {
        let all = sound[list].as_array().expect("a list");
        all.iter().position(|item| item[key] == *value).expect("there")
    };
    let cell = format!("/micro/{}", index("micro", "family", &json!("W2A8")));
    let id = sound.pointer(&format!("{cell}/entries/0/kernel")).expect("an entry");
    let (kernel, field) =
        (format!("/kernels/{}", index("kernels", "id", id)), format!("{cell}/entries/0/max_abs_error"));
    assert_broken(&with(&sound, &field, &json!(1e-6)), &field, "is exact");
    let foreign = |output: &str, groups: [&str; 2]| {
        let library = json!({"library": "l.so", "sha256": "", "requires_cpu": "none", "output": output,
            "weight_group": groups[0], "act_group": groups[1], "rows_multiple": 1, "k_multiple": 1});
        let mut fields = json!({});
        fields[&field] = json!(1e-6);
        fields[format!("{cell}/family")] = json!("W2gA8");
        fields[format!("{cell}/weight_group")] = json!(64);
        fields[format!("{cell}/activations")] = json!("32");
        fields[format!("{kernel}/foreign")] = library;
        with(&sound, "", &fields)
    };
    assert_eq!(problems(&foreign("f32", ["64", "32"])), []);
    for (output, groups) in [("f32", ["64", "256"]), ("f32", ["256", "32"]), ("i32", ["64", "32"])] {
        assert_broken(&foreign(output, groups), &field, "not the cell's");
    }
}

#[test]
fn an_old_receipt_has_no_newer_fields() {
    let sound = sound();
    let integrity = json!(crate::integrity::Integrity::of(&json!({})));
    let newer = [("/rule", sound["rule"].clone()), ("/gate", sound["gate"].clone()), ("/integrity", integrity)];
    for (field, new) in newer {
        let mut old = json!({"/schema_version": "1.0.0", "/gate": null, "/rule": null});
        old[field] = new;
        assert_broken(&with(&sound, "", &old), "/schema_version", "fields of 1.1");
    }
}

#[test]
fn a_problem_is_one_line_of_words() {
    let both = Problem { found: Some("1".into()), recomputed: Some("2".into()), ..Problem::new("/a", "what") };
    assert_eq!(both.line(), "/a is 1, recomputed 2");
    assert_eq!(Problem { recomputed: None, ..both.clone() }.line(), "/a is 1: what");
    assert_eq!(Problem { found: None, ..both.clone() }.line(), "/a: what");
    assert_eq!(Problem::new("/a\u{1b}[2J\nb", "what").line(), "/a\\u{1b}[2J\\nb: what");
    let file = "r.json";
    assert_eq!(refusal(file, &both, 1).to_string(), "r.json: /a is 1, recomputed 2");
    assert_eq!(refusal(file, &both, 3).to_string(), "r.json: /a is 1, recomputed 2; 2 more");
}
