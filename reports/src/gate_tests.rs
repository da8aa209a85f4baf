//! Every outcome in every format: all say the same, by one mapping.

use super::*;
use crate::export::{self, Format, State, cases};
use crate::{Look, document, fixture, run, summary};
use receipt::judge::gate::{INSTRUCTIONS, summarize_run};
use receipt::{Gap, GateRecord, LeftOut};

/// A gate that changed in one way, judged by the rule that real ones are judged by.
fn gated(change: impl Fn(&mut GateRecord)) -> Receipt {
    let mut receipt = fixture::gate::receipt(0.0);
    change(receipt.gate.as_mut().expect("a gate"));
    summarize_run(&mut receipt);
    receipt
}

fn left_out(kernel: &str, gap: Gap) -> LeftOut {
    LeftOut { kernel: kernel.into(), reason: format!("the reason of {kernel}"), gap: Some(gap) }
}

/// A gate of each outcome, twice where two causes lead to it.
fn all() -> Vec<(Outcome, Receipt)> {
    let scatter = |gate: &mut GateRecord| {
        let pairs = gate.cells.iter_mut().flat_map(|c| c.pairs.iter_mut().enumerate());
        pairs.for_each(|(i, p)| p.rounds.iter_mut().for_each(|r| r.ns[2] = [600_000, 1_400_000][i % 2]));
    };
    let more = |gate: &mut GateRecord| {
        gate.checks.push(fixture::gate::check(INSTRUCTIONS, "avx2-i8", false));
        gate.cells[1] = fixture::gate::cell("avx2-i8", -0.2);
    };
    vec![
        (Outcome::Pass, gated(|_| ())),
        (Outcome::Pass, gated(more)),
        (Outcome::Pass, gated(|g| g.unsupported = vec![left_out("new-kernel", Gap::NoBaseline)])),
        (Outcome::Fail, fixture::gate::receipt(0.08)),
        (Outcome::Fail, gated(|g| g.checks.push(fixture::gate::check("output", "avx2-i8", false)))),
        (Outcome::Inconclusive, gated(|g| g.cells[0].pairs.truncate(2))),
        (Outcome::Inconclusive, gated(|g| g.unsupported = vec![left_out("lost-kernel", Gap::Lost)])),
        (Outcome::Inconclusive, gated(|g| g.unsupported = vec![left_out("decode of large", Gap::NotMade)])),
        (Outcome::Unstable, gated(scatter)),
        (
            Outcome::Unsupported,
            gated(|g| {
                g.cells.clear();
                g.unsupported = vec![left_out("wide", Gap::NotHere)];
            }),
        ),
    ]
}

/// Everything that a gate is shown as.
fn formats(receipt: &Receipt) -> Vec<(&'static str, String)> {
    let exported = |format| String::from_utf8(export::export(receipt, format).expect("written")).expect("text");
    let page = document::html(&run::page(receipt)).replace("&quot;", "\"").replace("&amp;", "&");
    vec![
        ("summary.md", run::markdown(receipt).replace('\\', "")),
        ("annotations", annotations(receipt)),
        ("page", page),
        ("terminal", summary(receipt, Look { width: 10_000, ..Look::plain() })),
        ("junit", exported(Format::Junit)),
    ]
}

#[test]
fn every_format_says_the_outcome_and_names_what_is_left_out() {
    for (outcome, receipt) in all() {
        let gate = receipt.gate.as_ref().expect("a gate");
        assert_eq!(gate.outcome, outcome, "{}", gate.reason);
        for (format, text) in formats(&receipt) {
            // A test that passed says so by saying nothing else.
            if format != "junit" {
                assert!(text.contains(outcome_word(outcome)), "{format} of {outcome:?}: {text}");
            }
            assert!(text.contains(&gate.reason.replace('%', "%25")) || text.contains(&gate.reason), "{format}: {text}");
            for left_out in &gate.unsupported {
                let words = coverage::in_words(left_out);
                assert!(text.contains(&words), "{format} does not say \"{words}\": {text}");
            }
        }
        let csv = String::from_utf8(export::export(&receipt, Format::Csv).expect("written")).expect("text");
        assert!(gate.unsupported.iter().all(|u| csv.contains(&u.kernel)), "{csv}");
    }
}

#[test]
fn annotations_and_test_reports_follow_the_outcome() {
    for (outcome, receipt) in all() {
        let notes = annotations(&receipt);
        let count = |level: &str| notes.lines().filter(|l| l.starts_with(&format!("::{level} "))).count();
        let first = ["notice", "error", "warning"][weight(outcome) as usize];
        assert!(notes.starts_with(&format!("::{first} ")), "{outcome:?}: {notes}");
        assert_eq!(count("error") > 0, outcome == Outcome::Fail, "{notes}");
        assert_eq!(count("error") + count("warning") == 0, outcome == Outcome::Pass, "{notes}");
        let cases = cases(&receipt);
        let of_gate = || cases.iter().filter(|c| c.suite == "gate");
        assert_eq!(of_gate().any(|c| matches!(c.state, State::Failed(_))), outcome == Outcome::Fail, "{cases:?}");
        let last = of_gate().next_back().expect("the outcome");
        let as_it_must = match weight(outcome) {
            Weight::Good => last.state == State::Passed,
            Weight::Bad => matches!(last.state, State::Failed(_)),
            Weight::Open => matches!(last.state, State::Warned(_) | State::Skipped(_)),
        };
        assert!(last.name == "outcome" && as_it_must, "{last:?}");
    }
}

#[test]
fn builds_that_differ_and_what_disturbed_the_run_stand_beside_every_verdict() {
    for (outcome, mut receipt) in all() {
        receipt.gate.as_mut().expect("a gate").baseline.build.rustc = "rustc 1.70.0".into();
        receipt.host.load_before.quota_stops = Some(0);
        receipt.host.load_after.as_mut().expect("it ended").quota_stops = Some(387);
        for (format, text) in formats(&receipt) {
            for part in ["differ in compiler: rustc 1.70.0 and rustc 1.95.0 (", "stopped this run 387 times"] {
                assert!(text.contains(part), "{format} of {outcome:?} does not say \"{part}\": {text}");
            }
        }
    }
}
