//! How to read the page, and what the scenario was made to answer.

use crate::document::Section;
use receipt::{MicroCell, Receipt};

const RULE: &str = "Kernels under comparison take turns within each round, in changing order, so that both sides of \
                    a ratio saw the same machine. A ratio is the median over rounds of partner time / own time \
                    (above 1 is faster); its interval is an exact 99% sign-test interval. Every cell times one \
                    kernel a second time (A/A). A comparison is slower if its interval, at a level shared among all \
                    looks and comparisons of the run, is clear of 1 and its median beyond the smallest difference \
                    that counts: 3%, or twice the noise of the A/A median. It is faster by the same rule with the \
                    two sides exchanged, same if the whole interval lies within that difference, unstable if the \
                    same code differed from itself, and else undecided. One function says so, here, in the terminal, \
                    in Markdown and in measurements.csv.";
const FAMILIES: &str = "W2A32 (f32 activations), W2A8 (int8 activations) and W2gA8 (int8 activations, a scale for each \
                        group of weights) compute different things and share no table. A kernel's own throughput and \
                        tokens/s of whole text share no column.";

/// What sets the families apart, and what shares a scale in this run.
fn families(receipt: &Receipt) -> String {
    let Some(scaling) = receipt.micro.iter().find_map(MicroCell::scaling) else { return FAMILIES.into() };
    format!(
        "{FAMILIES} W2gA8 was timed with {scaling}: another size of groups, or another rule of activations, is \
             another comparison."
    )
}

/// The last section of a run's page: how to read it.
pub fn section(receipt: &Receipt) -> Section {
    let scenario = &receipt.scenario;
    let paragraphs = scenario.analysis.split("\n\n").map(str::trim).filter(|p| !p.is_empty());
    let section = Section::new("method", "How to read it").say(scenario.summary.as_str());
    paragraphs.fold(section, |section, p| section.say(p)).say(RULE).say(families(receipt))
}
