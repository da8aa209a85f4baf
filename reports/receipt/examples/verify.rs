//! Says whether a receipt holds, with nothing but this crate:
//! `cargo run -p receipt --example verify -- reports/example/receipt.json`
//!
//! Exit code 1: it does not hold; 2: it cannot be read.

use receipt::recheck::recheck;
use std::{env, error::Error, fs, path::PathBuf, process::exit};

fn main() {
    let holds = verify().unwrap_or_else(|error| {
        eprintln!("{error}");
        exit(2)
    });
    exit(if holds { 0 } else { 1 })
}

fn verify() -> Result<bool, Box<dyn Error>> {
    let file = PathBuf::from(env::args_os().nth(1).ok_or("usage: verify RECEIPT.JSON")?);
    let bytes = fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    // This is no build of tritbench, so texts are not compared.
    let found = recheck(file, &bytes, None)?;
    found.problems.iter().for_each(|problem| println!("{}", problem.line()));
    found.notes.iter().for_each(|note| println!("note: {note}"));
    println!("{}: {}", found.receipt.display(), if found.verified { "holds" } else { "does not hold" });
    Ok(found.verified)
}
