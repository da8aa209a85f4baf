//! Who is fastest in a cell and whether that is settled: worded once, for sentences, pictures and cards.

use crate::query;
use receipt::judge::Direction;
use receipt::{BoundBy, Family, MicroCell, MicroSummary, Operation, Ratio, Receipt, figures};

/// The fastest kernel of one cell, and how it stands against the second.
pub struct Lead<'r> {
    /// The cell that the kernel is fastest in.
    pub cell: &'r MicroCell,
    /// The kernel's row of the cell.
    pub best: &'r MicroSummary,
    /// The kernel's speed over the second, if there is one.
    pub over_next: Option<&'r Ratio>,
}

impl<'r> Lead<'r> {
    /// The fastest kernel of a cell; none where nothing ran.
    pub fn of(cell: &'r MicroCell) -> Option<Self> {
        Some(Self { cell, best: query::fastest(cell)?, over_next: cell.lead.as_ref().map(|lead| &lead.over_next) })
    }

    /// The leads of a family in the order in which they answer: gemv before batches, memory before caches, the largest
    /// shape first.
    pub fn all(receipt: &'r Receipt, family: Family) -> Vec<Self> {
        let timed = |c: &&MicroCell| !c.rounds.is_empty() && c.op != Operation::Dequantize;
        let mut cells: Vec<&MicroCell> = query::cells(receipt, family).filter(timed).collect();
        cells.sort_by_key(|c| {
            (c.op != Operation::Gemv, query::places_for_answers(c.residency), std::cmp::Reverse(c.weights_per_call))
        });
        cells.into_iter().filter_map(Self::of).collect()
    }

    /// Whether the fastest is faster than the second, for sure; none without a second.
    pub fn direction(&self) -> Option<Direction> {
        self.over_next.map(Ratio::direction)
    }

    /// Names of those in the lead: `a`, `a and b` where they are the same, `a or b` where that is undecided.
    pub fn names(&self) -> String {
        let (kernel, next) = (&self.best.kernel, self.over_next.map_or("", |next| &next.partner));
        match self.direction() {
            Some(Direction::Same) => format!("{kernel} and {next}"),
            Some(Direction::Undecided | Direction::Unstable) => format!("{kernel} or {next}"),
            _ => kernel.clone(),
        }
    }

    /// The verb that follows the names: `is` or `are`.
    pub fn verb(&self) -> &'static str {
        if self.direction() == Some(Direction::Same) { "are" } else { "is" }
    }

    /// What follows where the names leave open who leads: `, undecided`, `, unstable`, or nothing.
    pub fn open(&self) -> &'static str {
        match self.direction() {
            Some(Direction::Undecided) => ", undecided",
            Some(Direction::Unstable) => ", unstable",
            _ => "",
        }
    }

    /// Whether the fastest is faster than the family's first row for sure.
    pub fn is_faster(&self) -> bool {
        self.best.vs_baseline.as_ref().is_some_and(|r| r.direction() == Direction::Faster)
    }

    /// Whether it is settled which kernel is first.
    pub fn is_settled(&self) -> bool {
        self.direction().is_none_or(Direction::is_settled)
    }

    /// The lead in one sentence: `a is the fastest exact kernel: 12.3× [12.1, 12.5] as fast as b for gemv 6912×2560
    /// from DRAM, 87% of the machine's limit.`
    pub fn sentence(&self, what: &str) -> String {
        let plural = if self.verb() == "are" { "s" } else { "" };
        let who = format!("{} {} the fastest {what}{plural}", self.names(), self.verb());
        let (kernel, place) = (&self.best.kernel, self.place());
        let rate = format!("{} G weights/s", figures::number(self.best.gelem_s));
        let Some(ratio) = &self.best.vs_baseline else {
            return match self.direction() {
                None => format!("{kernel} is the only {what} that was timed: {rate} for {place}."),
                Some(Direction::Faster) => format!("{who}: {rate} for {place}, the partner of all ratios."),
                Some(_) => format!("No other {what} is faster than {kernel} for {place}: {rate}."),
            };
        };
        let bound = self.best.bound.as_ref().map(|b| (b.share, query::limit(b.bound)));
        let limit = bound.or(self.best.share_of_stream.map(|share| (share, query::limit(BoundBy::Memory))));
        // No limits of a device are known, only what it reads in the same rounds.
        let words = |limit| if query::on_device(self.cell) { "what a shader that only reads reaches" } else { limit };
        let limit = limit.map(|(share, limit)| (share, words(limit)));
        let limit = limit.map_or_else(String::new, |(s, limit)| format!(", {} of {limit}", figures::percent(s)));
        let runs = if self.direction().is_some_and(|d| d != Direction::Faster) {
            format!("{kernel} runs ")
        } else {
            String::new()
        };
        let figure = figures::ratio_with_interval(ratio);
        format!("{who}{}: {runs}{figure} as fast as {} for {place}{limit}.", self.open(), ratio.partner)
    }

    /// `gemv 6912×2560 in cache`, for the middle of a sentence.
    fn place(&self) -> String {
        let cell = self.cell;
        format!("{} {} {}", cell.op, query::shape(cell), query::residency(cell.residency))
    }
}
