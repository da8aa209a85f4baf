//! Two receipts side by side, with a direction a figure. Paired ratios from inside each run are what is compared;
//! medians of different runs are divided only where the machines are the same, and even then as a hint. Across machines
//! nothing is.

mod change;
pub mod identity;
mod kernels;
mod next;
mod parts;
mod sections;
mod texts;
mod words;

pub use parts::Comparison;

use parts::Run;
use receipt::{Error, Receipt, Result};

impl Comparison {
    /// A comparison of two runs, each with the name that the user gave it and the address of its page.
    ///
    /// # Errors
    /// Fewer or more than two.
    pub fn new(receipts: Vec<(String, Option<String>, Receipt)>) -> Result<Self> {
        let given = receipts.len();
        let Ok([first, other]) = <[_; 2]>::try_from(receipts) else {
            let how = "name two runs, or the folder that holds them: `report DIR` lists any number";
            return Err(Error::input(format!("{given} runs cannot stand side by side; {how}")));
        };
        let run = |letter, (name, link, receipt)| Run { letter, name, link, receipt };
        let (first, other) = (run("A", first), run("B", other));
        let differences = identity::differences(&first.receipt, &other.receipt);
        let mut comparison = Self { first, other, differences, pairs: Vec::new() };
        comparison.pairs = kernels::pairs(&comparison).into_iter().chain(texts::pairs(&comparison)).collect();
        Ok(comparison)
    }
}

#[cfg(test)]
mod tests;
