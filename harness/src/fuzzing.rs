//! Everything that reads what a stranger wrote, fed with damaged copies of good files. Runs on stable Rust as ordinary
//! tests.
//!
//! A reader may accept or refuse with one line and exit code 2; a panic or an error of several lines fails the test,
//! which then prints the number of the input. `cargo test -p harness fuzzing` runs a fixed number of inputs for each
//! reader; `TRITBENCH_FUZZ_SECONDS=60` runs as many as fit, and `TRITBENCH_FUZZ_FIRST=N` starts at input N, to see one
//! again. Whatever is found becomes a file in `tests/corpus`. Why no coverage-guided engine: those need a nightly
//! compiler to see anything, and a mutator that knows where a GGUF file keeps its lengths gets further here than random
//! bytes do with coverage.

mod mutator;
mod readers;

use crate::error::{Error, Exit};
use mutator::Mutator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Inputs for each reader when no time is given.
const INPUTS: u64 = 1500;

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Runs `read` on mutations of `seeds`. It gives back what the reader said.
fn fuzz(seeds: &[Vec<u8>], binary: bool, mut read: impl FnMut(&[u8]) -> Result<(), Error>) {
    let (first, limit) = (number_of("TRITBENCH_FUZZ_FIRST").unwrap_or(0), number_of("TRITBENCH_FUZZ_SECONDS"));
    let start = Instant::now();
    let (mut accepted, mut refused) = (0u64, 0u64);
    for number in first.. {
        let enough = match limit {
            Some(seconds) => start.elapsed() >= Duration::from_secs(seconds),
            None => number - first >= INPUTS,
        };
        if enough {
            break;
        }
        let bytes = Mutator::new(number).mutate(seeds, binary);
        let said = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        match said {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(error)) => {
                let text = error.to_string();
                assert_eq!(error.exit(), Exit::Input, "input {number}: {text}");
                assert!(text.len() < 2000, "input {number}: {} bytes of error: {text}", text.len());
                refused += 1;
            }
            Err(_) => panic!("input {number} made the reader panic: TRITBENCH_FUZZ_FIRST={number}"),
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(refused > 0, "mutations that nobody refuses test nothing");
}
