//! Products of two runs, one pair a cell and kernel: each run's own paired ratio, and what became of it.

use super::change::Change;
use super::parts::{Comparison, Figure, Pair, Run};
use crate::query;
use receipt::judge::columns::Columns;
use receipt::{Family, KernelRecord, MicroCell, Operation, Receipt, Residency, Scaling, judge, titles};

/// What makes two cells of one family the same question.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    op: Operation,
    m: usize,
    k: usize,
    tokens: usize,
    residency: Residency,
    threads: usize,
    scaling: Option<Scaling>,
}

fn key(c: &MicroCell) -> Key {
    let (op, m, k, tokens, threads, scaling) = (c.op, c.m, c.k, c.tokens, c.threads, c.scaling());
    Key { op, m, k, tokens, residency: c.residency.place(), threads, scaling }
}

/// The products of two runs as pairs: families in their order, cells together, in the order in which they were met.
pub fn pairs(comparison: &Comparison) -> Vec<Pair> {
    let mut out = Vec::new();
    for family in Family::ALL {
        let cells = || comparison.runs().into_iter().flat_map(move |run| measured(&run.receipt, family));
        let mut keys: Vec<(Key, String)> = Vec::new();
        for cell in cells().filter(|c| !c.summaries.is_empty()) {
            if !keys.iter().any(|(known, _)| *known == key(cell)) {
                keys.push((key(cell), titles::cell_of_a_run(cell)));
            }
        }
        for (like, place) in &keys {
            let mut kernels: Vec<&str> = Vec::new();
            for (_, s) in cells().filter(|c| key(c) == *like).flat_map(query::kernels) {
                if !kernels.contains(&s.kernel.as_str()) {
                    kernels.push(&s.kernel);
                }
            }
            out.extend(kernels.into_iter().map(|kernel| pair(comparison, family, like, place, kernel)));
        }
    }
    out
}

fn measured(receipt: &Receipt, family: Family) -> impl Iterator<Item = &MicroCell> {
    query::cells(receipt, family).filter(|c| !c.rounds.is_empty())
}

/// The cell of a run, and the kernel's column in it.
type Found<'a> = Result<(&'a MicroCell, usize), String>;

fn find<'a>(run: &'a Run, family: Family, like: &Key, kernel: &str) -> Found<'a> {
    let cell = measured(&run.receipt, family).find(|c| key(c) == *like);
    let found = cell.and_then(|cell| Some((cell, column(cell, kernel)?)));
    found.ok_or_else(|| why_absent(run, family, like, kernel))
}

fn column(cell: &MicroCell, kernel: &str) -> Option<usize> {
    query::kernels(cell).find(|(_, s)| s.kernel == kernel).map(|(i, _)| i)
}

fn pair(comparison: &Comparison, family: Family, like: &Key, place: &str, kernel: &str) -> Pair {
    let found = comparison.runs().map(|run| find(run, family, like, kernel));
    let figure = |found: &Found<'_>| {
        let (cell, column) = found.as_ref().map_err(Clone::clone)?;
        let s = &cell.summaries[*column];
        Ok(Figure { ratio: s.vs_baseline.clone(), rate: s.gelem_s })
    };
    Pair {
        family,
        text: false,
        kernel: kernel.into(),
        place: place.into(),
        figures: [figure(&found[0]), figure(&found[1])],
        note: other_result(comparison, &found),
        change: change(comparison, kernel, &found),
    }
}

/// None for the partner of both runs' ratios, which has none of its own.
fn change(comparison: &Comparison, kernel: &str, found: &[Found<'_>; 2]) -> Option<Change> {
    let ((a, at_a), (b, at_b)) = match found {
        [Ok(a), Ok(b)] => (*a, *b),
        [Err(why), _] | [_, Err(why)] => return Some(Change::none(why.as_str())),
    };
    if at_a == 0 && at_b == 0 {
        return None;
    }
    if !comparison.differences.is_empty() {
        return Some(Change::none("another machine or setting"));
    }
    let rules = [(&comparison.first, a), (&comparison.other, b)]
        .map(|(run, cell)| judge::rule_for(run.receipt.rule.as_ref(), cell));
    let columns = [Columns::micro(a), Columns::micro(b)];
    let partner = partner(a, b, kernel).and_then(|p| columns[0].index(&p).zip(columns[1].index(&p)));
    let Some((partner_a, partner_b)) = partner else {
        return Some(Change::none("the two runs have no partner in common"));
    };
    let first = columns[0].side(&rules[0], at_a, partner_a);
    Some(Change::between(&first, &columns[1].side(&rules[1], at_b, partner_b)))
}

/// A kernel that took turns with this one in both runs: the baseline of either, else whichever comes first.
fn partner(a: &MicroCell, b: &MicroCell, kernel: &str) -> Option<String> {
    let baselines = [a, b].into_iter().filter_map(|c| c.summaries.first());
    let all = baselines.chain(query::kernels(a).map(|(_, s)| s)).map(|s| &s.kernel);
    all.filter(|p| *p != kernel).find(|p| column(a, p).is_some() && column(b, p).is_some()).cloned()
}

/// An exact kernel that gives other results for the same operands. A library's is one where its scales are 1.
fn other_result(comparison: &Comparison, found: &[Found<'_>; 2]) -> Option<String> {
    let [Ok(a), Ok(b)] = found else { return None };
    let (x, y) = (a.0.entries.get(a.1)?, b.0.entries.get(b.1)?);
    let repeats = |k: &KernelRecord| k.exact && (k.foreign.is_none() || a.0.family != Family::W2gA8);
    let exact = |run: &Run| run.receipt.kernels.iter().any(|k| k.id == x.kernel && repeats(k));
    let same_question = a.0.seed == b.0.seed && comparison.runs().into_iter().all(exact);
    (same_question && x.output_sha256 != y.output_sha256).then(|| "computes something else than in A".into())
}

fn why_absent(run: &Run, family: Family, like: &Key, kernel: &str) -> String {
    let letter = run.letter;
    if let Some(wrong) = run.receipt.verify.iter().find(|v| v.id == kernel && v.mismatches > 0) {
        return format!("not timed in {letter}: {} of {} cases differ from the oracle", wrong.mismatches, wrong.cases);
    }
    if !run.receipt.kernels.iter().any(|k| k.id == kernel) {
        return format!("{letter}'s build has no such kernel");
    }
    run.not_possible(kernel).unwrap_or_else(|| {
        let has_cell = measured(&run.receipt, family).any(|c| key(c) == *like);
        if has_cell { format!("not run in {letter}") } else { format!("{letter} has no such cell") }
    })
}
