//! What two builds must agree on before any of their times are compared.

use super::job::{ExactResult, JobCell, Offer};
use crate::error::{Error, Result};
use receipt::ExactCheck;
use receipt::judge::gate::INSTRUCTIONS;

/// f32 kernels may round differently from build to build. A perplexity that changes by more than this share is not
/// rounding.
const F32_PERPLEXITY_BOUND: f64 = 1e-3;

/// Allowed growth of a kernel's instruction count: room for a change of the compiler outside the loop, not for a longer
/// loop.
const INSTRUCTIONS_BOUND: f64 = 0.005;

/// What the built-in model is called in checks.
const MODEL: &str = "the built-in model";

/// One check an output, and one more against what was stored with the baseline.
pub fn outputs(cell: &JobCell, kernels: &[Offer], hashes: &[Vec<String>; 2], stored: &[ExactCheck]) -> Vec<ExactCheck> {
    let subject = subject(cell);
    let checks = cell.kernels.iter().zip(&hashes[0]).zip(&hashes[1]).flat_map(|((kernel, baseline), current)| {
        let exact = kernels.iter().any(|k| k.id == *kernel && k.exact);
        let same = baseline == current;
        let check = ExactCheck {
            what: "output".into(),
            kernel: kernel.clone(),
            subject: subject.clone(),
            baseline: baseline.clone(),
            current: current.clone(),
            passed: same || !exact,
            note: match (same, exact) {
                (true, _) => String::new(),
                (_, true) => "integer results must not change".into(),
                _ => "f32 rounding changed; both are within their bound of the oracle".into(),
            },
        };
        let stored = stored.iter().find(|s| s.what == "output" && s.kernel == *kernel && s.subject == subject);
        [Some(check), stored.map(|s| against_stored(s, baseline))].into_iter().flatten()
    });
    checks.collect()
}

/// `gemv 256x2560`, without residency: an output does not depend on it.
fn subject(cell: &JobCell) -> String {
    let tokens = if cell.tokens > 1 { format!("x{}", cell.tokens) } else { String::new() };
    format!("{} {}x{}{tokens}", cell.op, cell.m, cell.k)
}

/// The saved program must still compute what it computed when it was saved.
fn against_stored(stored: &ExactCheck, baseline: &str) -> ExactCheck {
    let passed = stored.baseline == baseline;
    let note = if passed { "" } else { "the kept build does not repeat what it computed when it was saved" };
    ExactCheck {
        what: format!("stored {}", stored.what),
        current: baseline.into(),
        passed,
        note: note.into(),
        ..stored.clone()
    }
}

/// Processes of one build must agree from pair to pair.
pub fn same_as_before(cell: &JobCell, before: &[Vec<String>; 2], now: &[Vec<String>; 2]) -> Result<()> {
    if before == now {
        return Ok(());
    }
    let at =
        cell.kernels.iter().enumerate().find(|(i, _)| (0..2).any(|side| before[side].get(*i) != now[side].get(*i)));
    let kernel = at.map_or("a kernel", |(_, id)| id);
    Err(Error::failed(format!(
        "{}: {kernel} computed another result in a fresh process; run `tritbench verify`",
        subject(cell)
    )))
}

/// Token ids and perplexity of every kernel.
pub fn text(kernels: &[Offer], results: &[Vec<ExactResult>; 2], stored: &[ExactCheck]) -> Vec<ExactCheck> {
    let mut checks = Vec::new();
    for ((kernel, baseline), current) in kernels.iter().zip(&results[0]).zip(&results[1]) {
        let check = |what: &str, baseline: String, current: String, within: bool| {
            let same = baseline == current;
            ExactCheck {
                what: what.into(),
                kernel: kernel.id.clone(),
                subject: MODEL.into(),
                passed: same || (!kernel.exact && within),
                note: match (same, kernel.exact, within) {
                    (true, _, _) => String::new(),
                    (_, true, _) => "an exact kernel must repeat it bit for bit".into(),
                    (_, _, true) => "within what f32 rounding explains".into(),
                    _ => "more than f32 rounding explains".into(),
                },
                baseline,
                current,
            }
        };
        let moved = (current.nats_per_token - baseline.nats_per_token).abs();
        // Written so that NaN fails.
        let near = moved <= F32_PERPLEXITY_BOUND * baseline.nats_per_token.abs();
        let ids = |r: &ExactResult| r.token_ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let nats = |r: &ExactResult| format!("{} nats a token", r.nats_per_token);
        for made in [
            check("token_ids", ids(baseline), ids(current), near),
            check("perplexity", nats(baseline), nats(current), near),
        ] {
            let kept = stored.iter().find(|s| s.what == made.what && s.kernel == made.kernel);
            let kept = kept.map(|s| against_stored(s, &made.baseline));
            checks.push(made);
            checks.extend(kept);
        }
    }
    checks
}

/// Instruction counts of one call, and of the kept build against what was stored. Nothing where either side could not
/// count.
pub fn instructions(kernels: &[Offer], counts: &[(Vec<u64>, String); 2], stored: &[ExactCheck]) -> Vec<ExactCheck> {
    let [(baseline, subject), (current, other)] = counts;
    if subject != other {
        return Vec::new();
    }
    let checks = kernels.iter().zip(baseline).zip(current).flat_map(|((kernel, baseline), current)| {
        let kept = stored.iter().find(|s| s.what == INSTRUCTIONS && s.kernel == kernel.id && s.subject == *subject);
        let kept = kept.map(|s| {
            let moved =
                s.baseline.parse().is_ok_and(|was: f64| (*baseline as f64 / was - 1.0).abs() > INSTRUCTIONS_BOUND);
            let check = against_stored(s, &baseline.to_string());
            // Code around the kernel may differ with another system library.
            let note = if check.passed || moved { check.note } else { "within the limit of 0.5%".into() };
            ExactCheck { passed: check.passed || !moved, note, ..check }
        });
        let grown = *current as f64 / (*baseline).max(1) as f64 - 1.0;
        let passed = grown <= INSTRUCTIONS_BOUND;
        let check = ExactCheck {
            what: INSTRUCTIONS.into(),
            kernel: kernel.id.clone(),
            subject: subject.clone(),
            baseline: baseline.to_string(),
            current: current.to_string(),
            passed,
            note: match (baseline == current, passed) {
                (true, _) => String::new(),
                (_, true) => format!("{:+.2}%, within the limit of 0.5%", 100.0 * grown),
                (_, false) => {
                    format!("{:+.2}%, above the limit of 0.5%; accepted only of a kernel that is faster", 100.0 * grown)
                }
            },
        };
        [Some(check), kept].into_iter().flatten()
    });
    checks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use receipt::Residency;

    fn offer(id: &str, exact: bool) -> Offer {
        Offer { id: id.into(), family: "W2A8".into(), exact, ops: vec!["gemv".into()], reason: None }
    }

    fn cell(kernels: &[&str], tokens: usize) -> JobCell {
        JobCell {
            op: if tokens > 1 { "gemm" } else { "gemv" }.into(),
            m: 256,
            k: 2560,
            tokens,
            residency: Residency::Cache,
            family: "W2A8".into(),
            kernels: kernels.iter().map(|id| id.to_string()).collect(),
        }
    }

    fn hashes(list: &[&str]) -> Vec<String> {
        list.iter().map(|hash| hash.to_string()).collect()
    }

    #[test]
    fn an_exact_output_must_not_change_and_a_rounded_one_may() {
        let (offers, cell) = ([offer("sums", true), offer("rounds", false)], cell(&["sums", "rounds"], 1));
        let checks = |now: [&str; 2]| outputs(&cell, &offers, &[hashes(&["a", "b"]), hashes(&now)], &[]);
        let same = checks(["a", "b"]);
        assert_eq!(same.len(), 2);
        for (check, (kernel, hash)) in same.iter().zip([("sums", "a"), ("rounds", "b")]) {
            let wanted = ExactCheck {
                what: "output".into(),
                kernel: kernel.into(),
                subject: "gemv 256x2560".into(),
                baseline: hash.into(),
                current: hash.into(),
                passed: true,
                note: String::new(),
            };
            assert_eq!(*check, wanted);
        }
        let changed = checks(["x", "y"]);
        assert!(!changed[0].passed && changed[0].note.contains("must not change"), "{changed:?}");
        assert!(changed[1].passed && changed[1].note.contains("rounding"), "{changed:?}");
        assert_eq!((changed[0].baseline.as_str(), changed[0].current.as_str()), ("a", "x"));
    }

    #[test]
    fn a_kept_program_is_held_to_what_it_computed_when_it_was_kept() {
        let (offers, cell) = ([offer("sums", true)], cell(&["sums"], 8));
        let now = [hashes(&["a"]), hashes(&["a"])];
        let stored = outputs(&cell, &offers, &now, &[]);
        assert_eq!(stored[0].subject, "gemm 256x2560x8");
        let again = outputs(&cell, &offers, &now, &stored);
        let kept = |check: &ExactCheck| check.what == "stored output";
        assert!(again.len() == 2 && kept(&again[1]) && again[1].passed && again[1].note.is_empty(), "{again:?}");
        // Both sides changed alike, so only what was stored tells.
        let drifted = outputs(&cell, &offers, &[hashes(&["b"]), hashes(&["b"])], &stored);
        assert!(drifted[0].passed && !drifted[1].passed && drifted[1].note.contains("does not repeat"), "{drifted:?}");
        assert_eq!((drifted[1].baseline.as_str(), drifted[1].current.as_str()), ("a", "b"));
        // Of another kernel, cell or kind there is nothing to hold it to.
        for other in [
            ExactCheck { kernel: "other".into(), ..stored[0].clone() },
            ExactCheck { subject: "gemm 256x2560x9".into(), ..stored[0].clone() },
            ExactCheck { what: "token_ids".into(), ..stored[0].clone() },
        ] {
            assert_eq!(outputs(&cell, &offers, &now, &[other]).len(), 1);
        }
    }

    #[test]
    fn a_fresh_process_that_computes_something_else_is_named() {
        let cell = cell(&["first", "second"], 1);
        let sides = |second: &str| [hashes(&["a", "b"]), hashes(&["a", second])];
        assert!(same_as_before(&cell, &sides("b"), &sides("b")).is_ok());
        let error = same_as_before(&cell, &sides("b"), &sides("c")).expect_err("differs");
        assert!(error.to_string().starts_with("gemv 256x2560: second computed another result"), "{error}");
        assert_eq!(error.exit(), crate::error::Exit::Failed);
    }

    #[test]
    fn text_is_repeated_bit_for_bit_or_within_what_rounding_explains() {
        let offers = [offer("sums", true), offer("rounds", false)];
        let side = |ids: [u32; 2], nats: f64| {
            let result = |kernel: &str, token_ids: [u32; 2], nats_per_token: f64| ExactResult {
                kernel: kernel.into(),
                token_ids: token_ids.into(),
                nats_per_token,
            };
            vec![result("sums", ids, nats), result("rounds", ids.map(|id| id + 10), 2.0 * nats)]
        };
        // token_ids and perplexity of the exact kernel, then of the other.
        let passed = |current: Vec<ExactResult>| -> Vec<bool> {
            text(&offers, &[side([1, 2], 2.0), current], &[]).iter().map(|check| check.passed).collect()
        };
        assert_eq!(passed(side([1, 2], 2.0)), [true; 4]);
        assert_eq!(passed(side([1, 2], 2.001)), [true, false, true, true]);
        assert_eq!(passed(side([1, 3], 1.999)), [false, false, true, true]);
        assert_eq!(passed(side([1, 3], 2.01)), [false; 4]);
        assert_eq!(passed(side([1, 2], f64::NAN)), [true, false, true, false]);
        let checks = text(&offers, &[side([1, 2], 2.0), side([1, 3], 2.001)], &[]);
        let named: Vec<_> = checks.iter().map(|c| (c.what.as_str(), c.kernel.as_str())).collect();
        assert_eq!(
            named,
            [("token_ids", "sums"), ("perplexity", "sums"), ("token_ids", "rounds"), ("perplexity", "rounds")]
        );
        assert_eq!((checks[0].baseline.as_str(), checks[0].current.as_str()), ("1 2", "1 3"));
        assert_eq!((checks[1].baseline.as_str(), checks[1].current.as_str()), ("2 nats a token", "2.001 nats a token"));
        assert!(checks[0].note.contains("bit for bit") && checks[3].note.starts_with("within"), "{checks:?}");
        let far = text(&offers, &[side([1, 2], 2.0), side([1, 3], 3.0)], &[]);
        assert!(far[3].note.starts_with("more than") && far[3].subject == "the built-in model", "{far:?}");
        let same = text(&offers, &[side([1, 2], 2.0), side([1, 2], 2.0)], &[]);
        assert!(same.iter().all(|check| check.note.is_empty()));
        // With what was stored, each check is followed by its own.
        let held = text(&offers, &[side([1, 2], 2.0), side([1, 2], 2.0)], &checks);
        let (what, passed): (Vec<_>, Vec<_>) = held.iter().map(|c| (c.what.as_str(), c.passed)).unzip();
        assert_eq!(what[..4], ["token_ids", "stored token_ids", "perplexity", "stored perplexity"]);
        assert_eq!((held.len(), passed), (8, vec![true; 8]));
        let drifted = text(&offers, &[side([5, 5], 2.0), side([5, 5], 2.0)], &checks);
        assert!(drifted[0].passed && !drifted[1].passed, "{drifted:?}");
    }

    #[test]
    fn instruction_counts_have_a_limit() {
        let offer = offer("k", true);
        let against = |baseline: &[u64], current: &[u64], stored: &[ExactCheck]| {
            let side = |counts: &[u64]| (counts.to_vec(), "gemv 128x1024".to_string());
            instructions(std::slice::from_ref(&offer), &[side(baseline), side(current)], stored)
        };
        let check = |baseline: &[u64], current: &[u64]| against(baseline, current, &[]);
        let same = &check(&[10_000], &[10_000])[0];
        assert!(same.note.is_empty() && same.passed);
        assert_eq!(
            (same.what.as_str(), same.kernel.as_str(), same.subject.as_str()),
            (INSTRUCTIONS, "k", "gemv 128x1024")
        );
        assert!(check(&[10_000], &[10_050])[0].passed && check(&[10_000], &[9_000])[0].passed);
        assert_eq!(check(&[10_000], &[9_000])[0].note, "-10.00%, within the limit of 0.5%");
        let more = &check(&[10_000], &[10_051])[0];
        assert!(!more.passed && more.note.starts_with("+0.51%, above the limit"), "{more:?}");
        assert_eq!((more.baseline.as_str(), more.current.as_str()), ("10000", "10051"));
        assert!(check(&[], &[10_000]).is_empty(), "not counted there");
        let stored = check(&[10_000], &[10_000]);
        let with = against(&[10_000], &[10_010], &stored);
        assert!(with.len() == 2 && with[1].what == "stored instructions" && with.iter().all(|c| c.passed), "{with:?}");
        let with = against(&[10_051], &[10_060], &stored);
        assert!(with[0].passed && !with[1].passed, "the kept program does not do what it did: {with:?}");
        let differ = ["gemv 128x1024", "gemv 128x2048"].map(|subject| (vec![1], subject.to_owned()));
        assert!(instructions(std::slice::from_ref(&offer), &differ, &[]).is_empty(), "of another product");
    }
}
