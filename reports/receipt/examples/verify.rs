//! Says whether a receipt holds: cargo run -p receipt --example verify -- reports/example/receipt.json
//! With nothing but this crate. Exit code 1: it does not hold, or it cannot be read.

use receipt::recheck::recheck;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args_os().nth(1).ok_or("name a receipt.json")?;
    let bytes = std::fs::read(&file)?;
    // This is no build of tritbench, so texts are not compared.
    let found = recheck(file.into(), &bytes, None)?.require()?;
    found.notes.iter().for_each(|note| println!("note: {note}"));
    println!("{} holds: {} values recomputed", found.receipt.display(), found.values_compared);
    Ok(())
}
