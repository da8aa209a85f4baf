//! Loading a model on several threads.

use crate::error::{Error, Result};
use kernels::parallel::Team;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Threads to load with, who is told of progress, and what stops it.
pub struct Loading<'a> {
    /// The threads.
    pub team: Team,
    /// Called with the number of bytes that have been done since the last call, from any thread.
    pub progress: &'a (dyn Fn(u64) + Sync),
    stop: &'a AtomicBool,
}

impl<'a> Loading<'a> {
    /// Loads with `team` until `stop` is set.
    pub fn new(team: Team, progress: &'a (dyn Fn(u64) + Sync), stop: &'a AtomicBool) -> Self {
        Self { team, progress, stop }
    }
}

impl Loading<'static> {
    /// Loads with `team`; nobody watches, and nothing stops it.
    pub fn unwatched(team: Team) -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self::new(team, &|_| {}, &NEVER)
    }

    /// As [`Self::unwatched`], on the calling thread.
    pub fn alone() -> Self {
        Self::unwatched(Team::single())
    }
}

impl Loading<'_> {
    /// `work(i)` for every i below `count`, by whichever thread is free; it gives a value and the bytes that are done
    /// with it. Returns the values in order, or the error of the smallest i that has one, whatever the number of
    /// threads.
    pub fn each<T: Send + Sync>(
        &mut self,
        count: usize,
        work: impl Fn(usize) -> Result<(T, u64)> + Sync,
    ) -> Result<Vec<T>> {
        let next = AtomicUsize::new(0);
        let values: Vec<OnceLock<T>> = (0..count).map(|_| OnceLock::new()).collect();
        let fault: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let (progress, stop) = (self.progress, self.stop);
        self.team.run(&|_| {
            loop {
                // Taken in order: when one fails, all smaller ones are done or running.
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(value) = values.get(i) else { return };
                let done = match stop.load(Ordering::Relaxed) {
                    true => Err(Error::interrupted("interrupted while the model was loaded")),
                    false => work(i),
                };
                match done {
                    Ok((done, bytes)) => {
                        // Each i is taken once, so no other thread writes here.
                        let _ = value.set(done);
                        progress(bytes);
                    }
                    Err(error) => {
                        let mut fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
                        if fault.as_ref().is_none_or(|(first, _)| i < *first) {
                            *fault = Some((i, error));
                        }
                        next.store(count, Ordering::Relaxed);
                        return;
                    }
                }
            }
        });
        match fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(values.into_iter().filter_map(OnceLock::into_inner).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_order_and_the_first_error_wins() {
        for threads in [1, 2, 5] {
            let team = Team::new(threads, |_| {}).expect("threads start");
            let mut loading = Loading::unwatched(team);
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
