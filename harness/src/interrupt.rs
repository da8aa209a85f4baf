//! Ctrl-C and SIGTERM: a flag that every loop looks at, so that what was measured so far is saved.

use crate::output::note;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Sets the flag on the first signal; a second one ends the process at once.
pub fn install() {
    let installed = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
    if let Err(error) = installed {
        note(format!("warning: Ctrl-C will not save what was measured: {error}"));
    }
}

/// Lets a write past a limit on file sizes fail like one to a full disk, with an error line; the default is to end the
/// process.
pub fn ignore_file_size_signal() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigHandler, Signal, signal};
        // SAFETY: ignoring a signal runs no code of ours. If it is refused, the default stays.
        let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    }
}

/// The flag.
pub fn flag() -> &'static AtomicBool {
    &INTERRUPTED
}

/// Whether a signal came.
pub fn requested() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
