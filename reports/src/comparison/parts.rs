//! What a comparison of two runs is made of.

use super::change::Change;
use super::identity::Difference;
use receipt::judge::Direction;
use receipt::{Family, Ratio, Receipt};

/// One of the two runs that are compared.
#[derive(Debug)]
pub struct Run {
    /// Letter of the run, `A` or `B`.
    pub letter: &'static str,
    /// The name that the user gave the run.
    pub name: String,
    /// Address of the run's page.
    pub link: Option<String>,
    /// The run's receipt.
    pub receipt: Receipt,
}

impl Run {
    /// Why a kernel could not run on the run's machine, if it could not.
    pub fn not_possible(&self, kernel: &str) -> Option<String> {
        let absent = self.receipt.kernels.iter().find(|k| k.id == kernel && !k.available)?;
        let why = absent.reason.as_deref().unwrap_or("not available");
        Some(format!("not possible in {}: {why}", self.letter))
    }
}

/// A kernel's figure in one of two runs.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Speed over the partner in the same run; none of the partner itself.
    pub ratio: Option<Ratio>,
    /// The speed itself, to read and not to compare; of whole text in tokens/s.
    pub rate: f64,
}

/// One kernel at one place in both runs.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The family of the kernel.
    pub family: Family,
    /// Whether the figures are of whole text, in tokens/s.
    pub text: bool,
    /// Id of the kernel.
    pub kernel: String,
    /// The cell, or the phase of a whole text, in words.
    pub place: String,
    /// The kernel's figure in each run, or why there is none.
    pub figures: [std::result::Result<Figure, String>; 2],
    /// What became of the figure; absent for the partner of the ratios.
    pub change: Option<Change>,
    /// A note where the two runs compute something else.
    pub note: Option<String>,
}

/// Two runs side by side, with every pair of figures.
#[derive(Debug)]
pub struct Comparison {
    /// The first run, with which the other is compared.
    pub first: Run,
    /// The other run.
    pub other: Run,
    /// Facts of machine and setting that forbid to compare the two runs.
    pub differences: Vec<Difference>,
    /// Kernels by family, then whole text by family.
    pub pairs: Vec<Pair>,
}

impl Comparison {
    /// Both runs, the first one first.
    pub fn runs(&self) -> [&Run; 2] {
        [&self.first, &self.other]
    }

    /// Pairs with a figure in both runs that moved, the slower ones first, of equals the largest change.
    pub fn changed(&self) -> Vec<&Pair> {
        let size = |pair: &Pair| pair.change.as_ref().and_then(|c| c.ratio).map_or(0.0, |ratio| ratio.ln().abs());
        let moved = |pair: &&Pair| pair.change.as_ref().is_some_and(Change::is_change);
        let mut out: Vec<&Pair> = self.pairs.iter().filter(moved).collect();
        out.sort_by(|a, b| a.direction().cmp(&b.direction()).then(size(b).total_cmp(&size(a))));
        out
    }
}

impl Pair {
    /// The direction of the pair's change; none where there is no change to speak of.
    pub fn direction(&self) -> Option<Direction> {
        self.change.as_ref().and_then(|change| change.direction)
    }
}
