//! What a list of runs says of one.

use crate::query;
use receipt::{Receipt, Residency, figures};

/// The fastest exact kernel for `gemv`, or what was measured instead, with its paired ratio.
pub fn fastest(r: &Receipt) -> Option<String> {
    let op = query::headlines(r, query::EXACT).first()?.op;
    // Memory first, as in the run's own first sentence.
    let mut places = Residency::PLACES;
    places.sort_by_key(|at| query::places_for_answers(*at));
    let cells = places.map(|at| query::headline(r, query::EXACT, op, at));
    let cell = cells.into_iter().flatten().find(|c| !c.rounds.is_empty())?;
    let exact = |id: &str| r.kernels.iter().any(|k| k.id == id && k.exact);
    let best = query::fastest_of(cell, |s| exact(&s.kernel))?;
    let ratio = best.vs_baseline.as_ref().map_or_else(|| "1×".into(), figures::judged);
    Some(format!("{} {ratio}", best.kernel))
}

/// The smallest difference that counts: from the quietest cell to the noisiest.
pub fn counts_from(r: &Receipt) -> Option<String> {
    query::threshold_range(r).map(query::percent_range)
}
