//! A gate for people: a table on the terminal, a Markdown summary for a pull request, annotations for GitHub.

use crate::gate_words::{self, Weight, by_gravity, columns, differing, outcome_word, sides, speeds, weight};
use crate::markdown::{code, escape};
use crate::terminal::layout;
use crate::verdict::caveats;
use comfy_table::{Attribute, Cell, CellAlignment, Color};
use receipt::judge::coverage;
use receipt::judge::gate::title;
use receipt::{GateCell, Outcome, Receipt};
use std::fmt::Write;

/// The verdict and every comparison, for a terminal.
pub fn table(receipt: &Receipt, color: bool) -> String {
    let Some(record) = &receipt.gate else { return String::new() };
    let mut table = layout::table(layout::WIDTH);
    table.set_header(["verdict", "kernel and cell", "change", "at most", "threshold", "A/A", "pairs"]);
    for cell in by_gravity(record) {
        let mut word = Cell::new(outcome_word(cell.verdict.outcome));
        if color {
            word = word.add_attribute(Attribute::Bold).fg(match weight(cell.verdict.outcome) {
                Weight::Good => Color::Green,
                Weight::Bad => Color::Red,
                Weight::Open => Color::Yellow,
            });
        }
        let figures = columns(cell).map(|c| Cell::new(c).set_alignment(CellAlignment::Right));
        let [_, current] = speeds(cell);
        let name = if cell.model.is_some() { format!("{}\n{current}", title(cell)) } else { title(cell) };
        table.add_row([word, Cell::new(name)].into_iter().chain(figures));
    }
    let mut out = String::new();
    if !record.cells.is_empty() {
        let _ = writeln!(out, "{table}\n");
    }
    let (wrong, accepted) = differing(record);
    let mut lines: Vec<String> = wrong.into_iter().map(gate_words::check).collect();
    lines.extend(accepted.into_iter().map(|c| format!("accepted: {}", gate_words::check(c))));
    lines.extend(record.cells.iter().filter(|c| c.broken.is_some()).map(gate_words::cell));
    lines.extend(coverage::by_gravity(record).into_iter().map(coverage::in_words));
    lines.push(sides(record));
    if let Some(planted) = &record.inject {
        lines.push(format!(
            "a slowdown of {}% was planted in {}: for calibration only",
            planted.percent, planted.kernel
        ));
    }
    lines.extend(caveats(receipt));
    lines.push(format!("{}: {}", outcome_word(record.outcome), record.reason));
    out += &lines.join("\n");
    out.push('\n');
    out
}

/// A summary for a pull request. Rows that pass are folded away.
pub fn markdown(receipt: &Receipt) -> String {
    let Some(record) = &receipt.gate else { return String::new() };
    let mut out = format!("## tritbench gate: {}\n\n{}.\n", outcome_word(record.outcome), escape(&record.reason));
    if record.outcome != Outcome::Pass {
        let _ = writeln!(out, "\nNext: {}.", escape(&record.next_step));
    }
    for caveat in caveats(receipt) {
        let _ = writeln!(out, "\n{}", escape(&caveat));
    }
    if let Some(planted) = &record.inject {
        let _ = writeln!(
            out,
            "\nA slowdown of {}% was planted in {} (calibration).",
            planted.percent,
            code(&planted.kernel)
        );
    }
    let (passed, others): (Vec<&GateCell>, Vec<&GateCell>) =
        by_gravity(record).into_iter().partition(|c| c.verdict.outcome == Outcome::Pass);
    const HEAD: &str = "\n| verdict | kernel and cell | change | at most | threshold | A/A | pairs | baseline | \
         current |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|\n";
    let row = |cell: &&GateCell| {
        let word = outcome_word(cell.verdict.outcome);
        let (title, figures, speeds) = (escape(&title(cell)), columns(cell).join(" | "), speeds(cell).join(" | "));
        format!("| {word} | {title} | {figures} | {speeds} |\n")
    };
    if !others.is_empty() {
        out.push_str(HEAD);
        out.extend(others.iter().map(row));
    }
    if !passed.is_empty() {
        let _ = write!(out, "\n<details><summary>{} comparisons pass</summary>\n{HEAD}", passed.len());
        out.extend(passed.iter().map(row));
        out.push_str("\n</details>\n");
    }
    let (wrong, accepted) = differing(record);
    let agree = record.checks.len() - wrong.len() - accepted.len();
    let _ = writeln!(out, "\nExact checks: {agree} agree, {} differ.", wrong.len() + accepted.len());
    let row = |check: &receipt::ExactCheck| {
        let (what, kernel, subject) = (escape(&check.what), code(&check.kernel), escape(&check.subject));
        format!("{what} of {kernel} on {subject}: {}", escape(&check.note))
    };
    for check in wrong {
        let _ = writeln!(out, "- {}", row(check));
    }
    for check in accepted {
        let _ = writeln!(out, "- accepted: {}", row(check));
    }
    for cell in record.cells.iter().filter(|c| c.broken.is_some()) {
        let _ = writeln!(out, "- {}", escape(&gate_words::cell(cell)));
    }
    for left_out in coverage::by_gravity(record) {
        let _ = writeln!(out, "- {}", escape(&coverage::in_words(left_out)));
    }
    let _ = writeln!(out, "\n<sub>{}; {}.</sub>", escape(&sides(record)), escape(&receipt.host.cpu));
    out
}

/// Workflow commands: an error for what is wrong, a warning for what could not be said, a notice for the rest. What is
/// left out without weakening the outcome is one notice, since GitHub shows ten of a kind.
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
