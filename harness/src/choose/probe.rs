//! How a choice is made at the start: the candidates take turns for a moment, each checked before it is timed, and the
//! medians decide. Nothing is remembered between runs.

use crate::interrupt;
use crate::measure::rounds::orders;
pub use model::sparse_ffn::Turn;
use receipt::judge::stats::median;
use std::time::{Duration, Instant};

/// About how long a turn is: enough for the clock, and so short that a drift of the machine meets all candidates, and
/// that most turns are over before the system lets another process run.
const TURN_NS: f64 = 1e5;
/// Candidates that differ by no more than this tie: what a probe of a moment cannot tell apart.
pub const TIE: f64 = 0.03;
/// So many times the best candidate's time is past hope.
const HOPELESS: f64 = 2.0;
/// Passes that are made even where they take longer than the time for them.
const LEAST_PASSES: usize = 3;

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

    /// The index of the first candidate that ties with the fastest: candidates stand in the order in which they are
    /// wanted where time does not decide. This is how every choice is made. `None` without a candidate.
    pub fn chosen(&self) -> Option<usize> {
        let (_, best) = self.fastest()?;
        self.us.iter().position(|&us| us <= best * (1.0 + TIE))
    }
}

/// How long a probe may take, and whether every call is made ready for.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub candidates: usize,
    pub time: Duration,
    /// Whether each call has a [`Turn::Ready`] of its own, which takes its weights out of the caches; else many calls
    /// make a turn.
    pub ready_each_call: bool,
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
    take_turns(Plan { candidates, time, ready_each_call: false }, |candidate, turn| match turn {
        Turn::Ready => Ok(()),
        turn => call(candidate, turn == Turn::Check),
    })
}

/// As [`probe`], with a say before each call. Candidates that take [`HOPELESS`] times as long as the best are let go
/// after two turns, so that slow ones do not take the time of those that are worth telling apart.
///
/// # Errors
/// The first one of `call`.
pub fn take_turns<E>(plan: Plan, mut call: impl FnMut(usize, Turn) -> Result<(), E>) -> Result<Evidence, E> {
    let candidates = plan.candidates;
    (0..candidates).try_for_each(|candidate| call(candidate, Turn::Check))?;
    let mut timed = |candidate: usize, calls: u32| -> Result<f64, E> {
        call(candidate, Turn::Ready)?;
        let start = Instant::now();
        (0..calls).try_for_each(|_| call(candidate, Turn::Timed))?;
        Ok((start.elapsed().as_nanos() as f64).max(1.0) / f64::from(calls))
    };
    let begun = Instant::now();
    let once = (0..candidates).map(|candidate| timed(candidate, 1)).collect::<Result<Vec<f64>, E>>()?;
    // The geometric mean: slow candidates get longer turns, fast ones shorter.
    let mean = once.iter().map(|ns| ns.ln()).sum::<f64>() / candidates.max(1) as f64;
    let many = (TURN_NS / mean.exp()).clamp(1.0, f64::from(1 << 20)) as u32;
    let calls = if plan.ready_each_call { 1 } else { many };
    let first = |candidate| Ok(vec![timed(candidate, calls)?]);
    let mut ns = (0..candidates).map(first).collect::<Result<Vec<Vec<f64>>, E>>()?;
    let soonest: Vec<f64> = once.iter().zip(&ns).map(|(once, ns)| once.min(ns[0])).collect();
    let best = soonest.iter().copied().fold(f64::INFINITY, f64::min);
    let left: Vec<usize> = (0..candidates).filter(|&candidate| soonest[candidate] <= HOPELESS * best).collect();
    let mut passes = 1;
    let enough = |passes: usize| passes >= LEAST_PASSES && begun.elapsed() >= plan.time || interrupt::requested();
    while candidates > 0 && !enough(passes) {
        for order in orders(left.len(), left.len(), passes as u64) {
            for candidate in order.into_iter().map(|at| left[usize::from(at)]) {
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
        assert_eq!(evidence.chosen(), Some(1));
        let nobody = probe(0, Duration::ZERO, |_, _| Ok::<(), ()>(())).expect("nothing fails");
        assert_eq!((nobody.fastest(), nobody.chosen()), (None, None));
    }

    #[test]
    fn a_tie_goes_to_what_is_wanted_first() {
        let chosen = |us: &[f64]| Evidence { us: us.to_vec(), passes: 9 }.chosen();
        assert_eq!(chosen(&[102.0, 100.0]), Some(0));
        assert_eq!(chosen(&[104.0, 100.0]), Some(1));
        assert_eq!(chosen(&[250.0, 104.0, 102.9, 100.0, 100.0]), Some(2));
    }

    #[test]
    fn the_hopeless_are_let_go_and_each_call_is_made_ready_for() {
        let mut seen = Vec::new();
        let plan = Plan { candidates: 3, time: Duration::from_millis(40), ready_each_call: true };
        let evidence = take_turns(plan, |candidate, turn| {
            seen.push((candidate, turn));
            if turn == Turn::Timed {
                std::thread::sleep(Duration::from_millis([1, 30, 1][candidate]));
            }
            Ok::<(), ()>(())
        });
        let evidence = evidence.expect("nothing fails");
        let count = |candidate, turn| seen.iter().filter(|call| **call == (candidate, turn)).count();
        assert_eq!([count(1, Turn::Check), count(1, Turn::Timed)], [1, 2], "{seen:?}");
        for candidate in 0..3 {
            assert_eq!(count(candidate, Turn::Ready), count(candidate, Turn::Timed));
        }
        assert!(evidence.passes >= LEAST_PASSES && evidence.us[1] > 20e3 && count(0, Turn::Timed) > 3, "{seen:?}");
    }
}
