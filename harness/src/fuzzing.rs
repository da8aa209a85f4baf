//! Everything that reads what a stranger wrote, fed with damaged copies of good files: any damage gives what was read
//! or an error of ours, never a panic, and takes bounded memory. Ordinary tests on stable Rust, by arbtest.
//!
//! `ARBTEST_BUDGET_MS=60000 cargo test -p harness fuzzing` searches for a minute a reader instead of a second. A
//! failure prints its seed; `ARBTEST_SEED=0x... cargo test -p harness fuzzing::readers::NAME` shows it again. Whatever
//! is found becomes a file in `tests/corpus`. A reader that does not end is a test that does not end. No
//! coverage-guided engine: those need a nightly compiler, and damage to a good GGUF file gets further than random
//! bytes do with coverage.

mod damage;
mod memory;
mod readers;

use crate::error::{Error, Exit};
use damage::damaged;
use std::cell::Cell;

/// Bytes that a reader may take beyond those of its file: a receipt's pages and exports need most.
const MOST_BYTES: usize = 200 << 20;

/// What a file is made of, which decides what damage is worth trying.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Binary,
    Text,
}

/// Runs `read` on damaged copies of `good` files and of `bad` ones, which a reader refuses already.
fn fuzz(kind: Kind, good: &[Vec<u8>], bad: &[Vec<u8>], read: impl Fn(&[u8]) -> Result<(), Error>) {
    let (accepted, refused) = (Cell::new(0), Cell::new(0));
    let search = arbtest::arbtest(|u| {
        let bytes = damaged(u, kind, good, bad)?;
        let (said, peak) = memory::peak_of(|| read(&bytes));
        assert!(peak < bytes.len() + MOST_BYTES, "{peak} bytes of memory for a file of {}", bytes.len());
        match said {
            Ok(()) => accepted.set(accepted.get() + 1),
            Err(error) => {
                let text = error.to_string();
                assert_eq!(error.exit(), Exit::Input, "{text}");
                assert!(text.len() < 2000 && !text.contains('\n'), "{} bytes of error: {text}", text.len());
                refused.set(refused.get() + 1);
            }
        }
        Ok(())
    });
    // Bytes of entropy: four kinds of damage need no more.
    let search = search.size_min(32).size_max(128);
    match std::env::var_os("ARBTEST_BUDGET_MS") {
        Some(_) => search.run(),
        None => search.budget_ms(1000).run(),
    }
    println!("{} accepted, {} refused", accepted.get(), refused.get());
}
