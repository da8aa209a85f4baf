//! `model convert`: what it writes, what it says of it, and that a refused conversion leaves nothing.

use crate::common::*;

#[test]
fn a_converted_file_is_whole_and_described() {
    let folder = Folder::new();
    let (there, back) = (folder.at("tq1_0.gguf"), folder.at("back.gguf"));
    let made = json(&format!("model convert builtin --to TQ1_0 --out {there} --exact --json"));
    assert_eq!((&made["path"], &made["to"]), (&there.as_str().into(), &"tq1_0".into()));
    assert_eq!((&made["matrices"], &made["copied"], &made["scale_tensors"]), (&21.into(), &14.into(), &21.into()));
    assert!(made.get("largest_scale_change").is_none(), "{made}");
    let written = std::fs::read(&there).expect("there");
    assert_eq!(made["bytes"], written.len());
    let said = printed(&format!("model convert {there} --to i2_s --out {back}"));
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in [back.as_str(), "21 matrices as i2_s", "14 tensors copied", "all scales exact"] {
        assert!(said.contains(part), "{part:?} not in {said}");
    }
    assert_eq!(std::fs::read(&back).expect("there"), model::builtin::bytes(), "the same file again");
    assert_eq!(folder.names("").len(), 2, "nothing else is left");
}

#[test]
fn what_was_decided_is_said() {
    let folder = Folder::new();
    let (rows, back) = (folder.at("rows.gguf"), folder.at("back.gguf"));
    let output = succeeds(run(&format!("model convert builtin --to i2_s-x86-rows --out {rows}")));
    assert!(stderr(&output).contains("note: I2_S layout: x86 (assumed: the file cannot say"), "{}", stderr(&output));
    let output = succeeds(run(&format!("model convert {rows} --i2s-layout X86-Rows --to i2_s --out {back}")));
    assert!(stderr(&output).contains("note: I2_S layout: x86-rows (--i2s-layout x86-rows)"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&back).expect("there"), model::builtin::bytes());
    // Read in the wrong layout it is another model, and every code is valid.
    succeeds(run(&format!("model convert {rows} --to i2_s --out {back} --force")));
    assert_ne!(std::fs::read(&back).expect("there"), model::builtin::bytes());
}

#[test]
fn refusals_are_one_line_and_leave_nothing() {
    let folder = Folder::new();
    let out = folder.write("out.gguf", "mine");
    refused(&format!("model convert builtin --to q2_0 --out {out}"), 2, &[&out, "exists; add --force to replace it"]);
    refused(&format!("model convert builtin --to q3_0 --out {out}"), 2, &["'q3_0'", "--to <ENC>", "tq2_0"]);
    refused(&format!("model convert builtin --to hf-packed --out {out}"), 2, &["'hf-packed'"]);
    refused(&format!("model convert builtin --to q2_0 --i2s-layout mips --out {out}"), 2, &["'mips'", "x86-rows"]);
    refused(&format!("model convert {out} --to q2_0 --out {out} --force"), 2, &[&out, "not a GGUF"]);
    assert_eq!(folder.read("out.gguf"), "mine");
    assert_eq!(folder.names("").len(), 1);
    if cfg!(target_os = "linux") {
        refused("model convert builtin --to q2_0 --out /proc/x.gguf", 2, &["/proc"]);
    }
}
