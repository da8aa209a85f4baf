//! A gate for people: a table on the terminal, a Markdown summary for a pull request, annotations for GitHub.

use crate::gate_words::{by_gravity, columns, outcome_word, sides, speeds};
use crate::markdown::{code, escape};
use crate::terminal::layout;
use comfy_table::{Attribute, Cell, CellAlignment, Color};
use receipt::judge::gate::title;
use receipt::{GateCell, GateRecord, Outcome, Receipt};
use std::fmt::Write;

/// The verdict and every comparison, for a terminal.
pub fn table(record: &GateRecord, color: bool) -> String {
    let mut table = layout::table(layout::WIDTH);
    table.set_header(["verdict", "kernel and cell", "change", "at most", "threshold", "A/A", "pairs"]);
    for cell in by_gravity(record) {
        let mut word = Cell::new(outcome_word(cell.verdict.outcome));
        if color {
            word = word.add_attribute(Attribute::Bold).fg(match cell.verdict.outcome {
                Outcome::Pass => Color::Green,
                Outcome::Fail => Color::Red,
                _ => Color::Yellow,
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
    let failed = record.checks.iter().filter(|c| !c.passed);
    for check in failed {
        let _ = writeln!(out, "{} of {} on {} differs: {}", check.what, check.kernel, check.subject, check.note);
    }
    let failed = record.cells.iter().filter(|c| c.broken.is_some());
    for cell in failed {
        let _ = writeln!(out, "{} {}: {}", outcome_word(cell.verdict.outcome), title(cell), cell.verdict.reason);
    }
    for left_out in &record.unsupported {
        let _ = writeln!(out, "UNSUPPORTED {}: {}", left_out.kernel, left_out.reason);
    }
    let _ = writeln!(out, "{}", sides(record));
    if let Some(planted) = &record.inject {
        let _ =
            writeln!(out, "a slowdown of {}% was planted in {}: for calibration only", planted.percent, planted.kernel);
    }
    let _ = writeln!(out, "{}: {}", outcome_word(record.outcome), record.reason);
    out
}

/// A summary for a pull request. Rows that pass are folded away.
pub fn markdown(receipt: &Receipt) -> String {
    let Some(record) = &receipt.gate else { return String::new() };
    let mut out = format!("## tritbench gate: {}\n\n{}.\n", outcome_word(record.outcome), escape(&record.reason));
    if record.outcome != Outcome::Pass {
        let _ = writeln!(out, "\nNext: {}.", escape(&record.next_step));
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
    const HEAD: &str = "\n| verdict | kernel and cell | change | at most | threshold | A/A | pairs | baseline \
                        | current |\n\
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
    let (right, wrong): (Vec<_>, Vec<_>) = record.checks.iter().partition(|c| c.passed);
    let _ = writeln!(out, "\nExact checks: {} agree, {} differ.", right.len(), wrong.len());
    for check in wrong {
        let _ = writeln!(
            out,
            "- {} of {} on {}: {}",
            escape(&check.what),
            code(&check.kernel),
            escape(&check.subject),
            escape(&check.note)
        );
    }
    for cell in record.cells.iter().filter(|c| c.broken.is_some()) {
        let word = outcome_word(cell.verdict.outcome);
        let _ = writeln!(out, "- {word} {}: {}", escape(&title(cell)), escape(&cell.verdict.reason));
    }
    for left_out in &record.unsupported {
        let _ = writeln!(out, "- not compared: {} ({})", code(&left_out.kernel), escape(&left_out.reason));
    }
    let _ = writeln!(out, "\n<sub>{}; {}.</sub>", escape(&sides(record)), escape(&receipt.host.cpu));
    out
}

/// Workflow commands: an error for each FAIL and each check that differs, a warning for what could not be said.
pub fn annotations(record: &GateRecord) -> String {
    let mut out = String::new();
    for check in record.checks.iter().filter(|c| !c.passed) {
        let text = format!("{} of {} on {} differs: {}", check.what, check.kernel, check.subject, check.note);
        let _ = writeln!(out, "::error title=tritbench::{}", command(&text));
    }
    for cell in by_gravity(record).into_iter().filter(|c| c.verdict.outcome != Outcome::Pass) {
        let level = if cell.verdict.outcome == Outcome::Fail { "error" } else { "warning" };
        let word = outcome_word(cell.verdict.outcome);
        let text = format!("{word}: {}: {}", title(cell), cell.verdict.reason);
        let _ = writeln!(out, "::{level} title=tritbench::{}", command(&text));
    }
    let text = format!("{}: {}", outcome_word(record.outcome), record.reason);
    let _ = writeln!(out, "::notice title=tritbench::{}", command(&text));
    out
}

/// Escapes as GitHub's workflow commands ask for.
fn command(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
