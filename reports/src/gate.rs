//! A gate as workflow commands of GitHub: what is wrong stands beside the change.

use crate::answer::caveats;
use crate::gate_words::{self, Weight, by_gravity, differing, outcome_word, weight};
use receipt::judge::coverage;
use receipt::{Outcome, Receipt};
use std::fmt::Write;

/// A gate as workflow commands: an error for what is wrong, a warning for what could not be said, a notice for the
/// rest. What is left out without weakening the outcome is one notice, since GitHub shows ten of a kind.
pub fn annotations(receipt: &Receipt) -> String {
    let Some(record) = &receipt.gate else { return String::new() };
    let level = |outcome| match weight(outcome) {
        Weight::Good => "notice",
        Weight::Bad => "error",
        Weight::Open => "warning",
    };
    // The outcome first: it must be among those that are shown.
    let outcome = format!("{}: {}.", outcome_word(record.outcome), record.reason);
    let outcome: Vec<String> = std::iter::once(outcome).chain(caveats(receipt)).collect();
    let mut lines = vec![(level(record.outcome), outcome.join(" "))];
    let (wrong, accepted) = differing(record);
    lines.extend(wrong.into_iter().map(|c| (level(Outcome::Fail), gate_words::check(c))));
    let open = by_gravity(record).into_iter().filter(|c| c.verdict.outcome != Outcome::Pass);
    lines.extend(open.map(|c| (level(c.verdict.outcome), gate_words::cell(c))));
    let (lacking, others): (Vec<_>, Vec<_>) =
        coverage::by_gravity(record).into_iter().partition(|u| coverage::outcome(u) == Outcome::Inconclusive);
    lines.extend(lacking.into_iter().map(|u| (level(Outcome::Inconclusive), coverage::in_words(u))));
    let accepted = accepted.into_iter().map(|c| format!("accepted: {}", gate_words::check(c)));
    let rest: Vec<String> = accepted.chain(others.into_iter().map(coverage::in_words)).collect();
    if !rest.is_empty() {
        lines.push((level(Outcome::Pass), rest.join("\n")));
    }
    lines.into_iter().fold(String::new(), |mut out, (level, text)| {
        let _ = writeln!(out, "{}", annotation(level, &text));
        out
    })
}

/// One workflow command: `level` is error, warning or notice.
pub fn annotation(level: &str, text: &str) -> String {
    format!("::{level} title=tritbench::{}", command(text))
}

/// Escapes as GitHub's workflow commands ask for.
fn command(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
