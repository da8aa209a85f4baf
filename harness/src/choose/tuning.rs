//! How each kernel is called: which way it asks for weights ahead of its loads, and from how many tokens on its product
//! for batches is faster than one token after the other.

use super::operands::{MOST_TOKENS, Operands};
use super::probe::{Evidence, Plan, TIE, Turn, take_turns};
use crate::error::{Error, Result};
use kernels::{CpuFeatures, Kernel, Prefetch, Tuning};
use std::time::Duration;

/// Batch sizes that are probed; a larger batch costs as many times more as it has more tokens.
pub const SIZES: [usize; 4] = [2, 4, 8, MOST_TOKENS];
/// Time for the probe of one size.
const BATCHES: Duration = Duration::from_millis(20);

/// What one token takes with each kernel in each way to ask ahead.
pub struct OneToken {
    /// Kernels that ask in this way, in the order of the kernels.
    pub ways: Vec<Kernel>,
    pub evidence: Evidence,
}

/// Candidate in words: kernel and way to ask ahead.
pub fn name(kernel: &Kernel) -> String {
    format!("{}, {}", kernel.id(), kernel.tuning().prefetch.name())
}

/// Times one token with each kernel, asked ahead in each way. Portable kernels know one way only.
pub fn one_token(kernels: &[Kernel], operands: &mut Operands<'_>, time: Duration) -> Result<OneToken> {
    let ways = |kernel: &Kernel| {
        let asks = kernel.descriptor().requires != CpuFeatures::NONE;
        let ways = if asks { &Prefetch::ALL[..] } else { &Prefetch::ALL[..1] };
        let (kernel, tuning) = (*kernel, kernel.tuning());
        ways.iter().map(move |&prefetch| kernel.tuned(Tuning { prefetch, ..tuning }))
    };
    let ways: Vec<Kernel> = kernels.iter().flat_map(ways).collect();
    operands.prepare(&ways, 1)?;
    let evidence = race(&ways, operands, time)?;
    Ok(OneToken { ways, evidence })
}

impl OneToken {
    /// The kernels whose better way ties with the fastest, in that way.
    pub fn tied(&self) -> Vec<Kernel> {
        let best = self.evidence.fastest().map_or(0.0, |(_, us)| us * (1.0 + TIE));
        let mut tied: Vec<Kernel> = Vec::new();
        for (way, us) in self.ways.iter().zip(&self.evidence.us) {
            if *us <= best && tied.iter().all(|other| other.id() != way.id()) {
                tied.push(*way);
            }
        }
        tied
    }
}

/// Times of one batch size: one token after the other with the first kernel, then the product for batches of each kernel
/// that has one.
pub struct Batch {
    pub tokens: usize,
    /// `None` where there is nothing to compare it with.
    pub token_by_token_us: f64,
    /// Id and microseconds of each kernel with a product for batches.
    pub gemm_us: Vec<(&'static str, f64)>,
}

/// Times batches of up to `most` tokens: `kernels[0]` token by token, and the gemm of each kernel that has one.
pub fn batches(kernels: &[Kernel], operands: &mut Operands<'_>, most: usize) -> Result<Vec<Batch>> {
    let with = |kernel: &Kernel, gemm_from| kernel.tuned(Tuning { gemm_from, ..kernel.tuning() });
    let gemms = kernels.iter().filter(|kernel| kernel.descriptor().gemm.is_some()).map(|kernel| with(kernel, 2));
    let ways: Vec<Kernel> = [with(&kernels[0], usize::MAX)].into_iter().chain(gemms).collect();
    let mut batches = Vec::new();
    for tokens in SIZES.into_iter().filter(|&size| size <= most) {
        operands.prepare(&ways, tokens)?;
        let us = race(&ways, operands, BATCHES)?.us;
        let gemm_us = ways[1..].iter().map(Kernel::id).zip(us[1..].iter().copied()).collect();
        batches.push(Batch { tokens, token_by_token_us: us[0], gemm_us });
    }
    Ok(batches)
}

/// From which batch size on the gemm of `id` is no slower than `other` at every probed size: 2 or a later probed size,
/// `usize::MAX` where it never is.
pub fn gemm_from(id: &str, batches: &[Batch], other: impl Fn(&Batch) -> f64) -> usize {
    let us = |batch: &Batch| batch.gemm_us.iter().find(|(gemm, _)| *gemm == id).map_or(f64::INFINITY, |(_, us)| *us);
    let wins = batches.iter().rev().take_while(|batch| us(batch) <= other(batch));
    wins.last().map_or(usize::MAX, |batch| batch.tokens)
}

/// The kernel with both choices made for it alone.
pub fn alone(kernel: Kernel, operands: &mut Operands<'_>, time: Duration) -> Result<(Kernel, OneToken, Vec<Batch>)> {
    let one = one_token(&[kernel], operands, time)?;
    let kernel = one.ways[one.evidence.chosen().unwrap_or(0)];
    let batches =
        if kernel.descriptor().gemm.is_some() { batches(&[kernel], operands, MOST_TOKENS)? } else { Vec::new() };
    Ok((with_gemm_from(kernel, &batches), one, batches))
}

/// The kernel with the smallest batch that its gemm should take; as it was where nothing was probed.
pub fn with_gemm_from(kernel: Kernel, batches: &[Batch]) -> Kernel {
    if batches.is_empty() {
        return kernel;
    }
    let gemm_from = gemm_from(kernel.id(), batches, |batch| batch.token_by_token_us);
    kernel.tuned(Tuning { gemm_from, ..kernel.tuning() })
}

/// Lets the kernels take turns on what the operands were prepared for.
fn race(ways: &[Kernel], operands: &mut Operands<'_>, time: Duration) -> Result<Evidence> {
    let plan = Plan { candidates: ways.len(), time, ready_each_call: operands.cold };
    take_turns(plan, |way, turn| {
        let kernel = &ways[way];
        match turn {
            Turn::Ready => operands.ready(kernel),
            Turn::Timed => operands.call(kernel)?,
            Turn::Check => {
                operands.call(kernel)?;
                operands.check(kernel)?;
            }
        }
        Ok::<(), Error>(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faked timings of one kernel's gemm against its tokens one by one.
    #[test]
    fn a_gemm_is_taken_from_where_it_stays_faster() {
        let batch = |(tokens, one, gemm)| Batch { tokens, token_by_token_us: one, gemm_us: vec![("k", gemm)] };
        let from = |times: [(usize, f64, f64); 3]| gemm_from("k", &times.map(batch), |b| b.token_by_token_us);
        assert_eq!(from([(2, 2.0, 1.5), (4, 4.0, 2.0), (8, 8.0, 3.0)]), 2);
        assert_eq!(from([(2, 2.0, 3.0), (4, 4.0, 4.0), (8, 8.0, 5.0)]), 4);
        // Faster once, then slower again: not taken before it stays faster.
        assert_eq!(from([(2, 2.0, 1.0), (4, 4.0, 5.0), (8, 8.0, 5.0)]), 8);
        assert_eq!(from([(2, 2.0, 3.0), (4, 4.0, 5.0), (8, 8.0, 9.0)]), usize::MAX);
        assert_eq!(gemm_from("other", &[batch((2, 2.0, 1.0))], |b| b.token_by_token_us), usize::MAX);
    }
}
