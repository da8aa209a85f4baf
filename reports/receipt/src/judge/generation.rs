//! The pairs of whole generation: kernels that take turns by blocks of tokens, and one kernel with and without the
//! zeros of the gate.

use super::cells::set;
use crate::judge::sequential::{self, DELTA, Same, Sample, Side, Until, log_ratios};
use crate::judge::stats::median;
use crate::record::{GenerationRecord, GenerationRound, Ratio, Round, Rule, SparsityRecord, TokenBlocks, Verdict};

/// Judges every pair of token blocks that is shown, and fills in what a stored verdict of an older receipt lacks.
pub fn blocks(record: &mut TokenBlocks, threads: usize) {
    let judge = Blocks::new(record, threads);
    let index = |id: &str| record.entries.iter().position(|e| e.kernel == id && !e.self_pair);
    let verdict = |own: usize, partner: &str| Some(judge.verdict(own, index(partner)?, partner).0);
    let judged = record.summaries.iter().enumerate().map(|(i, s)| {
        let against = |ratio: &Option<Ratio>| ratio.as_ref().and_then(|r| verdict(i, &r.partner));
        let stored = s.verdict.as_ref().filter(|v| v.alarm_high.is_none()).and_then(|v| verdict(i, &v.partner));
        (against(&s.vs_baseline), against(&s.vs_previous), stored)
    });
    let judged: Vec<_> = judged.collect();
    for (summary, (base, previous, stored)) in record.summaries.iter_mut().zip(judged) {
        set(&mut summary.vs_baseline, base);
        set(&mut summary.vs_previous, previous);
        if let (Some(own), Some(again)) = (&mut summary.verdict, stored) {
            (own.alarm_high, own.pass_low) = (again.alarm_high, again.pass_low);
        }
    }
}

/// The blocks of one family, ready to be judged.
pub struct Blocks<'b> {
    record: &'b TokenBlocks,
    times: Vec<Vec<u64>>,
    same: Vec<f64>,
    of_a_text: usize,
}

impl<'b> Blocks<'b> {
    /// Of engines with so many threads.
    pub fn new(record: &'b TokenBlocks, threads: usize) -> Self {
        let rounds: Vec<Round> = record.rounds.iter().map(|r| r.round.clone()).collect();
        // Token blocks have had the one clock from the first.
        let times = |entry| super::Method::Current.times(&rounds, entry, threads);
        let times: Vec<Vec<u64>> = (0..record.entries.len()).map(times).collect();
        let again = record.entries.iter().position(|e| e.self_pair);
        let twins = again.and_then(|again| {
            let own = |e: &crate::record::BlockEntry| !e.self_pair && e.kernel == record.entries[again].kernel;
            record.entries.iter().position(own).map(|twin| (twin, again))
        });
        let same = twins.map(|(twin, again)| log_ratios(&times[twin], &times[again])).unwrap_or_default();
        let first = record.rounds.first().map(|r| r.generation);
        let of_a_text = record.rounds.iter().take_while(|r| Some(r.generation) == first).count();
        Self { record, times, same, of_a_text }
    }

    /// Times of each entry's blocks.
    pub fn times(&self) -> &[Vec<u64>] {
        &self.times
    }

    /// One side of a comparison of two runs.
    pub fn side(&self, own: usize, partner: usize) -> Side<'_> {
        let parts = self.parts();
        Side { rule: &self.record.rule, effect: self.effect(own, partner), same: Same::of(&parts, &parts) }
    }

    /// Blocks of one text share what is particular to its engines, so the A/A pair counts by text.
    fn parts(&self) -> Vec<f64> {
        self.same.chunks(self.of_a_text.max(1)).map(median).collect()
    }

    fn effect(&self, own: usize, partner: usize) -> Vec<f64> {
        let both = self.times.get(own).zip(self.times.get(partner));
        both.map(|(own, partner)| log_ratios(partner, own)).unwrap_or_default()
    }

    /// Entry `own` against entry `partner`, and whether the verdict stands.
    pub fn verdict(&self, own: usize, partner: usize, partner_id: &str) -> (Verdict, bool) {
        let (rule, sample) = (&self.record.rule, Sample::TokenBlock(self.of_a_text));
        let until = self.record.method.until();
        sequential::decide(rule, until, sample, &self.effect(own, partner), &self.same, partner_id)
    }
}

/// A kernel's verdict against the first column of its blocks.
fn in_blocks(blocks: &[TokenBlocks], family: &str, kernel: &str) -> Option<Box<Verdict>> {
    blocks.iter().filter(|b| b.family == family).find_map(|b| {
        let at = b.entries.iter().position(|e| e.kernel == kernel && !e.self_pair)?;
        b.summaries.get(at)?.vs_baseline.as_ref()?.verdict.clone()
    })
}

/// Hands the ratios of whole generation their verdicts. A kernel with and without the zeros of the gate took turns by
/// whole texts before 1.2: there the family's A/A pair says what the machine makes up.
pub fn sparse(generation: &mut GenerationRecord) {
    let per_token = |r: &GenerationRound| r.decode_ns.checked_div(r.decode_tokens as u64).unwrap_or(0);
    let GenerationRecord { kernels, blocks, .. } = generation;
    for kernel in kernels.iter_mut() {
        let family = blocks.iter().find(|b| b.family == kernel.family);
        if kernel.sparse_ffn.is_none() {
            if let Some(ratio) = &mut kernel.decode_vs_baseline {
                ratio.verdict = in_blocks(blocks, &kernel.family, &kernel.kernel);
            }
            continue;
        }
        if let Some(verdict) = in_blocks(blocks, &kernel.family, &kernel.kernel) {
            let dense = kernel.sparse_ffn.as_mut().and_then(|s| s.vs_dense.as_mut());
            dense.into_iter().chain(&mut kernel.decode_vs_baseline).for_each(|r| r.verdict = Some(verdict.clone()));
            continue;
        }
        let (Some(sparse), Some(family)) = (&mut kernel.sparse_ffn, family) else { continue };
        let Some(dense) = sparse.dense_kernel.clone() else { continue };
        let pairs = kernel.rounds.iter().filter_map(|own| {
            let partner = sparse.dense_rounds.iter().find(|p| p.round == own.round)?;
            Some((per_token(partner), per_token(own)))
        });
        let (partner_ns, own_ns): (Vec<u64>, Vec<u64>) = pairs.unzip();
        let effect = log_ratios(&partner_ns, &own_ns);
        let again = Blocks::new(family, generation.threads);
        let parts = again.parts();
        let rule = Rule { looks: vec![effect.len().max(1)], ..family.rule.clone() };
        let samples = sequential::Samples { effect: &effect, same: &parts, same_parts: &parts };
        let verdict = sequential::judge(&rule, &samples, &dense).0;
        let mut ratios = [sparse.vs_dense.as_mut(), kernel.decode_vs_baseline.as_mut()];
        ratios.iter_mut().flatten().for_each(|ratio| ratio.verdict = Some(Box::new(verdict.clone())));
    }
}

/// A feed-forward block with and without its zeros, at each share: rounds of dense, sparse and dense again.
pub fn sweep(record: &mut SparsityRecord) {
    let comparisons = record.points.len();
    for point in &mut record.points {
        let rounds = point.rounds.len();
        let rule = Rule::new(DELTA, "round", &[rounds], rounds, comparisons);
        let [dense, sparse, again] =
            [0, 1, 2].map(|entry| super::Method::Current.times(&point.rounds, entry, record.threads));
        let (effect, same) = (log_ratios(&dense, &sparse), log_ratios(&dense, &again));
        let verdict = sequential::decide(&rule, Until::Settled, Sample::Round, &effect, &same, &record.kernel).0;
        point.vs_dense.verdict = Some(Box::new(verdict));
    }
}
