//! Loading a model on several threads, with a progress bar.

use crate::error::{Error, Result};
use crate::interrupt;
use crate::progress::Progress;
use kernels::parallel::Team;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Threads to load with, and the progress bar.
pub struct Loading {
    /// The threads.
    pub team: Team,
    /// Counts bytes.
    pub progress: Arc<Progress>,
}

impl Loading {
    /// Loads with `team`.
    pub fn new(team: Team, progress: Progress) -> Self {
        Self { team, progress: Arc::new(progress) }
    }

    /// One thread, without a progress bar.
    #[cfg(test)]
    pub fn alone() -> Self {
        Self::new(Team::single(), Progress::silent())
    }

    /// `work(i)` for every i below `count`, by whichever thread is free; it gives a value and the bytes that are done with it. Returns
    /// the values in order, or the error of the smallest i that has one, whatever the number of threads.
    pub fn each<T: Send + Sync>(
        &mut self,
        count: usize,
        work: impl Fn(usize) -> Result<(T, u64)> + Sync,
    ) -> Result<Vec<T>> {
        let next = AtomicUsize::new(0);
        let values: Vec<OnceLock<T>> = (0..count).map(|_| OnceLock::new()).collect();
        let fault: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let progress = &self.progress;
        self.team.run(&|_| {
            loop {
                // Taken in order: when one fails, all smaller ones are done or running.
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(value) = values.get(i) else { return };
                let done = match interrupt::requested() {
                    true => Err(Error::interrupted("interrupted while the model was loaded")),
                    false => work(i),
                };
                match done {
                    Ok((done, bytes)) => {
                        // Each i is taken once, so no other thread writes here.
                        let _ = value.set(done);
                        progress.add(bytes);
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
            let mut loading = Loading::new(team, Progress::silent());
            assert_eq!(loading.each(100, |i| Ok((i * i, 1))).unwrap(), (0..100).map(|i| i * i).collect::<Vec<_>>());
            let fails = |i: usize| if i % 7 == 6 { Err(Error::input(i.to_string())) } else { Ok(((), 0)) };
            assert_eq!(loading.each(100, fails).unwrap_err().to_string(), "6");
            assert!(loading.each(0, fails).unwrap().is_empty());
        }
    }
}
