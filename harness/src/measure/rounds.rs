//! Interleaved rounds in randomised balanced order: every entry once a round, every position equally often.

use kernels::random::SplitMix64;
use receipt::Round;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Time and context switches of one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Wall-clock time in nanoseconds.
    pub ns: u64,
    /// CPU time in nanoseconds of the thread that took the turn.
    pub cpu_ns: u64,
    pub involuntary_switches: u32,
}

/// CPU time and involuntary context switches of this thread since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadUsage {
    /// CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// How often the scheduler took the CPU away from the thread.
    pub involuntary_switches: u64,
}

impl ThreadUsage {
    /// What this thread has used by now; zero where the system does not say.
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::time::{ClockId, clock_gettime};
        let cpu_ns = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
            .map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64);
        let switches = getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |u| u.involuntary_context_switches() as u64);
        Self { cpu_ns, involuntary_switches: switches }
    }

    /// What this thread has used by now; zero where the system does not say.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        Self::default()
    }

    /// CPU time and switches between the reading `earlier` and this one.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            involuntary_switches: self.involuntary_switches.saturating_sub(earlier.involuntary_switches),
        }
    }
}

/// Runs a turn on the calling thread and measures its time and context switches.
pub fn timed<E>(turn: impl FnOnce() -> Result<(), E>) -> Result<Spent, E> {
    let before = ThreadUsage::now();
    let start = Instant::now();
    turn()?;
    let ns = start.elapsed().as_nanos() as u64;
    let used = ThreadUsage::now().since(before);
    Ok(Spent { ns, cpu_ns: used.cpu_ns, involuntary_switches: used.involuntary_switches as u32 })
}

/// Runs one round: everybody's turn once, in this order. `None` if `turn` gave none, which ends the round.
///
/// # Errors
/// Those of `turn`.
pub fn round<E>(order: Vec<u8>, mut turn: impl FnMut(usize) -> Result<Option<Spent>, E>) -> Result<Option<Round>, E> {
    let n = order.len();
    let (ns, cpu_ns, wall_ns) = (vec![0; n], vec![0; n], Vec::new());
    let mut round = Round { ns, cpu_ns, wall_ns, involuntary_switches: vec![0; n], order };
    for &entry in &round.order {
        let entry = usize::from(entry);
        let Some(spent) = turn(entry)? else { return Ok(None) };
        (round.ns[entry], round.cpu_ns[entry]) = (spent.ns, spent.cpu_ns);
        round.involuntary_switches[entry] = spent.involuntary_switches;
    }
    Ok(Some(round))
}

/// The timed loop of one entry: a function that makes the given number of calls.
pub type Epoch<'a> = Box<dyn FnMut(u32) + 'a>;

/// Orders of `rounds` rounds of `entries` entries: Williams squares over a fresh random permutation each, rows
/// shuffled.
///
/// In a whole square every entry stands at every position equally often, and follows every other entry equally often.
/// The second half is what plain cyclic squares lack: there an entry has the same predecessor in almost all rounds, and
/// inherits its caches and clock. For two entries this is AB BA or BA AB.
pub fn orders(entries: usize, rounds: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = SplitMix64::new(seed);
    let mut orders = Vec::with_capacity(rounds);
    while orders.len() < rounds && entries > 0 {
        let mut permutation: Vec<u8> = (0..entries).map(|e| e as u8).collect();
        random.shuffle(&mut permutation);
        let mut square = williams(entries);
        random.shuffle(&mut square);
        for row in square.into_iter().take(rounds - orders.len()) {
            orders.push(row.into_iter().map(|entry| permutation[entry]).collect());
        }
    }
    orders
}

/// The Williams square of n entries (Williams 1949): shifts of 0, 1, n-1, 2, n-2, ...; for odd n mirrored too.
fn williams(n: usize) -> Vec<Vec<usize>> {
    let zigzag = (0..n).map(|i| if i % 2 == 1 { i.div_ceil(2) } else { (n - i / 2) % n });
    let first: Vec<usize> = zigzag.collect();
    let shifted = |shift: usize| first.iter().map(|e| (e + shift) % n).collect::<Vec<_>>();
    let mut square: Vec<Vec<usize>> = (0..n).map(shifted).collect();
    if n % 2 == 1 {
        square.extend((0..n).map(|shift| shifted(shift).into_iter().rev().collect()));
    }
    square
}

/// A turn of one entry: makes the given number of calls and says what they took, or why they did not.
pub type Turn<'a, E> = Box<dyn FnMut(u32) -> Result<Spent, E> + 'a>;

/// An epoch of this process as a turn.
pub fn clocked<'a, E>(mut epoch: Epoch<'a>) -> Turn<'a, E>
where
    E: 'a,
{
    Box::new(move |calls| {
        timed(|| {
            epoch(calls);
            Ok(())
        })
    })
}

/// Calls in an epoch so that the geometric mean of the epochs is about `target_ns`. Every entry is warmed up by it.
///
/// # Errors
/// The entry that failed, and its error.
pub fn calibrate<E>(entries: &mut [Turn<'_, E>], target_ns: f64) -> Result<u32, (usize, E)> {
    let mut sum_of_logs = 0.0;
    for (index, entry) in entries.iter_mut().enumerate() {
        let mut calls = 1u32;
        let per_call = loop {
            let ns = entry(calls).map_err(|e| (index, e))?.ns as f64;
            // Long enough for the clock, or long enough already.
            if ns > target_ns / 10.0 || calls >= 1 << 20 {
                break ns.max(1.0) / f64::from(calls);
            }
            calls *= 4;
        };
        sum_of_logs += per_call.ln();
    }
    let per_call = (sum_of_logs / entries.len().max(1) as f64).exp();
    Ok((target_ns / per_call).round().clamp(1.0, f64::from(1u32 << 24)) as u32)
}

/// Runs rounds in these orders, with a fixed number of calls an epoch, until interrupted or `enough` says so.
///
/// # Errors
/// The entry that failed, and its error; not where an interrupt is why.
pub fn run<E>(
    entries: &mut [Turn<'_, E>],
    calls: u32,
    orders: Vec<Vec<u8>>,
    interrupted: &AtomicBool,
    mut enough: impl FnMut(&[Round]) -> bool,
) -> Result<Vec<Round>, (usize, E)> {
    let mut done = Vec::with_capacity(orders.len());
    for order in orders {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let turn = |entry: usize| entries[entry](calls).map(Some).map_err(|e| (entry, e));
        match round(order, turn) {
            Ok(Some(whole)) => done.push(whole),
            Err(_) if interrupted.load(Ordering::Relaxed) => break,
            Err(failed) => return Err(failed),
            Ok(None) => break,
        }
        if enough(&done) {
            break;
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::convert::Infallible;

    const NOTHING: Spent = Spent { ns: 0, cpu_ns: 0, involuntary_switches: 0 };

    #[test]
    fn positions_and_predecessors_are_balanced() {
        for entries in 1..9usize {
            let square = if entries % 2 == 0 { entries } else { 2 * entries };
            let orders = orders(entries, square * 3, 3);
            assert_eq!(orders.len(), square * 3);
            for a in 0..entries {
                for position in 0..entries {
                    let times = orders.iter().filter(|o| usize::from(o[position]) == a).count();
                    assert_eq!(times, orders.len() / entries);
                }
                for b in (0..entries).filter(|b| *b != a) {
                    let follows =
                        |o: &Vec<u8>| o.windows(2).filter(|w| usize::from(w[0]) == a && usize::from(w[1]) == b).count();
                    let times: usize = orders.iter().map(follows).sum();
                    assert_eq!(times, 3 * square / entries, "{b} after {a} of {entries}");
                }
            }
        }
        assert_ne!(orders(6, 12, 1), orders(6, 12, 2));
        assert_eq!(orders(3, 4, 1).len(), 4);
        assert!(orders(0, 4, 1).is_empty());
    }

    #[test]
    fn each_entry_runs_once_a_round_with_the_shared_count() {
        let seen = RefCell::new(Vec::new());
        let seen = &seen;
        let entry = |e| clocked(Box::new(move |calls| seen.borrow_mut().push((e, calls))));
        let mut entries: Vec<Turn<'_, Infallible>> = (0..3).map(entry).collect();
        let Ok(rounds) = run(&mut entries, 7, orders(3, 6, 1), &AtomicBool::new(false), |_| false);
        drop(entries);
        assert_eq!(rounds.len(), 6);
        let in_order: Vec<_> = rounds.iter().flat_map(|r| r.order.iter().map(|&e| (i32::from(e), 7u32))).collect();
        assert_eq!(*seen.borrow(), in_order);
    }

    #[test]
    fn a_run_that_is_cut_short_keeps_whole_rounds() {
        let stop = AtomicBool::new(false);
        let mut entries: Vec<Turn<'_, Infallible>> = vec![clocked(Box::new(|_| {})), clocked(Box::new(|_| {}))];
        let interrupt = |done: &[Round]| {
            stop.store(done.len() == 3, Ordering::Relaxed);
            false
        };
        let Ok(rounds) = run(&mut entries, 1, orders(2, 10, 1), &stop, interrupt);
        assert_eq!(rounds.len(), 3);
        stop.store(false, Ordering::Relaxed);
        let Ok(rounds) = run(&mut entries, 1, orders(2, 10, 1), &stop, |done| done.len() == 5);
        assert_eq!(rounds.len(), 5);
        // An entry that fails ends it, and is named.
        let failing = |calls: u32| if calls >= 2 { Err("broken") } else { Ok(NOTHING) };
        let mut entries: Vec<Turn<'_, &str>> = vec![clocked(Box::new(|_| {})), Box::new(failing)];
        assert_eq!(run(&mut entries, 2, orders(2, 10, 1), &stop, |_| false).err(), Some((1, "broken")));
        assert_eq!(calibrate(&mut entries, 1e3).err(), Some((1, "broken")));
    }
}
