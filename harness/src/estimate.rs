//! How long a run will take, said before it starts: roughly, because how fast this machine is is not known.

use crate::operation;
use crate::scenario::{Cell, Scenario};
use receipt::{Family, KernelRecord};

/// Rounds after which most cells end, and the share of cells that go on to the last one.
const USUAL_ROUNDS: usize = 100;
const SHARE_OF_LONG_CELLS: f64 = 2.0 / 3.0;
/// Seconds of what does not depend on the matrix: the oracle's cases and the limits; for each kernel its count.
const LIMITS_S: f64 = 1.5;
const A_KERNEL_S: f64 = 0.5;
/// Seconds to make a cell ready, for each weight: random codes, all packings and copies, and the oracle.
const READY_S: f64 = 4e-8;
/// Seconds of a token beside its products.
const TOKEN_S: f64 = 6e-5;
/// Seconds of rules of activations: a small model's text ends sooner than a large one's minute.
const RULES_S: (f64, f64) = (15.0, 120.0);
/// Batches of tokens go faster than one at a time.
const BATCH: f64 = 0.6;
/// How much longer it takes while something else runs.
const BUSY: f64 = 1.3;

/// How long a run will take, in one line: `about 60 to 90 s: 14 cells of up to 200 rounds, generation with 14 kernels`.
/// The scenario has its flags applied, `cells` are its cells here, and `model_weights` is 0 without a model.
pub fn in_words(scenario: &Scenario, cells: &[Cell], kernels: &[&KernelRecord], model_weights: u64) -> String {
    let (low, high) = seconds(scenario, cells, kernels, model_weights);
    let mut parts = Vec::new();
    if let Some(micro) = scenario.micro.as_ref().filter(|_| !cells.is_empty()) {
        let measured = cells.iter().map(|cell| families(*cell, kernels).count()).sum::<usize>();
        let measured = if measured == 1 { "1 cell".into() } else { format!("{measured} cells") };
        parts.push(format!("{measured} of up to {} rounds", micro.rounds));
    }
    if scenario.generate.is_some() {
        parts.push(format!("generation with {} kernels", kernels.len()));
    }
    if scenario.perplexity.is_some() {
        parts.push("perplexity".into());
    }
    if !scenario.rules.is_empty() {
        parts.push(format!("{} rules of activations", scenario.rules.len()));
    }
    let parts = if parts.is_empty() { "checks only".into() } else { parts.join(", ") };
    format!("{}: {parts}", range(low, high))
}

fn range(low: f64, high: f64) -> String {
    // Minutes from five of them on: more digits would promise what is not known.
    let (unit, scale, step) = match high {
        high if high >= 300.0 => ("min", 60.0, 1.0),
        high if high >= 30.0 => ("s", 1.0, 10.0),
        _ => ("s", 1.0, 1.0),
    };
    let rounded = |seconds: f64| (seconds / scale / step).ceil().max(1.0) * step;
    match (rounded(low), rounded(high)) {
        (low, high) if low < high => format!("about {low} to {high} {unit}"),
        (_, high) => format!("about {high} {unit}"),
    }
}

/// If every cell ends early, and if some go on to the end while something else runs.
fn seconds(scenario: &Scenario, cells: &[Cell], kernels: &[&KernelRecord], model_weights: u64) -> (f64, f64) {
    let (mut ready, mut round, mut rounds) = (0.0, 0.0, (0.0, 0.0));
    if let Some(micro) = &scenario.micro {
        let epoch_s = f64::from(micro.epoch_us) * 1e-6;
        for &cell in cells {
            for kernels in families(cell, kernels) {
                ready += 0.1 + READY_S * (cell.shape.m * cell.shape.k) as f64;
                round += round_s(cell, &kernels, epoch_s);
            }
        }
        ready += LIMITS_S + A_KERNEL_S * kernels.len() as f64;
        let usual = micro.rounds.min(USUAL_ROUNDS) as f64;
        rounds = (usual, usual + SHARE_OF_LONG_CELLS * (micro.rounds as f64 - usual));
    }
    let fixed = ready + tokens_s(scenario, kernels, model_weights);
    let (rules_low, rules_high) = if scenario.rules.is_empty() { (0.0, 0.0) } else { RULES_S };
    (fixed + rules_low + rounds.0 * round, BUSY * (fixed + rules_high + rounds.1 * round))
}

/// The kernels of each family that a cell measures.
fn families<'k>(cell: Cell, kernels: &[&'k KernelRecord]) -> impl Iterator<Item = Vec<&'k KernelRecord>> {
    let op = operation::recorded(cell.op);
    let with: Vec<&KernelRecord> = kernels.iter().filter(|k| k.ops.contains(&op)).copied().collect();
    Family::ALL.into_iter().filter_map(move |family| {
        let in_cell = |k: &&&KernelRecord| k.family == family && cell.is_for(operation::family_of_kernels(family));
        let kernels: Vec<&KernelRecord> = with.iter().filter(in_cell).copied().collect();
        (!kernels.is_empty()).then_some(kernels)
    })
}

/// One turn of every entry: as many calls each as make their geometric mean an epoch, so that slow kernels take longer.
fn round_s(cell: Cell, kernels: &[&KernelRecord], epoch_s: f64) -> f64 {
    let weights = (cell.shape.m * cell.shape.k * cell.tokens) as f64;
    let calls: Vec<f64> = kernels.iter().map(|kernel| weights / rate(kernel)).collect();
    let mean = (calls.iter().map(|s| s.ln()).sum::<f64>() / calls.len() as f64).exp();
    let a_call = calls.iter().sum::<f64>() + calls.last().copied().unwrap_or(0.0);
    (epoch_s / mean).round().max(1.0) * a_call
}

/// Weights a second of one thread, by order of magnitude.
fn rate(kernel: &KernelRecord) -> f64 {
    match (kernel.isa.as_str(), kernel.family) {
        ("scalar", Family::W2A32) => 2e9,
        ("scalar", Family::W2A8 | Family::W2gA8) => 3.4e9,
        (_, Family::W2A32) => 5e9,
        (_, Family::W2A8 | Family::W2gA8) => 5e10,
    }
}

/// Seconds of generation and perplexity with every kernel.
fn tokens_s(scenario: &Scenario, kernels: &[&KernelRecord], model_weights: u64) -> f64 {
    let token_s = |kernel: &KernelRecord| model_weights as f64 / rate(kernel) + TOKEN_S;
    let generate = scenario.generate.as_ref().map_or(0.0, |generate| {
        // About four letters a token. Each round is generated whole, and again in turns.
        let tokens = (generate.prompt.len() / 4 + generate.max_tokens) as f64;
        let texts = 2.0 * generate.rounds as f64;
        let text_s = |kernel: &KernelRecord| (tokens * token_s(kernel)).min(generate.timeout_s.unwrap_or(f64::MAX));
        kernels.iter().map(|kernel| texts * text_s(kernel)).sum()
    });
    let perplexity = scenario.perplexity.as_ref().map_or(0.0, |perplexity| {
        let tokens = (perplexity.windows * perplexity.window) as f64;
        kernels.iter().map(|kernel| BATCH * tokens * token_s(kernel)).sum()
    });
    generate + perplexity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::MachineArgs;
    use crate::runs::kernel_records;
    use crate::scenario::L2;

    fn line(change: impl Fn(&mut Scenario)) -> ((f64, f64), String) {
        let mut scenario = Scenario::load("quick").expect("built in");
        change(&mut scenario);
        let records = kernel_records(&MachineArgs::for_child(1, None).check(1).expect("a machine"));
        let kernels: Vec<&KernelRecord> = records.iter().filter(|record| record.available).collect();
        let cells = scenario.cells(Some(L2 { bytes: 2 << 20, threads: 1 }));
        let weights = 6_700_000;
        (seconds(&scenario, &cells, &kernels, weights), in_words(&scenario, &cells, &kernels, weights))
    }

    #[test]
    fn a_smaller_matrix_takes_less_time() {
        let (whole, words) = line(|_| {});
        let (quick, _) = line(Scenario::make_quick);
        assert!(0.0 < quick.0 && quick.0 < whole.0 && quick.1 < whole.1 && whole.0 < whole.1, "{quick:?} {whole:?}");
        let rounds = " cells of up to 200 rounds, generation with ";
        assert!(words.starts_with("about ") && words.contains(rounds), "{words}");
        let (short, words) = line(|s| (s.generate, s.perplexity) = (None, None));
        assert!(short.1 < whole.1 && !words.contains("generation"), "{words}");
        let (few, _) = line(|s| s.micro.iter_mut().for_each(|m| m.rounds = 10));
        assert!(few.0 < whole.0, "{few:?}");
    }

    #[test]
    fn figures_are_as_rough_as_they_are_known() {
        let ranges = [(3.2, 7.1), (52.0, 87.0), (81.0, 85.0), (130.0, 900.0), (0.0, 0.0)].map(|(a, b)| range(a, b));
        let words = ["about 4 to 8 s", "about 60 to 90 s", "about 90 s", "about 3 to 15 min", "about 1 s"];
        assert_eq!(ranges, words);
    }
}
