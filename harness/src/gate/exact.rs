//! What two builds must agree on before any of their times are compared.

use crate::error::{Error, Result};
use crate::worker::protocol::{JobCell, Offer, TextResult};
use receipt::judge::gate::INSTRUCTIONS;
use receipt::{ExactCheck, Gap, titles};

/// f32 kernels may round differently from build to build. A larger change of perplexity than this is not rounding.
const F32_PERPLEXITY_BOUND: f64 = 1e-3;

/// Allowed growth of a kernel's instruction count: room for a change of the compiler, not for a longer loop.
const INSTRUCTIONS_BOUND: f64 = 0.005;

/// Name of the built-in model in exact checks.
pub const MODEL: &str = "the built-in model";

/// A check of which nothing is known yet.
fn open(what: &str, kernel: &str, subject: &str) -> ExactCheck {
    let [what, kernel, subject, baseline, current, note] = [what, kernel, subject, "", "", ""].map(str::to_owned);
    ExactCheck { what, kernel, subject, baseline, current, passed: false, note }
}

/// A check, and one more where a result was stored: the saved program must still compute what it computed then.
fn held(check: ExactCheck, stored: &[ExactCheck]) -> Vec<ExactCheck> {
    let same = |s: &&ExactCheck| s.what == check.what && s.kernel == check.kernel && s.subject == check.subject;
    let kept = stored.iter().find(same).map(|stored| {
        let passed = stored.baseline == check.baseline;
        let note = if passed { "" } else { "the kept build does not repeat what it computed when it was saved" };
        let (what, current) = (format!("stored {}", stored.what), check.baseline.clone());
        ExactCheck { what, current, passed, note: note.into(), ..stored.clone() }
    });
    [check].into_iter().chain(kept).collect()
}

/// Checks that both builds gave the same output of a cell (SHA-256 of each), and that it is the stored one.
pub fn output(
    cell: &JobCell,
    exact: bool,
    [baseline, current]: &[String; 2],
    stored: &[ExactCheck],
) -> Vec<ExactCheck> {
    let same = baseline == current;
    let note = match (same, exact) {
        (true, _) => "",
        (_, true) => "integer results must not change",
        _ => "f32 rounding changed; both are within their bound of the oracle",
    };
    let (baseline, current, note) = (baseline.clone(), current.clone(), note.into());
    let named = open("output", &cell.kernel, &subject(cell));
    held(ExactCheck { baseline, current, passed: same || !exact, note, ..named }, stored)
}

/// Kernel and subject of a cell's output: cells that differ in nothing else have the same output.
pub fn output_of(cell: &JobCell) -> (String, String) {
    (cell.kernel.clone(), subject(cell))
}

/// `gemv 256x2560`, without residency: an output does not depend on it, with what shares a scale where that is a
/// choice; or `decode, built-in model`.
fn subject(cell: &JobCell) -> String {
    let JobCell { op, m, k, tokens, text, .. } = cell;
    match text {
        Some(text) => titles::gated_text(*op, *tokens, &text.name),
        None => titles::scaled(titles::product(*op, *m, *k, *tokens), cell.scaling()),
    }
}

/// The failed check of a kernel with which the current build could not compute.
pub fn no_answer(what: &str, kernel: &str, subject: &str, why: String) -> ExactCheck {
    ExactCheck { baseline: "an answer".into(), current: "none".into(), note: why, ..open(what, kernel, subject) }
}

/// Refuses a cell whose outputs differ from those of an earlier process pair: each build must repeat its result.
pub fn same_as_before(cell: &JobCell, before: &[String; 2], now: &[String; 2]) -> Result<()> {
    if before == now {
        return Ok(());
    }
    let what = "computed another result in a fresh process; run `tritbench verify`";
    Err(Error::failed(format!("{}: {} {what}", subject(cell), cell.kernel)))
}

/// Checks a kernel's token ids and perplexity in both builds, and against what was stored.
pub fn text(kernel: &Offer, [baseline, current]: &[TextResult; 2], stored: &[ExactCheck]) -> Vec<ExactCheck> {
    let moved = (current.nats_per_token - baseline.nats_per_token).abs();
    // Written so that NaN fails.
    let near = moved <= F32_PERPLEXITY_BOUND * baseline.nats_per_token.abs();
    let check = |what: &str, [baseline, current]: [String; 2]| {
        let same = baseline == current;
        let note = match (same, kernel.exact, near) {
            (true, _, _) => "",
            (_, true, _) => "an exact kernel must repeat it bit for bit",
            (_, _, true) => "within what f32 rounding explains",
            _ => "more than f32 rounding explains",
        };
        let passed = same || (!kernel.exact && near);
        ExactCheck { baseline, current, passed, note: note.into(), ..open(what, &kernel.id, MODEL) }
    };
    let ids = |r: &TextResult| r.token_ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let nats = |r: &TextResult| format!("{} nats a token", r.nats_per_token);
    let checks = [check("token_ids", [baseline, current].map(ids)), check("perplexity", [baseline, current].map(nats))];
    checks.into_iter().flat_map(|check| held(check, stored)).collect()
}

/// Instructions of one call, `None` if they could not be counted, and in words what was called.
pub type Counted = (Option<u64>, String);

/// A check that could not be made: whose gap it is, and why.
pub type NoCheck = (Gap, String);

/// The instruction count of one call, and of the kept build against what was stored; or why there is none.
pub fn instructions(
    kernel: &str,
    counts: &[Counted; 2],
    stored: &[ExactCheck],
) -> std::result::Result<Vec<ExactCheck>, NoCheck> {
    let [(baseline, subject), (current, other)] = counts;
    let (baseline, current) = match (baseline, current) {
        (Some(_), Some(_)) if subject != other => {
            return Err((Gap::Lost, format!("the baseline counts {subject}, the current build {other}")));
        }
        (Some(baseline), Some(current)) => (baseline, current),
        (Some(_), None) => return Err((Gap::Lost, "the current build cannot count here, the baseline can".into())),
        (None, Some(_)) => return Err((Gap::NoBaseline, "the baseline cannot count here".into())),
        (None, None) => return Err((Gap::NotHere, "neither build can count here".into())),
    };
    let grown = *current as f64 / (*baseline).max(1) as f64 - 1.0;
    let passed = grown <= INSTRUCTIONS_BOUND;
    let note = match (baseline == current, passed) {
        (true, _) => String::new(),
        (_, true) => format!("{:+.2}%, within the limit of 0.5%", 100.0 * grown),
        (_, false) => {
            format!("{:+.2}%, above the limit of 0.5%; accepted only of a kernel that is faster", 100.0 * grown)
        }
    };
    let named = open(INSTRUCTIONS, kernel, subject);
    let check = ExactCheck { baseline: baseline.to_string(), current: current.to_string(), passed, note, ..named };
    let mut checks = held(check, stored);
    if let Some(kept) = checks.get_mut(1).filter(|kept| !kept.passed) {
        let moved = |was: f64| (*baseline as f64 / was - 1.0).abs() > INSTRUCTIONS_BOUND;
        if !kept.baseline.parse().is_ok_and(moved) {
            // Code around the kernel may differ with another system library.
            (kept.passed, kept.note) = (true, "within the limit of 0.5%".into());
        }
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use receipt::Operation;

    fn hashes(list: [&str; 2]) -> [String; 2] {
        list.map(str::to_owned)
    }

    #[test]
    fn an_exact_output_must_not_change_and_a_rounded_one_may() {
        let cell = JobCell::example();
        let check = |exact: bool, now: &str| output(&cell, exact, &hashes(["a", now]), &[]).remove(0);
        let a = || "a".to_owned();
        let wanted = ExactCheck { baseline: a(), current: a(), passed: true, ..open("output", "k", "gemv 256x2560") };
        assert_eq!([check(true, "a"), check(false, "a")], [wanted.clone(), wanted]);
        let (exact, rounded) = (check(true, "x"), check(false, "x"));
        assert!(!exact.passed && exact.note.contains("must not change"), "{exact:?}");
        assert!(rounded.passed && rounded.note.contains("rounding"), "{rounded:?}");
        assert_eq!((exact.baseline.as_str(), exact.current.as_str()), ("a", "x"));
    }

    #[test]
    fn a_kept_program_is_held_to_what_it_computed_when_it_was_kept() {
        let (cell, now) = (JobCell { op: Operation::Gemm, tokens: 8, ..JobCell::example() }, hashes(["a", "a"]));
        let stored = output(&cell, true, &now, &[]);
        assert_eq!(stored[0].subject, "gemm 256x2560x8");
        let again = output(&cell, true, &now, &stored);
        let kept = |check: &ExactCheck| check.what == "stored output";
        assert!(again.len() == 2 && kept(&again[1]) && again[1].passed && again[1].note.is_empty(), "{again:?}");
        // Both sides changed alike, so only what was stored tells.
        let drifted = output(&cell, true, &hashes(["b", "b"]), &stored);
        assert!(drifted[0].passed && !drifted[1].passed && drifted[1].note.contains("does not repeat"), "{drifted:?}");
        assert_eq!((drifted[1].baseline.as_str(), drifted[1].current.as_str()), ("a", "b"));
        // Of another kernel, cell or kind there is nothing to hold it to.
        for other in [
            ExactCheck { kernel: "other".into(), ..stored[0].clone() },
            ExactCheck { subject: "gemm 256x2560x9".into(), ..stored[0].clone() },
            ExactCheck { what: "token_ids".into(), ..stored[0].clone() },
        ] {
            assert_eq!(output(&cell, true, &now, &[other]).len(), 1);
        }
    }

    #[test]
    fn a_fresh_process_that_computes_something_else_is_named() {
        let cell = JobCell::example();
        assert!(same_as_before(&cell, &hashes(["a", "b"]), &hashes(["a", "b"])).is_ok());
        let error = same_as_before(&cell, &hashes(["a", "b"]), &hashes(["a", "c"])).expect_err("differs");
        assert!(error.to_string().starts_with("gemv 256x2560: k computed another result"), "{error}");
        assert_eq!(error.exit(), crate::error::Exit::Failed);
    }

    #[test]
    fn text_is_repeated_bit_for_bit_or_within_what_rounding_explains() {
        let side = |ids: [u32; 2], nats_per_token: f64| {
            let (kernel, token_ids) = ("k".into(), ids.into());
            TextResult { kernel, token_ids, nats_per_token }
        };
        let offer = |exact: bool| Offer { id: "k".into(), exact, ..Offer::default() };
        let checks = |exact: bool, current: TextResult| text(&offer(exact), &[side([1, 2], 2.0), current], &[]);
        // token_ids and perplexity of an exact kernel, then of another.
        let passed = |ids: [u32; 2], nats: f64| -> Vec<bool> {
            [true, false].iter().flat_map(|exact| checks(*exact, side(ids, nats))).map(|c| c.passed).collect()
        };
        assert_eq!(passed([1, 2], 2.0), [true; 4]);
        assert_eq!(passed([1, 2], 2.001), [true, false, true, true]);
        assert_eq!(passed([1, 3], 1.999), [false, false, true, true]);
        assert_eq!(passed([1, 3], 2.01), [false; 4]);
        assert_eq!(passed([1, 2], f64::NAN), [true, false, true, false]);
        let exact = checks(true, side([1, 3], 2.001));
        assert_eq!((exact[0].what.as_str(), exact[1].what.as_str()), ("token_ids", "perplexity"));
        assert_eq!((exact[0].baseline.as_str(), exact[0].current.as_str()), ("1 2", "1 3"));
        assert_eq!((exact[1].baseline.as_str(), exact[1].current.as_str()), ("2 nats a token", "2.001 nats a token"));
        assert!(exact[0].note.contains("bit for bit") && exact[0].subject == "the built-in model", "{exact:?}");
        assert!(checks(false, side([1, 3], 2.001))[1].note.starts_with("within"));
        assert!(checks(false, side([1, 3], 3.0))[1].note.starts_with("more than"));
        let same = checks(true, side([1, 2], 2.0));
        assert!(same.iter().all(|check| check.note.is_empty()));
        // With what was stored, each check is followed by its own.
        let held = text(&offer(true), &[side([1, 2], 2.0), side([1, 2], 2.0)], &same);
        let (what, passed): (Vec<_>, Vec<_>) = held.iter().map(|c| (c.what.as_str(), c.passed)).unzip();
        assert_eq!(what, ["token_ids", "stored token_ids", "perplexity", "stored perplexity"]);
        assert_eq!(passed, [true; 4]);
        let drifted = text(&offer(true), &[side([5, 5], 2.0), side([5, 5], 2.0)], &same);
        assert!(drifted[0].passed && !drifted[1].passed, "{drifted:?}");
    }

    fn side(count: Option<u64>) -> Counted {
        (count, "gemv 128x1024".to_owned())
    }

    #[test]
    fn instruction_counts_have_a_limit() {
        let against = |baseline: u64, current: u64, stored: &[ExactCheck]| {
            instructions("k", &[side(Some(baseline)), side(Some(current))], stored).expect("both counted")
        };
        let check = |current: u64| against(10_000, current, &[]).remove(0);
        let same = check(10_000);
        assert!(same.note.is_empty() && same.passed);
        assert_eq!([&same.what[..], &same.kernel, &same.subject], [INSTRUCTIONS, "k", "gemv 128x1024"]);
        assert!(check(10_050).passed && check(9_000).passed);
        assert_eq!(check(9_000).note, "-10.00%, within the limit of 0.5%");
        let more = check(10_051);
        assert!(!more.passed && more.note.starts_with("+0.51%, above the limit"), "{more:?}");
        assert_eq!((more.baseline.as_str(), more.current.as_str()), ("10000", "10051"));
        let stored = [same];
        let with = against(10_000, 10_010, &stored);
        assert!(with.len() == 2 && with[1].what == "stored instructions" && with.iter().all(|c| c.passed), "{with:?}");
        let with = against(10_051, 10_060, &stored);
        assert!(with[0].passed && !with[1].passed, "the kept program does not do what it did: {with:?}");
    }

    #[test]
    fn a_count_that_one_side_could_not_make_is_its_gap() {
        for (baseline, current, gap) in [
            (side(Some(1)), side(None), Gap::Lost),
            (side(None), side(Some(1)), Gap::NoBaseline),
            (side(None), side(None), Gap::NotHere),
            (side(Some(1)), (Some(1), "gemv 128x2048".into()), Gap::Lost),
        ] {
            assert_eq!(instructions("k", &[baseline, current], &[]).expect_err("no check").0, gap);
        }
    }
}
