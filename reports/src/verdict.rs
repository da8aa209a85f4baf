//! The sentences at the top, written from the receipt: what was found, and first of all whether the run can carry it.

mod doubt;
mod speed;
mod statement;

use crate::gate_words::outcome_word;
use crate::words::count;
use receipt::figures;
use receipt::judge::{builds, disturbance};
use receipt::{Receipt, Status};
pub use speed::leads_in_text;
pub use statement::Statement;

/// What a report says first: the answer, or why there is none.
pub fn answer(receipt: &Receipt) -> String {
    if !answers(receipt) {
        return opening(receipt);
    }
    let wrong = receipt.verify.iter().filter(|v| v.mismatches > 0).count();
    let wrong = (wrong > 0).then(|| {
        let verb = if wrong == 1 { "disagrees with the oracle and was" } else { "disagree with the oracle and were" };
        format!("{} {verb} not timed.", count(wrong, "kernel"))
    });
    let first = doubt::scalar_sentence(receipt).or_else(|| speed::first_sentence(receipt));
    let first = first.unwrap_or_else(|| opening(receipt));
    wrong.into_iter().chain([first]).collect::<Vec<_>>().join(" ")
}

/// What belongs right behind the answer, in sentences: what of the run decides nothing, and what could not run here; of
/// a gate, what besides the code may make its builds differ; and what disturbed the run.
pub fn caveats(receipt: &Receipt) -> Vec<String> {
    let mut out = if answers(receipt) { doubt::caveats(receipt) } else { Vec::new() };
    out.extend(receipt.gate.as_ref().and_then(builds::beside).map(|text| format!("{text}.")));
    out.extend(disturbance::in_words(receipt));
    out
}

/// Whole text, where the answer is about a product.
pub fn whole_text(receipt: &Receipt) -> Option<String> {
    let sentence = speed::decode_sentence(receipt).filter(|_| answers(receipt))?;
    (!answer(receipt).contains(&sentence)).then_some(sentence)
}

/// Whether the first sentence is about speed: the run came to its end and judges no other build.
fn answers(receipt: &Receipt) -> bool {
    receipt.status == Status::Complete && receipt.gate.is_none()
}

/// What kind of run this was and how much of it there is.
pub fn opening(receipt: &Receipt) -> String {
    let complete = receipt.status == Status::Complete;
    if let Some(gate) = receipt.gate.as_ref().filter(|_| complete) {
        return format!("{}: {}.", outcome_word(gate.outcome), gate.reason);
    }
    let measured = measured(receipt);
    match (receipt.status, &receipt.error) {
        (Status::Complete, _) if measured.is_empty() => {
            "The run is complete but timed nothing: there is no speed to report.".into()
        }
        (Status::Complete, _) => format!("A complete run: {}.", measured.join(", ")),
        (status, error) => {
            let why = match (status, error) {
                (Status::Failed, Some(e)) => format!("This run failed: {}. ", e.trim_end_matches('.')),
                (Status::Failed, None) => "This run failed. ".into(),
                (Status::Running, _) => "This run never said that it ended; it was probably killed. ".into(),
                _ => "This run was interrupted. ".into(),
            };
            let rest = if measured.is_empty() {
                "Nothing had been timed when it stopped.".into()
            } else {
                format!("What is shown was measured ({}); the rest is absent.", measured.join(", "))
            };
            why + &rest
        }
    }
}

/// The statements, those first that a reader came for.
pub fn statements(receipt: &Receipt) -> Vec<Statement> {
    let all = [
        doubt::mismatches(receipt),
        speed::exact(receipt),
        speed::ladder(receipt),
        doubt::regressions(receipt),
        speed::decode(receipt),
        doubt::noise(receipt),
    ];
    all.into_iter().flatten().collect()
}

fn measured(receipt: &Receipt) -> Vec<String> {
    let cells = receipt.micro.iter().filter(|c| !c.rounds.is_empty()).count();
    let rounds: usize = receipt.micro.iter().map(|c| c.rounds.len()).sum();
    let mut out = Vec::new();
    if cells > 0 {
        out.push(format!("{} of {}", count(cells, "cell"), count(rounds, "round")));
    }
    let gated = receipt.gate.iter().flat_map(|g| &g.cells).filter(|c| !c.pairs.is_empty()).count();
    if gated > 0 {
        out.push(format!("{} of a gate", count(gated, "comparison")));
    }
    if let Some(g) = &receipt.generation {
        out.push(format!("generation with {}", count(g.kernels.len(), "kernel")));
    }
    if let Some(p) = &receipt.perplexity {
        out.push(format!("perplexity over {} tokens", figures::integer(p.tokens as u64)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_complete_run_names_its_winners() {
        let s = statements(&fixture::complete());
        let labels: Vec<&str> = s.iter().map(|s| s.label).collect();
        assert_eq!(
            labels,
            [
                "Fastest exact kernel",
                "Fastest ladder stage",
                "Slower than the kernel it builds on",
                "Whole text, decoding",
                "Smallest difference that counts"
            ]
        );
        assert_eq!(s[0].subject, "avx2-i8");
        assert!(s[0].text.contains("from LLC") && s[0].text.contains("from DRAM"), "{}", s[0].text);
        assert_eq!(s[1].subject, "avx2-permute");
    }

    #[test]
    fn a_run_that_stopped_says_so_first() {
        let text = opening(&fixture::interrupted());
        assert!(text.starts_with("This run was interrupted. What is shown was measured (1 cell of 4 rounds"), "{text}");
        assert!(statements(&fixture::interrupted())[0].text.contains("undecided"));
        assert!(opening(&fixture::empty()).ends_with("Nothing had been timed when it stopped."));
        let mut gate = fixture::regression();
        gate.status = Status::Interrupted;
        assert!(opening(&gate).contains("What is shown was measured (3 comparisons of a gate)"), "{}", opening(&gate));
        let mut failed = fixture::empty();
        (failed.status, failed.error) = (Status::Failed, Some("disk full.".into()));
        assert!(opening(&failed).starts_with("This run failed: disk full. Nothing"));
    }

    #[test]
    fn a_wrong_kernel_comes_before_any_speed() {
        let mut receipt = fixture::complete();
        receipt.verify[3].mismatches = 2;
        assert_eq!(statements(&receipt)[0].label, "Wrong results");
    }
}
