//! Progress on stderr: a bar on a terminal, a plain line for each step elsewhere.

use crate::output::note;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Progress of one step of a command, shown on stderr.
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
        // One part has no time left that anything could tell.
        let template =
            if total <= 1 { "{spinner} {msg} {elapsed}" } else { "{bar:24} {percent:>3}% {msg} {elapsed}, {eta} left" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        if total == 0 {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar }
    }

    /// Adds `more` finished parts, from any thread.
    pub fn add(&self, more: u64) {
        self.bar.inc(more);
    }

    /// Sets the number of finished parts. Cheap, but not free: not to be called while something is timed.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Sets the number of finished parts, and says what comes next.
    pub fn step(&self, done: usize, what: impl Into<String>) {
        self.set(done as u64);
        self.say(what);
    }

    /// Changes the text beside the bar.
    pub fn say(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
