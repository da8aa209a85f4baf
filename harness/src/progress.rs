//! Progress on stderr: a bar on a terminal, a plain line for each step elsewhere.

use crate::output::note;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// One step of a command.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts a step of `total` parts (0: unknown).
    pub fn start(what: impl Into<String>, total: u64) -> Self {
        let what = what.into();
        if !std::io::stderr().is_terminal() {
            note(&what);
            return Self { bar: ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()) };
        }
        let bar = ProgressBar::new(total);
        let template = if total == 0 { "{spinner} {msg}" } else { "{bar:24} {percent:>3}% {msg} {elapsed}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        if total == 0 {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar }
    }

    /// More parts done, from any thread.
    pub fn add(&self, more: u64) {
        self.bar.inc(more);
    }

    /// Parts done. Cheap, but not free: not to be called while something is timed.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Parts done, and what comes next.
    pub fn step(&self, done: usize, what: impl Into<String>) {
        self.set(done as u64);
        self.say(what);
    }

    /// Changes what the bar says.
    pub fn say(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
