//! End to end: decoding and prefill of several runs, paired by round inside each.

use super::change::Change;
use super::parts::{Cell, Row, Run, Table};
use crate::query;
use receipt::figures;
use receipt::judge::Method;
use receipt::judge::columns::{Columns, dense_kernel};
use receipt::judge::paired::Paired;
use receipt::judge::sequential::Side;
use receipt::{Family, GenerationKernel, GenerationRecord, GenerationRound, Ratio};

/// A phase with its time a round.
struct Phase {
    name: &'static str,
    ns: fn(&GenerationRound) -> u64,
    tokens_per_s: fn(&GenerationKernel) -> f64,
}

const PHASES: [Phase; 2] = [
    Phase {
        name: "decode",
        ns: |r| r.decode_ns.checked_div(r.decode_tokens as u64).unwrap_or(0),
        tokens_per_s: |k| k.decode_tokens_per_s,
    },
    Phase { name: "prefill", ns: |r| r.prefill_ns, tokens_per_s: |k| k.prefill_tokens_per_s },
];

/// One table a family.
pub fn tables(runs: &[Run]) -> Vec<Table> {
    let mut out = Vec::new();
    for family in Family::ALL {
        let mut ids: Vec<String> = Vec::new();
        for k in runs.iter().flat_map(|r| own(r, family)) {
            if !ids.contains(&k.kernel) {
                ids.push(k.kernel.clone());
            }
        }
        let rows = PHASES.iter().flat_map(|phase| ids.iter().map(|id| row(runs, family, id, phase)));
        // Entries that took turns with one other kernel only are not timed in prefill.
        let rows: Vec<Row> = rows.filter(|r| r.cells.iter().any(|c| c.absent.is_none())).collect();
        if !rows.is_empty() {
            out.push(Table { title: format!("{} end to end", query::family_title(family)), unit: "tokens/s", rows });
        }
    }
    out
}

fn own(run: &Run, family: Family) -> impl Iterator<Item = &GenerationKernel> {
    run.receipt.generation.iter().flat_map(|g| &g.kernels).filter(move |k| k.family == family)
}

fn row(runs: &[Run], family: Family, id: &str, phase: &Phase) -> Row {
    let found: Vec<Option<&GenerationKernel>> =
        runs.iter().map(|r| own(r, family).find(|k| k.kernel == id && (phase.tokens_per_s)(k) > 0.0)).collect();
    let cells = runs.iter().enumerate().map(|(i, run)| {
        let change = (i > 0).then(|| change(runs, i, (family, id, phase), (found[0], found[i]))).flatten();
        let Some(k) = found[i] else {
            return Cell { absent: Some(why_absent(run, id)), change, ..Cell::default() };
        };
        let speed = (phase.tokens_per_s)(k);
        let comparable = i > 0 && run.differences.is_empty() && same_question(&runs[0], run).is_none();
        let first = found[0].filter(|_| comparable).map(phase.tokens_per_s);
        // The run's own figure where it has one.
        let stated = k.decode_vs_baseline.clone().filter(|_| phase.name == "decode");
        let ratio = stated.or_else(|| paired(run, family, k, phase));
        Cell {
            paired: ratio.as_ref().map_or_else(|| "partner".into(), |r| figures::ratio(r.median)),
            interval: ratio.as_ref().map_or_else(String::new, figures::interval),
            counts: ratio.as_ref().and_then(Ratio::threshold).map(figures::percent),
            direction: ratio.as_ref().map(|r| r.direction().word()),
            value: format!("{} tokens/s", figures::number(speed)),
            unpaired: first.map(|f| figures::ratio(speed / f)),
            note: found[0].filter(|_| i > 0).and_then(|first| other_ids(runs, i, first, k, phase)),
            absent: None,
            change,
        }
    });
    Row { kernel: id.into(), place: phase.name.into(), cells: cells.collect() }
}

/// The ratio to the run's own partner, computed from the rounds. Whole texts have no A/A pair, so it is undecided.
fn paired(run: &Run, family: Family, k: &GenerationKernel, phase: &Phase) -> Option<Ratio> {
    let (partner, [partner_ns, own_ns]) = times(run, family, k, None, phase)?;
    (!own_ns.is_empty()).then(|| Paired::new(Method::Current, &partner_ns, &own_ns).ratio(&partner))
}

/// Times of the partner (`partner`, or the run's own) and of the kernel, by round.
fn times(
    run: &Run,
    family: Family,
    k: &GenerationKernel,
    partner: Option<&str>,
    phase: &Phase,
) -> Option<(String, [Vec<u64>; 2])> {
    let alone = k.sparse_ffn.as_ref().and_then(|s| Some((s.dense_kernel.clone()?, &s.dense_rounds)));
    let (name, rounds) = match alone {
        Some((dense, rounds)) => (dense, rounds),
        None => {
            let mut all = own(run, family).filter(|p| p.sparse_ffn.is_none());
            // One that skips is compared with its kernel as it is, others with the first.
            let partner = partner.or(dense_kernel(&k.kernel));
            let p = all.find(|p| partner.is_none_or(|name| p.kernel == name))?;
            (p.kernel.clone(), &p.rounds)
        }
    };
    if name == k.kernel {
        return None;
    }
    let pairs = k.rounds.iter().filter_map(|own| {
        let partner = rounds.iter().find(|p| p.round == own.round)?;
        Some(((phase.ns)(partner), (phase.ns)(own)))
    });
    let (p, o): (Vec<u64>, Vec<u64>) = pairs.filter(|(p, o)| *p > 0 && *o > 0).unzip();
    Some((name, [p, o]))
}

fn change(
    runs: &[Run],
    i: usize,
    (family, id, phase): (Family, &str, &Phase),
    found: (Option<&GenerationKernel>, Option<&GenerationKernel>),
) -> Option<Change> {
    let (first, other) = (&runs[0], &runs[i]);
    let (a, b) = match found {
        (Some(a), Some(b)) => (a, b),
        (None, None) => return None,
        (a, _) => return Some(Change::none(why_absent(if a.is_none() { first } else { other }, id))),
    };
    let partners = |run: &Run, k: &GenerationKernel| times(run, family, k, None, phase).map(|t| t.0);
    let common = match (partners(first, a), partners(other, b)) {
        (None, None) => return None,
        (Some(p), _) | (None, Some(p)) => p,
    };
    if !other.differences.is_empty() {
        return Some(Change::none("another machine or setting"));
    }
    if let Some(why) = same_question(first, other) {
        return Some(Change::none(why));
    }
    // By blocks of tokens, where there are enough pairs and an A/A pair beside them.
    let by_block = |run| blocks(run, family, id, &common).filter(|_| phase.name == "decode");
    let (Some(side_a), Some(side_b)) = (by_block(first), by_block(other)) else {
        return Some(Change::none("whole texts carry no A/A pair, so nothing says what would count"));
    };
    Some(Change::between(&side_a, &side_b))
}

/// A kernel and its partner in the token blocks of a run.
fn blocks<'r>(run: &'r Run, family: Family, kernel: &str, partner: &str) -> Option<Side<'r>> {
    let generation = run.receipt.generation.as_ref()?;
    generation.blocks.iter().filter(|b| b.family == family).find_map(|blocks| {
        let columns = Columns::blocks(blocks, generation.threads);
        Some(columns.side(&blocks.rule, columns.index(kernel)?, columns.index(partner)?))
    })
}

/// Why two runs' generations are different questions, if they are.
fn same_question(first: &Run, other: &Run) -> Option<String> {
    let model_hash = |r: &Run| r.receipt.model.as_ref().map(|m| m.sha256.clone());
    let (a, b) = (first.receipt.generation.as_ref()?, other.receipt.generation.as_ref()?);
    let asked = |g: &GenerationRecord| (g.prompt_ids.clone(), g.max_tokens, g.sampling.clone());
    match () {
        () if model_hash(first) != model_hash(other) => Some("another model".into()),
        () if asked(a) != asked(b) => Some("another prompt or number of tokens".into()),
        () if a.head != b.head => {
            Some(format!("output head {} in {}, {} in {}", a.head, first.letter, b.head, other.letter))
        }
        () => None,
    }
}

/// Exact kernels give the same tokens, whatever the build.
fn other_ids(runs: &[Run], i: usize, a: &GenerationKernel, b: &GenerationKernel, phase: &Phase) -> Option<String> {
    let exact = |k: &GenerationKernel| k.family == query::EXACT;
    let same = phase.name == "decode" && same_question(&runs[0], &runs[i]).is_none() && exact(a) && exact(b);
    let both = a.token_ids.len().min(b.token_ids.len());
    (same && a.token_ids[..both] != b.token_ids[..both]).then(|| format!("other token ids than in {}", runs[0].letter))
}

fn why_absent(run: &Run, id: &str) -> String {
    match run.receipt.kernels.iter().find(|k| k.id == id) {
        Some(k) if !k.available => {
            format!("not possible in {}: {}", run.letter, k.reason.as_deref().unwrap_or("not available"))
        }
        _ => format!("not generated with in {}", run.letter),
    }
}
