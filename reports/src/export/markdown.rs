//! A run's summary in Markdown, for a pull request comment or a job's page: the page's first sentence, the speed tables
//! of both families, tokens per second, how to get the numbers again; the rest is folded.

use super::{State, cases};
use crate::markdown::{block, code, details, escape, table, with_fold};
use crate::matters;
use crate::query::{self, family_title};
use crate::{caveats, first_sentence, gate_markdown, host_in_words, noise, shell_quoted, whole_text};
use receipt::figures::{duration_or_none, judged, number, percent, ratio_with_interval};
use receipt::{Family, GenerationKernel, MicroCell, Ratio, Receipt};

/// Most rows of cases that are not passed: a comment is no log.
const MOST: usize = 30;

/// The summary; a gate has its own.
pub fn markdown(receipt: &Receipt) -> String {
    if receipt.gate.is_some() {
        return gate_markdown(receipt);
    }
    let mut out =
        format!("### tritbench: {}\n\n{}\n", escape(&receipt.scenario.name), escape(&first_sentence(receipt)));
    let open = caveats(receipt);
    if !open.is_empty() {
        out += &format!("\n{}\n", escape(&open.join(" ")));
    }
    if let Some(sentence) = whole_text(receipt) {
        out += &format!("\n{}\n", escape(&sentence));
    }
    out.extend(matters::parts(receipt).iter().map(products));
    out += &not_passed(receipt);
    if let Some(sentence) = noise(receipt) {
        out += &format!("\n{}\n", escape(&sentence));
    }
    out += &format!("\n{}", details("How to reproduce", &reproduce(receipt)));
    let families: String = Family::ALL.into_iter().filter_map(|family| of_family(receipt, family)).collect();
    if !families.is_empty() {
        out = with_fold(out, "Every operation, and whole text", &families);
    }
    if let Some(table) = every_cell(receipt) {
        out = with_fold(out, "Every cell, with intervals", &table);
    }
    out
}

/// The table that matters, a part a family.
fn products(part: &matters::Part<'_>) -> String {
    let row = |row: &matters::Row<'_>| {
        let against = |r: &Ratio| format!("{} {}", r.direction().word(), escape(&ratio_with_interval(r)));
        vec![
            code(row.kernel),
            row.speed_up.map_or_else(|| "1×".into(), |r| escape(&judged(r))),
            row.share.map_or_else(String::new, percent),
            row.against.map_or_else(String::new, against),
        ]
    };
    let rows: Vec<Vec<String>> = part.rows.iter().map(row).collect();
    let (family, product) = (escape(family_title(part.family)), escape(&part.product));
    let table = table(&matters::HEAD.map(String::from), true, &rows);
    format!("\n**{family}**, {product}\n\n{table}")
}

/// Every operation of a family, and whole text.
fn of_family(receipt: &Receipt, family: Family) -> Option<String> {
    let speeds = speeds(receipt, family)
        .map(|table| format!("**{}**, speed-up over the first row\n\n{table}\n", escape(family_title(family))));
    let tokens = tokens(receipt, family).map(|table| format!("**{family} end to end**, tokens/s\n\n{table}\n"));
    let both: String = speeds.into_iter().chain(tokens).collect();
    (!both.is_empty()).then_some(both)
}

/// What failed and what is undecided, and how much passed.
fn not_passed(receipt: &Receipt) -> String {
    let cases = cases(receipt);
    let count = |keep: fn(&State) -> bool| cases.iter().filter(|c| keep(&c.state)).count();
    let failed = count(|s| matches!(s, State::Failed(_)));
    let warned = count(|s| matches!(s, State::Warned(_)));
    let skipped = count(|s| matches!(s, State::Skipped(_)));
    let passed = count(|s| *s == State::Passed);
    let mut out =
        format!("\nChecks: {passed} passed, {failed} failed, {warned} undecided, {skipped} not possible here.\n");
    let row = |word: &str, case: &super::Case, why: &str| {
        vec![word.into(), format!("{}: {}", case.suite, escape(&case.name)), escape(why)]
    };
    let head = ["", "check", "why"].map(String::from);
    let of = |word: &str, keep: fn(&State) -> Option<&String>| -> Vec<Vec<String>> {
        cases.iter().filter_map(|c| Some(row(word, c, keep(&c.state)?))).collect()
    };
    let wrong = of("failed", |s| if let State::Failed(why) = s { Some(why) } else { None });
    let open = of("undecided", |s| if let State::Warned(why) = s { Some(why) } else { None });
    let cut = |rows: &[Vec<String>]| {
        let left = rows.len().saturating_sub(MOST);
        let more = if left > 0 { format!("\n{left} more in the receipt\n") } else { String::new() };
        table(&head, false, &rows[..rows.len() - left]) + &more
    };
    if !wrong.is_empty() {
        out += &format!("\n{}", cut(&wrong));
    }
    if !open.is_empty() {
        out += &format!("\n{}", details(&format!("{} undecided", open.len()), &cut(&open)));
    }
    out
}

fn speeds(receipt: &Receipt, family: Family) -> Option<String> {
    let heads: Vec<&MicroCell> =
        query::headlines(receipt, family).into_iter().filter(|c| !c.rounds.is_empty()).collect();
    if heads.is_empty() {
        return None;
    }
    let title = |c: &&MicroCell| {
        let counts = query::threshold(c).map_or_else(String::new, |t| format!("<br>counts from ±{}", percent(t)));
        format!("{} {} {}{counts}", c.op, query::shape(c), query::residency(c.residency))
    };
    let head: Vec<String> = std::iter::once("kernel".to_string()).chain(heads.iter().map(title)).collect();
    let cell = |c: &&MicroCell, kernel: &str| match query::kernels(c).find(|(_, s)| s.kernel == kernel) {
        Some((_, s)) => s.vs_baseline.as_ref().map_or_else(|| "1×".into(), |r| escape(&judged(r))),
        None => "not run".into(),
    };
    let row = |k: String| std::iter::once(code(&k)).chain(heads.iter().map(|c| cell(c, &k))).collect();
    let rows: Vec<Vec<String>> = query::kernel_ids(receipt, family).into_iter().map(row).collect();
    Some(table(&head, true, &rows))
}

fn tokens(receipt: &Receipt, family: Family) -> Option<String> {
    let own: Vec<&GenerationKernel> =
        receipt.generation.iter().flat_map(|g| &g.kernels).filter(|k| k.family == family).collect();
    let first = own.first()?.kernel.clone();
    let head = ["kernel", "decode", "over the first row", "prefill", "first token", "token ids", "known answers"];
    let speed = |x: f64| if x > 0.0 { number(x) } else { "n/a".into() };
    let row = |k: &&GenerationKernel| {
        let passed = k.goldens.iter().filter(|g| g.passed).count();
        let over = match &k.decode_vs_baseline {
            Some(r) if r.partner == first => format!("{} {}", ratio_with_interval(r), r.direction().word()),
            Some(r) => format!("{} {} against {} alone", ratio_with_interval(r), r.direction().word(), r.partner),
            None => "1×".into(),
        };
        let ids = match (k.kernel == first, k.ids_equal_baseline) {
            (true, _) => "partner",
            (false, true) => "equal",
            (false, false) => "differ",
        };
        let goldens = if k.goldens.is_empty() { "none".into() } else { format!("{passed} of {}", k.goldens.len()) };
        vec![
            code(&k.kernel),
            speed(k.decode_tokens_per_s),
            escape(&over),
            speed(k.prefill_tokens_per_s),
            duration_or_none(k.time_to_first_token_ms * 1e6),
            ids.into(),
            goldens,
        ]
    };
    Some(table(&head.map(String::from), true, &own.iter().map(row).collect::<Vec<_>>()))
}

/// Commands, and what must be the same for them to give the same.
fn reproduce(r: &Receipt) -> String {
    let mut commands = Vec::new();
    if let Some(commit) = &r.build.git_commit {
        commands.push(format!("git checkout {}", shell_quoted(commit)));
    }
    let arguments: Vec<String> = r.argv.iter().skip(1).map(|a| shell_quoted(a)).collect();
    commands.push(format!("cargo run -p harness -- {}", arguments.join(" ")));
    let dirty = if r.build.git_dirty == Some(true) { ", with uncommitted changes" } else { "" };
    let commit = r.build.git_commit.as_deref().map_or("no commit".to_string(), code);
    let mut facts = vec![
        format!(
            "commit {commit}{dirty}; {}, profile {}, opt-level {}",
            escape(&r.build.rustc),
            escape(&r.build.profile),
            escape(&r.build.opt_level)
        ),
        format!("machine: {}; {}", escape(&host_in_words(r)), escape(&r.host.os)),
        format!("scenario SHA-256 {}", code(&r.scenario.sha256)),
    ];
    if let Some(hash) = &r.build.cargo_lock_sha256 {
        facts.push(format!("Cargo.lock SHA-256 {}", code(hash)));
    }
    if let Some(m) = &r.model {
        facts.push(format!("model {} SHA-256 {}", escape(&m.name), code(&m.sha256)));
    }
    facts.push(format!("started {}, took {:.0} s, seed {}", escape(&r.timestamp), r.elapsed_s, r.settings.seed));
    format!("{}\n{}", block(&commands), facts.iter().map(|f| format!("- {f}\n")).collect::<String>())
}

fn every_cell(receipt: &Receipt) -> Option<String> {
    let head =
        ["cell", "kernel", "against", "direction", "ratio", "counts from", "Gelem/s", "rounds"].map(String::from);
    let mut out = String::new();
    for family in Family::ALL {
        let cells = receipt.micro.iter().filter(|c| c.family == family && !c.rounds.is_empty());
        let rows: Vec<Vec<String>> = cells
            .flat_map(|c| {
                query::kernels(c).flat_map(move |(_, s)| {
                    let row = |r: Option<&Ratio>| {
                        vec![
                            escape(&query::cell_title(c)),
                            code(&s.kernel),
                            r.map_or_else(String::new, |r| code(&r.partner)),
                            r.map_or("first row", |r| r.direction().word()).into(),
                            r.map_or_else(|| "1×".into(), |r| escape(&ratio_with_interval(r))),
                            r.and_then(Ratio::threshold).map_or_else(String::new, |t| format!("±{}", percent(t))),
                            number(s.gelem_s),
                            c.rounds.len().to_string(),
                        ]
                    };
                    let previous = s.vs_previous.as_ref();
                    let base = s.vs_baseline.as_ref();
                    let other = base.filter(|b| previous.is_none_or(|p| p.partner != b.partner));
                    let rows: Vec<Vec<String>> = previous.into_iter().chain(other).map(|r| row(Some(r))).collect();
                    if rows.is_empty() { vec![row(None)] } else { rows }
                })
            })
            .collect();
        if !rows.is_empty() {
            out += &format!("{}\n\n{}\n", escape(family_title(family)), table(&head, false, &rows));
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

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
        assert!(!text.contains('\u{1}'));
        // In code spans and blocks markup is text already.
        let outside: String = text.split('`').step_by(2).collect();
        assert!(!outside.contains("<script"), "{outside}");
    }

    #[test]
    fn families_and_speeds_share_no_table() {
        for table in markdown(&fixture::complete()).split("\n\n").filter(|t| t.starts_with('|')) {
            assert!(!(table.contains("avx2-nibble") && table.contains("avx2-i8")), "{table}");
        }
    }

    #[test]
    fn it_starts_with_the_pages_first_sentence() {
        for receipt in [fixture::complete(), fixture::interrupted(), fixture::empty()] {
            let text = markdown(&receipt);
            assert_eq!(text.lines().nth(2), Some(escape(&first_sentence(&receipt)).as_str()));
        }
    }
}
