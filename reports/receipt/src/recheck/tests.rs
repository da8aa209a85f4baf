use super::*;
use crate::error::Kind;
use crate::fixture;
use crate::random::SplitMix64;
use serde_json::Value;

/// A 1.0.0 receipt of a real run, with fewer cells and kernels.
const OLD: &[u8] = include_bytes!("../../tests/fixtures/receipt-1.0.0.json");

/// A run of that build, with a quantised head.
fn consistent() -> Receipt {
    let (nats, f16_nats) = (3.25f64, 3.2f64);
    let effect = crate::record::HeadEffect {
        head: "q8".into(),
        f16_head: "f16".into(),
        nats_per_token: nats,
        f16_nats_per_token: f16_nats,
        perplexity: nats.exp(),
        f16_perplexity: f16_nats.exp(),
        perplexity_change_percent: 100.0 * (nats - f16_nats).exp_m1(),
        tokens: 100,
        window: 10,
        text: "a text".into(),
    };
    let mut receipt = Receipt { build: build_info(), head_effect: Some(effect), ..fixture::complete() };
    receipt.micro.truncate(2);
    receipt.findings = crate::judge::findings::findings(&receipt);
    receipt
}

/// A build that is nobody's but the tests'.
fn build_info() -> Build {
    Build { version: "9.9.9".into(), ..fixture::complete().build }
}

fn written(receipt: &Receipt) -> (Vec<u8>, Value) {
    let bytes = store::sealed(receipt).unwrap();
    let value = serde_json::from_slice(&bytes).unwrap();
    (bytes, value)
}

fn check(bytes: impl AsRef<[u8]>) -> Result<Recheck> {
    recheck("receipt.json".into(), bytes.as_ref(), Some(&build_info()))
}

/// Pointers of all numbers.
fn numbers(value: &Value, pointer: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, v)| numbers(v, &format!("{pointer}/{key}"), all)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| numbers(v, &format!("{pointer}/{i}"), all)),
        Value::Number(_) => all.push(pointer.into()),
        _ => {}
    }
}

/// A receipt of rules of activations is read as it was written, and each figure of it follows from sums and rounds.
#[test]
fn rules_of_activations_follow_from_their_sums_and_rounds() {
    let mut receipt = Receipt { build: build_info(), ..fixture::activation_rules() };
    receipt.findings = crate::judge::findings::findings(&receipt);
    assert!(receipt.findings.iter().any(|f| f.evidence == "/activation_rules"));
    let (bytes, value) = written(&receipt);
    check(&bytes).unwrap().require().unwrap();
    let again = store::parse("again", &bytes).unwrap();
    assert_eq!(format!("{:?}", again.activation_rules), format!("{:?}", receipt.activation_rules));
    let refused = |field: &str, new: Value| {
        let mut edited = value.clone();
        *edited.pointer_mut(field).expect("there") = new;
        let edited: Receipt = serde_json::from_value(edited).unwrap();
        let found = check(store::sealed(&edited).unwrap()).unwrap().problems;
        assert!(found.iter().any(|problem| field.starts_with(&problem.field)), "{field}: {found:?}");
    };
    for field in ["rules/1/kl_nats", "rules/2/perplexity", "rules/3/same_top_share", "rules/1/windows_below_first"] {
        refused(&format!("/activation_rules/{field}"), 7.into());
    }
    refused("/activation_rules/nats_per_token", 1.5.into());
    refused("/activation_rules/blocks/summaries/2/tokens_per_s", 1.5.into());
    refused("/activation_rules/tokens", 9.into());
    refused("/activation_rules/rules/0/kernel", "nobody".into());
    refused("/activation_rules/windows/4/by_rule", Value::Array(Vec::new()));
    refused("/activation_rules/windows/0/by_rule/1/same_top", 129.into());
    refused("/activation_rules/blocks/entries/1/kernel", "64".into());
}

/// A receipt of engines is read as it was written, and each figure and status follows from answers and rounds.
#[test]
fn engines_follow_from_their_answers_and_rounds() {
    let mut receipt = Receipt { build: build_info(), ..fixture::engines() };
    receipt.findings = crate::judge::findings::findings(&receipt);
    assert!(receipt.findings.iter().any(|f| f.evidence == "/engines"));
    let (bytes, value) = written(&receipt);
    check(&bytes).unwrap().require().unwrap();
    let again = store::parse("again", &bytes).unwrap();
    assert_eq!(format!("{:?}", again.engines), format!("{:?}", receipt.engines), "the verdicts too");
    let problems = |field: &str, new: Value| {
        let mut edited = value.clone();
        *edited.pointer_mut(field).unwrap_or_else(|| panic!("{field}")) = new;
        let edited: Receipt = serde_json::from_value(edited).unwrap();
        check(store::sealed(&edited).unwrap()).unwrap().problems
    };
    let refused = |field: &str, new: Value| {
        let found = problems(&format!("/engines/{field}"), new);
        assert!(found.iter().any(|p| format!("/engines/{field}").starts_with(&p.field)), "{field}: {found:?}");
    };
    for (field, new) in [
        ("oracles/0/perplexity", 22.0.into()),
        ("engines/1/truth/score/ln_ratio", 0.0.into()),
        ("engines/1/truth/score/bound", 0.1.into()),
        ("engines/3/truth/texts/1/wrong_at", 5.into()),
        ("engines/1/speed/decode_tokens_per_s", 9000.0.into()),
        ("engines/1/speed/own_prompt_tokens_per_s", 9000.0.into()),
        ("engines/1/speed/threads_used", 0.5.into()),
        ("engines/1/speed/share_of_bound", 0.9.into()),
        ("engines/1/speed/decode/median", 1.5.into()),
        ("engines/3/why", "it is right".into()),
        ("engines/1/status", "crashed".into()),
        ("engines/3/status", "ok".into()),
        ("turns/noise_floor", 0.5.into()),
        // What contradicts itself.
        ("threads", 0.into()),
        ("text_sha256", "unknown".into()),
        ("engines/1/file/sha256", "unknown".into()),
        ("engines/1/own", true.into()),
        ("engines/1/name", "tritbench".into()),
        ("engines/1/truth/texts/0/margins", Value::Array(Vec::new())),
        ("turns/short", 0.into()),
        ("turns/long", 16.into()),
        ("turns/tokens", 1.into()),
        ("turns/entries/1/engine", "bitnet.cpp".into()),
        ("turns/entries/1/engine", "nobody".into()),
        ("turns/entries/2/engine", "ik_llama.cpp".into()),
        ("turns/entries/3/engine", "litespark".into()),
        ("turns/entries/0/engine", "litespark".into()),
        ("turns/text/4/order/0", 3.into()),
        ("turns/text/4/ns", Value::Array(Vec::new())),
        ("turns/prompt", Value::Array(Vec::new())),
        ("turns/first/0/ns/1", 0.into()),
        ("turns/own_times", Value::Array(Vec::new())),
        ("turns/own_times/1", Value::Array(Vec::new())),
    ] {
        refused(field, new);
    }
    // One edited sample, even where digests were made anew: what follows from it is named.
    for (field, new, follows) in [
        ("/engines/turns/text/3/ns/1", 7, "/engines/engines/1/speed/"),
        ("/engines/turns/own_times/1/3/text_decode_ns", 0, "/engines/engines/1/speed/own_decode_tokens_per_s"),
        ("/engines/engines/1/truth/score/nats_per_token", 7, "/engines/engines/1/truth/score/ln_ratio"),
        ("/engines/engines/1/truth/texts/0/ids/0", 7, "/engines/engines/1/truth/texts/0/wrong_at"),
    ] {
        let found = problems(field, new.into());
        assert!(found.iter().any(|problem| problem.field.starts_with(follows)), "{field}: {found:?}");
    }
    // And where they were not, the part itself.
    let mut edited = value.clone();
    *edited.pointer_mut("/engines/turns/first/2/ns/2").unwrap() = 7.into();
    let found = check(edited.to_string()).unwrap().problems;
    assert!(found[0].field.starts_with("/engines"), "{found:?}");
}

#[test]
fn the_fixtures_hold() {
    for file in fixture::FILES {
        check(file).unwrap().require().unwrap();
    }
    let mut groups = Receipt { build: build_info(), ..fixture::group_scales() };
    groups.findings = crate::judge::findings::findings(&groups);
    check(written(&groups).0).unwrap().require().unwrap();
}

#[test]
fn a_fresh_receipt_holds() {
    for receipt in [consistent(), fixture::empty()] {
        let (bytes, _) = written(&receipt);
        let found = check(&bytes).unwrap().require().unwrap();
        assert!(found.verified, "{found:?}");
        assert_eq!(found.notes.is_empty(), recompute::same_build(&receipt, Some(&build_info())));
        assert!(found.values_with_digest > 50);
        // Written again by a reader, it holds still.
        let back = store::parse("receipt.json", &bytes).unwrap();
        check(written(&back).0).unwrap().require().unwrap();
    }
}

#[test]
fn the_part_of_any_edited_number_is_named() {
    let (_, value) = written(&consistent());
    let parts = Integrity::of(&value).parts;
    let mut pointers = Vec::new();
    numbers(&value, "", &mut pointers);
    assert!(pointers.len() > 1000);
    let random = &mut SplitMix64::new(7);
    // All kinds of fields, not only rounds, of which there are most.
    let (rounds, others): (Vec<String>, Vec<String>) = pointers.into_iter().partition(|p| p.contains("/rounds/"));
    let mut sample: Vec<&String> = (0..60).map(|_| &rounds[random.next_u64() as usize % rounds.len()]).collect();
    sample.extend(others.iter().filter(|_| random.next_u64().is_multiple_of(4)));
    for pointer in sample {
        let mut edited = value.clone();
        let number = edited.pointer_mut(pointer).unwrap();
        *number = match number.as_u64() {
            Some(n) if random.next_u64().is_multiple_of(3) => serde_json::json!(-(n as i64) - 1),
            Some(n) => serde_json::json!(n + 1),
            None => serde_json::json!(f64::from_bits(number.as_f64().unwrap().to_bits() ^ 1)),
        };
        let unchanged = edited == value;
        let found = check(edited.to_string()).unwrap();
        assert!(!found.verified && !unchanged, "{pointer}");
        let field = found.problems[0].field.clone();
        if pointer.starts_with("/integrity") {
            assert!(field.starts_with("/integrity"), "{pointer}: {:?}", found.problems);
        } else {
            let holds = |part: &&str| pointer.starts_with(&format!("{part}/"));
            let part = parts.iter().map(|part| part.part.as_str()).filter(holds).max_by_key(|part| part.len());
            assert_eq!(field, part.filter(|part| !part.is_empty()).unwrap_or("/"), "{pointer}: {:?}", found.problems);
        }
        let error = found.require().unwrap_err();
        assert!(error.kind() == Kind::Failed && error.to_string().contains(&field));
    }
}

/// A run on a GPU is checked as any other: its rounds, the host's clock beside the device's, and what it ran on.
#[test]
fn times_of_a_device_are_checked_like_others() {
    let mut receipt = Receipt { build: build_info(), ..fixture::gpu() };
    receipt.findings = crate::judge::findings::findings(&receipt);
    let (bytes, value) = written(&receipt);
    let found = check(&bytes).unwrap();
    assert!(found.verified, "{:?}", found.problems);
    assert!(value.pointer("/micro/1/summaries/1/bound/share").is_some_and(Value::is_f64));
    for pointer in ["/micro/0/rounds/3/wall_ns/0", "/micro/1/rounds/0/ns/1", "/device/timestamp_period_ns"] {
        let mut edited = value.clone();
        *edited.pointer_mut(pointer).unwrap() = 77.into();
        assert!(!check(edited.to_string()).unwrap().verified, "{pointer}");
    }
    // With digests made anew the figures do not follow any more, or the record contradicts itself.
    let contradictions: [(&str, Value, &str); 4] = [
        ("/micro/1/rounds/0/ns/1", 1.into(), "/micro/1/"),
        ("/micro/0/rounds/3/wall_ns", vec![1].into(), "/micro/0/rounds/3/wall_ns"),
        ("/device/kind", "software".into(), "/device/kind"),
        ("/device/shaders/1/sha256", "none".into(), "/device/shaders/1/sha256"),
    ];
    for (pointer, new, field) in contradictions {
        let mut edited = value.clone();
        *edited.pointer_mut(pointer).unwrap() = new;
        edited["integrity"] = serde_json::to_value(Integrity::of(&edited)).unwrap();
        let found = check(edited.to_string()).unwrap();
        assert!(found.problems.iter().any(|p| p.field.starts_with(field)), "{pointer}: {:?}", found.problems);
    }
}

/// A build may only be held to its own words.
#[test]
fn texts_are_compared_by_the_build_that_wrote_them_and_by_no_other() {
    let mut receipt = consistent();
    receipt.findings[0].text.push('!');
    let (bytes, _) = written(&receipt);
    assert!(!check(&bytes).unwrap().verified);
    for own in [None, Some(&fixture::complete().build)] {
        let found = recheck("receipt.json".into(), &bytes, own).unwrap();
        assert!(found.verified && found.notes.len() == 1, "{found:?}");
    }
}

/// Without the digests: what can be recomputed is named by itself, with both values.
#[test]
fn figures_are_recomputed_not_only_hashed() {
    let (_, value) = written(&consistent());
    let text = value["findings"][0]["text"].as_str().unwrap();
    let median = value["micro"][0]["summaries"][2]["vs_previous"]["median"].as_f64().unwrap();
    let edits: [(&str, &str, Value); 9] = [
        ("/micro/0/summaries/1/gelem_s", "", 9.9.into()),
        ("/micro/0/summaries/2/vs_previous/median", "", (median + 1e-12).into()),
        ("/micro/1/noise_floor", "", 0.0.into()),
        ("/generation/kernels/2/decode_tokens_per_s", "", 1.0.into()),
        ("/generation/kernels/1/ids_equal_baseline", "/generation/kernels/1/token_ids/0", 1.into()),
        ("/generation/kernels/0/goldens/0/passed", "/generation/kernels/0/goldens/0/got/1", 9.into()),
        ("/perplexity/kernels/3/perplexity", "", 1.0.into()),
        ("/head_effect/perplexity_change_percent", "", 0.0.into()),
        ("/findings/0/text", "", format!("{text}!").into()),
    ];
    for (pointer, edited, new) in edits {
        let mut receipt = value.clone();
        *receipt.pointer_mut(if edited.is_empty() { pointer } else { edited }).unwrap() = new;
        receipt["integrity"] = serde_json::to_value(Integrity::of(&receipt)).unwrap();
        let found = check(receipt.to_string()).unwrap();
        let problem = found.problems.iter().find(|p| p.field == pointer);
        let problem = problem.unwrap_or_else(|| panic!("{pointer}: {:?}", found.problems));
        assert!(problem.recomputed.is_some() && problem.found != problem.recomputed, "{problem:?}");
    }
}

/// What makes no sense is said of each field; figures are then not computed again.
#[test]
fn a_receipt_must_make_sense() {
    let mut receipt = consistent();
    receipt.micro[0].rounds[3].ns[1] = 0;
    let found = check(written(&receipt).0).unwrap();
    assert_eq!(found.problems.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(), ["/micro/0/rounds/3/ns/1"]);
    assert!(found.notes[0].starts_with("figures were not computed again"), "{:?}", found.notes);
}

#[test]
fn removing_the_digests_does_not_help() {
    let (_, mut value) = written(&consistent());
    value.as_object_mut().unwrap().remove("integrity");
    assert_eq!(check(value.to_string()).unwrap().problems[0].field, "/integrity");
    // Nor does calling it a receipt of before digests: it has a rule, as every run since has.
    value["schema_version"] = "1.0.0".into();
    value["rule"] = serde_json::to_value(fixture::gate::record(0.0).rule).unwrap();
    assert_eq!(check(value.to_string()).unwrap().problems[0].field, "/schema_version");
}

/// An edit that leaves no receipt is named by its digest; without digests there is nothing but the reader's error.
#[test]
fn what_cannot_be_read_is_named_all_the_same() {
    let (_, mut value) = written(&consistent());
    value["micro"][0]["k"] = (-1).into();
    let found = check(value.to_string()).unwrap();
    assert_eq!((found.problems.len(), found.problems[0].line().as_str()), (1, "/micro/0: not what was written"));
    assert!(found.notes.iter().any(|note| note.starts_with("nothing else was checked: ")), "{:?}", found.notes);
    // Digests that are none.
    value["integrity"] = 7.into();
    let found = check(value.to_string()).unwrap();
    assert!(found.problems[0].line().starts_with("/integrity: cannot be read: "), "{:?}", found.problems);
}

/// A receipt of 1.1, whose digests still tell a part that was edited, and whose root covers all digests.
#[test]
fn receipts_with_digests_of_groups_hold_and_their_edits_are_named() {
    let old: Value = serde_json::from_slice(include_bytes!("../../tests/fixtures/receipt-1.1.0.json")).unwrap();
    assert!(check(old.to_string()).unwrap().require().unwrap().values_with_digest > 1000);
    let named = |pointer: &str, new: Value| {
        let mut edited = old.clone();
        *edited.pointer_mut(pointer).unwrap() = new;
        check(edited.to_string()).unwrap().problems.into_iter().map(|problem| problem.field).collect::<Vec<String>>()
    };
    assert_eq!(named("/host/cpus", 7.into()), ["/host"]);
    assert_eq!(named("/integrity/parts/2/locate/0", "0 0".into()), ["/integrity/root"]);
    let figure = "/micro/0/summaries/1/gelem_s";
    let problems = named(figure, 9.9.into());
    assert_eq!(problems[0], "/micro/0");
    assert!(problems.iter().any(|field| field == figure), "{problems:?}");
}

#[test]
fn what_is_no_receipt_is_an_input_error() {
    for text in ["{", "{}", "[]", r#"{"schema_version": "7.0.0"}"#] {
        let outcome = check(text);
        let refused = outcome.as_ref().map_or(true, |found| !found.verified);
        assert!(refused, "{text}: {outcome:?}");
    }
    // Nothing is said to be missing from what never was a receipt.
    assert!(check("{}").unwrap_err().to_string().contains("not a receipt"));
}

#[test]
fn a_receipt_of_version_1_0_reads_and_holds() {
    let found = check(OLD).unwrap().require().unwrap();
    assert!(found.values_compared > 1000 && found.notes.iter().any(|n| n.contains("before 1.1")), "{found:?}");
    let receipt = store::parse("old", OLD).unwrap();
    assert!(receipt.schema_version == "1.0.0" && receipt.integrity.is_none());
    // Its figures are held to its rounds as any other's.
    let mut value: Value = serde_json::from_slice(OLD).unwrap();
    value["micro"][0]["rounds"][0]["ns"][0] = serde_json::json!(1);
    assert!(check(value.to_string()).unwrap().problems.iter().any(|p| p.field.starts_with("/micro/0/")));
}

/// `calibrate` was a command once. Its part of a receipt is covered by digests and by nothing else.
#[test]
fn a_part_that_is_no_longer_read_is_named_and_its_digests_hold() {
    let (_, mut value) = written(&fixture::empty());
    value["calibration"] = serde_json::json!({"effects": [0.0, 5.0], "trials": [{"seconds": 60.5, "cells": []}]});
    value["integrity"] = serde_json::to_value(Integrity::of(&value)).unwrap();
    let found = check(value.to_string()).unwrap();
    assert!(found.verified && found.notes.iter().any(|note| note.starts_with("/calibration ")), "{found:?}");
    value["calibration"]["trials"][0]["seconds"] = 6.5.into();
    let found = check(value.to_string()).unwrap();
    assert!(!found.verified && found.problems[0].field.starts_with("/calibration"), "{found:?}");
}
