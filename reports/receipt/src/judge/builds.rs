//! Where two builds differ in more than their commit: then a difference between their times may not be the code's. One
//! list, for a gate's verdict and for runs side by side.

use crate::record::{Build, GateRecord};
use serde::Serialize;

/// A fact that two builds, or two runs, state differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Name of the fact.
    pub what: &'static str,
    /// The fact as the first of the two states it.
    pub first: String,
    /// The fact as the other of the two states it.
    pub other: String,
}

/// The facts that two builds state differently, their commits apart. What one side does not state is no difference.
pub fn differences(first: &Build, other: &Build) -> Vec<Difference> {
    let said = |yes: bool, word: [&str; 2]| word[usize::from(yes)].to_owned();
    let both = |what, first: Option<String>, other: Option<String>| {
        let (first, other) = first.zip(other)?;
        (first != other).then_some(Difference { what, first, other })
    };
    let own = |what, of: fn(&Build) -> String| both(what, Some(of(first)), Some(of(other)));
    let lock = |build: &Build| build.cargo_lock_sha256.as_ref().map(|hash| hash.chars().take(12).collect());
    let changes = |build: &Build| build.git_dirty.map(|dirty| said(dirty, ["none", "some"]));
    [
        own("compiler", |b| b.rustc.clone()),
        own("profile", |b| b.profile.clone()),
        own("opt-level", |b| b.opt_level.clone()),
        own("target", |b| b.target.clone()),
        features(&first.target_features, &other.target_features),
        both("Cargo.lock", lock(first), lock(other)),
        both(
            "debug assertions",
            Some(said(first.debug_assertions, ["off", "on"])),
            Some(said(other.debug_assertions, ["off", "on"])),
        ),
        own("version", |b| b.version.clone()),
        both("uncommitted changes", changes(first), changes(other)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Of the features that a compiler may assume only those that one side lacks: with `-C target-cpu` there are sixty.
fn features(first: &[String], other: &[String]) -> Option<Difference> {
    let beyond = |a: &[String], b: &[String]| a.iter().filter(|f| !b.contains(f)).cloned().collect::<Vec<_>>();
    let (more, less) = (beyond(first, other), beyond(other, first));
    let words = |has: &[String], lacks: &[String]| {
        let lacks = lacks.iter().map(|f| format!("no {f}"));
        has.iter().cloned().chain(lacks).collect::<Vec<_>>().join(" ")
    };
    let (first, other) = (words(&more, &less), words(&less, &more));
    (first != other).then_some(Difference { what: "assumed features", first, other })
}

/// The sentence beside a gate's verdict where its builds differ in more than their commit; none where they do not.
pub fn beside(gate: &GateRecord) -> Option<String> {
    let found = differences(&gate.baseline.build, &gate.current.build);
    if found.is_empty() {
        return None;
    }
    let each: Vec<String> = found.iter().map(|d| format!("{}: {} and {}", d.what, d.first, d.other)).collect();
    let these = if found.len() == 1 { "that" } else { "these" };
    Some(format!(
        "The baseline and the current build differ in {}; a difference in time may come from {these} and not from the \
         commits",
        each.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::gate as fixture;

    #[test]
    fn every_fact_but_the_commit_is_compared() {
        let first = fixture::record(0.0).baseline.build;
        let differs = |change: &dyn Fn(&mut Build)| {
            let mut other = first.clone();
            change(&mut other);
            differences(&first, &other).into_iter().map(|d| (d.what, d.first, d.other)).collect::<Vec<_>>()
        };
        let one = |what, first: &str, other: &str| vec![(what, first.to_owned(), other.to_owned())];
        assert_eq!(differs(&|b| b.git_commit = Some("f".repeat(40))), []);
        assert_eq!(differs(&|b| b.rustc = "rustc 1.70.0".into()), one("compiler", &first.rustc, "rustc 1.70.0"));
        assert_eq!(differs(&|b| b.profile = "release".into()), one("profile", "dev", "release"));
        assert_eq!(differs(&|b| b.opt_level = "2".into()), one("opt-level", "3", "2"));
        let musl = "x86_64-unknown-linux-musl";
        assert_eq!(differs(&|b| b.target = musl.into()), one("target", "x86_64-unknown-linux-gnu", musl));
        let vector = |b: &mut Build| b.target_features.extend(["avx2", "fma"].map(String::from));
        assert_eq!(differs(&vector), one("assumed features", "no avx2 no fma", "avx2 fma"));
        assert_eq!(
            differs(&|b| b.cargo_lock_sha256 = Some("ab".repeat(32))),
            one("Cargo.lock", "86f4dbd86400", "abababababab")
        );
        assert_eq!(differs(&|b| b.cargo_lock_sha256 = None), [], "not known is no difference");
        assert_eq!(differs(&|b| b.debug_assertions = true), one("debug assertions", "off", "on"));
        assert_eq!(differs(&|b| b.version = "0.0.9".into()), one("version", "0.1.0", "0.0.9"));
        assert_eq!(differs(&|b| b.git_dirty = Some(true)), one("uncommitted changes", "none", "some"));
    }

    #[test]
    fn one_sentence_names_all_of_them() {
        let mut gate = fixture::record(0.0);
        assert_eq!(beside(&gate), None);
        gate.baseline.build.rustc = "rustc 1.70.0".into();
        assert_eq!(
            beside(&gate).expect("they differ"),
            "The baseline and the current build differ in compiler: rustc 1.70.0 and rustc 1.95.0 (59807616e \
             2026-04-14); a difference in time may come from that and not from the commits"
        );
        gate.baseline.build.profile = "release".into();
        let both = beside(&gate).expect("they differ");
        assert!(both.contains("; profile: release and dev;") && both.contains("from these and"), "{both}");
    }
}
