//! The gate that settles what the receipts of two runs can only hint at.

use super::parts::{Comparison, Pair, Run};
use crate::words::quoted;
use receipt::judge::Direction;

const PROGRAM: &str = "cargo run -p harness --";

/// Why a gate should follow, and the commands to type.
pub fn next(comparison: &Comparison) -> Option<(String, Vec<String>)> {
    let (first, other) = (&comparison.first, &comparison.other);
    let commit = |run: &Run| run.receipt.build.git_commit.clone();
    let clean = |run: &Run| commit(run).filter(|_| run.receipt.build.git_dirty != Some(true));
    let scenario = &other.receipt.scenario;
    let asked = quoted(asked_scenario(other));
    let mut flags = format!("--scenario {asked}");
    if !scenario.quick {
        flags += " --full";
    }
    let kernels = suspects(&comparison.pairs);
    if !kernels.is_empty() {
        flags += &format!(" --kernels {}", quoted(&kernels.join(",")));
    }
    if other.receipt.settings.threads != 1 {
        flags += &format!(" --threads {}", other.receipt.settings.threads);
    }
    if commit(first).is_some() && commit(first) == commit(other) && clean(first).is_some() && clean(other).is_some() {
        const SAME: &str = "Both runs are of one commit, so what differs is not the code. This says how often a gate \
                            of that build against itself is wrong here:";
        let command = format!("bash ci/calibrate.sh --scenario {asked}");
        return comparison.differences.is_empty().then(|| (SAME.into(), vec![command]));
    }
    let both = "The gate runs both builds in turns on one machine";
    Some(match (clean(first), clean(other)) {
        (Some(old), Some(new)) => {
            let gate = format!("{PROGRAM} gate --against {} {flags}", quoted(&old));
            (format!("{both}:"), vec![format!("git checkout {}", quoted(&new)), gate])
        }
        (Some(old), None) => {
            let why = format!("{both}. B's sources are in no commit, so start in the checkout it was built from:");
            (why, vec![format!("{PROGRAM} gate --against {} {flags}", quoted(&old))])
        }
        (None, _) => {
            let why = format!("{both}. A's sources are in no commit, so it takes the program that made that run:");
            (why, vec![format!("{PROGRAM} gate --against PATH/TO/OLD/tritbench {flags}")])
        }
    })
}

/// Kernels that changed; if none did, those that could not be decided.
fn suspects(pairs: &[Pair]) -> Vec<&str> {
    let of = |wanted: [Direction; 2]| {
        let mut kernels: Vec<&str> = Vec::new();
        for pair in pairs.iter().filter(|pair| !pair.kernel.ends_with("+sparse")) {
            if pair.direction().is_some_and(|d| wanted.contains(&d)) && !kernels.contains(&pair.kernel.as_str()) {
                kernels.push(&pair.kernel);
            }
        }
        kernels
    };
    let changed = of([Direction::Slower, Direction::Faster]);
    if changed.is_empty() { of([Direction::Undecided, Direction::Unstable]) } else { changed }
}

/// The scenario as it was named on the command line, which may be a file.
fn asked_scenario(run: &Run) -> &str {
    let argv = &run.receipt.argv;
    let after = argv.iter().position(|a| a == "--scenario").and_then(|i| argv.get(i + 1)).map(String::as_str);
    let joined = argv.iter().find_map(|a| a.strip_prefix("--scenario="));
    after.or(joined).unwrap_or(&run.receipt.scenario.name)
}
