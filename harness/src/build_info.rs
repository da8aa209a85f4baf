//! What this program was built from, and the refusal to time a build that nobody would ship.

use crate::error::{Error, Result};
use model::hash::sha256_hex;
use receipt::Build;
use std::path::PathBuf;

const LOCK_FILE: &str = include_str!("../../Cargo.lock");

fn known(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// What this program was built from, recorded at compile time.
pub fn build() -> Build {
    Build {
        version: env!("CARGO_PKG_VERSION").into(),
        git_commit: known(env!("TRITBENCH_GIT_COMMIT")),
        git_dirty: env!("TRITBENCH_GIT_DIRTY").parse().ok(),
        repository: known(env!("CARGO_PKG_REPOSITORY")),
        cargo_lock_sha256: Some(sha256_hex(LOCK_FILE.as_bytes())),
        rustc: env!("TRITBENCH_RUSTC").into(),
        profile: env!("TRITBENCH_PROFILE").into(),
        opt_level: env!("TRITBENCH_OPT_LEVEL").into(),
        debug_assertions: cfg!(debug_assertions),
        target: env!("TRITBENCH_TARGET").into(),
        target_features: env!("TRITBENCH_TARGET_FEATURES").split(',').filter_map(known).collect(),
    }
}

/// What a build of another revision needs to be built as this program was.
pub struct Recipe {
    /// The name that rustup gives to the compiler; none where there was no rustup.
    pub toolchain: Option<String>,
    /// Flags for rustc as `CARGO_ENCODED_RUSTFLAGS` has them: a unit separator (byte 0x1F) between two flags.
    pub rustflags: String,
    /// Environment variables that changed the build profile, as (name, value).
    pub settings: Vec<(String, String)>,
}

/// The recipe of this program, recorded at compile time: how and where the program is started does not matter.
pub fn recipe() -> Recipe {
    let pairs = env!("TRITBENCH_SETTINGS").split('\x1f').filter_map(|pair| pair.split_once('='));
    Recipe {
        toolchain: known(env!("TRITBENCH_TOOLCHAIN")),
        rustflags: env!("TRITBENCH_RUSTFLAGS").into(),
        settings: pairs.map(|(name, value)| (name.into(), value.into())).collect(),
    }
}

/// The file of this program: the one that runs, also when another has been built in its place since.
pub fn own_program() -> PathBuf {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { own } else { std::env::current_exe().unwrap_or(own) }
}

/// Refuses to measure with a build below opt-level 2 or with debug assertions: it would time the compiler's flags.
pub fn refuse_to_time_a_debug_build() -> Result<()> {
    let build = build();
    if matches!(build.opt_level.as_str(), "2" | "3") && !build.debug_assertions {
        return Ok(());
    }
    let assertions = if build.debug_assertions { " with debug assertions" } else { "" };
    Err(Error::input(format!(
        "this build is not worth timing: profile {}, opt-level {}{assertions}; use `cargo run -p harness` \
         from the workspace, whose dev profile is optimised, or `--release`",
        build.profile, build.opt_level
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_there() {
        let build = build();
        assert!(build.rustc.starts_with("rustc "), "{}", build.rustc);
        assert_eq!(build.cargo_lock_sha256.as_deref().map(str::len), Some(64));
    }

    #[test]
    fn the_dev_profile_as_committed_may_be_timed() {
        refuse_to_time_a_debug_build().expect("tests are built with the workspace's dev settings");
    }
}
