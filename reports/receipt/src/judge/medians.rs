//! What the rounds of a generation say: medians, and ratios within a family. Only the record is looked at, so a receipt
//! can be recomputed.

use super::columns::dense_kernel;
use super::generation::{in_blocks, paired_times};
use super::paired::Paired;
use super::stats::median;
use crate::judge::Method;
use crate::record::{DecodeTimesNs, ForwardMs, GenerationKernel, GenerationRound, PhasesMs, Ratio, TokenBlocks};
use std::time::Duration;

/// Fills in speeds and times from the rounds. Receipts before 1.1 hold neither the prompt tokens of a round, which are
/// then the prompt's, nor its phases, which are then left alone.
pub fn summarize(record: &mut GenerationKernel, prompt_tokens: usize) {
    let rounds = std::mem::take(&mut record.rounds);
    let over = |f: &dyn Fn(&GenerationRound) -> f64| median(&rounds.iter().map(f).collect::<Vec<_>>());
    record.decode_tokens_per_s = decode_tokens_per_s(rounds.iter());
    if is_paired(record) {
        // Prompts never skip, and alone with its partner the pair finds warmer caches than the other kernels did in
        // their rounds: only the ratio says something, so there are no prefill figures to be taken for a gain.
        (record.prefill_tokens_per_s, record.time_to_first_token_ms) = (0.0, 0.0);
    } else {
        let prefill = |r: &GenerationRound| r.prefill_tokens.unwrap_or(prompt_tokens);
        record.prefill_tokens_per_s = over(&|r| rate(prefill(r), Duration::from_nanos(r.prefill_ns)));
        record.time_to_first_token_ms = over(&|r| Duration::from_nanos(r.time_to_first_token_ns).as_secs_f64() * 1e3);
    }
    if rounds.iter().all(|r| r.decode_times_ns.is_some()) {
        let ms = |f: fn(&DecodeTimesNs) -> u64| {
            over(&|r| r.decode_times_ns.map_or(0.0, |t| f(&t) as f64 / 1e6) / r.decode_tokens.max(1) as f64)
        };
        record.phases_ms_per_token = PhasesMs {
            embed: ms(|t| t.embed),
            forward: ms(|t| t.forward),
            logits: ms(|t| t.logits),
            sample: ms(|t| t.sample),
            stop_check: ms(|t| t.stop_check),
        };
        record.forward_ms_per_token = ForwardMs {
            qkv: ms(|t| t.qkv),
            attention: ms(|t| t.attention),
            attn_out: ms(|t| t.attn_out),
            gate_up: ms(|t| t.gate_up),
            down: ms(|t| t.down),
            norms: ms(|t| t.norms),
            activation_quant: ms(|t| t.activation_quant),
        };
    }
    record.rounds = rounds;
}

/// Decode speed, median over rounds.
pub fn decode_tokens_per_s<'r>(rounds: impl Iterator<Item = &'r GenerationRound>) -> f64 {
    let rates = rounds.map(|r| rate(r.decode_tokens, Duration::from_nanos(r.decode_ns)));
    median(&rates.collect::<Vec<_>>())
}

/// Whether the entry took turns with one other kernel only, instead of with all of them: before 1.3, one
/// that skips did.
pub fn is_paired(record: &GenerationKernel) -> bool {
    record.sparse_ffn.as_ref().is_some_and(|s| s.dense_kernel.is_some())
}

/// Ratio of two kernels' decode times a token, paired by round; none without a common round.
pub fn decode_ratio(
    method: Method,
    partner: &str,
    partner_rounds: &[GenerationRound],
    own: &[GenerationRound],
) -> Option<Ratio> {
    let (partner_ns, own_ns) = paired_times(partner_rounds, own);
    let is_timed = partner_ns.iter().zip(&own_ns).any(|(p, o)| *p > 0 && *o > 0);
    is_timed.then(|| Paired::new(method, &partner_ns, &own_ns).ratio(partner))
}

/// Within each family: ratios of decode time a token to the first kernel's, of an entry that skips to its dense
/// kernel's, by token block where there are blocks, else by round; and whether both kernels generated the same ids up
/// to the end of the shorter text.
pub fn compare(method: Method, records: &mut [GenerationKernel], blocks: &[TokenBlocks]) {
    for i in 0..records.len() {
        let (before, rest) = records.split_at_mut(i);
        let Some(record) = rest.first_mut() else { break };
        let by_block = in_blocks(blocks, record.family, &record.kernel).cloned();
        if is_paired(record) {
            let dense = record.sparse_ffn.as_mut().filter(|s| !s.dense_rounds.is_empty());
            let ratio = dense.and_then(|sparse| {
                let whole = |dense: &str| decode_ratio(method, dense, &sparse.dense_rounds, &record.rounds);
                sparse.vs_dense = by_block.or_else(|| sparse.dense_kernel.as_deref().and_then(whole));
                sparse.vs_dense.clone()
            });
            record.decode_vs_baseline = ratio.or(record.decode_vs_baseline.take());
            continue;
        }
        let baseline = before.iter().find(|b| b.family == record.family);
        let dense = dense_kernel(&record.kernel).and_then(|id| before.iter().find(|b| b.kernel == id));
        let by_text =
            |partner: &GenerationKernel| decode_ratio(method, &partner.kernel, &partner.rounds, &record.rounds);
        record.decode_vs_baseline = by_block.or_else(|| dense.or(baseline).and_then(by_text));
        record.ids_equal_baseline = baseline.is_none_or(|b| {
            let both = record.token_ids.len().min(b.token_ids.len());
            record.token_ids[..both] == b.token_ids[..both]
        });
    }
}

/// Tokens a second from a count and a duration; 0 for no tokens or no time.
pub fn rate(tokens: usize, time: Duration) -> f64 {
    if tokens == 0 || time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}
