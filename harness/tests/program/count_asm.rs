//! The instructions of a call, each with how often it ran: together they are the call's count.

use crate::common::*;
use serde_json::Value;
use std::collections::BTreeMap;

/// `count --asm --json`; `None`, with the reason printed, where ptrace is refused and nowhere else.
fn counted(args: &str) -> Option<Vec<Value>> {
    let output = run(&format!("count --asm --json {args}"));
    (!ptrace_is_refused(&output)).then(|| list(&parsed(&succeeds(output)), "counts").clone())
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} is no count in {value}"))
}

/// Executions, classes and bytes of the lines are those of the call's count.
fn adds_up(row: &Value) {
    let (kernel, total) = (text(row, "kernel"), &row["total"]);
    let lines = list(&row["assembly"], "instructions");
    let executed = |lines: &mut dyn Iterator<Item = &Value>| lines.map(|line| number(line, "executions")).sum::<u64>();
    assert_eq!(executed(&mut lines.iter()), number(total, "instructions"), "{kernel}");
    let mut classes = BTreeMap::new();
    lines.iter().for_each(|line| *classes.entry(text(line, "class")).or_default() += number(line, "executions"));
    let expected = total["classes"].as_object().expect("classes").iter();
    let expected: BTreeMap<&str, u64> =
        expected.map(|(class, n)| (class.as_str(), n.as_u64().expect("a count"))).filter(|(_, n)| *n > 0).collect();
    assert_eq!(classes, expected, "{kernel}");
    let is_hot = |line: &&Value| line["in_loop"] == true;
    let hot = executed(&mut lines.iter().filter(is_hot));
    let share = row["hot_loop"]["share"].as_f64().expect("a loop");
    assert_eq!(share, hot as f64 / number(total, "instructions") as f64, "{kernel}");
    // The record keeps the same lines.
    let kept = list(&row["hot_loop"], "listing");
    assert_eq!(kept.len(), lines.iter().filter(is_hot).count(), "{kernel}");
    assert_eq!(executed(&mut kept.iter()), hot, "{kernel}");
    // One string instruction may repeat; without one, bytes add up too.
    let memory = |line: &Value| number(line, "executions") * number(line, "memory_bytes");
    if !lines.iter().any(|line| text(line, "text").starts_with("rep")) {
        let moved = number(&total["memory"], "bytes_loaded") + number(&total["memory"], "bytes_stored");
        assert_eq!(lines.iter().map(memory).sum::<u64>(), moved, "{kernel}");
    }
}

#[test]
fn executions_of_every_kernel_add_up_to_its_count() {
    let all = available_kernels();
    let Some(rows) = counted(&format!("--kernels {} --shape 32x1024", all.join(","))) else { return };
    assert_eq!(rows.len(), all.len());
    rows.iter().for_each(adds_up);
    for op in ["dequantize", "gemm --tokens 4"] {
        let rows = counted(&format!("--op {op} --shape 32x1024")).expect("counted before");
        assert!(!rows.is_empty(), "{op}");
        rows.iter().for_each(adds_up);
    }
}

#[test]
fn a_loop_is_printed_and_two_stand_side_by_side() {
    let output = run("count --asm scalar-i8 --shape 16x512");
    if ptrace_is_refused(&output) {
        return;
    }
    let shown = stdout(&succeeds(output));
    assert!(shown.starts_with("scalar-i8\noffset  executions"), "{shown}");
    let counts = json("count --kernels scalar-i8 --shape 16x512 --json");
    let all = receipt::figures::integer(number(&counts["counts"][0]["total"], "instructions"));
    assert!(shown.trim_end().ends_with(&format!(": {all} in all")), "{shown}");
    let both = printed("count --asm scalar,scalar-i8 --shape 16x512");
    let first = both.lines().next().expect("a line");
    assert!(first.starts_with("scalar ") && first.ends_with("|  scalar-i8"), "{both}");
    assert_eq!(both.lines().filter(|line| line.ends_with(" in all")).count(), 2, "{both}");
    refused("count --asm scalar --kernels scalar", 2, &["--asm and --kernels"]);
    refused("count --asm nope", 2, &["no kernel \"nope\""]);
}
