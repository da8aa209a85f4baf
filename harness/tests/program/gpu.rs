//! `--device gpu`: what is refused, in one line, before anything is written. Times are never looked at.

use crate::common::*;

/// Commands that time, each in an empty folder.
#[cfg(feature = "gpu")]
const TIMED: [&str; 3] = ["compare --device gpu --quick", "micro --device gpu --quick", "limits --device gpu --quick"];

/// Runs in an empty folder, expects exit 5 and one line on stderr, and that nothing was written. The line.
fn refused_here(args: &str, adapters: Option<&str>) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = command(args);
    if let Some(adapters) = adapters {
        command.env("VK_DRIVER_FILES", adapters);
    }
    let output = command.current_dir(folder.path()).output().expect("the program starts");
    let line = stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{args}: {line}");
    assert_eq!(line.trim_end().lines().count(), 1, "{args}: {line}");
    assert!(output.stdout.is_empty(), "{args}: {}", stdout(&output));
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0, "{args}: something was written");
    line
}

/// With an adapter or without: software is verified and never timed.
#[cfg(feature = "gpu")]
#[test]
fn software_is_never_timed_and_no_adapter_is_said() {
    let devices = run("list devices --json");
    let is_software = stdout(&devices).contains("\"software\"");
    let first_is_a_card = ["discrete", "integrated", "virtual", "other"].iter().any(|k| stdout(&devices).contains(k));
    for args in TIMED {
        if !first_is_a_card {
            let line = refused_here(args, None);
            let said = if is_software { "is a software adapter: it is verified" } else { "no GPU was found" };
            assert!(line.contains(said) && line.contains("--device gpu"), "{args}: {line}");
        }
        // On Linux only: elsewhere there are other ways to an adapter than Vulkan.
        if cfg!(target_os = "linux") {
            assert!(refused_here(args, Some("/none")).contains("no GPU was found"), "{args}");
        }
    }
}

/// What means nothing on a device is named, where there is one.
#[cfg(feature = "gpu")]
#[test]
fn flags_of_the_cpu_are_refused_by_name() {
    if run("list devices").status.code() != Some(0) {
        return;
    }
    let flags = [
        "--threads 1",
        "--pin",
        "--cpu-features none",
        "--kernel-library none.so",
        "--head q8",
        "--activations 128",
        "--engine llama",
        "--prefill-kernel auto",
        "--dense",
    ];
    for flag in flags {
        let name = flag.split(' ').next().expect("a word");
        refused(&format!("compare --device gpu {flag}"), 2, &[name, "means nothing with --device gpu"]);
    }
    refused("limits --device gpu --threads 1", 2, &["--threads means nothing"]);
    refused("micro --device gpu --op dequantize", 2, &["has no cell for a GPU"]);
    refused("micro --device gpu --kernels avx2-i8", 2, &["the GPU has no kernel avx2-i8"]);
}

/// A program without GPUs says how to get one.
#[cfg(not(feature = "gpu"))]
#[test]
fn a_program_without_gpus_says_what_to_build() {
    for args in ["compare --device gpu", "micro --device gpu:0", "limits --device gpu"] {
        let line = refused_here(args, None);
        assert!(line.contains("--features gpu"), "{args}: {line}");
    }
}
