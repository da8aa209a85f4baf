//! Microbenchmarks of several runs, one row a cell and kernel: each run's own paired ratio, and what became of it.

use super::change::Change;
use super::parts::{Cell, Row, Run, Table};
use crate::query;
use receipt::figures;
use receipt::judge;
use receipt::judge::columns::Columns;
use receipt::{Family, MicroCell, Operation, Ratio, Receipt, Residency};

/// What makes two cells of one family the same question.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    op: Operation,
    m: usize,
    k: usize,
    tokens: usize,
    residency: Residency,
    threads: usize,
}

fn key(c: &MicroCell) -> Key {
    Key { op: c.op, m: c.m, k: c.k, tokens: c.tokens, residency: c.residency.place(), threads: c.threads }
}

/// One table a family.
pub fn tables(runs: &[Run]) -> Vec<Table> {
    let mut out = Vec::new();
    for family in Family::ALL {
        let mut rows: Vec<(Key, String, String)> = Vec::new();
        for cell in runs.iter().flat_map(|r| measured(&r.receipt, family)) {
            for (_, s) in query::kernels(cell) {
                if !rows.iter().any(|(k, _, kernel)| *k == key(cell) && *kernel == s.kernel) {
                    rows.push((key(cell), query::cell_title(cell), s.kernel.clone()));
                }
            }
        }
        // Cells together, in the order in which they were first met.
        let mut order: Vec<Key> = Vec::new();
        rows.iter().for_each(|(k, ..)| {
            if !order.contains(k) {
                order.push(k.clone())
            }
        });
        rows.sort_by_key(|(k, ..)| order.iter().position(|o| o == k));
        let rows: Vec<Row> = rows.iter().map(|(k, place, kernel)| row(runs, family, k, place, kernel)).collect();
        if !rows.is_empty() {
            out.push(Table { title: query::family_title(family).into(), unit: "Gelem/s", rows });
        }
    }
    out
}

fn measured(receipt: &Receipt, family: Family) -> impl Iterator<Item = &MicroCell> {
    query::cells(receipt, family).filter(|c| !c.rounds.is_empty())
}

/// The cell of a run, and the kernel's column in it.
type Found<'a> = Option<(&'a MicroCell, usize)>;

fn find<'a>(receipt: &'a Receipt, family: Family, like: &Key, kernel: &str) -> Found<'a> {
    let cell = measured(receipt, family).find(|c| key(c) == *like)?;
    Some((cell, column(cell, kernel)?))
}

fn column(cell: &MicroCell, kernel: &str) -> Option<usize> {
    query::kernels(cell).find(|(_, s)| s.kernel == kernel).map(|(i, _)| i)
}

fn row(runs: &[Run], family: Family, like: &Key, place: &str, kernel: &str) -> Row {
    let found: Vec<_> = runs.iter().map(|r| find(&r.receipt, family, like, kernel)).collect();
    let cells = runs.iter().zip(&found).enumerate().map(|(i, (run, here))| {
        let change = (i > 0).then(|| change(runs, i, (family, like, kernel), (found[0], *here))).flatten();
        let Some((cell, column)) = *here else {
            return Cell { absent: Some(why_absent(run, family, like, kernel)), change, ..Cell::default() };
        };
        let s = &cell.summaries[column];
        let first = found[0].filter(|_| i > 0 && run.differences.is_empty()).map(|(c, at)| &c.summaries[at]);
        let hint = first.map(|f| f.median_ns_per_call / s.median_ns_per_call).filter(|x| x.is_finite() && *x > 0.0);
        Cell {
            paired: s.vs_baseline.as_ref().map_or_else(|| "partner".into(), |r| figures::ratio(r.median)),
            interval: s.vs_baseline.as_ref().map_or_else(String::new, figures::interval),
            counts: s.vs_baseline.as_ref().and_then(Ratio::threshold).map(figures::percent),
            direction: s.vs_baseline.as_ref().map(|r| r.direction().word()),
            value: format!("{} Gelem/s", figures::number(s.gelem_s)),
            unpaired: hint.map(figures::ratio),
            note: found[0].filter(|_| i > 0).and_then(|first| other_result(runs, i, first, (cell, column))),
            absent: None,
            change,
        }
    });
    Row { kernel: kernel.into(), place: place.into(), cells: cells.collect() }
}

/// None for the partner of both runs' ratios, which has none of its own, and for what only a third run has.
fn change(
    runs: &[Run],
    i: usize,
    (family, like, kernel): (Family, &Key, &str),
    found: (Found<'_>, Found<'_>),
) -> Option<Change> {
    let (first, other) = (&runs[0], &runs[i]);
    let ((a, at_a), (b, at_b)) = match found {
        (Some(a), Some(b)) => (a, b),
        (None, None) => return None,
        (a, _) => {
            let lacking = if a.is_none() { first } else { other };
            return Some(Change::none(why_absent(lacking, family, like, kernel)));
        }
    };
    if at_a == 0 && at_b == 0 {
        return None;
    }
    if !other.differences.is_empty() {
        return Some(Change::none("another machine or setting"));
    }
    let Some(partner) = partner(a, b, kernel) else {
        return Some(Change::none("the two runs have no partner in common"));
    };
    let (rule_a, rule_b) =
        (judge::rule_for(first.receipt.rule.as_ref(), a), judge::rule_for(other.receipt.rule.as_ref(), b));
    let (columns_a, columns_b) = (Columns::micro(a), Columns::micro(b));
    let sides = columns_a.index(&partner).zip(columns_b.index(&partner));
    let Some((partner_a, partner_b)) = sides else {
        return Some(Change::none("the two runs have no partner in common"));
    };
    Some(Change::between(&columns_a.side(&rule_a, at_a, partner_a), &columns_b.side(&rule_b, at_b, partner_b)))
}

/// A kernel that took turns with this one in both runs: the baseline of either, else whichever comes first.
fn partner(a: &MicroCell, b: &MicroCell, kernel: &str) -> Option<String> {
    let baselines = [a, b].into_iter().filter_map(|c| c.summaries.first());
    let all = baselines.chain(query::kernels(a).map(|(_, s)| s)).map(|s| &s.kernel);
    all.filter(|p| *p != kernel).find(|p| column(a, p).is_some() && column(b, p).is_some()).cloned()
}

/// An exact kernel that gives other integers for the same operands.
fn other_result(runs: &[Run], i: usize, a: (&MicroCell, usize), b: (&MicroCell, usize)) -> Option<String> {
    let (x, y) = (a.0.entries.get(a.1)?, b.0.entries.get(b.1)?);
    let exact = |r: &Receipt| r.kernels.iter().any(|k| k.id == x.kernel && k.exact);
    let same_question = a.0.seed == b.0.seed && exact(&runs[0].receipt) && exact(&runs[i].receipt);
    (same_question && x.output_sha256 != y.output_sha256)
        .then(|| format!("computes something else than in {}", runs[0].letter))
}

fn why_absent(run: &Run, family: Family, like: &Key, kernel: &str) -> String {
    let letter = &run.letter;
    if let Some(wrong) = run.receipt.verify.iter().find(|v| v.id == kernel && v.mismatches > 0) {
        return format!("not timed in {letter}: {} of {} cases differ from the oracle", wrong.mismatches, wrong.cases);
    }
    match run.receipt.kernels.iter().find(|k| k.id == kernel) {
        None => format!("{letter}'s build has no such kernel"),
        Some(k) if !k.available => {
            format!("not possible in {letter}: {}", k.reason.as_deref().unwrap_or("not available"))
        }
        Some(_) if measured(&run.receipt, family).any(|c| key(c) == *like) => format!("not run in {letter}"),
        Some(_) => format!("{letter} has no such cell"),
    }
}
