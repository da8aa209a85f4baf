//! Facts about the build that receipts record.

use std::path::Path;
use std::process::Command;

fn output(command: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(command).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    // The commit and whether the tree is clean can change without this package changing.
    for path in
        ["src", "build.rs", "Cargo.toml", "../kernels/src", "../Cargo.lock", "../.git/HEAD", "../.git/logs/HEAD"]
    {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let env = |name: &str| std::env::var(name).unwrap_or_default();
    let set = |name: &str, value: String| println!("cargo::rustc-env=TRITBENCH_{name}={value}");
    set("GIT_COMMIT", output("git", &["rev-parse", "HEAD"]).unwrap_or_default());
    // Without optional locks, or asking would touch the index.
    let changed = output("git", &["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]);
    set("GIT_DIRTY", changed.map_or_else(String::new, |c| (!c.is_empty()).to_string()));
    set("RUSTC", output(&env("RUSTC"), &["--version"]).unwrap_or_else(|| "unknown".into()));
    // OUT_DIR is target[/triple]/<profile>/build/<package>/out; PROFILE only knows debug and release.
    let out = env("OUT_DIR");
    let profile =
        Path::new(&out).ancestors().nth(3).and_then(Path::file_name).map(|p| p.to_string_lossy().into_owned());
    set("PROFILE", profile.map_or_else(|| env("PROFILE"), |p| if p == "debug" { "dev".into() } else { p }));
    set("OPT_LEVEL", env("OPT_LEVEL"));
    set("TARGET", env("TARGET"));
    set("TARGET_FEATURES", env("CARGO_CFG_TARGET_FEATURE"));
}
