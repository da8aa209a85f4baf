//! `limits`, `list claims` and what `compare` derives from them: fields, sums and refusals. Never how fast this machine
//! is.

mod common;

use common::{SMALL_SCENARIO, assert_refused, json, read_json, run, stdout};
use serde_json::Value;
use std::collections::HashSet;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn array<'v>(value: &'v Value, key: &str) -> &'v Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn ordered(spread: &Value) -> bool {
    let of = |key: &str| spread[key].as_f64().unwrap_or_else(|| panic!("{key} in {spread}"));
    0.0 < of("low") && of("low") <= of("median") && of("median") <= of("high")
}

#[test]
fn limits_has_every_level_and_every_kernels_multiply() {
    let printed = json(&["limits", "--quick", "--json", "--threads", "1"]);
    let limits = &printed["limits"];
    let bandwidth = array(limits, "bandwidth");
    let levels: HashSet<&str> = bandwidth.iter().map(|b| text(b, "level")).collect();
    let caches = array(&printed["host"], "caches_bytes").len();
    assert_eq!(levels.len(), caches + 1, "each cache, and memory: {levels:?}");
    assert!(levels.contains("DRAM"));
    for b in bandwidth {
        assert!(ordered(&b["read_gb_s"]) && ordered(&b["write_gb_s"]) && b["threads"] == 1, "{b}");
    }
    let multiplies = array(limits, "multiplies");
    for m in multiplies {
        assert!(ordered(&m["mac_per_cycle"]) && ordered(&m["gmac_s"]) && m["products"].as_u64() > Some(0), "{m}");
    }
    if cfg!(target_arch = "x86_64") {
        assert!(ordered(&limits["clock_ghz"]));
        let ids: HashSet<&str> = multiplies.iter().map(|m| text(m, "id")).collect();
        let kernels = array(limits, "kernels");
        let listed: HashSet<&str> = kernels.iter().map(|k| text(k, "kernel")).collect();
        assert_eq!(listed, common::available_kernels().iter().map(String::as_str).collect());
        assert!(kernels.iter().all(|k| ids.contains(text(k, "multiply"))), "{kernels:?}");
    }
}

#[test]
fn limits_masks_instructions_and_prints_a_table() {
    let masked = json(&["limits", "--quick", "--json", "--threads", "1", "--cpu-features", "none"]);
    let multiplies = array(&masked["limits"], "multiplies");
    assert!(
        multiplies.iter().all(|m| !text(m, "id").contains("mm-") && !text(m, "id").contains("zmm")),
        "{multiplies:?}"
    );
    let shown = stdout(&run(&["limits", "--quick", "--threads", "1", "--cpu-features", "none"]));
    assert!(shown.contains("read GB/s") && shown.contains("DRAM"), "{shown}");
    assert_refused(&["limits", "--threads", "0"], 2, &["--threads 0"]);
}

#[test]
fn claims_have_sections_and_a_run_judges_them() {
    let stated = json(&["list", "claims", "--json"]);
    assert!(text(&stated, "source").contains("BitNet.rs"));
    let claims = array(&stated, "claims");
    assert!(claims.len() >= 25);
    for claim in claims {
        assert!(!text(claim, "section").is_empty() && !text(claim, "text").is_empty(), "{claim}");
        assert!(claim["expected"].as_f64() > Some(0.0) && claim["metric"]["name"].is_string(), "{claim}");
        assert!(claim["verdict"].is_null(), "nothing is judged without a run");
    }

    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("small.toml");
    std::fs::write(&scenario, SMALL_SCENARIO.replace("rounds = 4", "rounds = 8")).expect("written");
    let out = folder.path().join("run").display().to_string();
    let printed = json(&["compare", "--scenario", &scenario.display().to_string(), "--out", &out, "--json"]);
    let receipt = read_json(text(&printed, "receipt").as_ref());

    // No row without its bound.
    for cell in array(&receipt, "micro") {
        for summary in array(cell, "summaries") {
            let bound = &summary["bound"];
            assert!(["memory", "compute"].contains(&text(bound, "bound")), "{summary}");
            assert!(bound["gelem_s"].as_f64() > Some(0.0) && bound["share"].as_f64() > Some(0.0), "{summary}");
        }
    }

    let judged = json(&["list", "claims", "--run", &out, "--json"]);
    let verdicts = array(&judged, "claims");
    assert_eq!(verdicts.len(), claims.len());
    for claim in verdicts {
        let verdict = text(claim, "verdict");
        assert!(["holds", "fails", "not_measurable"].contains(&verdict) && !text(claim, "why").is_empty(), "{claim}");
        assert!(verdict == "not_measurable" || claim["measured"].is_number(), "{claim}");
        if let Some(pointer) = claim["evidence"].as_str() {
            assert!(receipt.pointer(pointer).is_some(), "{pointer} is in the receipt");
        }
    }
    let of = |id: &str| verdicts.iter().find(|c| c["id"] == id).unwrap_or_else(|| panic!("{id}"));
    assert_eq!(of("scalar-rate")["verdict"], "not_measurable", "the built-in model is not the 2B one");
    assert!(of("scalar-256")["low"].is_number(), "8 rounds make an interval");
    assert_eq!(of("block")["verdict"], "holds");
    // compare, report and list derive the same from one receipt.
    assert_eq!(printed["claims"], judged["claims"]);
    let again = json(&["report", &out, "--json"]);
    assert_eq!((&again["claims"], &again["amdahl"]), (&printed["claims"], &printed["amdahl"]));
    let page = std::fs::read_to_string(text(&printed, "report")).expect("a page");
    assert!(page.contains("id=\"claims\"") && page.contains("id=\"limits\"") && page.contains("chart-roofline.svg"));

    assert_refused(&["list", "claims", "--run", "nowhere"], 2, &["nowhere"]);
    assert_refused(&["list", "kernels", "--run", &out], 2, &["list claims --run"]);
}
