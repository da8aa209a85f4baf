//! The pairs of whole generation: kernels that take turns by blocks of tokens, and one kernel with and without the
//! zeros of the gate.

use super::columns::{Columns, dense_kernel};
use super::sequential::{self, log_ratios};
use crate::record::{Family, GenerationKernel, GenerationRecord, GenerationRound, Ratio, Rule, TokenBlocks, Verdict};

/// A kernel's ratio in the blocks of its family: of one that skips to its dense kernel, of another to the first.
pub(super) fn in_blocks<'b>(blocks: &'b [TokenBlocks], family: Family, kernel: &str) -> Option<&'b Ratio> {
    let summary = blocks.iter().filter(|b| b.family == family).find_map(|b| {
        let entry = b.entries.iter().position(|e| e.kernel == kernel && !e.self_pair)?;
        b.summaries.get(entry)
    })?;
    let dense = summary.vs_previous.as_ref().filter(|_| dense_kernel(kernel).is_some());
    dense.or(summary.vs_baseline.as_ref())
}

/// Decode times a token of the rounds that both have: the partner's, and its own; 0 for no token.
pub(super) fn paired_times(partner: &[GenerationRound], own: &[GenerationRound]) -> (Vec<u64>, Vec<u64>) {
    let per_token = |r: &GenerationRound| r.decode_ns.checked_div(r.decode_tokens as u64).unwrap_or(0);
    let pair = |own: &GenerationRound| {
        let partner = partner.iter().find(|p| p.round == own.round)?;
        Some((per_token(partner), per_token(own)))
    };
    own.iter().filter_map(pair).unzip()
}

/// Gives the ratios of whole generation their verdicts.
pub fn texts(generation: &mut GenerationRecord) {
    let GenerationRecord { kernels, blocks, threads, .. } = generation;
    for kernel in kernels.iter_mut() {
        let verdict = in_blocks(blocks, kernel.family, &kernel.kernel).and_then(|ratio| ratio.verdict.clone());
        let verdict = verdict.or_else(|| of_whole_texts(kernel, blocks, *threads).map(Box::new));
        let vs_dense = kernel.sparse_ffn.as_mut().and_then(|sparse| sparse.vs_dense.as_mut());
        for ratio in vs_dense.into_iter().chain(&mut kernel.decode_vs_baseline) {
            ratio.verdict = verdict.clone();
        }
    }
}

/// Before there were blocks of it, a kernel with and without the zeros of the gate took turns by whole texts, and the
/// family's A/A pair says what the machine makes up.
fn of_whole_texts(kernel: &GenerationKernel, blocks: &[TokenBlocks], threads: usize) -> Option<Verdict> {
    let sparse = kernel.sparse_ffn.as_ref()?;
    let dense = sparse.dense_kernel.as_ref()?;
    let family = blocks.iter().find(|b| b.family == kernel.family)?;
    let (partner_ns, own_ns) = paired_times(&sparse.dense_rounds, &kernel.rounds);
    let effect = log_ratios(&partner_ns, &own_ns);
    let rule = Rule { looks: vec![effect.len().max(1)], ..family.rule.clone() };
    Some(sequential::judge(&rule, &effect, Columns::blocks(family, threads).noise(), dense).0)
}
