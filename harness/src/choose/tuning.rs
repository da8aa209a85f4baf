//! How each kernel is called: which way it asks for weights ahead of its loads, and from how many tokens on its product
//! for batches is faster than one token after the other.

use super::operands::{MOST_TOKENS, Operands};
use super::probe::{Evidence, Plan, TIE, Turn, take_turns};
use crate::error::{Error, Result};
use kernels::{Kernel, Prefetch, Tuning};
use receipt::{Candidate, Choice};
use std::time::Duration;

/// Batch sizes that are probed; a larger batch costs as many times more as it has more tokens.
pub const SIZES: [usize; 4] = [2, 4, 8, MOST_TOKENS];
/// Time for the probe of one size.
const BATCHES: Duration = Duration::from_millis(15);

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

/// Times one token with each kernel, asked ahead in each way that it knows.
pub fn one_token(kernels: &[Kernel], operands: &mut Operands<'_>, time: Duration) -> Result<OneToken> {
    let wanted = Prefetch::wanted(operands.cold);
    let ways = |kernel: &Kernel| {
        let (kernel, tuning, known) = (*kernel, kernel.tuning(), kernel.descriptor().prefetches);
        let ways = wanted.into_iter().filter(|way| known.contains(way));
        ways.map(move |prefetch| kernel.tuned(Tuning { prefetch, ..tuning }))
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

/// Times of one batch size: one token after the other with the first kernel, then the product for batches of each
/// kernel that has one.
pub struct Batch {
    pub tokens: usize,
    pub token_by_token_us: f64,
    /// Id and microseconds of each kernel with a product for batches, in the tile that was chosen for it.
    pub gemm_us: Vec<(&'static str, f64)>,
}

impl Batch {
    /// What the gemm of this kernel took; infinity where it has none.
    pub fn gemm(&self, id: &str) -> f64 {
        self.gemm_us.iter().find(|(gemm, _)| *gemm == id).map_or(f64::INFINITY, |(_, us)| *us)
    }
}

/// What batches take, by size, and the kernels with a product for them, in the tile that was chosen for each.
pub struct Batches {
    pub sizes: Vec<Batch>,
    pub kernels: Vec<Kernel>,
}

/// Times batches of up to `most` tokens: `kernels[0]` token by token, and the gemm of each kernel that has one, with
/// each of its tiles. Which tile is taken, the largest size decides; the wide one, which asks for fewer loads, is
/// wanted first.
pub fn batches(kernels: &[Kernel], operands: &mut Operands<'_>, most: usize) -> Result<Batches> {
    let tokenwise = kernels[0].tuned(Tuning { gemm_from: usize::MAX, ..kernels[0].tuning() });
    let rule = operands.rule();
    let tiles = |kernel: &Kernel| {
        let tiles = kernel.descriptor().tiles(rule);
        let (kernel, tuning) = (*kernel, Tuning { gemm_from: 2, ..kernel.tuning() });
        tiles.iter().map(move |&tile| kernel.tuned(Tuning { tile, ..tuning }))
    };
    let gemms = kernels.iter().filter(|kernel| kernel.descriptor().gemm.is_some()).flat_map(tiles);
    let ways: Vec<Kernel> = [tokenwise].into_iter().chain(gemms).collect();
    let mut raced = Vec::new();
    for tokens in SIZES.into_iter().filter(|&size| size <= most) {
        operands.prepare(&ways, tokens)?;
        raced.push((tokens, race(&ways, operands, BATCHES)?.us));
    }
    let taken = taken_tiles(&ways, raced.last().map_or(&[], |(_, us)| us));
    let batch = |(tokens, us): (usize, Vec<f64>)| {
        let gemm_us = taken.iter().map(|&way| (ways[way].id(), us[way])).collect();
        Batch { tokens, token_by_token_us: us[0], gemm_us }
    };
    let sizes = raced.into_iter().map(batch).collect();
    Ok(Batches { sizes, kernels: taken.iter().map(|&way| ways[way]).collect() })
}

/// Of each kernel behind the first way, the way that its times choose; the first where there are none.
fn taken_tiles(ways: &[Kernel], us: &[f64]) -> Vec<usize> {
    let mut taken = Vec::new();
    let mut start = 1;
    while let Some(first) = ways.get(start) {
        let own = ways[start..].iter().take_while(|way| way.id() == first.id()).count();
        let us = us.get(start..start + own).unwrap_or(&[]).to_vec();
        taken.push(start + Evidence { us, passes: 0 }.chosen().unwrap_or(0));
        start += own;
    }
    taken
}

/// From which batch size on the gemm of `id` is no slower than `other` at every probed size: 2 or a later probed size,
/// `usize::MAX` where it never is.
pub fn gemm_from(id: &str, batches: &[Batch], other: impl Fn(&Batch) -> f64) -> usize {
    let wins = batches.iter().rev().take_while(|batch| batch.gemm(id) <= other(batch));
    wins.last().map_or(usize::MAX, |batch| batch.tokens)
}

/// The kernel with the tile of its gemm, and the smallest batch that it should take; as it was where it has none.
pub fn with_batches(kernel: Kernel, operands: &mut Operands<'_>, most: usize) -> Result<(Kernel, Vec<Batch>)> {
    if kernel.descriptor().gemm.is_none() || most < SIZES[0] {
        return Ok((kernel, Vec::new()));
    }
    let Batches { sizes, kernels } = batches(&[kernel], operands, most)?;
    Ok((with_gemm_from(kernels[0], &sizes), sizes))
}

/// The kernel with the smallest batch that its gemm should take.
pub fn with_gemm_from(kernel: Kernel, sizes: &[Batch]) -> Kernel {
    let gemm_from = gemm_from(kernel.id(), sizes, |batch| batch.token_by_token_us);
    kernel.tuned(Tuning { gemm_from, ..kernel.tuning() })
}

/// The record of which batches one kernel's gemm takes, with the times of the size that decided.
pub fn batches_choice(kernel: &Kernel, batches: &[Batch]) -> Option<Choice> {
    let from = kernel.tuning().gemm_from;
    let decided = batches.iter().find(|batch| batch.tokens == from).or(batches.last())?;
    let (chosen, reason) = match from {
        usize::MAX => ("token by token", "its gemm is slower at the largest probed size".to_owned()),
        from => ("gemm", format!("its gemm ({}) takes batches of {from} tokens and more", kernel.tuning().tile.name())),
    };
    let candidate = |name: &str, us| Candidate { name: name.into(), us };
    Some(Choice {
        what: format!("{} tokens with {}", decided.tokens, kernel.id()),
        chosen: chosen.into(),
        reason,
        candidates: vec![
            candidate("gemm", decided.gemm(kernel.id())),
            candidate("token by token", decided.token_by_token_us),
        ],
    })
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
    use kernels::CpuFeatures;

    #[test]
    fn a_tile_is_taken_by_its_own_kernels_times() {
        let Some(kernel) = kernels::registry::KERNELS.iter().find_map(|d| Kernel::new(d, CpuFeatures::detect()).ok())
        else {
            return;
        };
        let other = kernels::registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok()).nth(1);
        let ways = [kernel, kernel, kernel, other.unwrap_or(kernel)];
        let apart = ways[3].id() != kernel.id();
        assert_eq!(taken_tiles(&ways, &[0.1, 5.0, 5.1, 1.0])[0], if apart { 1 } else { 3 });
        assert_eq!(taken_tiles(&ways[..3], &[0.1, 5.4, 5.1]), [2]);
        assert_eq!(taken_tiles(&ways[..3], &[]), [1], "nothing was probed");
    }

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
