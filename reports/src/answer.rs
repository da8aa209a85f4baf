//! The first sentences of page, terminal, Markdown and exports: who is fastest, what a gate decided, or what went
//! wrong; and what a reader must know right behind it.

use crate::gate_words::outcome_word;
use crate::lead::Lead;
use crate::query;
use crate::words::count;
use receipt::judge::{Direction, Tally, builds, disturbance, engines, rows, rules};
use receipt::{Family, GenerationKernel, MicroCell, Ratio, Receipt, RowStatus, Status, figures};

/// What a kernel of each family is called in a sentence; the int8 family first, because the model is defined with it.
const FAMILIES: [(Family, &str); 3] =
    [(query::EXACT, "exact kernel"), (query::GROUPED, "group-scale kernel"), (query::LADDER, "ladder stage")];

/// The answer in one sentence: of a gate its verdict, of a run that did not end what happened, else who is fastest.
pub fn answer(receipt: &Receipt) -> String {
    if !answers(receipt) {
        return opening(receipt);
    }
    let wrong = receipt.verify.iter().filter(|v| v.row_status() == RowStatus::Wrong).count();
    let wrong = (wrong > 0).then(|| {
        let verb = if wrong == 1 { "disagrees with the oracle and was" } else { "disagree with the oracle and were" };
        format!("{} {verb} not timed.", count(wrong, "kernel"))
    });
    let others = others_without_time(receipt);
    let rules = || receipt.activation_rules.as_ref().and_then(rules::sentence);
    let engines = || receipt.engines.as_ref().and_then(engines::headline);
    let first = scalar_sentence(receipt).or_else(|| fastest(receipt)).or_else(rules).or_else(engines);
    let first = first.unwrap_or_else(|| opening(receipt));
    wrong.into_iter().chain(others).chain([first]).collect::<Vec<_>>().join(" ")
}

/// Who else has no time, with the status; those that are wrong in the suite have a sentence of their own.
fn others_without_time(receipt: &Receipt) -> Option<String> {
    let mut named: Vec<String> = Vec::new();
    for row in rows::without_time(receipt) {
        let name = format!("{} ({})", row.kernel, row.status);
        // What cannot multiply a model's weights is no fault, and has its own rows below.
        let told = row.is_wrong_in_the_suite() || row.status == RowStatus::Unsupported;
        if !told && !named.contains(&name) {
            named.push(name);
        }
    }
    let verb = if named.len() == 1 { "has" } else { "have" };
    (!named.is_empty()).then(|| format!("{} {verb} rows without a time.", named.join(", ")))
}

/// The lead that answers best: the int8 family's or the ladder's, where most is settled, memory first.
fn fastest(receipt: &Receipt) -> Option<String> {
    let all: Vec<(&str, Lead<'_>)> =
        FAMILIES.into_iter().flat_map(|(f, what)| Lead::all(receipt, f).into_iter().map(move |l| (what, l))).collect();
    let first = |keep: &dyn Fn(&Lead<'_>) -> bool| all.iter().find(|(_, lead)| keep(lead));
    let settled = first(&|l| l.is_faster() && l.is_settled()).or_else(|| first(&|l| l.is_faster()));
    settled
        .map(|(what, lead)| lead.sentence(what))
        .or_else(|| decode_sentence(receipt))
        .or_else(|| first(&|l| l.best.vs_baseline.is_none()).map(|(what, lead)| lead.sentence(what)))
        .or_else(|| nothing_settled(receipt))
}

/// Where no comparison of interest is settled, what is known all the same: that the kernels are right.
fn nothing_settled(receipt: &Receipt) -> Option<String> {
    let timed: Vec<&MicroCell> = receipt.micro.iter().filter(|c| !c.rounds.is_empty()).collect();
    timed.first()?;
    let right = receipt.verify.iter().filter(|v| v.available && v.mismatches == 0).count();
    let rounds: usize = timed.iter().map(|c| c.rounds.len()).sum();
    let why = match query::tally(receipt).count(Direction::Unstable) {
        0 => "the rounds are too few",
        _ => "the same code differs from itself too much on this machine now",
    };
    let (right, rounds) = (count(right, "kernel"), count(rounds, "round"));
    Some(format!("{right} equal the oracle; which is faster was measured in {rounds} and not settled, because {why}."))
}

/// What belongs right behind the answer, in sentences: the GPU, if there is one; what of the run decides nothing, and
/// what could not run here; of a gate, what besides the code may make its builds differ; and what disturbed the run.
pub fn caveats(receipt: &Receipt) -> Vec<String> {
    let mut out = Vec::new();
    if receipt.device.is_some() {
        out.push(format!("On {}: all times are this device's.", receipt.measured_on()));
    }
    if answers(receipt) {
        let tally = query::tally(receipt);
        if let Some(open) = open(receipt, &tally) {
            out.push(format!("{} of {} are settled; {open}.", tally.settled(), count(tally.total(), "comparison")));
        }
        let absent = receipt.kernels.iter().filter(|k| !k.available).count();
        if absent > 0 && !scalar_only(receipt) {
            out.push(format!("{absent} of {} could not run here.", count(receipt.kernels.len(), "kernel")));
        }
    }
    out.extend(receipt.gate.as_ref().and_then(builds::beside).map(|text| format!("{text}.")));
    out.extend(disturbance::in_words(receipt));
    out
}

/// What is not settled, each with its reason.
fn open(receipt: &Receipt, tally: &Tally) -> Option<String> {
    let (undecided, unstable) = (tally.count(Direction::Undecided), tally.count(Direction::Unstable));
    let verb = |n: usize| if n == 1 { "is" } else { "are" };
    let mut parts = Vec::new();
    if undecided > 0 {
        let open = query::comparisons(receipt).filter(|(.., v)| v.direction() == Direction::Undecided);
        let why = match open.map(|(.., v)| v).all(|v| v.alarm_high.is_none()) {
            true => "the rounds are too few",
            false => "the interval reaches across the smallest difference that counts",
        };
        parts.push(format!("{undecided} {} undecided ({why})", verb(undecided)));
    }
    if unstable > 0 {
        let cells = receipt.micro.iter().filter(|c| query::unstable(c));
        let mut places: Vec<String> = cells.map(|c| format!("{} {}", c.op, query::shape(c))).collect();
        places.dedup();
        let more = if places.len() > 2 { format!(" and {} more cells", places.len() - 2) } else { String::new() };
        places.truncate(2);
        let (verb, places) = (verb(unstable), places.join(", "));
        parts.push(format!("{unstable} {verb} unstable (the same code differed from itself: {places}{more})"));
    }
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// Whether vector kernels exist and none of them could run.
fn scalar_only(receipt: &Receipt) -> bool {
    let vector = || receipt.kernels.iter().filter(|k| k.isa != "scalar");
    vector().next().is_some() && vector().all(|k| !k.available)
}

/// The first sentence of a run that could only run plain Rust.
fn scalar_sentence(receipt: &Receipt) -> Option<String> {
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
    let all = count(receipt.kernels.len(), "kernel");
    Some(format!(
        "Only scalar kernels could run here: {why}, so {absent} of {all} are absent and no speed-up was measured."
    ))
}

/// The kernel that leads in whole text: the int8 family's fastest, else the ladder's, if surely faster than the first.
pub fn leads_in_text(receipt: &Receipt) -> Option<(&GenerationKernel, &Ratio)> {
    FAMILIES.into_iter().find_map(|(family, _)| {
        // An entry with sparsity counts by its own ratio only.
        let own = receipt.generation.iter().flat_map(|g| &g.kernels);
        let own = own.filter(|k| k.family == family && k.decode_tokens_per_s > 0.0 && k.sparse_ffn.is_none());
        let kernel = own.max_by(|a, b| a.decode_tokens_per_s.total_cmp(&b.decode_tokens_per_s))?;
        let ratio = kernel.decode_vs_baseline.as_ref()?;
        (ratio.direction() == Direction::Faster).then_some((kernel, ratio))
    })
}

/// Whole text, by the ratio: tokens/s are of one model on one machine.
fn decode_sentence(receipt: &Receipt) -> Option<String> {
    let (kernel, ratio) = leads_in_text(receipt)?;
    let figure = figures::ratio_with_interval(ratio);
    Some(format!("In whole text {} decodes {figure} as fast as {}.", kernel.kernel, ratio.partner))
}

/// The sentence about whole text that follows an answer about a product.
pub fn whole_text(receipt: &Receipt) -> Option<String> {
    let sentence = decode_sentence(receipt).filter(|_| answers(receipt))?;
    (!answer(receipt).contains(&sentence)).then_some(sentence)
}

/// Whether the first sentence is about speed: the run came to its end and judges no other build.
fn answers(receipt: &Receipt) -> bool {
    receipt.status == Status::Complete && receipt.gate.is_none()
}

/// A sentence on how the run ended and how much it measured; of a gate its outcome and reason.
pub fn opening(receipt: &Receipt) -> String {
    let complete = receipt.status == Status::Complete;
    if let Some(gate) = receipt.gate.as_ref().filter(|_| complete) {
        return format!("{}: {}.", outcome_word(gate.outcome), gate.reason);
    }
    let measured = measured(receipt);
    let why = match (receipt.status, &receipt.error) {
        (Status::Complete, _) if measured.is_empty() => {
            return "The run is complete but timed nothing: there is no speed to report.".into();
        }
        (Status::Complete, _) => return format!("A complete run: {}.", measured.join(", ")),
        (Status::Failed, Some(e)) => format!("This run failed: {}.", e.trim_end_matches('.')),
        (Status::Failed, None) => "This run failed.".into(),
        (Status::Running, _) => "This run never said that it ended; it was probably killed.".into(),
        _ => "This run was interrupted.".into(),
    };
    if measured.is_empty() {
        return format!("{why} Nothing had been timed when it stopped.");
    }
    format!("{why} What is shown was measured ({}); the rest is absent.", measured.join(", "))
}

fn measured(receipt: &Receipt) -> Vec<String> {
    let cells = receipt.micro.iter().filter(|c| !c.rounds.is_empty()).count();
    let rounds: usize = receipt.micro.iter().map(|c| c.rounds.len()).sum();
    let gated = receipt.gate.iter().flat_map(|g| &g.cells).filter(|c| !c.pairs.is_empty()).count();
    let generated = receipt.generation.as_ref().map(|g| count(g.kernels.len(), "kernel"));
    let scored = receipt.perplexity.as_ref().map(|p| figures::integer(p.tokens as u64));
    let rules = receipt.activation_rules.as_ref();
    let rules = rules.map(|r| (count(r.rules.len(), "rule"), figures::integer(r.tokens as u64)));
    let engines = receipt.engines.as_ref().map(|e| count(e.engines.len(), "engine"));
    let parts = [
        (cells > 0).then(|| format!("{} of {}", count(cells, "cell"), count(rounds, "round"))),
        (gated > 0).then(|| format!("{} of a gate", count(gated, "comparison"))),
        generated.map(|kernels| format!("generation with {kernels}")),
        scored.map(|tokens| format!("perplexity over {tokens} tokens")),
        rules.map(|(rules, tokens)| format!("{rules} of activations over {tokens} tokens")),
        engines,
    ];
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_run_that_stopped_says_so_first() {
        let text = opening(&fixture::interrupted());
        assert!(text.starts_with("This run was interrupted. What is shown was measured ("), "{text}");
        assert!(opening(&fixture::empty()).ends_with("Nothing had been timed when it stopped."));
        let mut gate = fixture::regression();
        gate.status = Status::Interrupted;
        assert!(opening(&gate).contains(" of a gate)"), "{}", opening(&gate));
        let mut failed = fixture::empty();
        (failed.status, failed.error) = (Status::Failed, Some("disk full.".into()));
        assert!(opening(&failed).starts_with("This run failed: disk full. Nothing"));
    }

    #[test]
    fn a_wrong_kernel_comes_before_any_speed() {
        let mut receipt = fixture::complete();
        receipt.verify[3].mismatches = 2;
        assert!(answer(&receipt).starts_with("1 kernel disagrees with the oracle and was not timed. "));
        receipt.verify[3].status = RowStatus::Hung;
        let id = receipt.verify[3].id.clone();
        assert!(answer(&receipt).starts_with(&format!("{id} (hung) has rows without a time. ")));
    }
}
