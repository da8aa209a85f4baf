//! How a choice is made at the start: the candidates take turns for a moment, each checked before it is timed, and the
//! medians decide. Nothing is remembered between runs.

use crate::interrupt;
use crate::measure::rounds::orders;
use model::sparse_ffn::Sparsity;
use receipt::judge::stats::median;
use std::time::{Duration, Instant};

/// About how long a turn is: enough for the clock, and so short that a drift of the machine meets all candidates, and
/// that most turns are over before the system lets another process run.
const TURN_NS: f64 = 1e5;
/// Passes that are made even where they take longer than the time for them.
const LEAST_PASSES: usize = 3;
/// Time for the probe of [`skipping`].
const SPARSE_PROBE: Duration = Duration::from_millis(150);

/// What a probe measured.
pub struct Evidence {
    /// Median time of a call in microseconds, one for each candidate.
    pub us: Vec<f64>,
    /// How often every candidate had its turn.
    pub passes: usize,
}

impl Evidence {
    /// The index of the candidate with the shortest calls, and its median in microseconds. `None` without a candidate.
    pub fn fastest(&self) -> Option<(usize, f64)> {
        self.us.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Lets the candidates take turns for about `time`. `call(candidate, first)` makes one call; the `first` of each comes
/// before anything is timed, and checks what the call gives. An interrupt ends it after the pass.
///
/// # Errors
/// The first one of `call`.
pub fn probe<E>(
    candidates: usize,
    time: Duration,
    mut call: impl FnMut(usize, bool) -> Result<(), E>,
) -> Result<Evidence, E> {
    (0..candidates).try_for_each(|candidate| call(candidate, true))?;
    let mut timed = |candidate: usize, calls: u32| -> Result<f64, E> {
        let start = Instant::now();
        (0..calls).try_for_each(|_| call(candidate, false))?;
        Ok((start.elapsed().as_nanos() as f64).max(1.0) / f64::from(calls))
    };
    // The geometric mean: slow candidates get longer turns, fast ones shorter.
    let logs = (0..candidates).map(|candidate| Ok(timed(candidate, 1)?.ln())).sum::<Result<f64, E>>()?;
    let calls = (TURN_NS / (logs / candidates.max(1) as f64).exp()).clamp(1.0, f64::from(1 << 20)) as u32;
    let (mut ns, mut passes, start) = (vec![Vec::new(); candidates], 0, Instant::now());
    let enough = |passes: usize| passes >= LEAST_PASSES && start.elapsed() >= time || interrupt::requested();
    while candidates > 0 && (passes == 0 || !enough(passes)) {
        for order in orders(candidates, candidates, passes as u64) {
            for candidate in order.into_iter().map(usize::from) {
                ns[candidate].push(timed(candidate, calls)?);
            }
            passes += 1;
            if enough(passes) {
                break;
            }
        }
    }
    Ok(Evidence { us: ns.iter().map(|ns| median(ns) / 1e3).collect(), passes })
}

/// Whether feed-forward blocks skip zero gates: where a probe finds that it pays, or with `--dense` never. What is
/// probed is in `model::sparse_probe`, which alone has the weights.
pub fn skipping(dense: bool) -> Sparsity {
    if dense { Sparsity::Dense } else { Sparsity::Measured(|n, call| Ok(probe(n, SPARSE_PROBE, call)?.us)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_checked_before_any_is_timed_and_have_as_many_turns() {
        let mut seen = Vec::new();
        let evidence = probe(3, Duration::ZERO, |candidate, first| {
            seen.push((candidate, first));
            std::thread::sleep(Duration::from_millis(1));
            Ok::<(), ()>(())
        });
        let evidence = evidence.expect("nothing fails");
        assert_eq!(seen[..3], [(0, true), (1, true), (2, true)]);
        assert_eq!((evidence.us.len(), evidence.passes), (3, LEAST_PASSES));
        // Once more to see how long a call takes, then the turns: one call each, as it is longer than a turn.
        for candidate in 0..3 {
            assert_eq!(seen.iter().filter(|call| **call == (candidate, false)).count(), 1 + LEAST_PASSES);
        }
        assert!(evidence.us.iter().all(|us| *us >= 1e3), "{:?}", evidence.us);
    }

    #[test]
    fn what_fails_its_check_ends_it_untimed() {
        let mut calls = 0;
        let failed = probe(3, Duration::ZERO, |candidate, first| {
            calls += 1;
            if candidate == 1 && first { Err("wrong") } else { Ok(()) }
        });
        assert_eq!((failed.err(), calls), (Some("wrong"), 2));
    }

    #[test]
    fn the_shortest_median_is_the_fastest() {
        let evidence = Evidence { us: vec![3.0, 1.0, 2.0], passes: 1 };
        assert_eq!(evidence.fastest(), Some((1, 1.0)));
        let nobody = probe(0, Duration::ZERO, |_, _| Ok::<(), ()>(())).expect("nothing fails");
        assert_eq!((nobody.fastest(), nobody.passes), (None, 0));
    }
}
