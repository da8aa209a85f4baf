//! What a comparison of two runs is made of.

use super::change::Change;
use super::identity::Difference;
use receipt::judge::Direction;
use receipt::{Family, Ratio, Receipt};

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
pub struct Figure {
    /// Over its own partner; none of the partner itself.
    pub ratio: Option<Ratio>,
    /// The speed itself: to read, not to compare.
    pub rate: f64,
}

/// One kernel at one place in both runs.
#[derive(Clone, Debug)]
pub struct Pair {
    pub family: Family,
    /// Whether it is of whole text, in tokens/s.
    pub text: bool,
    pub kernel: String,
    /// Cell or phase.
    pub place: String,
    /// Figures, or why there is none.
    pub figures: [std::result::Result<Figure, String>; 2],
    /// What became of it; absent for the partner of the ratios.
    pub change: Option<Change>,
    /// Where both compute something else.
    pub note: Option<String>,
}

/// Everything that is said of two runs.
#[derive(Debug)]
pub struct Comparison {
    /// The first run, with which the other is compared.
    pub first: Run,
    /// The other.
    pub other: Run,
    /// What forbids to compare them.
    pub differences: Vec<Difference>,
    /// Kernels by family, then whole text by family.
    pub pairs: Vec<Pair>,
}

impl Comparison {
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
    pub fn direction(&self) -> Option<Direction> {
        self.change.as_ref().and_then(|change| change.direction)
    }
}
