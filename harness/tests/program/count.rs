//! `count`: the same figures every time, by either way of following the call, by callgrind, and as the kernels' own
//! documentation says.

use crate::common::*;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs `count ... --json`. `None`, with the reason printed, where ptrace is refused and nowhere else.
fn counted(args: &str) -> Option<Value> {
    let output = run(&format!("count --json {args}"));
    if ptrace_is_refused(&output) { None } else { Some(parsed(&succeeds(output))["counts"].clone()) }
}

#[test]
fn two_runs_count_the_same() {
    let args = "--kernel scalar --op gemv --shape 16x256";
    let (Some(first), Some(second)) = (counted(args), counted(args)) else { return };
    assert_eq!(first, second);
    let total = &first[0]["total"];
    let sum = |part: &str| total[part].as_object().expect("counters").values().filter_map(Value::as_u64).sum::<u64>();
    let all = total["instructions"].as_u64().expect("a count");
    assert!(all > 16 * 256, "at least one instruction a weight");
    assert_eq!((sum("classes"), sum("widths")), (all, all), "each instruction is in one class and has one width");
    assert_eq!(first[0]["kernel"], "scalar");
    // 4 codes a byte, and each row's 256 activations of 4 bytes.
    assert!(total["memory"]["bytes_loaded"].as_u64().expect("bytes") >= 16 * (64 + 1024), "{total}");
    assert_eq!(first[0]["hot_loop"]["weights_per_pass"], 4.0, "a byte of codes a pass");
}

#[test]
fn stopping_at_branches_misses_nothing() {
    let all = available_kernels().join(",");
    // Rows and columns that are no multiple of any tile or block.
    let args = format!("--kernels {all} --shape 11x300");
    let (Some(branches), Some(steps)) = (counted(&args), counted(&format!("{args} --single-step"))) else { return };
    for (a, b) in branches.as_array().expect("kernels").iter().zip(steps.as_array().expect("kernels")) {
        assert_eq!((&a["kernel"], &a["total"], &a["hot_loop"]), (&b["kernel"], &b["total"], &b["hot_loop"]));
    }
}

#[test]
fn other_operations_are_counted() {
    if !available_kernels().iter().any(|id| id == "avx2-i8-tile8") {
        println!("skipped: no kernel with a gemm runs on this CPU");
        return;
    }
    let Some(gemm) = counted("--kernels avx2-i8-tile8 --op gemm --tokens 8 --shape 8x256") else { return };
    assert_eq!((&gemm[0]["tokens"], &gemm[0]["weights_per_call"]), (&8.into(), &(8 * 8 * 256).into()));
    let dequantize = counted("--kernel scalar --op dequantize --shape 2x256").expect("counted before");
    assert_eq!(dequantize[0]["total"]["memory"]["bytes_stored"].as_u64().map(|b| b >= 2 * 256 * 4), Some(true));
}

/// Callgrind counts from outside. The child calls the kernel twice, once for the oracle and once for the count, so it
/// must see exactly twice as many: no kernel here calls anything that picks other code by CPU.
#[test]
fn callgrind_agrees() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is not installed");
        return;
    }
    const KERNELS: [&str; 5] = ["scalar", "avx2-nibble", "avx2-permute", "scalar-i8", "avx2-i8-tile8"];
    let available = available_kernels();
    for kernel in KERNELS.into_iter().filter(|k| available.iter().any(|a| a == k)) {
        let Some(counts) = counted(&format!("--kernel {kernel} --shape 16x256")) else { return };
        let mut callgrind = Command::new("valgrind");
        callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        callgrind.arg(format!("--toggle-collect=*::{}::gemv*", kernel.replace('-', "_")));
        let call = format!(r#"{{"kernel":"{kernel}","op":"gemv","m":16,"k":256,"tokens":1,"seed":1}}"#);
        callgrind.arg(program()).args(["worker", "--call", &call]);
        let output = callgrind.output().expect("valgrind runs");
        let text = stderr(&output);
        let collected = text.lines().find_map(|l| l.split("Collected :").nth(1)?.trim().parse::<u64>().ok());
        assert_eq!(collected, counts[0]["total"]["instructions"].as_u64().map(|n| 2 * n), "{kernel}: {text}");
    }
}

/// Each kernel's module documentation ends its account with a line of counted figures. It must be what `count` says of
/// this build.
#[test]
fn module_docs_hold_the_counts() {
    if cfg!(target_feature = "avx") {
        println!("skipped: built for another CPU than the documented one");
        return;
    }
    let mut wrong = Vec::new();
    for id in available_kernels() {
        // Whole steps of every layout, so that no padding is counted as weights; lookups need a whole panel for that.
        let shape = if id.contains("lut") { "128x5120" } else { "16x5120" };
        let Some(counts) = counted(&format!("--kernel {id} --shape {shape}")) else { return };
        let record = &counts[0];
        let file = format!("{}.rs", id.replace('-', "_"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/src");
        let paths = ["w2a32", "w2a8", "w2ga8"].map(|family| source.join(family).join(&file));
        let text = paths.iter().find_map(|p| std::fs::read_to_string(p).ok()).expect("a kernel has a file");
        let hot = &record["hot_loop"]["per_64_weights"];
        let figure = |pointer: &str| hot.pointer(pointer).and_then(Value::as_f64).expect("a figure");
        let vector: f64 = ["128", "256", "512"].iter().map(|bits| figure(&format!("/widths/bits_{bits}"))).sum();
        let sentence = format!(
            "Counted (`tritbench count`), inner loop, per 64 weights: {:.2} instructions, \
             {vector:.2} of them vector, {:.2} memory reads.",
            figure("/instructions"),
            figure("/memory/reads")
        );
        // The sentence may be broken anywhere.
        let account: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("//! ")).collect();
        if !account.join(" ").contains(&sentence) {
            wrong.push(format!("{file} should say:\n//! {sentence}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_cannot_be_counted_ptrace_is_refused() {
    refused("count --kernel nope", 2, &["no kernel \"nope\""]);
    refused("count --kernel scalar --op gemm", 2, &["scalar has no gemm"]);
    refused("count --shape 3by4", 2, &["--shape", "not a shape"]);
    refused("count --ghz 0", 2, &["--ghz"]);
    // Where there is one CPU, another line says so before.
    refused("count --threads 2", 2, &["--threads"]);
    refused("count --kernel avx2-i8 --cpu-features none", 5, &["avx2-i8", "avx2"]);
}
