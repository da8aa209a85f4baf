//! What speaks against the run: wrong kernels, regressions, noise, and what could not run.

use super::statement::Statement;
use crate::gate_words::{differing, outcome_word};
use crate::query;
use crate::words::count;
use receipt::figures;
use receipt::judge::{Direction, Tally, coverage, disturbance};
use receipt::{GateRecord, Outcome, Receipt};

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

/// "Did anything regress?" of a gate, against the other build; of a comparison, how many kernels are slower than what
/// they build on.
pub fn regressions(receipt: &Receipt) -> Option<Statement> {
    if let Some(gate) = &receipt.gate {
        return Some(gated(gate));
    }
    let tally = query::tally(receipt);
    if tally.total() == 0 {
        return None;
    }
    let slower = query::comparisons(receipt).filter(|(.., v)| v.direction() == Direction::Slower);
    let mut text = match slower.max_by(|a, b| a.2.change.total_cmp(&b.2.change)) {
        Some((cell, entry, verdict)) => {
            let cell = &receipt.micro[cell];
            let (kernel, place) = (&cell.summaries[entry].kernel, query::cell_title(cell));
            format!("Most of all {kernel} for {place}: {}.", verdict.sentence(query::ROUND))
        }
        None => "No kernel is shown to be slower than the kernel it builds on.".into(),
    };
    text += &format!(" Of {}: {}.", count(tally.total(), "comparison"), tally.in_words());
    let slower = tally.count(Direction::Slower);
    Some(Statement {
        label: "Slower than the kernel it builds on",
        figure: slower.to_string(),
        subject: format!("of {}", count(tally.total(), "comparison")),
        text,
        anchor: if slower > 0 { "finding-slower" } else { "measurements" },
    })
}

fn gated(gate: &GateRecord) -> Statement {
    let of = |outcome: Outcome| gate.cells.iter().filter(move |c| c.verdict.outcome == outcome).count();
    let order = [Outcome::Fail, Outcome::Unstable, Outcome::Inconclusive, Outcome::Pass];
    let tally = order.into_iter().filter(|outcome| of(*outcome) > 0);
    let tally: Vec<String> = tally.map(|outcome| format!("{} {}", of(outcome), outcome_word(outcome))).collect();
    let mut text = format!("Of {}: {}.", count(gate.cells.len(), "comparison"), tally.join(", "));
    if gate.cells.is_empty() {
        text = "No kernel was compared.".into();
    }
    let (wrong, accepted) = differing(gate);
    let wrong = wrong.len() + accepted.len();
    if !gate.checks.is_empty() {
        text += &format!(" Exact checks: {} agree, {wrong} differ.", gate.checks.len() - wrong);
    }
    if !gate.unsupported.is_empty() {
        let names: Vec<&str> = coverage::by_gravity(gate).into_iter().map(|u| u.kernel.as_str()).collect();
        text += &format!(" Not compared: {}.", names.join("; "));
    }
    Statement {
        label: "Did anything regress?",
        figure: outcome_word(gate.outcome).into(),
        subject: format!("{} against {}", gate.current.label, gate.baseline.label),
        text,
        anchor: "gate",
    }
}

/// How small a difference counts, and what could not be judged at all.
pub fn noise(receipt: &Receipt) -> Option<Statement> {
    if let Some(gate) = receipt.gate.as_ref().filter(|g| !g.cells.is_empty()) {
        return Some(gate_noise(receipt, gate));
    }
    let label = "Smallest difference that counts";
    let Some(range) = query::threshold_range(receipt) else {
        return receipt.micro.iter().any(|c| !c.rounds.is_empty()).then(|| Statement {
            label,
            figure: "unknown".into(),
            subject: "nothing could be judged".into(),
            text: "No round of a kernel against itself says how much this machine's noise is.".into(),
            anchor: "method",
        });
    };
    let tally = query::tally(receipt);
    let unstable = tally.count(Direction::Unstable);
    let mut text = String::from(
        "Each cell times one kernel against itself. Twice the noise of that median, and at least 3%, is what a \
         difference must exceed to count.",
    );
    if unstable > 0 {
        text += &format!(
            " {} could not be judged: there the same code differed from itself.",
            count(unstable, "comparison")
        );
    }
    Some(Statement {
        label,
        figure: query::percent_range(range),
        subject: match unstable {
            0 => "by cell".into(),
            n => format!("by cell, {n} unstable"),
        },
        text,
        anchor: "finding-noise",
    })
}

fn gate_noise(receipt: &Receipt, gate: &GateRecord) -> Statement {
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
    for cause in disturbance::in_words(receipt) {
        text += &format!(" {cause}");
    }
    Statement {
        label: "Was the machine quiet?",
        figure: if quiet { "yes" } else { "no" }.into(),
        subject: format!("±{} of the median", figures::percent(high)),
        text,
        anchor: "gate",
    }
}

/// Sentences that belong behind the first one: what stayed undecided and why, and what could not run here.
pub fn caveats(receipt: &Receipt) -> Vec<String> {
    let mut out = Vec::new();
    let tally = query::tally(receipt);
    if let Some(open) = open(receipt, &tally) {
        let settled = format!("{} of {} are settled", tally.settled(), count(tally.total(), "comparison"));
        out.push(format!("{settled}; {open}."));
    }
    let absent = receipt.kernels.iter().filter(|k| !k.available).count();
    if absent > 0 && !scalar_only(receipt) {
        out.push(format!("{absent} of {} could not run here.", count(receipt.kernels.len(), "kernel")));
    }
    out
}

/// What is not settled, each with its reason.
fn open(receipt: &Receipt, tally: &Tally) -> Option<String> {
    let (undecided, unstable) = (tally.count(Direction::Undecided), tally.count(Direction::Unstable));
    let verb = |n: usize| if n == 1 { "is" } else { "are" };
    let mut parts = Vec::new();
    if undecided > 0 {
        let few = query::comparisons(receipt)
            .filter(|(.., v)| v.direction() == Direction::Undecided)
            .all(|(.., v)| v.alarm_high.is_none());
        let why = if few {
            "the rounds are too few"
        } else {
            "the interval reaches across the smallest difference that counts"
        };
        parts.push(format!("{undecided} {} undecided ({why})", verb(undecided)));
    }
    if unstable > 0 {
        let mut places: Vec<String> = receipt
            .micro
            .iter()
            .filter(|c| query::unstable(c))
            .map(|c| format!("{} {}", c.op, query::shape(c)))
            .collect();
        places.dedup();
        let more = if places.len() > 2 { format!(" and {} more cells", places.len() - 2) } else { String::new() };
        places.truncate(2);
        parts.push(format!(
            "{unstable} {} unstable (the same code differed from itself: {}{more})",
            verb(unstable),
            places.join(", ")
        ));
    }
    (!parts.is_empty()).then(|| parts.join(" and "))
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
