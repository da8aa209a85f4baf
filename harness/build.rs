//! Facts about the build that receipts record.

use std::path::Path;
use std::process::Command;

fn output(command: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(command).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    // The commit and whether the tree is clean can change without this package changing.
    let sources =
        ["src", "model/src", "../kernels/src", "../reports/src", "../reports/templates", "../reports/receipt/src"];
    // In a work tree of its own git keeps these elsewhere.
    let of_git =
        ["HEAD", "logs/HEAD"].map(|file| output("git", &["rev-parse", "--git-path", file]).unwrap_or_default());
    let others = ["build.rs", "Cargo.toml", "../Cargo.lock", &of_git[0], &of_git[1]];
    for path in sources.into_iter().chain(others).filter(|path| !path.is_empty()) {
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
