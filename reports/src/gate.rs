//! A gate for people: a table on the terminal, a Markdown summary for a pull request, annotations for GitHub.

use super::markdown::{code, escape};
use comfy_table::{Attribute, Cell, CellAlignment, Color};
use receipt::figures;
use receipt::judge::gate::title;
use receipt::{GateCell, GateRecord, Outcome, Receipt};
use std::fmt::Write;

/// PASS, FAIL, INCONCLUSIVE, UNSTABLE, UNSUPPORTED.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "PASS",
        Outcome::Fail => "FAIL",
        Outcome::Inconclusive => "INCONCLUSIVE",
        Outcome::Unstable => "UNSTABLE",
        Outcome::Unsupported => "UNSUPPORTED",
    }
}

/// Comparisons, the gravest first, and of equals the slowest.
pub fn by_gravity(record: &GateRecord) -> Vec<&GateCell> {
    let gravity = |c: &GateCell| match c.verdict.outcome {
        Outcome::Fail => 0,
        Outcome::Unstable => 1,
        Outcome::Inconclusive => 2,
        Outcome::Unsupported => 3,
        Outcome::Pass => 4,
    };
    let mut cells: Vec<&GateCell> = record.cells.iter().collect();
    cells.sort_by(|a, b| gravity(a).cmp(&gravity(b)).then(b.verdict.change.total_cmp(&a.verdict.change)));
    cells
}

fn signed(share: f64) -> String {
    // Not "-0.0%".
    let percent = (1000.0 * share).round() / 10.0 + 0.0;
    format!("{percent:+.1}%")
}

/// What a row says besides its title: change, the most it can be, threshold, A/A, pairs.
pub fn columns(cell: &GateCell) -> [String; 5] {
    let v = &cell.verdict;
    let most = v.pass_high.map_or_else(|| "?".into(), signed);
    let aa = format!("{} ±{}", signed(v.aa_change), figures::percent(v.aa_p95));
    [signed(v.change), most, figures::percent(v.delta_eff), aa, v.samples.to_string()]
}

/// The verdict and every comparison, for a terminal.
pub fn table(record: &GateRecord, color: bool) -> String {
    let mut table = super::terminal::table();
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
        table.add_row([word, Cell::new(title(cell))].into_iter().chain(figures));
    }
    let mut out = String::new();
    if !record.cells.is_empty() {
        let _ = writeln!(out, "{table}\n");
    }
    let failed = record.checks.iter().filter(|c| !c.passed);
    for check in failed {
        let _ = writeln!(out, "{} of {} on {} differs: {}", check.what, check.kernel, check.subject, check.note);
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

/// `current 0123456789ab against baseline main 0123456789ab; alpha 0.01, threshold 3.0%`.
pub fn sides(record: &GateRecord) -> String {
    let commit = |side: &receipt::GateSide| {
        let commit = side.build.git_commit.as_deref().unwrap_or("no commit");
        let dirty = if side.build.git_dirty == Some(true) { "+changes" } else { "" };
        format!("{} {}{dirty}", side.label, commit.chars().take(12).collect::<String>())
    };
    let rule = &record.rule;
    format!(
        "{} against {}; threshold {}, chance of any false alarm {}, {} comparisons, looks at {:?} {}s",
        commit(&record.current),
        commit(&record.baseline),
        figures::percent(rule.delta),
        figures::percent(rule.alpha),
        rule.comparisons,
        rule.looks,
        rule.sample
    )
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
    const HEAD: &str =
        "\n| verdict | kernel and cell | change | at most | threshold | A/A | pairs |\n|---|---|--:|--:|--:|--:|--:|\n";
    let row = |cell: &&GateCell| {
        let word = outcome_word(cell.verdict.outcome);
        format!("| {word} | {} | {} |\n", escape(&title(cell)), columns(cell).join(" | "))
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
