//! `limits`, `list claims` and what `compare` derives from them: fields, sums and refusals. Never how fast this machine
//! is.

use crate::common::*;
use serde_json::Value;
use std::collections::HashSet;

fn ordered(spread: &Value) -> bool {
    let [low, median, high] =
        ["low", "median", "high"].map(|key| spread[key].as_f64().unwrap_or_else(|| panic!("{key} in {spread}")));
    0.0 < low && low <= median && median <= high
}

#[test]
fn limits_has_every_level_and_every_kernels_multiply() {
    let printed = json("limits --quick --json --threads 1");
    let limits = &printed["limits"];
    let bandwidth = list(limits, "bandwidth");
    let levels: HashSet<&str> = bandwidth.iter().map(|b| text(b, "level")).collect();
    let caches = list(&printed["host"], "caches_bytes").len();
    assert_eq!(levels.len(), caches + 1, "each cache, and memory: {levels:?}");
    assert!(levels.contains("DRAM"));
    for b in bandwidth {
        assert!(ordered(&b["read_gb_s"]) && ordered(&b["write_gb_s"]) && b["threads"] == 1, "{b}");
    }
    let multiplies = list(limits, "multiplies");
    for m in multiplies {
        assert!(ordered(&m["mac_per_cycle"]) && ordered(&m["gmac_s"]) && m["products"].as_u64() > Some(0), "{m}");
    }
    if cfg!(target_arch = "x86_64") {
        assert!(ordered(&limits["clock_ghz"]));
        let ids: HashSet<&str> = multiplies.iter().map(|m| text(m, "id")).collect();
        let kernels = list(limits, "kernels");
        let listed: HashSet<&str> = kernels.iter().map(|k| text(k, "kernel")).collect();
        assert_eq!(listed, available_kernels().iter().map(String::as_str).collect());
        assert!(kernels.iter().all(|k| ids.contains(text(k, "multiply"))), "{kernels:?}");
    }
}

#[test]
fn limits_masks_instructions_and_prints_a_table() {
    let shown = printed("limits --quick --threads 1 --cpu-features none");
    assert!(["read GB/s", "DRAM", "scalar-i8"].iter().all(|part| shown.contains(part)), "{shown}");
    let mut ids = shown.lines().filter_map(|line| line.split_whitespace().next());
    assert!(ids.all(|id| !id.contains("mm-") && !id.contains("zmm")), "{shown}");
    refused("limits --threads 0", 2, &["--threads 0"]);
}

#[test]
fn claims_have_sections_and_a_run_judges_them() {
    let stated = json("list claims --json");
    assert!(text(&stated, "source").contains("BitNet.rs"));
    let claims = list(&stated, "claims");
    assert!(claims.len() >= 25);
    for claim in claims {
        assert!(!text(claim, "section").is_empty() && !text(claim, "text").is_empty(), "{claim}");
        assert!(claim["expected"].as_f64() > Some(0.0) && claim["metric"]["name"].is_string(), "{claim}");
        assert!(claim["verdict"].is_null(), "nothing is judged without a run");
    }
    // No row without its bound.
    for summary in list(&RUN.receipt, "micro").iter().flat_map(|cell| list(cell, "summaries")) {
        let bound = &summary["bound"];
        let by = text(bound, "bound");
        assert!(["memory", "compute", "ports"].contains(&by), "{summary}");
        // A port mix that a kernel outruns is no bound.
        assert!(by != "ports" || bound["share"].as_f64() <= Some(1.03), "{summary}");
        assert!(bound["gelem_s"].as_f64() > Some(0.0) && bound["share"].as_f64() > Some(0.0), "{summary}");
    }
    let judged = json(&format!("list claims --run {} --json", RUN.out));
    let verdicts = list(&judged, "claims");
    assert_eq!(verdicts.len(), claims.len());
    for claim in verdicts {
        let verdict = text(claim, "verdict");
        assert!(["holds", "fails", "not_measurable"].contains(&verdict) && !text(claim, "why").is_empty(), "{claim}");
        assert!(verdict == "not_measurable" || claim["measured"].is_number(), "{claim}");
        if let Some(pointer) = claim["evidence"].as_str() {
            assert!(RUN.receipt.pointer(pointer).is_some(), "{pointer} is in the receipt");
        }
    }
    let claim = |id: &str| verdicts.iter().find(|c| c["id"] == id).unwrap_or_else(|| panic!("{id}"));
    assert_eq!(claim("scalar-rate")["verdict"], "not_measurable", "the built-in model is not the 2B one");
    assert!(claim("scalar-256")["low"].is_number(), "9 rounds make an interval");
    assert_eq!(claim("block")["verdict"], "holds");
    // compare, report and list derive the same from one receipt.
    assert_eq!(RUN.printed["claims"], judged["claims"]);
    let again = json(&format!("report {} --out {} --json", RUN.out, Folder::new().at("page")));
    let section = list(&again, "sections").iter().find(|section| section["id"] == "claims").expect("claims");
    let shown: Vec<&Value> =
        list(&section["blocks"][1]["table"], "rows").iter().map(|row| &row["cells"][5]["value"]).collect();
    let words: Vec<String> =
        verdicts.iter().map(|claim| text(claim, "verdict").replace("not_measurable", "not measurable here")).collect();
    assert!(shown.iter().zip(&words).all(|(shown, word)| *shown == word), "{shown:?} {words:?}");
    let page = std::fs::read_to_string(text(&RUN.printed, "report")).expect("a page");
    assert!(page.contains("id=\"claims\"") && page.contains("id=\"limits\"") && page.contains("chart-roofline.svg"));

    refused("list claims --run nowhere", 2, &["nowhere"]);
    refused(&format!("list kernels --run {}", RUN.out), 2, &["list claims --run"]);
}
