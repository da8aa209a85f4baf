//! What a gate times: the scenario's matrices, and what users feel, decoding and prefill of a whole model.

use super::gaps;
use super::sides::Asked;
use crate::error::Result;
use crate::load_model;
use crate::machine::Machine;
use crate::operation;
use crate::registered;
use crate::scenario::Scenario;
use crate::worker::protocol::{JobCell, JobText, Offer};
use kernels::Needs;
use receipt::judge::gate::verdict;
use receipt::{Family, Gap, GateCell, LeftOut, Operation, Residency, Rule};

/// The model that is decoded by default: it is in the program.
const BUILTIN: &str = "builtin";
/// The model of `--full`: as large as those that users run.
const LARGE: &str = "synth:2b-4t";
/// Tokens of the longest block and of the prompt. 32 tokens are four of the widest tiles of tokens that a kernel has,
/// and take about as long as an epoch of a matrix. Of the large model every token takes 50 to 2,000 ms, so there are
/// fewer.
const BUILTIN_TOKENS: (usize, usize) = (16, 32);
const LARGE_TOKENS: (usize, usize) = (4, 16);

/// The scenario's cells for each family. Cells of one matrix are neighbours, and of those the cells of one kernel: a
/// worker holds one matrix, in one kernel's packing, at a time.
pub fn products(scenario: &Scenario, machine: &Machine, kernels: &[Offer]) -> Vec<JobCell> {
    let l2 = machine.l2();
    let mut cells: Vec<JobCell> = Vec::new();
    for family in Family::ALL {
        let from = cells.len();
        for cell in scenario.cells(l2).into_iter().filter(|cell| cell.is_for(operation::family_of_kernels(family))) {
            let of_family = JobCell::of_product(cell, family);
            let has = |k: &&Offer| {
                let by_rule = of_family.activations.is_none_or(|rule| k.rules.contains(&rule));
                k.family == Some(family) && k.ops.contains(&of_family.op) && by_rule
            };
            cells.extend(
                kernels.iter().filter(has).map(|kernel| JobCell { kernel: kernel.id.clone(), ..of_family.clone() }),
            );
        }
        let matrices = cells[from..].to_vec();
        let matrix_of = |cell: &JobCell| matrices.iter().position(|first| first.shares_operands(cell));
        let kernel_of = |cell: &JobCell| kernels.iter().position(|kernel| kernel.id == cell.kernel);
        // Stable: places keep the scenario's order.
        cells[from..].sort_by_key(|cell| (matrix_of(cell), kernel_of(cell)));
    }
    cells
}

/// Whether this kernel takes what a gate's models are: matrices with one f32 scale. One that this build does not know
/// is asked itself.
pub fn speaks(kernel: &Offer) -> bool {
    registered::find(&kernel.id).is_none_or(|descriptor| descriptor.can_run(Needs::TERNARY).is_ok())
}

/// Cells that time decoding and prefill of the built-in model with these kernels, as far as they speak.
pub fn texts(kernels: &[Offer]) -> Vec<JobCell> {
    let (block, prompt) = BUILTIN_TOKENS;
    let model = JobText { model: BUILTIN.into(), name: BUILTIN.into(), block };
    let speakers = kernels.iter().filter(|kernel| speaks(kernel));
    speakers.flat_map(|kernel| of_model(kernel, &model, prompt, Residency::Llc)).collect()
}

/// The same of the large model, with the exact kernels and the last stage of the f32 ladder: the stages before it take
/// seconds a token, and what is slow about them shows in the built-in model.
fn large_texts(kernels: &[Offer]) -> Result<Vec<JobCell>> {
    // Written here, where the user sees its size announced, and only read by the workers.
    let path = load_model::open(LARGE)?.path().display().to_string();
    let (block, prompt) = LARGE_TOKENS;
    let model = JobText { model: path, name: LARGE.into(), block };
    let last = kernels.iter().rfind(|k| !k.exact).map(|k| k.id.clone());
    let chosen = kernels.iter().filter(|k| speaks(k) && (k.exact || Some(&k.id) == last.as_ref()));
    Ok(chosen.flat_map(|kernel| of_model(kernel, &model, prompt, Residency::Dram)).collect())
}

/// Prefill only of a kernel with a gemm: another takes a prompt token by token, which is decoding without the head.
fn of_model(kernel: &Offer, model: &JobText, prompt: usize, residency: Residency) -> Vec<JobCell> {
    let Some(family) = kernel.family else { return Vec::new() };
    let cell = |op, tokens: usize| {
        let (kernel, text) = (kernel.id.clone(), Some(model.clone()));
        let (weight_group, activations) = (None, None);
        JobCell { op, m: 0, k: 0, tokens, residency, family, kernel, weight_group, activations, text }
    };
    let prefill = kernel.ops.contains(&Operation::Gemm).then(|| cell(Operation::Prefill, prompt));
    [cell(Operation::Decode, 1)].into_iter().chain(prefill).collect()
}

/// All cells that this gate times, and what it has to leave out.
pub fn all(asked: &Asked, kernels: &[Offer], ops: &[Vec<Operation>; 2]) -> Result<(Vec<JobCell>, Vec<LeftOut>)> {
    let mut cells = products(&asked.scenario, &asked.machine, kernels);
    let generates = !kernels.is_empty() && asked.scenario.generate.is_some();
    let (known, mut left_out) = gaps::texts(ops, generates);
    if generates && !known.is_empty() {
        let mut of_models = texts(kernels);
        if asked.full {
            match large_texts(kernels) {
                Ok(large) => of_models.extend(large),
                Err(error) if error.is_interrupt() => return Err(error),
                Err(error) => {
                    let what = known.iter().map(|op| op.name()).collect::<Vec<_>>().join(" and ");
                    left_out.push(gaps::row(format!("{what} of {LARGE}"), error.to_string(), Gap::NotMade));
                }
            }
        }
        cells.extend(of_models.into_iter().filter(|cell| known.contains(&cell.op)));
    }
    left_out.extend(gaps::not_repeated(&asked.stored, kernels, &cells));
    Ok((cells, left_out))
}

/// The record of a cell before it is measured.
pub fn fresh(cell: &JobCell, rule: &Rule, threads: usize) -> GateCell {
    GateCell {
        kernel: cell.kernel.clone(),
        op: cell.op,
        m: cell.m,
        k: cell.k,
        model: cell.text.as_ref().map(|text| text.name.clone()),
        tokens: cell.tokens,
        residency: cell.residency,
        family: cell.family,
        weight_group: cell.weight_group,
        activations: cell.activations,
        threads,
        calls_per_epoch: 0,
        pairs: Vec::new(),
        broken: None,
        baseline_ns_per_call: 0.0,
        current_ns_per_call: 0.0,
        verdict: verdict(rule, &[], threads).0,
    }
}
