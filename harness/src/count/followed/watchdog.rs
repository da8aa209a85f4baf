//! Ends a followed worker that takes too long: the follower waits for it in the system, where it cannot look at a
//! clock.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Kills a process that takes longer than its `patience`. Dropping the watchdog calls it off.
pub struct Watchdog {
    patience: Duration,
    bit: Arc<AtomicBool>,
    off: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts to watch the process `pid`, which is killed after `patience`.
    pub fn new(pid: Pid, patience: Duration) -> io::Result<Self> {
        let bit = Arc::new(AtomicBool::new(false));
        let (off, called_off) = mpsc::channel::<()>();
        let bites = Arc::clone(&bit);
        let watch = move || {
            if called_off.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                // Before the kill, which the follower sees at once.
                bites.store(true, Ordering::SeqCst);
                let _ = kill(pid, Signal::SIGKILL);
            }
        };
        let thread = Builder::new().name("watchdog".into()).spawn(watch)?;
        Ok(Self { patience, bit, off: Some(off), thread: Some(thread) })
    }

    /// If the watchdog has killed the process: how long it waited before.
    pub fn bit(&self) -> Option<Duration> {
        self.bit.load(Ordering::SeqCst).then_some(self.patience)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Its wait ends when nobody can call it off any more.
        self.off = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
