//! A team of threads that shares the rows of one call after another.
//!
//! Decode makes hundreds of short calls a token, so the threads wait for the next one by spinning for a bounded time
//! before they park. Rows are split statically and contiguously: every row is computed by the same code whatever the
//! number of threads, so results are bit-identical.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Spins before a waiting thread gives its CPU away: some tens of microseconds, longer than the gap between two calls
/// of a decode step. By that gap, not swept.
const SPINS: u32 = 2_000;

type Job = *const (dyn Fn(usize) + Sync);

#[derive(Default)]
struct Shared {
    /// Incremented to start a job; workers compare with the last one that they saw.
    epoch: AtomicUsize,
    /// Workers still at the current job.
    remaining: AtomicUsize,
    /// Set before `epoch` is incremented, read after a worker has seen the increment.
    job: UnsafeCell<Option<Job>>,
    panicked: AtomicBool,
    stop: AtomicBool,
    /// [`SPINS`], or none when the team has more threads than there are CPUs: then spinning keeps the others from
    /// working.
    spins: u32,
}

impl Shared {
    fn new(threads: usize) -> Self {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Self { spins: if threads <= cpus { SPINS } else { 0 }, ..Self::default() }
    }
}

// SAFETY: `job` is written only by the team's owner while no worker is at a job (`remaining` is 0), and read by workers
// only after they saw `epoch` change with Acquire, which the owner stored with Release after writing. The other fields
// are atomics.
unsafe impl Sync for Shared {}
// SAFETY: the raw pointer in `job` points to a `Sync` closure that outlives the job, see `Team::run`.
unsafe impl Send for Shared {}

/// Threads that work on one call at a time together with the caller, which is thread 0.
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Team {
    /// A team of `threads` (at least 1, the caller included). `on_start` runs first on each new thread, with its number
    /// (from 1): the place to pin it.
    pub fn new(threads: usize, on_start: impl Fn(usize) + Send + Sync + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(threads));
        let on_start = Arc::new(on_start);
        let mut team = Self { shared, workers: Vec::new() };
        for number in 1..threads.max(1) {
            let (shared, on_start) = (Arc::clone(&team.shared), Arc::clone(&on_start));
            let worker = thread::Builder::new().name(format!("kernel-{number}")).spawn(move || {
                on_start(number);
                work(&shared, number);
            })?;
            team.workers.push(worker);
        }
        Ok(team)
    }

    /// A team of one thread, the calling one.
    pub fn single() -> Self {
        Self { shared: Arc::new(Shared::new(1)), workers: Vec::new() }
    }

    /// Number of threads that a job runs on, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `job(number)` once on every thread and returns when all are done. Allocates nothing.
    ///
    /// # Panics
    /// If `job` panics on any thread, after all have ended.
    pub fn run(&mut self, job: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() {
            return job(0);
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. The pointer is used by workers between here and the moment `remaining` is
        // 0 again, which `Finish` waits for before this function returns or unwinds, so `job` outlives every use.
        let job_without_lifetime: Job = unsafe { std::mem::transmute(std::ptr::from_ref(job)) };
        // SAFETY: `&mut self` and `remaining == 0` (the last `run` waited) mean that no worker reads `job` now.
        unsafe { *shared.job.get() = Some(job_without_lifetime) };
        shared.remaining.store(self.workers.len(), Ordering::Relaxed);
        shared.epoch.fetch_add(1, Ordering::Release);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        let finish = Finish(shared);
        job(0);
        drop(finish);
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a kernel thread panicked");
    }

    /// As [`Self::run`], for a job that can fail.
    ///
    /// # Errors
    /// One of the errors that `job` returned; it runs on the other threads all the same.
    pub(crate) fn try_run<E: Send>(&mut self, job: impl Fn(usize) -> Result<(), E> + Sync) -> Result<(), E> {
        let error = Mutex::new(None);
        self.run(&|number| {
            if let Err(e) = job(number) {
                *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            }
        });
        error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Fills a token-major matrix (`stride` elements a token) in parallel, each thread the columns of a range that
    /// starts on a multiple of `panel`. `fill` gets the thread's number, its range and its columns; threads without any
    /// are not called.
    pub fn split_columns<T: Send>(
        &mut self,
        panel: usize,
        out: &mut [T],
        stride: usize,
        fill: impl Fn(usize, Range<usize>, Columns<'_, T>) + Sync,
    ) {
        let (threads, tokens) = (self.threads(), out.len().checked_div(stride).unwrap_or(0));
        let start = StridedStart::new(out, stride);
        self.run(&|number| {
            let range = row_range(stride, panel, threads, number);
            if !range.is_empty() {
                // SAFETY: ranges of different numbers are disjoint and each number runs once; `out` is borrowed until
                // `run` returns.
                let columns = unsafe { start.columns(range.clone(), tokens) };
                fill(number, range, columns);
            }
        });
    }

    /// Fills `out` in parallel, each thread one contiguous piece that starts on a multiple of `panel_rows`. `fill` gets
    /// the range of indices and the piece; threads without any are not called.
    ///
    /// # Errors
    /// One of the errors that `fill` returned; the other pieces are filled all the same.
    pub fn split_rows<T: Send, E: Send>(
        &mut self,
        panel_rows: usize,
        out: &mut [T],
        fill: impl Fn(Range<usize>, &mut [T]) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let (rows, threads) = (out.len(), self.threads());
        if threads == 1 {
            return fill(0..rows, out);
        }
        let start = StridedStart::new(out, rows);
        self.try_run(|number| {
            let range = row_range(rows, panel_rows, threads, number);
            if range.is_empty() {
                return Ok(());
            }
            // SAFETY: `row_range` gives disjoint ranges within 0..rows for different numbers, and each number runs
            // once, so no two pieces overlap; `out` is borrowed mutably until `run` has returned.
            let mut piece = unsafe { start.columns(range.clone(), 1) };
            fill(range, piece.token(0))
        })
    }
}

/// Start of a token-major matrix (token after token, `stride` elements each) whose columns are handed to several
/// threads.
pub(crate) struct StridedStart<T> {
    start: *mut T,
    stride: usize,
    len: usize,
}

// SAFETY: the pointer is only used to form disjoint columns of a `&mut [T]` with `T: Send`, some for each thread.
unsafe impl<T: Send> Sync for StridedStart<T> {}

impl<T> StridedStart<T> {
    pub(crate) fn new(out: &mut [T], stride: usize) -> Self {
        Self { start: out.as_mut_ptr(), stride, len: out.len() }
    }

    /// The columns `range` of the first `tokens` tokens.
    ///
    /// # Safety
    /// The slice given to `new` must still be borrowed by the caller, and no two live `Columns` of it may share a
    /// column.
    pub(crate) unsafe fn columns<'a>(&self, range: Range<usize>, tokens: usize) -> Columns<'a, T> {
        assert!(range.end <= self.stride && tokens * self.stride <= self.len);
        Columns { start: self.start, stride: self.stride, range, tokens, borrow: PhantomData }
    }
}

/// Columns of a token-major matrix that one thread may write while others write theirs.
pub struct Columns<'a, T> {
    start: *mut T,
    stride: usize,
    range: Range<usize>,
    tokens: usize,
    borrow: PhantomData<&'a mut [T]>,
}

impl<'a, T> Columns<'a, T> {
    /// Takes all columns of `out`: `stride` elements for each of `tokens` tokens.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn all(out: &'a mut [T], tokens: usize, stride: usize) -> Self {
        assert_eq!(out.len(), tokens * stride);
        Self { start: out.as_mut_ptr(), stride, range: 0..stride, tokens, borrow: PhantomData }
    }

    /// Number of tokens that have these columns.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Number of columns of each token.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether each token has no columns here.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Where the columns of a token begin: within the slice, as the constructor made sure, for each token that there
    /// is; one past its end where there are no columns.
    fn place(&self, token: usize) -> *mut T {
        self.start.wrapping_add(token * self.stride + self.range.start)
    }

    /// Where the columns of the first token begin, and the elements from a token to the next.
    pub(crate) fn start_and_stride(&mut self) -> (*mut T, usize) {
        (self.place(0), self.stride)
    }

    /// The columns of token number `token` (from 0), to write to.
    ///
    /// # Panics
    /// If there is no such token.
    pub fn token(&mut self, token: usize) -> &mut [T] {
        assert!(token < self.tokens, "token {token} of {}", self.tokens);
        // SAFETY: the constructor made sure that token * stride + range lies in the slice that 'a borrows, and that
        // nobody else has these columns; `&mut self` makes this the only reference to them.
        unsafe { std::slice::from_raw_parts_mut(self.place(token), self.range.len()) }
    }

    /// The columns of `N` tokens from number `first` on, to write to; empty behind the last token.
    pub fn several<const N: usize>(&mut self, first: usize) -> [&mut [T]; N] {
        std::array::from_fn(|i| {
            if first + i >= self.tokens {
                return Default::default();
            }
            // SAFETY: as in `token`; each of these is another token's, and all borrow `self`.
            unsafe { std::slice::from_raw_parts_mut(self.place(first + i), self.range.len()) }
        })
    }
}

/// The rows that thread `number` of `threads` computes: whole panels, as even as they go.
pub fn row_range(rows: usize, panel_rows: usize, threads: usize, number: usize) -> Range<usize> {
    let panels = rows.div_ceil(panel_rows);
    let bound = |n: usize| (panels * n / threads * panel_rows).min(rows);
    bound(number)..bound(number + 1)
}

/// Waits for the workers when dropped, also while unwinding.
struct Finish<'a>(&'a Shared);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let mut spins = 0u32;
        while self.0.remaining.load(Ordering::Acquire) != 0 {
            spins += 1;
            if spins < self.0.spins { std::hint::spin_loop() } else { thread::yield_now() }
        }
    }
}

fn work(shared: &Shared, number: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0u32;
        loop {
            let epoch = shared.epoch.load(Ordering::Acquire);
            if epoch != seen {
                seen = epoch;
                break;
            }
            spins += 1;
            // `unpark` before `park` makes it return at once, so no start can be missed.
            if spins < shared.spins { std::hint::spin_loop() } else { thread::park() }
        }
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // SAFETY: the owner wrote `job` before the Release increment that this thread saw, and does not write again
            // before `remaining` is 0.
            if let Some(job) = unsafe { *shared.job.get() } {
                // SAFETY: the closure outlives the job, see `Team::run`.
                unsafe { (*job)(number) };
            }
        }));
        if outcome.is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.remaining.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.epoch.fetch_add(1, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker ends by itself; its panics were reported by `run`.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::team;

    #[test]
    fn every_row_and_column_is_filled_once_by_any_team() {
        for (threads, panel) in [1, 2, 3, 5, 7].into_iter().flat_map(|threads| [1, 8, 16].map(|panel| (threads, panel)))
        {
            let mut team = team(threads);
            for rows in [0, 1, 5, 16, 40, 100] {
                let mut out = vec![0usize; rows];
                let result: Result<(), ()> = team.split_rows(panel, &mut out, |range, piece| {
                    assert!(range.start.is_multiple_of(panel));
                    piece.iter_mut().zip(range).for_each(|(v, row)| *v += row + 1);
                    Ok(())
                });
                assert_eq!((result, out), (Ok(()), (1..=rows).collect()));
                let mut out = vec![0usize; 3 * rows];
                team.split_columns(panel, &mut out, rows, |_, range, mut columns| {
                    assert_eq!((columns.tokens(), columns.len()), (3, range.len()));
                    for t in 0..3 {
                        columns.token(t).iter_mut().zip(range.clone()).for_each(|(v, c)| *v += 100 * t + c);
                    }
                });
                assert!((0..3 * rows).all(|i| out[i] == 100 * (i / rows) + i % rows));
            }
        }
    }

    #[test]
    fn errors_and_panics_reach_the_caller_and_the_team_goes_on() {
        let mut team = team(3);
        let mut out = [0u8; 30];
        let result = team.split_rows(1, &mut out, |range, _| if range.contains(&25) { Err("row 25") } else { Ok(()) });
        assert_eq!(result, Err("row 25"));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| team.run(&|n| assert!(n != 2))));
        assert!(panic.is_err());
        // Parked threads wake up.
        for round in 1..4 {
            thread::sleep(std::time::Duration::from_millis(5));
            let Ok(()) = team.split_rows(1, &mut out, |_, piece| {
                piece.fill(round);
                Ok::<(), std::convert::Infallible>(())
            });
            assert!(out.iter().all(|&v| v == round));
        }
    }
}
