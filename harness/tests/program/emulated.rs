//! On an emulated CPU every answer holds and no time does.

use crate::common::*;
use std::process::Output;

/// Runs with `args` as on an emulated CPU.
fn emulated(args: &str) -> Output {
    command(args).env("TRITBENCH_EMULATED", "1").output().expect("the program starts")
}

#[test]
fn nothing_is_timed() {
    let folder = Folder::new();
    let (out, own) = (folder.at("run"), program());
    for args in [
        format!("compare --quick --out {out}"),
        format!("micro --quick --shape 64x256 --out {out}"),
        format!("gate --against {own} --out {out}"),
        "limits --json".to_owned(),
        "count --kernels scalar-i8 --shape 16x256 --ghz".to_owned(),
    ] {
        let output = emulated(&args);
        assert!(output.stdout.is_empty(), "{args}: {}", stdout(&output));
        ends_with_error(&output, 5, &["is emulated (qemu-user)", "nothing is timed"]);
    }
    assert!(!folder.has("run"));
}

#[test]
fn bad_input_is_named_first() {
    ends_with_error(&emulated("compare --kernels avx9-magic"), 2, &["avx9-magic"]);
}

#[test]
fn answers_are_given_and_the_machine_is_named() {
    let folder = Folder::new();
    let receipt = folder.at("text.json");
    let args = format!("generate --json --prompt a --max-tokens 2 --kernel scalar-i8 --greedy --receipt {receipt}");
    let said = parsed(&succeeds(emulated(&args)));
    let plain = json("generate --json --prompt a --max-tokens 2 --kernel scalar-i8 --greedy");
    assert_eq!(said["token_ids"], plain["token_ids"]);
    assert_eq!(read_json(&receipt)["token_ids"], plain["token_ids"]);
    succeeds(emulated("verify --kernels scalar-i8"));
    let doctor = emulated("doctor");
    assert!(stdout(&doctor).contains("is emulated (qemu-user)"), "{}", stdout(&doctor));
    ends_with_error(&doctor, 4, &["emulation"]);
}
