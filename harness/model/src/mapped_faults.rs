//! SIGBUS: what reading a mapped file past its new end raises. An error line and exit code 2 instead of a core dump.
//!
//! The handler may do almost nothing, so everything it says is made ready while the file is being mapped. It ends the
//! process: nothing could be returned to the code that was reading. Receipts are written whole or not at all, so what
//! was saved before stays readable.

#[cfg(unix)]
pub use unix::{Watch, install};

#[cfg(unix)]
mod unix {
    use nix::libc;
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicPtr, Ordering};

    /// A mapped file: its addresses, and what to say when it is cut.
    struct Mapped {
        range: std::ops::Range<usize>,
        line: String,
    }

    /// Mapped files at one time; a model is one. What they point to is never freed, as the handler may be reading it at
    /// any time: a hundred bytes for each file of a run.
    static WATCHED: [AtomicPtr<Mapped>; 16] = [const { AtomicPtr::new(null_mut()) }; 16];

    /// Keeps the name of a mapped file ready for the handler.
    pub struct Watch(Option<&'static AtomicPtr<Mapped>>);

    impl Watch {
        /// Watches the mapped bytes of the file `name`. With too many files, the error has no name.
        pub fn new(bytes: &[u8], name: &str) -> Self {
            let start = bytes.as_ptr().addr();
            let range = start..start + bytes.len().next_multiple_of(64 << 10);
            let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            let line = format!("error: {name} was cut short while it was in use; restore it and run again\n");
            let file = Box::into_raw(Box::new(Mapped { range, line }));
            let order = Ordering::SeqCst;
            Self(WATCHED.iter().find(|slot| slot.compare_exchange(null_mut(), file, order, order).is_ok()))
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            if let Some(slot) = self.0 {
                slot.store(null_mut(), Ordering::SeqCst);
            }
        }
    }

    /// Installs the handler: reading a mapped file past its new end then ends the process with one line and exit code
    /// 2.
    pub fn install() {
        let action = SigAction::new(SigHandler::SigAction(handle), SaFlags::SA_SIGINFO, SigSet::empty());
        // SAFETY: the handler only loads atomics, reads leaked memory, writes to stderr and ends the process: all
        // async-signal-safe. Failing to install it leaves the system's own way to end a process.
        let _ = unsafe { sigaction(Signal::SIGBUS, &action) };
    }

    extern "C" fn handle(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system gives a valid `info` to a handler that was installed with SA_SIGINFO, and SIGBUS fills in
        // the address.
        let address = unsafe { (*info).si_addr() }.addr();
        let mut line: &[u8] = b"error: a mapped file was cut short while it was in use; restore it and run again\n";
        for slot in &WATCHED {
            // SAFETY: null, or what `new` leaked; nobody changes or frees it.
            if let Some(file) = unsafe { slot.load(Ordering::SeqCst).as_ref() }
                && file.range.contains(&address)
            {
                line = file.line.as_bytes();
            }
        }
        // SAFETY: both calls are async-signal-safe; the bytes are valid.
        unsafe {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
            libc::_exit(2);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use nix::sys::wait::{WaitStatus, waitpid};
        use nix::unistd::{ForkResult, fork};

        #[test]
        fn a_file_that_is_cut_ends_the_process_with_exit_2() {
            let dir = tempfile::tempdir().expect("a folder");
            let path = dir.path().join("m");
            std::fs::write(&path, vec![1u8; 1 << 20]).expect("written");
            let mapped = crate::mapped::map(&path, "model").expect("mapped");
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("opened");
            // SAFETY: the child calls only `sigaction`, `ftruncate`, a load and `_exit`, all async-signal-safe.
            match unsafe { fork() }.expect("forked") {
                ForkResult::Child => {
                    install();
                    let cut = file.set_len(0).is_ok();
                    // SAFETY: inside the mapping; that it faults is the point.
                    let read = unsafe { std::ptr::read_volatile(mapped.as_ptr().add(500_000)) };
                    // SAFETY: async-signal-safe. Reached only if nothing happened.
                    unsafe { libc::_exit(if cut { 100 + i32::from(read) } else { 99 }) }
                }
                ForkResult::Parent { child } => {
                    assert_eq!(waitpid(child, None).expect("it ends"), WaitStatus::Exited(child, 2));
                }
            }
        }
    }
}

/// A watch that does nothing: other systems refuse to cut a file that is mapped.
#[cfg(not(unix))]
pub struct Watch;

#[cfg(not(unix))]
impl Watch {
    /// Does nothing on this system.
    pub fn new(_: &[u8], _: &str) -> Self {
        Self
    }
}

/// Installs nothing on this system.
#[cfg(not(unix))]
pub fn install() {}
