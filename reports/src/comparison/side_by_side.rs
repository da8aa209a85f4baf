//! The comparison itself.

use super::change;
use super::gate_rows::{self, GateRow};
use super::identity::{self, Difference};
use super::parts::{Against, Changed, Run, Table};
use super::{generation_rows, kernel_rows, words};
use receipt::{Error, Receipt, Result};

/// Most runs side by side: each has a letter, and all are in memory at once.
const MOST: usize = 26;

/// Everything that pages and texts say of several runs.
#[derive(Debug)]
pub struct Comparison {
    /// The runs, the first being what others are compared with.
    pub runs: Vec<Run>,
    /// The first sentence.
    pub opening: String,
    /// One entry for each run after the first.
    pub against: Vec<Against>,
    /// Kernels by family, then generation by family.
    pub tables: Vec<Table>,
    /// Gates side by side.
    pub gates: Vec<GateRow>,
    /// Remarks on whole cells.
    pub remarks: Vec<String>,
}

impl Comparison {
    /// Of at least two runs, by the names that the user gave them.
    pub fn new(receipts: Vec<(String, Receipt)>) -> Result<Self> {
        if receipts.len() < 2 {
            return Err(Error::input("a comparison needs at least two receipts"));
        }
        if receipts.len() > MOST {
            let n = receipts.len();
            let how = "name the folder that holds them, `report DIR`, for a history of any number";
            return Err(Error::input(format!("{n} runs are too many side by side (at most {MOST}); {how}")));
        }
        let differences: Vec<Vec<Difference>> =
            receipts.iter().map(|(_, r)| identity::differences(&receipts[0].1, r)).collect();
        let letters = ('A'..='Z').map(String::from);
        let runs: Vec<Run> = letters
            .zip(receipts)
            .zip(differences)
            .map(|((letter, (name, receipt)), differences)| Run { letter, name, receipt, differences })
            .collect();
        let mut tables = kernel_rows::tables(&runs);
        tables.extend(generation_rows::tables(&runs));
        let remarks = words::remarks(&runs, &tables);
        let against: Vec<Against> = (1..runs.len()).map(|i| words::against(&runs, &tables, i)).collect();
        let gates = gate_rows::gates(&runs);
        let opening = words::opening(&runs, &tables, &against, &gates);
        Ok(Self { runs, opening, against, tables, gates, remarks })
    }

    /// Kernels that are slower or faster in some run: slower first, and of equals the largest change.
    pub fn changed(&self) -> Vec<Changed> {
        let mut out: Vec<Changed> = Vec::new();
        for (t, table) in self.tables.iter().enumerate() {
            for (r, row) in table.rows.iter().enumerate() {
                let changes = row.cells.iter().zip(&self.runs).filter_map(|(c, run)| Some((run, c.change.as_ref()?)));
                for (run, change) in changes {
                    let Some(ratio) = change.ratio.filter(|_| change::is_change(change.direction)) else { continue };
                    let same = |c: &&mut Changed| {
                        let same = c.kernel == row.kernel && c.letter == run.letter && c.table == t;
                        same && c.direction == change.direction
                    };
                    match out.iter_mut().find(same) {
                        Some(known) => known.add(&row.place, ratio),
                        None => out.push(Changed {
                            kernel: row.kernel.clone(),
                            letter: run.letter.clone(),
                            direction: change.direction,
                            places: vec![row.place.clone()],
                            of: self.compared(t, &row.kernel, &run.letter),
                            low: ratio,
                            high: ratio,
                            table: t,
                            row: r,
                        }),
                    }
                }
            }
        }
        let size = |c: &Changed| c.low.ln().abs().max(c.high.ln().abs());
        out.sort_by(|a, b| a.direction.cmp(&b.direction).then(size(b).total_cmp(&size(a))));
        out
    }

    /// Comparisons of a kernel in one table that had two figures.
    fn compared(&self, table: usize, kernel: &str, letter: &str) -> usize {
        let at = self.runs.iter().position(|r| r.letter == letter);
        let rows = self.tables[table].rows.iter().filter(|r| r.kernel == kernel);
        rows.filter(|r| at.and_then(|i| r.cells[i].change.as_ref()).is_some_and(|c| c.ratio.is_some())).count()
    }
}
