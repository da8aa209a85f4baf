//! What passed and what failed in a run, one case each: for the formats that know tests.

use crate::answer::caveats;
use crate::gate_words::{Weight, outcome_word, speeds, weight};
use receipt::judge::coverage;
use receipt::judge::gate::{accepted, title as gate_title, tokens_per_s};
use receipt::titles::{cell_of_a_run, other_rule};
use receipt::{Outcome, Receipt, RowStatus, Status, Verdict, figures};

/// The result of a case: passed, undecided, failed or skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The case is as it must be.
    Passed,
    /// The case is undecided, neither a failure nor a proof; with the reason and the next step.
    Warned(String),
    /// The case is wrong, or slower, with the reason and the next step.
    Failed(String),
    /// The case is not possible here, with the reason.
    Skipped(String),
}

/// One case of a run, as test reports know them.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Suite of the case: `run`, `oracle`, `known answers`, `speed` or `gate`.
    pub suite: &'static str,
    /// Name of the case, unique in its suite.
    pub name: String,
    /// Whether the case passed, and if not, why.
    pub state: State,
    /// What the case says when it passed; empty where nothing is to be said.
    pub detail: String,
}

/// All cases of a receipt, in the order of its parts.
pub fn cases(receipt: &Receipt) -> Vec<Case> {
    let mut all = vec![run(receipt)];
    all.extend(receipt.verify.iter().map(|v| {
        let state = match (&v.reason, &v.first_mismatch) {
            (Some(reason), _) => State::Skipped(reason.clone()),
            (_, Some(why)) if v.row_status() != RowStatus::Wrong || v.cases == 0 => {
                State::Failed(format!("{}: {why}", v.row_status()))
            }
            (_, Some(first)) => State::Failed(format!("{} of {} cases differ: {first}", v.mismatches, v.cases)),
            _ if v.mismatches > 0 => State::Failed(format!("{} of {} cases differ", v.mismatches, v.cases)),
            _ => State::Passed,
        };
        case("oracle", v.id.clone(), state, format!("{} cases, largest error {:e}", v.cases, v.max_abs_error))
    }));
    for kernel in receipt.generation.iter().flat_map(|g| &g.kernels) {
        all.extend(kernel.goldens.iter().enumerate().map(|(i, golden)| {
            let state = if golden.passed {
                State::Passed
            } else {
                State::Failed(format!("ids {:?}, expected {:?}", golden.got, golden.expected))
            };
            let name = format!("{} {} {}", kernel.kernel, i + 1, figures::prompt(&golden.prompt));
            case("known answers", name, state, format!("{} ids compared", golden.compared))
        }));
    }
    for cell in &receipt.micro {
        all.extend(cell.summaries.iter().filter_map(|summary| {
            let verdict = summary.verdict.as_ref()?;
            let name =
                format!("{} {} {}, {} thread(s)", summary.kernel, cell_of_a_run(cell), cell.family, cell.threads);
            Some(speed(name, verdict, "round"))
        }));
    }
    for (g, blocks) in receipt.generation.iter().flat_map(|g| g.blocks.iter().map(move |blocks| (g, blocks))) {
        let rule = other_rule(g);
        all.extend(blocks.summaries.iter().filter_map(|summary| {
            let verdict = summary.verdict.as_ref()?;
            let name =
                format!("{} decoding by blocks of {} tokens, {}{rule}", summary.kernel, blocks.tokens, blocks.family);
            Some(speed(name, verdict, "block"))
        }));
    }
    if let Some(gate) = &receipt.gate {
        all.extend(gate.checks.iter().map(|c| {
            let state = if accepted(gate, c) {
                State::Passed
            } else {
                State::Failed(format!("baseline {}, current {}", c.baseline, c.current))
            };
            case("gate", format!("{} {} {}", c.kernel, c.what, c.subject), state, c.note.clone())
        }));
        all.extend(gate.cells.iter().map(|c| {
            let name = format!("{} time, {} thread(s)", gate_title(c), c.threads);
            let speeds = tokens_per_s(c).map(|_| speeds(c)).map(|[was, is]| format!("{is} against {was}; "));
            let detail = format!("{}{}", speeds.unwrap_or_default(), c.verdict.reason);
            case("gate", name, of_verdict(&c.verdict), detail)
        }));
        all.extend(coverage::by_gravity(gate).into_iter().map(|u| {
            let state = match coverage::outcome(u) {
                Outcome::Unsupported => State::Skipped(coverage::in_words(u)),
                outcome => State::Warned(format!("{}: {}", outcome_word(outcome), coverage::in_words(u))),
            };
            case("gate", u.kernel.clone(), state, String::new())
        }));
        let state = of_outcome(gate.outcome, &gate.reason, &gate.next_step);
        let beside: Vec<String> = std::iter::once(format!("{}.", gate.reason)).chain(caveats(receipt)).collect();
        all.push(case("gate", "outcome".into(), state, beside.join(" ")));
    }
    all
}

fn case(suite: &'static str, name: String, state: State, detail: String) -> Case {
    Case { suite, name, state, detail }
}

fn run(receipt: &Receipt) -> Case {
    let state = match receipt.status {
        Status::Complete => State::Passed,
        Status::Failed => State::Failed(receipt.error.clone().unwrap_or_else(|| "the run failed".into())),
        Status::Interrupted => State::Warned("interrupted: what is here was measured, the rest is absent".into()),
        Status::Running => State::Warned("killed while it ran, or still running".into()),
    };
    case("run", "complete".into(), state, format!("{:.1} s", receipt.elapsed_s))
}

/// A comparison of a run: its question is which is faster, so that slower is an answer and no failure.
fn speed(name: String, verdict: &Verdict, sample: &str) -> Case {
    let direction = verdict.direction();
    let detail = format!("{}: {}", direction.word(), verdict.sentence(sample));
    let state = if direction.is_settled() {
        State::Passed
    } else {
        State::Warned(format!("{detail}; next: {}", verdict.next_step))
    };
    case("speed", name, state, detail)
}

fn of_verdict(verdict: &Verdict) -> State {
    of_outcome(verdict.outcome, &verdict.reason, &verdict.next_step)
}

fn of_outcome(outcome: Outcome, reason: &str, next_step: &str) -> State {
    let both = format!("{reason}; next: {next_step}");
    match weight(outcome) {
        Weight::Good => State::Passed,
        Weight::Bad => State::Failed(both),
        Weight::Open if outcome == Outcome::Unsupported => State::Skipped(both),
        Weight::Open => State::Warned(format!("{}: {both}", outcome_word(outcome))),
    }
}
