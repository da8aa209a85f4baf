//! What a gate says of what it did not compare or could not write. Nothing here depends on a time.

use crate::common::*;

/// A build that has lost a kernel: the same program, with the CPU features that it needs hidden from it.
#[cfg(unix)]
#[test]
fn a_build_that_lacks_a_kernel_of_the_baseline_does_not_pass() {
    if !available_kernels().iter().any(|id| id == "avx2-i8") {
        return;
    }
    let folder = Folder::new();
    let both = TINY.replace("\"scalar\", \"scalar-i8\"", "\"scalar-i8\", \"avx2-i8\"");
    let (own, scenario, out) = (program(), folder.write("both.toml", both), folder.at("run"));
    let less = folder.script("less.sh", &format!("TRITBENCH_CPU_FEATURES=none exec '{own}' \"$@\""));
    let gate = |against: &str, current: &str, rest: &str| {
        run(&format!("gate --against {against} --current {current} --scenario {scenario} --out {out} {rest}"))
    };
    let lost = gate(&own, &less, "--format github");
    // A busy machine may find something graver, but never nothing.
    assert_ne!(verdict(&lost), 0, "{}", stderr(&lost));
    let said = stdout(&lost);
    let warning = "::warning title=tritbench::not compared: avx2-i8 (the current build cannot run it";
    assert!(said.contains(warning), "{said}");
    assert_eq!(read_json(folder.at("run/receipt.json"))["gate"]["unsupported"][0]["gap"], "lost");
    json(&format!("receipt verify {out} --json"));
    // Named away.
    let fewer = parsed(&gate(&own, &less, "--kernels scalar-i8 --json"));
    assert!(list(&fewer, "unsupported").iter().all(|row| row["gap"] != "lost"), "{fewer}");
    // The other way round it is new.
    let fresh = parsed(&gate(&less, &own, "--json"));
    assert_eq!(fresh["unsupported"][0]["gap"], "no_baseline");
    assert!(fresh["outcome"] != "PASS" || text(&fresh, "reason").contains("no baseline for avx2-i8"), "{fresh}");
}

#[test]
fn what_cannot_be_written_is_found_before_the_work_and_changes_no_verdict() {
    let folder = Folder::new();
    let (scenario, out) = (folder.tiny(), folder.at("run"));
    let below = format!("{}/run", folder.write("file", ""));
    let early = run(&format!("gate --against no-such-revision --out {below}"));
    ends_with_error(&early, 2, &["cannot write the run folder", "--out"]);
    let early = run(&format!("baseline save b --scenario {scenario} --dir {below}"));
    ends_with_error(&early, 2, &["cannot write in", "--dir"]);
    // A summary or a chart of an earlier gate is not the new one's: a run folder holds one gate.
    folder.write("run/summary.md", "of another gate");
    assert_eq!(run(&format!("gate --against no-such-revision --out {out}")).status.code(), Some(2));
    assert_eq!(folder.read("run/summary.md"), "of another gate", "nothing was measured");
    let args = format!("gate --against {} --scenario {scenario} --kernels scalar-i8 --format github", program());
    let mut gate = command(&format!("{args} --out {out}"));
    let output = gate.env("GITHUB_STEP_SUMMARY", format!("{below}/summary")).output().expect("starts");
    verdict(&output);
    assert!(stderr(&output).contains("warning: cannot write the step summary"), "{}", stderr(&output));
    assert!(folder.read("run/summary.md").starts_with("### tritbench gate: "));
    assert_eq!(folder.read("run/earlier/1/summary.md"), "of another gate");
    folder.write("other/receipt.json", folder.read("run/receipt.json"));
    let mixed = run(&format!("report {out} --out {}", folder.at("other")));
    ends_with_error(&mixed, 2, &["exists", "--force"]);
}
