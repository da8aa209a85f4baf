//! Whole text: decoding and prefill of two runs, paired by round inside each.

use super::change::Change;
use super::parts::{Comparison, Figure, Pair, Run};
use crate::query;
use receipt::judge::Method;
use receipt::judge::columns::{Columns, dense_kernel};
use receipt::judge::paired::Paired;
use receipt::judge::sequential::Side;
use receipt::{Family, GenerationKernel, GenerationRecord, GenerationRound, Ratio};

/// A phase with its time a round.
struct Phase {
    name: &'static str,
    ns: fn(&GenerationRound) -> u64,
    rate: fn(&GenerationKernel) -> f64,
}

const DECODE: Phase = Phase {
    name: "decode",
    ns: |r| r.decode_ns.checked_div(r.decode_tokens as u64).unwrap_or(0),
    rate: |k| k.decode_tokens_per_s,
};
const PREFILL: Phase = Phase { name: "prefill", ns: |r| r.prefill_ns, rate: |k| k.prefill_tokens_per_s };

/// The whole texts of two runs as pairs: families in their order, decoding before prefill.
pub fn pairs(comparison: &Comparison) -> Vec<Pair> {
    let mut out = Vec::new();
    for family in Family::ALL {
        let mut ids: Vec<&str> = Vec::new();
        for k in comparison.runs().into_iter().flat_map(|run| own(run, family)) {
            if !ids.contains(&k.kernel.as_str()) {
                ids.push(&k.kernel);
            }
        }
        let rows = [DECODE, PREFILL]
            .into_iter()
            .flat_map(|phase| ids.iter().map(|id| pair(comparison, family, id, &phase)).collect::<Vec<_>>());
        // Entries that took turns with one other kernel only are not timed in prefill.
        out.extend(rows.filter(|pair| pair.figures.iter().any(Result::is_ok)));
    }
    out
}

fn own(run: &Run, family: Family) -> impl Iterator<Item = &GenerationKernel> {
    run.receipt.generation.iter().flat_map(|g| &g.kernels).filter(move |k| k.family == family)
}

fn pair(comparison: &Comparison, family: Family, id: &str, phase: &Phase) -> Pair {
    let found = comparison.runs().map(|run| {
        let timed = own(run, family).find(|k| k.kernel == id && (phase.rate)(k) > 0.0);
        timed.ok_or_else(|| why_absent(run, id))
    });
    let figures = [0, 1].map(|i| {
        let k = found[i].as_ref().map_err(Clone::clone)?;
        // The run's own figure where it has one.
        let stated = k.decode_vs_baseline.clone().filter(|_| phase.name == DECODE.name);
        let ratio = stated.or_else(|| paired(comparison.runs()[i], family, k, phase));
        Ok(Figure { ratio, rate: (phase.rate)(k) })
    });
    Pair {
        family,
        text: true,
        kernel: id.into(),
        place: phase.name.into(),
        figures,
        note: other_ids(comparison, &found, phase),
        change: change(comparison, family, id, &found, phase),
    }
}

/// The ratio to the run's own partner, computed from the rounds. Whole texts have no A/A pair, so it is undecided.
fn paired(run: &Run, family: Family, k: &GenerationKernel, phase: &Phase) -> Option<Ratio> {
    let (partner, rounds) = partner(run, family, k)?;
    let pairs = k.rounds.iter().filter_map(|own| {
        let partner = rounds.iter().find(|p| p.round == own.round)?;
        Some(((phase.ns)(partner), (phase.ns)(own)))
    });
    let (theirs, own): (Vec<u64>, Vec<u64>) = pairs.filter(|(p, o)| *p > 0 && *o > 0).unzip();
    (!own.is_empty()).then(|| Paired::new(Method::Current, &theirs, &own).ratio(&partner))
}

/// Whom the kernel took turns with: the first, or itself as it is for one that skips; and that one's rounds.
fn partner<'r>(run: &'r Run, family: Family, k: &'r GenerationKernel) -> Option<(String, &'r [GenerationRound])> {
    let alone = k.sparse_ffn.as_ref().and_then(|s| Some((s.dense_kernel.clone()?, &s.dense_rounds[..])));
    let among_all = || {
        let mut all = own(run, family).filter(|p| p.sparse_ffn.is_none());
        let dense = dense_kernel(&k.kernel);
        all.find(|p| dense.is_none_or(|name| p.kernel == name)).map(|p| (p.kernel.clone(), &p.rounds[..]))
    };
    alone.or_else(among_all).filter(|(name, _)| *name != k.kernel)
}

type Found<'r> = Result<&'r GenerationKernel, String>;

fn change(comparison: &Comparison, family: Family, id: &str, found: &[Found<'_>; 2], phase: &Phase) -> Option<Change> {
    let (first, other) = (&comparison.first, &comparison.other);
    let (a, b) = match found {
        [Ok(a), Ok(b)] => (*a, *b),
        [Err(why), _] | [_, Err(why)] => return Some(Change::none(why.as_str())),
    };
    let common = partner(first, family, a).or_else(|| partner(other, family, b))?.0;
    if !comparison.differences.is_empty() {
        return Some(Change::none("another machine or setting"));
    }
    if let Some(why) = other_question(first, other) {
        return Some(Change::none(why));
    }
    // By blocks of tokens, where there are enough pairs and an A/A pair beside them.
    let by_block = |run| blocks(run, family, id, &common).filter(|_| phase.name == DECODE.name);
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

/// Why two runs' texts are different questions, if they are.
fn other_question(first: &Run, other: &Run) -> Option<String> {
    let model_hash = |run: &Run| run.receipt.model.as_ref().map(|m| m.sha256.clone());
    let (a, b) = (first.receipt.generation.as_ref()?, other.receipt.generation.as_ref()?);
    let asked = |g: &GenerationRecord| (g.prompt_ids.clone(), g.max_tokens, g.sampling.clone());
    if model_hash(first) != model_hash(other) {
        Some("another model".into())
    } else if asked(a) != asked(b) {
        Some("another prompt or number of tokens".into())
    } else if a.activations != b.activations {
        Some(format!("activations by {} in A, by {} in B", a.activations, b.activations))
    } else {
        (a.head != b.head).then(|| format!("output head {} in A, {} in B", a.head, b.head))
    }
}

/// Exact kernels give the same tokens, whatever the build.
fn other_ids(comparison: &Comparison, found: &[Found<'_>; 2], phase: &Phase) -> Option<String> {
    let [Ok(a), Ok(b)] = found else { return None };
    let same = phase.name == DECODE.name && other_question(&comparison.first, &comparison.other).is_none();
    let both = a.token_ids.len().min(b.token_ids.len());
    let differ = a.token_ids[..both] != b.token_ids[..both];
    (same && a.family == query::EXACT && differ).then(|| "other token ids than in A".into())
}

fn why_absent(run: &Run, id: &str) -> String {
    run.not_possible(id).unwrap_or_else(|| format!("not generated with in {}", run.letter))
}
