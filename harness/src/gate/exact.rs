//! What two builds must agree on before any of their times are compared.

use super::job::{ExactResult, JobCell, Offer};
use crate::error::{Error, Result};
use crate::receipt::ExactCheck;

/// f32 stages may round differently from build to build; a perplexity that moves by more than this share is no rounding.
const F32_PERPLEXITY_BOUND: f64 = 1e-3;

/// Growth of a kernel's instruction count that is let pass: a compiler's whim outside the loop, not a longer loop.
const INSTRUCTIONS_BOUND: f64 = 0.005;
/// Name of that check.
pub const INSTRUCTIONS: &str = "instructions";

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

/// `gemv 256x2560`: an output does not depend on where the weights were.
fn subject(cell: &JobCell) -> String {
    let tokens = if cell.tokens > 1 { format!("x{}", cell.tokens) } else { String::new() };
    format!("{} {}x{}{tokens}", cell.op, cell.m, cell.k)
}

/// The kept program must still do what it did when it was kept.
fn against_stored(stored: &ExactCheck, baseline: &str) -> ExactCheck {
    let passed = stored.baseline == baseline;
    let note = if passed { "" } else { "the kept build does not repeat what it computed when it was saved" };
    ExactCheck {
        what: format!("stored {}", stored.what),
        baseline: stored.baseline.clone(),
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
        "{}: {kernel} computed another result in a fresh process; run `harness verify`",
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

/// Instruction counts of one call, and of the kept build against what was stored. Nothing where either side could not count.
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
            // Another system library may take another way around the kernel.
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

    #[test]
    fn instruction_counts_have_a_limit() {
        let offer =
            Offer { id: "k".into(), family: "W2A8".into(), exact: true, ops: vec!["gemv".into()], reason: None };
        let against = |baseline: &[u64], current: &[u64], stored: &[ExactCheck]| {
            let side = |counts: &[u64]| (counts.to_vec(), "gemv 128x1024".to_string());
            instructions(std::slice::from_ref(&offer), &[side(baseline), side(current)], stored)
        };
        let check = |baseline: &[u64], current: &[u64]| against(baseline, current, &[]);
        assert!(check(&[10_000], &[10_000])[0].note.is_empty());
        assert!(check(&[10_000], &[10_050])[0].passed && check(&[10_000], &[9_000])[0].passed);
        assert!(!check(&[10_000], &[10_051])[0].passed);
        assert!(check(&[], &[10_000]).is_empty(), "not counted there");
        let stored = check(&[10_000], &[10_000]);
        let with = against(&[10_000], &[10_010], &stored);
        assert!(with.len() == 2 && with[1].what == "stored instructions" && with.iter().all(|c| c.passed), "{with:?}");
        let with = against(&[10_051], &[10_060], &stored);
        assert!(with[0].passed && !with[1].passed, "the kept program does not do what it did: {with:?}");
    }
}
