//! What speaks against the run: wrong kernels, regressions, noise, and what could not run.

use super::{Statement, count};
use crate::receipt::{GateRecord, MicroCell, Outcome, Receipt, Verdict};
use crate::report::figures;
use crate::report::gate::outcome_word;
use crate::report::query;

/// "Wrong results", before any speed.
pub fn mismatches(receipt: &Receipt) -> Option<Statement> {
    let wrong: Vec<&str> = receipt.verify.iter().filter(|v| v.mismatches > 0).map(|v| v.id.as_str()).collect();
    (!wrong.is_empty()).then(|| Statement {
        label: "Wrong results",
        figure: wrong.len().to_string(),
        subject: wrong.join(", "),
        text: "These kernels disagree with the oracle. No time of theirs counts.".into(),
        anchor: "verify",
    })
}

/// Judged comparisons of a run with the stage that each kernel builds on: (cell, entry, verdict).
pub fn judged(receipt: &Receipt) -> impl Iterator<Item = (usize, usize, &Verdict)> {
    let cells = receipt.micro.iter().enumerate();
    cells.flat_map(|(c, cell)| {
        cell.summaries.iter().enumerate().filter_map(move |(e, s)| Some((c, e, s.verdict.as_ref()?)))
    })
}

/// "Did anything regress?" of a gate, against the other build; "Does every stage pay?" of a comparison, against the stage that a kernel
/// builds on.
pub fn regressions(receipt: &Receipt) -> Option<Statement> {
    if let Some(gate) = &receipt.gate {
        return Some(gated(gate));
    }
    let all: Vec<(usize, usize, &Verdict)> = judged(receipt).collect();
    if all.is_empty() {
        return None;
    }
    let of = |outcome: Outcome| all.iter().filter(move |(_, _, v)| v.outcome == outcome);
    let number = |outcome| of(outcome).count();
    let slower = number(Outcome::Fail);
    let worst = of(Outcome::Fail).max_by(|a, b| a.2.change.total_cmp(&b.2.change));
    let mut text = match worst {
        Some((cell, entry, verdict)) => {
            let cell: &MicroCell = &receipt.micro[*cell];
            format!(
                "Slower than the stage it builds on, most of all {} for {}: {}.",
                cell.summaries[*entry].kernel,
                query::cell_title(cell),
                verdict.reason
            )
        }
        None => "No kernel is shown to be slower than the stage it builds on.".into(),
    };
    let open = [(Outcome::Inconclusive, "undecided"), (Outcome::Unstable, "unstable")];
    let open = open.iter().filter_map(|(outcome, words)| match number(*outcome) {
        0 => None,
        n => Some(format!("{n} {words}")),
    });
    let rest: Vec<String> = std::iter::once(format!("{} not slower", number(Outcome::Pass))).chain(open).collect();
    text += &format!(" Of {}: {}.", count(all.len(), "comparison"), rest.join(", "));
    let undecided = number(Outcome::Inconclusive) + number(Outcome::Unstable);
    Some(Statement {
        label: "Does every stage pay?",
        figure: match (slower, undecided) {
            (0, 0) => "none is slower",
            (0, _) => "not shown",
            _ => "no",
        }
        .into(),
        subject: match slower {
            0 => "against the stage before".into(),
            n => format!("{n} of {} slower than the stage before", all.len()),
        },
        text,
        anchor: if slower > 0 { "finding-slower" } else { "measurements" },
    })
}

fn gated(gate: &GateRecord) -> Statement {
    let of = |outcome: Outcome| gate.cells.iter().filter(move |c| c.verdict.outcome == outcome).count();
    let tally: Vec<String> = [
        (Outcome::Fail, "slower"),
        (Outcome::Unstable, "unstable"),
        (Outcome::Inconclusive, "undecided"),
        (Outcome::Pass, "not slower"),
    ]
    .into_iter()
    .filter_map(|(outcome, words)| match of(outcome) {
        0 => None,
        n => Some(format!("{n} {words}")),
    })
    .collect();
    let mut text = format!("Of {}: {}.", count(gate.cells.len(), "comparison"), tally.join(", "));
    if gate.cells.is_empty() {
        text = "No kernel was compared.".into();
    }
    let wrong = gate.checks.iter().filter(|c| !c.passed).count();
    if !gate.checks.is_empty() {
        text += &format!(" Exact checks: {} agree, {wrong} differ.", gate.checks.len() - wrong);
    }
    if !gate.unsupported.is_empty() {
        text += &format!(" {} could not be compared here.", count(gate.unsupported.len(), "kernel"));
    }
    Statement {
        label: "Did anything regress?",
        figure: outcome_word(gate.outcome).into(),
        subject: format!("{} against {}", gate.current.label, gate.baseline.label),
        text,
        anchor: "gate",
    }
}

/// "Was the machine quiet?"
pub fn noise(receipt: &Receipt) -> Option<Statement> {
    if let Some(gate) = receipt.gate.as_ref().filter(|g| !g.cells.is_empty()) {
        return Some(gate_noise(gate));
    }
    let label = "Was the machine quiet?";
    let Some((low, high)) = query::noise_range(receipt) else {
        return receipt.micro.iter().any(|c| !c.rounds.is_empty()).then(|| Statement {
            label,
            figure: "unknown".into(),
            subject: "too few rounds".into(),
            text: "There are too few rounds of a kernel against itself to say what this machine's noise was.".into(),
            anchor: "method",
        });
    };
    let unstable = receipt.micro.iter().filter(|c| query::unstable(c)).count();
    let range = match (figures::percent(low), figures::percent(high)) {
        (low, high) if low == high => high,
        (low, high) => format!("{low} to {high} (by shape)"),
    };
    let mut text = format!("In 95% of rounds the same kernel differed from itself by less than {range}. ");
    text += if high <= query::QUIET {
        "Smaller differences are marked as noise."
    } else {
        "That is a noisy machine: smaller differences are marked as noise, and a run on a quieter one would decide more."
    };
    if unstable > 0 {
        text += &format!(" In {} even that pair came out different: do not use them.", count(unstable, "comparison"));
    }
    Some(Statement {
        label,
        figure: if unstable == 0 && high <= query::QUIET { "yes" } else { "no" }.into(),
        subject: match unstable {
            0 => format!("±{}", figures::percent(high)),
            n => format!("±{}, {n} unstable", figures::percent(high)),
        },
        text,
        anchor: "finding-noise",
    })
}

fn gate_noise(gate: &GateRecord) -> Statement {
    let noise = gate.cells.iter().map(|c| c.verdict.aa_p95);
    let (low, high) = noise.fold((f64::MAX, 0f64), |(l, h), n| (l.min(n), h.max(n)));
    let unstable = gate.cells.iter().filter(|c| c.verdict.outcome == Outcome::Unstable).count();
    let quiet = unstable == 0 && 2.0 * high <= gate.rule.delta;
    let mut text = format!(
        "The baseline against itself moved the median by {} to {}; the threshold of {} needs less than half of that.",
        figures::percent(low),
        figures::percent(high),
        figures::percent(gate.rule.delta)
    );
    if unstable > 0 {
        text += &format!(" {} unstable: no verdict there.", count(unstable, "comparison"));
    }
    Statement {
        label: "Was the machine quiet?",
        figure: if quiet { "yes" } else { "no" }.into(),
        subject: format!("±{} of the median", figures::percent(high)),
        text,
        anchor: "gate",
    }
}

/// Sentences that belong behind the first one: what of it does not count, and what could not run here.
pub fn caveats(receipt: &Receipt) -> Vec<String> {
    let mut out = Vec::new();
    let measured = receipt.micro.iter().filter(|c| !c.rounds.is_empty()).count();
    let unstable = receipt.micro.iter().filter(|c| query::unstable(c)).count();
    if unstable > 0 {
        let verb = if unstable == 1 { "is unstable and decides" } else { "are unstable and decide" };
        out.push(format!("{unstable} of {} {verb} nothing.", count(measured, "comparison")));
    }
    let absent = receipt.kernels.iter().filter(|k| !k.available).count();
    if absent > 0 && !scalar_only(receipt) {
        out.push(format!("{absent} of {} could not run here.", count(receipt.kernels.len(), "kernel")));
    }
    out
}

/// Whether vector kernels exist and none of them could run.
pub fn scalar_only(receipt: &Receipt) -> bool {
    let vector = || receipt.kernels.iter().filter(|k| k.isa != "scalar");
    vector().next().is_some() && vector().all(|k| !k.available)
}

/// The first sentence of a run that could only run plain Rust.
pub fn scalar_sentence(receipt: &Receipt) -> Option<String> {
    if !scalar_only(receipt) {
        return None;
    }
    let absent = receipt.kernels.iter().filter(|k| !k.available).count();
    // A mask is the run's own doing; the CPU may well have what it hides.
    let why = match &receipt.settings.cpu_features {
        Some(mask) => format!("the feature mask “{mask}” leaves no vector instructions"),
        None if !receipt.host.features.iter().any(|f| f == "avx2") && receipt.host.arch == "x86_64" => {
            "this CPU lacks AVX2".into()
        }
        None => "this CPU lacks what the others need".into(),
    };
    Some(format!(
        "Only scalar kernels could run here: {why}, so {absent} of {} are absent and no speed-up was measured.",
        count(receipt.kernels.len(), "kernel")
    ))
}
