//! Code that documents show is run, where the tools that it needs are there.

use crate::common::*;
use std::path::Path;
use std::process::Command;

#[test]
fn a_receipt_in_pandas() {
    let python = std::env::var("TRITBENCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_pandas = Command::new(&python).args(["-c", "import pandas"]).output();
    if !has_pandas.is_ok_and(|output| output.status.success()) {
        println!("skipped: {python} has no pandas (TRITBENCH_PYTHON names another)");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("reports/README.md")).expect("readable");
    let code = readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Python");
    assert_eq!(code.lines().count(), 6, "{code}");
    let code = format!("{code}\nassert len(rounds) and (rounds > 0).all().all()\n");
    let output = Command::new(&python).args(["-c", &code]).current_dir(root).output().expect("Python runs");
    let shown = stdout(&succeeds(output));
    assert!(shown.contains("avx2-i8") && shown.lines().count() > 5, "{shown}");
}
