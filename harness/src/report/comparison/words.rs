//! The sentences of a comparison, and the command that gets a real verdict.

use super::change::Verdict;
use super::gate_rows::{GateRow, RateRow};
use super::{Against, Run, Table, identity};
use crate::report::figures;
use serde::Serialize;

/// What to do for a verdict that can be relied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// Why, and where to run it.
    pub why: String,
    /// Commands, one a line.
    pub commands: Vec<String>,
}

/// One run against the first.
pub fn against(runs: &[Run], tables: &[Table], i: usize) -> Against {
    let (first, run) = (&runs[0], &runs[i]);
    let changes = tables.iter().flat_map(|t| &t.rows).filter_map(|r| r.cells[i].change.as_ref());
    let verdicts: Vec<Verdict> = changes.map(|c| c.verdict).collect();
    let count = |v: Verdict| verdicts.iter().filter(|x| **x == v).count();
    let counts: Vec<(Verdict, usize)> = Verdict::ALL.map(|v| (v, count(v))).into();
    let said: Vec<String> = counts.iter().filter(|(_, n)| *n > 0).map(|(v, n)| format!("{n} {}", v.words())).collect();
    let different = tables.iter().flat_map(|t| &t.rows).filter(|r| r.cells[i].note.is_some()).count();
    let wrong = match different {
        0 => String::new(),
        1 => " One kernel computes something else.".into(),
        n => format!(" {n} kernels and cells compute something else."),
    };
    let total = verdicts.len();
    let cells = if total == 1 { "1 comparison".into() } else { format!("{total} comparisons") };
    let sentence = match () {
        () if total == 0 => format!("{} and {} have no kernel timings to compare.", run.letter, first.letter),
        () if !run.differences.is_empty() => {
            let facts: Vec<&str> = run.differences.iter().map(|d| d.what).collect();
            let (a, b) = (&first.letter, &run.letter);
            format!(
                "{b} is not from the machine and setting of {a} ({} differs), so nothing is compared.",
                join(&facts)
            )
        }
        () => format!("{} against {}: of {cells}, {}.{wrong}", run.letter, first.letter, join(&said)),
    };
    Against {
        letter: run.letter.clone(),
        run: run.name.clone(),
        first: first.name.clone(),
        comparable: run.differences.is_empty(),
        differences: run.differences.clone(),
        circumstances: identity::circumstances(&first.receipt, &run.receipt),
        counts,
        sentence,
        next: (total > 0).then(|| next(first, run, tables, i)),
    }
}

/// `a, b and c`.
fn join(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).into(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// The first sentence of page, terminal and Markdown.
pub fn opening(
    runs: &[Run],
    tables: &[Table],
    against: &[Against],
    gates: &[GateRow],
    calibrations: &[RateRow],
) -> String {
    let mut out: Vec<String> = Vec::new();
    if !tables.is_empty() {
        out.extend(against.iter().map(|a| a.sentence.clone()));
    }
    if let Some(whole) = gates.first() {
        let each = runs.iter().zip(&whole.cells);
        let said: Vec<String> = each.filter_map(|(r, c)| Some(format!("{} is {}", r.letter, c.as_ref()?.0))).collect();
        out.push(format!("Gates: {}.", join(&said)));
    }
    if !calibrations.is_empty() {
        out.push("Calibrations are shown side by side; their rates are of machines, not of kernels.".into());
    }
    if out.is_empty() {
        return "None of these runs timed anything: there is nothing to compare.".into();
    }
    out.join(" ")
}

/// The gate that settles what the receipts of two runs can only hint at.
fn next(first: &Run, run: &Run, tables: &[Table], i: usize) -> Next {
    let (a, b) = (&first.receipt.build, &run.receipt.build);
    let clean = |r: &Run| r.receipt.build.git_commit.clone().filter(|_| r.receipt.build.git_dirty != Some(true));
    let mut kernels: Vec<&str> = Vec::new();
    for row in tables.iter().flat_map(|t| &t.rows) {
        let interesting = row.cells[i]
            .change
            .as_ref()
            .is_some_and(|c| matches!(c.verdict, Verdict::Worse | Verdict::Better | Verdict::Undecided));
        let sparse = row.kernel.ends_with("+sparse");
        if interesting && !sparse && !kernels.contains(&row.kernel.as_str()) {
            kernels.push(&row.kernel);
        }
    }
    let scenario = &run.receipt.scenario;
    let mut flags = format!("--scenario {}", quoted(asked_scenario(run)));
    if !scenario.quick {
        flags += " --full";
    }
    if !kernels.is_empty() {
        flags += &format!(" --kernels {}", quoted(&kernels.join(",")));
    }
    if run.receipt.settings.threads != 1 {
        flags += &format!(" --threads {}", run.receipt.settings.threads);
    }
    let harness = "cargo run -p harness --";
    if a.git_commit.is_some() && a.git_commit == b.git_commit && clean(first).is_some() && clean(run).is_some() {
        let why = "Both runs are of one commit, so what differs is not the code. This says how far gates of one build are apart here:";
        let scenario = quoted(asked_scenario(run));
        return Next { why: why.into(), commands: vec![format!("{harness} calibrate --scenario {scenario}")] };
    }
    let both = "The gate runs both builds in turns on one machine:";
    match (clean(first), clean(run)) {
        (Some(old), Some(new)) => Next {
            why: both.into(),
            commands: vec![
                format!("git checkout {}", quoted(&new)),
                format!("{harness} gate --against {} {flags}", quoted(&old)),
            ],
        },
        (Some(old), None) => Next {
            why: format!(
                "{both} {}'s sources are in no commit, so start in the checkout it was built from:",
                run.letter
            ),
            commands: vec![format!("{harness} gate --against {} {flags}", quoted(&old))],
        },
        (None, _) => Next {
            why: format!(
                "{both} {}'s sources are in no commit, so it takes the program that made that run:",
                first.letter
            ),
            commands: vec![format!("{harness} gate --against PATH/TO/OLD/harness {flags}")],
        },
    }
}

/// The scenario as it was named on the command line, which may be a file.
fn asked_scenario(run: &Run) -> &str {
    let argv = &run.receipt.argv;
    let after = argv.iter().position(|a| a == "--scenario").and_then(|i| argv.get(i + 1)).map(String::as_str);
    let joined = argv.iter().find_map(|a| a.strip_prefix("--scenario="));
    after.or(joined).unwrap_or(&run.receipt.scenario.name)
}

/// As a POSIX shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    // A control character would end the line that the user copies.
    let word: String = word.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Cells in which every kernel moved the same way: more likely it was their partner that changed.
pub fn remarks(runs: &[Run], tables: &[Table]) -> Vec<String> {
    let mut out = Vec::new();
    for (i, run) in runs.iter().enumerate().skip(1) {
        for table in tables {
            let mut places: Vec<&str> = table.rows.iter().map(|r| r.place.as_str()).collect();
            places.dedup();
            for place in places {
                let rows = table.rows.iter().filter(|r| r.place == place);
                let changes: Vec<_> = rows.clone().filter_map(|r| r.cells[i].change.as_ref()).collect();
                let all = |v: Verdict| changes.len() >= 3 && changes.iter().all(|c| c.verdict == v);
                let partner = rows.clone().find(|r| r.cells[i].change.is_none()).map(|r| r.kernel.as_str());
                let (Some(partner), Some(way)) =
                    (partner, [(Verdict::Worse, "faster"), (Verdict::Better, "slower")].iter().find(|(v, _)| all(*v)))
                else {
                    continue;
                };
                let mut sizes: Vec<f64> = changes.iter().filter_map(|c| c.ratio).collect();
                sizes.sort_by(f64::total_cmp);
                let range = match (sizes.first(), sizes.last()) {
                    (Some(a), Some(b)) => format!(" ({} to {})", figures::ratio(*a), figures::ratio(*b)),
                    _ => String::new(),
                };
                out.push(format!(
                    "{place} in {}: every kernel changed the same way{range}. Their common partner {partner} having become {} explains that as well.",
                    run.letter, way.1
                ));
            }
        }
    }
    out
}
