//! Turns, in shared memory: the gate orders an entry, the child runs it and writes its times, and each sleeps on a
//! futex while the other runs. Neither spins: on two cores a spinning process would disturb the one that is measured.

use crate::error::{Error, Result};
use crate::measure::rounds::Spent;
use kernels::foreign::Note;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Size in bytes of the file through which a gate and its worker share turns.
const CONTROL_BYTES: u64 = 4096;
/// Where in it the calls into foreign code are noted.
const NOTE_AT: usize = 2048;

/// What the two processes share.
#[repr(C)]
struct Block {
    /// Whose turn it is; the word that both sleep on.
    turn: AtomicU32,
    /// Protocol 1 numbers the kernels of a cell; there is one, so it stays 0.
    _entry: AtomicU32,
    calls: AtomicU32,
    switches: AtomicU32,
    ns: AtomicU64,
    cpu_ns: AtomicU64,
}

/// The gate's turn; also the state of a fresh block.
const GATE: u32 = 0;
/// The child's turn: run an epoch.
const RUN: u32 = 1;
/// The child's turn: leave the cell.
const LEAVE: u32 = 2;

/// What the gate tells its worker to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Run an epoch of this many calls.
    Run(u32),
    /// Leave the cell.
    Leave,
}

/// One process's view of the memory through which a gate and its worker share turns.
pub struct Control {
    map: MmapRaw,
}

impl Control {
    /// Makes the file of a control block and maps it: the parent's side.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|e| Error::io("create", path, &e))?;
        file.set_len(CONTROL_BYTES).map_err(|e| Error::io("write", path, &e))?;
        Self::map(&file).map_err(|e| Error::io("map", path, &e))
    }

    /// Maps the control block that the parent made: the worker's side.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path);
        file.and_then(|file| Self::map(&file)).map_err(|e| Error::io("map", path, &e))
    }

    /// Maps the control block in `file`, which must be [`CONTROL_BYTES`] long.
    fn map(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() < CONTROL_BYTES {
            return Err(io::Error::other("the control file is too short"));
        }
        Ok(Self { map: MmapOptions::new().len(CONTROL_BYTES as usize).map_raw(file)? })
    }

    fn block(&self) -> &Block {
        // SAFETY: the map is page-aligned and longer than a Block, lives as long as `self`, and every field is an
        // atomic, for which all bit patterns are valid and which the other process changes only through atomics too.
        unsafe { &*self.map.as_mut_ptr().cast::<Block>() }
    }

    /// What foreign code is asked to do: the worker writes it before each call, the parent reads it when no answer
    /// comes.
    pub fn note(&self) -> &Note {
        // SAFETY: the note lies within the map, behind the block and at a multiple of its alignment; else as `block`.
        unsafe { &*self.map.as_mut_ptr().cast::<u8>().add(NOTE_AT).cast::<Note>() }
    }

    /// On the gate's side: gives an order and hands the turn to the worker.
    pub fn order(&self, order: Order) {
        let block = self.block();
        let turn = match order {
            Order::Run(calls) => {
                block.calls.store(calls, Ordering::Relaxed);
                RUN
            }
            Order::Leave => LEAVE,
        };
        block.turn.store(turn, Ordering::Release);
        wake(&block.turn);
    }

    /// On the gate's side: what the worker's epoch took; `None` if the turn is not back within `patience`.
    pub fn spent(&self, patience: Duration) -> Option<Spent> {
        let block = self.block();
        let turn = block.turn.load(Ordering::Acquire);
        if turn != GATE {
            wait(&block.turn, turn, patience);
        }
        (block.turn.load(Ordering::Acquire) == GATE).then(|| Spent {
            ns: block.ns.load(Ordering::Relaxed),
            cpu_ns: block.cpu_ns.load(Ordering::Relaxed),
            involuntary_switches: block.switches.load(Ordering::Relaxed),
        })
    }

    /// On the worker's side: the next order; `None` if none comes within `patience`.
    pub fn next(&self, patience: Duration) -> Option<Order> {
        let block = self.block();
        if block.turn.load(Ordering::Acquire) == GATE {
            wait(&block.turn, GATE, patience);
        }
        match block.turn.load(Ordering::Acquire) {
            RUN => Some(Order::Run(block.calls.load(Ordering::Relaxed))),
            LEAVE => {
                // Taken back here: the gate speaks next through the pipe, and then expects a fresh block.
                block.turn.store(GATE, Ordering::Release);
                Some(Order::Leave)
            }
            _ => None,
        }
    }

    /// On the worker's side: reports what the epoch took and gives the turn back.
    pub fn done(&self, spent: Spent) {
        let block = self.block();
        block.ns.store(spent.ns, Ordering::Relaxed);
        block.cpu_ns.store(spent.cpu_ns, Ordering::Relaxed);
        block.switches.store(spent.involuntary_switches, Ordering::Relaxed);
        block.turn.store(GATE, Ordering::Release);
        wake(&block.turn);
    }
}

#[cfg(target_os = "linux")]
fn wait(word: &AtomicU32, value: u32, patience: Duration) {
    use rustix::thread::futex::{Flags, Timespec};
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
    // Every outcome (woken, changed before, timed out, a signal) leads the caller to look at the word again.
    let _ = rustix::thread::futex::wait(word, Flags::empty(), value, Some(&timeout));
}

#[cfg(target_os = "linux")]
fn wake(word: &AtomicU32) {
    let _ = rustix::thread::futex::wake(word, rustix::thread::futex::Flags::empty(), 1);
}

#[cfg(not(target_os = "linux"))]
fn wait(word: &AtomicU32, value: u32, patience: Duration) {
    let start = std::time::Instant::now();
    while word.load(Ordering::Acquire) == value && start.elapsed() < patience {
        std::thread::sleep(Duration::from_micros(50));
    }
}

#[cfg(not(target_os = "linux"))]
fn wake(_: &AtomicU32) {}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn two_views_of_one_file_take_turns() {
        let file = tempfile::tempfile().expect("a file");
        assert!(Control::map(&file).is_err(), "too short");
        file.set_len(CONTROL_BYTES).expect("longer");
        let gate = Control::map(&file).expect("maps");
        assert_eq!(gate.next(Duration::ZERO), None, "nothing ordered yet");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let child = Control::map(&file).expect("maps");
                while let Some(Order::Run(calls)) = child.next(PATIENCE) {
                    let ns = u64::from(calls * 100);
                    child.done(Spent { ns, cpu_ns: ns + 1, involuntary_switches: 2 });
                }
            });
            for calls in [1, 7, 2] {
                gate.order(Order::Run(calls));
                let ns = u64::from(calls * 100);
                assert_eq!(gate.spent(PATIENCE), Some(Spent { ns, cpu_ns: ns + 1, involuntary_switches: 2 }));
            }
            gate.order(Order::Leave);
        });
        let before = gate.next(Duration::ZERO);
        assert_eq!(before, None, "a child that left leaves the block as it was at first");
    }
}
