//! A summary in Markdown, for a pull request comment or a job's page.

use super::{State, cases};
use crate::receipt::Receipt;
use crate::report::gate_markdown;

/// Most rows of cases that are not passed: a comment is no log.
const MOST: usize = 30;

/// What failed, what is undecided, and how much passed; a gate has its own summary.
pub fn markdown(receipt: &Receipt) -> String {
    if receipt.gate.is_some() {
        return gate_markdown(receipt);
    }
    let cases = cases(receipt);
    let count = |keep: fn(&State) -> bool| cases.iter().filter(|c| keep(&c.state)).count();
    let failed = count(|s| matches!(s, State::Failed(_)));
    let warned = count(|s| matches!(s, State::Warned(_)));
    let skipped = count(|s| matches!(s, State::Skipped(_)));
    let passed = count(|s| *s == State::Passed);
    let mut text = format!("### {}\n\n", plain(&receipt.scenario.name));
    text.push_str(&format!("{passed} passed, {failed} failed, {warned} undecided, {skipped} not possible here\n"));
    let mut rows = cases.iter().filter_map(|case| match &case.state {
        State::Failed(why) => Some(("failed", case, why)),
        State::Warned(why) => Some(("undecided", case, why)),
        _ => None,
    });
    let shown: Vec<_> = rows.by_ref().take(MOST).collect();
    if !shown.is_empty() {
        text.push_str("\n| | case | why |\n|---|---|---|\n");
    }
    for (state, case, why) in shown {
        text.push_str(&format!("| {state} | {}: {} | {} |\n", case.suite, plain(&case.name), plain(why)));
    }
    let left = rows.count();
    if left > 0 {
        text.push_str(&format!("\n{left} more in the receipt\n"));
    }
    let commit = receipt.build.git_commit.as_deref().map_or("unknown commit", |c| c.get(..9).unwrap_or(c));
    text.push_str(&format!("\n{}, {commit}, {:.0} s\n", plain(&receipt.host.cpu), receipt.elapsed_s));
    text
}

/// Text that is neither markup nor a table's border.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_failed_comes_with_its_reason() {
        let mut receipt = fixture::complete();
        assert!(!markdown(&receipt).contains("| failed"));
        (receipt.verify[1].mismatches, receipt.verify[1].first_mismatch) = (2, Some("row 1 | x".into()));
        let text = markdown(&receipt);
        assert!(text.contains("| failed | oracle: avx2-foundation |") && text.contains("row 1 \\| x"), "{text}");
    }

    #[test]
    fn hostile_text_stays_text() {
        let text = markdown(&fixture::hostile());
        assert!(!text.contains("<script") && !text.contains('\u{1}'));
    }
}
