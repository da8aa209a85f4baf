//! Two receipts side by side, with a direction a figure. Paired ratios from inside each run are what is compared;
//! medians of different runs are divided only where the machines are the same, and even then as a hint. Across machines
//! nothing is.

mod change;
pub mod identity;
mod kernels;
mod next;
mod sections;
mod texts;
mod words;

use change::Change;
use identity::Difference;
use receipt::{Error, Family, Ratio, Receipt, Result};

/// One of the two runs.
#[derive(Debug)]
pub struct Run {
    /// `A` or `B`.
    pub letter: &'static str,
    /// What the user called it.
    pub name: String,
    /// Its page, as a link.
    pub link: Option<String>,
    /// What it measured.
    pub receipt: Receipt,
}

/// One figure of one run.
#[derive(Clone, Debug)]
struct Figure {
    /// Over its own partner; none of the partner itself.
    ratio: Option<Ratio>,
    /// The speed itself: to read, not to compare.
    rate: f64,
}

/// One kernel at one place in both runs.
#[derive(Clone, Debug)]
struct Pair {
    family: Family,
    /// Whether it is of whole text, in tokens/s.
    text: bool,
    kernel: String,
    /// Cell or phase.
    place: String,
    /// Figures, or why there is none.
    figures: [std::result::Result<Figure, String>; 2],
    /// What became of it; absent for the partner of the ratios.
    change: Option<Change>,
    /// Where both compute something else.
    note: Option<String>,
}

/// Everything that is said of two runs.
#[derive(Debug)]
pub struct Comparison {
    /// The first run, with which the other is compared.
    pub first: Run,
    /// The other.
    pub other: Run,
    /// What forbids to compare them.
    differences: Vec<Difference>,
    /// Kernels by family, then whole text by family.
    pairs: Vec<Pair>,
}

impl Comparison {
    /// Of two runs, each with the name that the user gave it and the address of its page.
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

    fn runs(&self) -> [&Run; 2] {
        [&self.first, &self.other]
    }

    /// Pairs with a figure in both runs that moved, the slower ones first, of equals the largest change.
    fn changed(&self) -> Vec<&Pair> {
        let size = |pair: &Pair| pair.change.as_ref().and_then(|c| c.ratio).map_or(0.0, |ratio| ratio.ln().abs());
        let moved = |pair: &&Pair| pair.change.as_ref().is_some_and(Change::is_change);
        let mut out: Vec<&Pair> = self.pairs.iter().filter(moved).collect();
        out.sort_by(|a, b| a.direction().cmp(&b.direction()).then(size(b).total_cmp(&size(a))));
        out
    }
}

impl Pair {
    fn direction(&self) -> Option<receipt::judge::Direction> {
        self.change.as_ref().and_then(|change| change.direction)
    }
}

#[cfg(test)]
mod tests;
