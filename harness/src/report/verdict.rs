//! The sentences at the top, written from the receipt: what was found, and first of all whether the run can carry it.

use super::figures;
use super::gate::outcome_word;
use super::query::{self, Call};
use crate::receipt::{GenerationKernel, MicroCell, MicroSummary, Receipt, Residency, Status};
use serde::Serialize;

/// One statement of the verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Statement {
    /// What it is about.
    pub label: &'static str,
    /// Its figure, large.
    pub figure: String,
    /// The kernel or thing the figure belongs to.
    pub subject: String,
    /// The sentence.
    pub text: String,
    /// Where the evidence is in the page.
    pub anchor: &'static str,
}

/// The first sentence: what kind of run this was and how much of it there is.
pub fn opening(receipt: &Receipt) -> String {
    let measured = measured(receipt);
    match (receipt.status, &receipt.error) {
        (Status::Complete, _) if receipt.gate.is_some() || receipt.calibration.is_some() => {
            let gate = receipt.gate.iter().map(|g| format!("{}: {}.", outcome_word(g.outcome), g.reason));
            let calibration = receipt.calibration.iter().map(super::calibration::sentence);
            gate.chain(calibration).collect::<Vec<_>>().join(" ")
        }
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
    [mismatches(receipt), exact(receipt), ladder(receipt), decode(receipt), noise(receipt)]
        .into_iter()
        .flatten()
        .collect()
}

fn measured(receipt: &Receipt) -> Vec<String> {
    let cells = receipt.micro.iter().filter(|c| !c.rounds.is_empty()).count();
    let rounds: usize = receipt.micro.iter().map(|c| c.rounds.len()).sum();
    let mut out = Vec::new();
    if cells > 0 {
        out.push(format!("{} of {}", count(cells, "kernel comparison"), count(rounds, "paired round")));
    }
    if let Some(s) = &receipt.sparsity {
        out.push(format!("a feed-forward block at {}", count(s.points.len(), "live share")));
    }
    if let Some(g) = &receipt.generation {
        out.push(format!("generation with {}", count(g.kernels.len(), "kernel")));
    }
    if let Some(p) = &receipt.perplexity {
        out.push(format!("perplexity over {} tokens", figures::integer(p.tokens as u64)));
    }
    out
}

fn count(n: usize, what: &str) -> String {
    format!("{} {what}{}", figures::integer(n as u64), if n == 1 { "" } else { "s" })
}

fn mismatches(receipt: &Receipt) -> Option<Statement> {
    let wrong: Vec<&str> = receipt.verify.iter().filter(|v| v.mismatches > 0).map(|v| v.id.as_str()).collect();
    (!wrong.is_empty()).then(|| Statement {
        label: "Wrong results",
        figure: wrong.len().to_string(),
        subject: wrong.join(", "),
        text: "These kernels disagree with the oracle. No time of theirs counts.".into(),
        anchor: "verify",
    })
}

fn exact(receipt: &Receipt) -> Option<Statement> {
    let is_exact = |s: &MicroSummary| receipt.kernels.iter().any(|k| k.id == s.kernel && k.exact);
    statement(receipt, query::EXACT, "Fastest exact kernel", "stages-W2A8", is_exact)
}

fn ladder(receipt: &Receipt) -> Option<Statement> {
    statement(receipt, query::LADDER, "Fastest ladder stage", "stages-W2A32", |_| true)
}

/// The fastest kernel that passes `keep`, in cache and from memory, for gemv if that was measured.
fn statement(
    receipt: &Receipt,
    family: &str,
    label: &'static str,
    anchor: &'static str,
    keep: impl Fn(&MicroSummary) -> bool,
) -> Option<Statement> {
    let op = query::headlines(receipt, family).first()?.op.clone();
    let best: Vec<(&MicroCell, &MicroSummary)> = [Residency::Cache, Residency::Dram]
        .into_iter()
        .filter_map(|r| query::headline(receipt, family, &op, r).filter(|c| !c.rounds.is_empty()))
        .filter_map(|c| Some((c, query::fastest_of(c, &keep)?)))
        .collect();
    let (first_cell, first) = best.first()?;
    let text: Vec<String> = best.iter().map(|(cell, s)| sentence(cell, s)).collect();
    let noise = first_cell.noise_floor;
    Some(Statement {
        label,
        figure: first.vs_baseline.as_ref().map_or_else(
            || "1×".into(),
            |r| match query::call(r, noise) {
                Call::Faster | Call::Slower => figures::ratio(r.median),
                Call::WithinNoise => format!("~{}", figures::ratio(r.median)),
                Call::TooFewRounds => format!("{} ?", figures::ratio(r.median)),
            },
        ),
        subject: first.kernel.clone(),
        text: text.join(" "),
        anchor,
    })
}

fn sentence(cell: &MicroCell, s: &MicroSummary) -> String {
    let title = query::cell_title(cell);
    let Some(r) = &s.vs_baseline else {
        return format!("For {title}, {} is the fastest and is itself the partner of all ratios.", s.kernel);
    };
    let figure = figures::ratio_with_interval(r);
    match query::call(r, cell.noise_floor) {
        Call::Faster | Call::Slower => format!("For {title}: {} runs {figure} as fast as {}.", s.kernel, r.partner),
        Call::WithinNoise => format!(
            "For {title}: {} is nominally ahead of {} ({figure}), but that is within the noise of {}.",
            s.kernel,
            r.partner,
            figures::percent(cell.noise_floor)
        ),
        Call::TooFewRounds => format!(
            "For {title}: {} measured {} against {}, on too few rounds ({}) to be sure.",
            s.kernel,
            figures::ratio(r.median),
            r.partner,
            cell.rounds.len()
        ),
    }
}

fn decode(receipt: &Receipt) -> Option<Statement> {
    let generation = receipt.generation.as_ref()?;
    let fastest = |family: &str| -> Option<&GenerationKernel> {
        let own = generation
            .kernels
            .iter()
            .filter(|k| k.family == family && k.decode_tokens_per_s > 0.0 && k.sparse_ffn.is_none());
        own.max_by(|a, b| a.decode_tokens_per_s.total_cmp(&b.decode_tokens_per_s))
    };
    // The int8 family leads because the model is defined with it; the ladder stands in when only it ran.
    let order = [query::EXACT, query::LADDER];
    let best: Vec<(&str, &GenerationKernel)> = order.iter().filter_map(|f| Some((*f, fastest(f)?))).collect();
    let (_, first) = best.first()?;
    let model = receipt.model.as_ref().map_or("the model", |m| m.name.as_str());
    let text: Vec<String> = best
        .iter()
        .map(|(family, k)| {
            format!("{family}: {} decodes {} tokens/s.", k.kernel, figures::number(k.decode_tokens_per_s))
        })
        .collect();
    Some(Statement {
        label: "Decode, end to end",
        figure: format!("{} tok/s", figures::number(first.decode_tokens_per_s)),
        subject: first.kernel.clone(),
        text: format!("{} Model {model}, {}.", text.join(" "), count(generation.threads, "thread")),
        anchor: "generation",
    })
}

fn noise(receipt: &Receipt) -> Option<Statement> {
    let Some((low, high)) = query::noise_range(receipt) else {
        return receipt.micro.iter().any(|c| !c.rounds.is_empty()).then(|| Statement {
            label: "Was the machine quiet?",
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
        label: "Was the machine quiet?",
        figure: format!("±{}", figures::percent(high)),
        subject: match (unstable, high <= query::QUIET) {
            (0, true) => "quiet",
            (0, false) => "noisy",
            _ => "unstable",
        }
        .into(),
        text,
        anchor: "method",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_complete_run_names_its_winners() {
        let s = statements(&fixture::complete());
        let labels: Vec<&str> = s.iter().map(|s| s.label).collect();
        assert_eq!(
            labels,
            ["Fastest exact kernel", "Fastest ladder stage", "Decode, end to end", "Was the machine quiet?"]
        );
        assert_eq!(s[0].subject, "avx2-i8");
        assert!(s[0].text.contains("in cache") && s[0].text.contains("from DRAM"), "{}", s[0].text);
        assert_eq!(s[1].subject, "avx2-permute");
    }

    #[test]
    fn a_run_that_stopped_says_so_first() {
        let text = opening(&fixture::interrupted());
        assert!(
            text.starts_with("This run was interrupted. What is shown was measured (1 kernel comparison"),
            "{text}"
        );
        assert!(statements(&fixture::interrupted())[0].text.contains("too few rounds (4)"));
        assert!(opening(&fixture::empty()).ends_with("Nothing had been timed when it stopped."));
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
