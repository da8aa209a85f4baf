//! Loading a model on several threads.

use crate::error::{Error, Result};
use kernels::parallel::Team;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Threads to load with, who is told of progress, and what stops it.
pub struct Loading<'a> {
    /// The threads that load the model.
    pub team: Team,
    /// Called with the number of bytes that have been done since the last call, from any thread.
    pub progress: &'a (dyn Fn(u64) + Sync),
    pub(crate) stop: &'a AtomicBool,
}

impl<'a> Loading<'a> {
    /// Loads with `team` until `stop` is set.
    pub fn new(team: Team, progress: &'a (dyn Fn(u64) + Sync), stop: &'a AtomicBool) -> Self {
        Self { team, progress, stop }
    }
}

impl Loading<'static> {
    /// Loads on the calling thread; nobody watches, and nothing stops it.
    pub fn alone() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self::new(Team::single(), &|_| {}, &NEVER)
    }
}

impl Loading<'_> {
    /// Fails if the stop flag is set.
    pub fn check_stop(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::interrupted("interrupted while the model was loaded")),
            false => Ok(()),
        }
    }

    /// Calls `work(i)` for every i below `count`, on whichever thread is free; it gives a value and the bytes that are
    /// done with it. Returns the values in order, or the error of the smallest i that has one, whatever the number of
    /// threads.
    pub fn each<T: Send>(&mut self, count: usize, work: impl Fn(usize) -> Result<(T, u64)> + Sync) -> Result<Vec<T>> {
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
        let (progress, stop) = (self.progress, self.stop);
        self.team.run(&|_| {
            // Taken in order: when one fails, all smaller ones are done or running.
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    return;
                }
                let result = match stop.load(Ordering::Relaxed) {
                    true => Err(Error::interrupted("interrupted while the model was loaded")),
                    false => work(i),
                };
                match &result {
                    Ok((_, bytes)) => progress(*bytes),
                    Err(_) => next.store(count, Ordering::Relaxed),
                }
                done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(i, _)| *i);
        done.into_iter().map(|(_, result)| result.map(|(value, _)| value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_order_and_the_first_error_wins() {
        for threads in [1, 2, 5] {
            let team = Team::new(threads, |_| {}).expect("threads start");
            let mut loading = Loading { team, ..Loading::alone() };
            assert_eq!(loading.each(100, |i| Ok((i * i, 1))).unwrap(), (0..100).map(|i| i * i).collect::<Vec<_>>());
            let fails = |i: usize| if i % 7 == 6 { Err(Error::input(i.to_string())) } else { Ok(((), 0)) };
            assert_eq!(loading.each(100, fails).unwrap_err().to_string(), "6");
            assert!(loading.each(0, fails).unwrap().is_empty());
        }
    }

    #[test]
    fn bytes_are_counted_and_the_flag_stops() {
        let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let count = |bytes: u64| {
            done.fetch_add(bytes as usize, Ordering::Relaxed);
        };
        let mut loading = Loading::new(Team::single(), &count, &stop);
        loading.each(4, |i| Ok(((), i as u64))).unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 6);
        stop.store(true, Ordering::Relaxed);
        let error = loading.each(4, |i| Ok(((), i as u64))).unwrap_err();
        assert_eq!((error.kind(), done.load(Ordering::Relaxed)), (crate::error::Kind::Interrupted, 6));
    }
}
