//! A published figure against its machine.

use super::{Claim, Field, LOOKUP, Machine, Measures, Model, Unit};
use crate::figures::{integer, number, percent};
use crate::judge::physics::{By, Peak, Verdict, Work, judge};
use serde::Serialize;

/// How many times its machine's bound a figure may be: exactly it. The bounds are arithmetic and err upwards (the
/// highest clock on every core, each channel at its full rate, nothing but the multiply): nothing is left to forgive.
pub const TOLERANCE: f64 = 1.0;

/// A claim and what physics says of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The claim.
    #[serde(flatten)]
    pub claim: Claim,
    /// What its machine is called.
    pub machine_title: String,
    /// What its model is called.
    pub model_title: String,
    /// The figure in tokens a second, or calls of one token.
    pub tokens_s: f64,
    /// Bytes that a token must read from memory.
    pub bytes_per_token: f64,
    /// Products of a token.
    pub products_per_token: f64,
    /// The verdict; absent where nothing bounds it: a lookup on weights that fit in cache.
    #[serde(flatten)]
    pub verdict: Option<Verdict>,
    /// The arithmetic in a sentence.
    pub why: String,
}

impl Judged {
    /// The verdict in words: `impossible as labelled, 4.6×`.
    pub fn words(&self) -> String {
        match self.verdict {
            Some(Verdict::Possible { share, .. }) => format!("possible, {}", percent(share)),
            Some(Verdict::Impossible { factor, .. }) => format!("impossible as labelled, {}", times(factor)),
            None => "possible, nothing bounds it".into(),
        }
    }

    /// Whether its machine cannot do it.
    pub fn is_impossible(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Impossible { .. }))
    }

    /// The figure as it is stated, with its unit.
    pub fn stated(&self) -> String {
        let of = match (self.claim.unit, self.claim.tokens) {
            (Unit::Milliseconds | Unit::Microseconds, n) if n > 1 => format!(" for {n} tokens"),
            _ => String::new(),
        };
        format!("{} {}{of}", self.claim.figure, self.claim.unit.words())
    }

    /// What would decide it: the scenario, and what it needs.
    pub fn decided_by(&self) -> String {
        let with = self.claim.with.as_ref().map_or_else(String::new, |with| format!(" {with}"));
        format!("--scenario {}{with}", self.claim.scenario)
    }
}

/// Two digits, or as many as show that it is above 1.
fn times(factor: f64) -> String {
    if factor < 1.05 { format!("{factor:.3}×") } else { format!("{factor:.1}×") }
}

/// Judges every claim of a file, in its order.
pub fn judge_all(field: &Field) -> Vec<Judged> {
    let of = |claim: &Claim| Some(judged(claim, field.machine(claim)?, field.model(claim)?));
    field.claims.iter().filter_map(of).collect()
}

/// The verdicts in a line: `26 published figures: 5 impossible as labelled, 21 possible`.
pub fn summary(judged: &[Judged]) -> String {
    let impossible = judged.iter().filter(|j| j.is_impossible()).count();
    let possible = judged.len() - impossible;
    format!("{} published figures: {impossible} impossible as labelled, {possible} possible", judged.len())
}

fn judged(claim: &Claim, machine: &Machine, model: &Model) -> Judged {
    let (work, tokens_s) = (work(claim, machine, model), tokens_s(claim, model));
    let cores = claim.threads.map_or(machine.cores, |threads| threads.min(machine.cores));
    let multiply = multiply(claim, machine);
    let peak = Peak {
        bytes_s: Some(machine.memory_gb_s * 1e9),
        products_s: multiply.map(|(_, a_cycle)| f64::from(cores) * f64::from(a_cycle) * machine.clock_ghz * 1e9),
    };
    let verdict = judge(work, peak, tokens_s, TOLERANCE);
    let giga = |x: f64| number(x / 1e9);
    let why = match verdict {
        Some(Verdict::Possible { by: By::Memory, .. } | Verdict::Impossible { by: By::Memory, .. }) => {
            let (needed, there) = (giga(tokens_s * work.bytes), number(machine.memory_gb_s));
            let bytes = integer(work.bytes.round() as u64);
            format!("reads {needed} GB/s at {bytes} bytes a token; memory delivers {there} GB/s")
        }
        Some(Verdict::Possible { .. } | Verdict::Impossible { .. }) => {
            let (needed, there) = (giga(tokens_s * work.products), giga(peak.products_s.unwrap_or_default()));
            let (name, a_cycle) = multiply.unwrap_or_default();
            let products = integer(work.products as u64);
            let on = if cores == 1 { "1 core".into() } else { format!("{cores} cores") };
            format!(
                "takes {needed} G products/s at {products} a token; {on} with {name} ({a_cycle} a cycle at {} GHz) do \
                 {there}",
                number(machine.clock_ghz)
            )
        }
        None => "looks products up, and the weights fit in the last-level cache".into(),
    };
    Judged {
        claim: claim.clone(),
        machine_title: machine.title.clone(),
        model_title: model.title.clone(),
        tokens_s,
        bytes_per_token: work.bytes,
        products_per_token: work.products,
        verdict,
        why,
    }
}

/// Bytes of all weights that a token reads, wherever they are.
fn weight_bytes(model: &Model, head: bool) -> f64 {
    let of_head = if head { model.head as f64 * model.head_bits } else { 0.0 };
    (model.ternary as f64 * model.bits + of_head) / 8.0
}

/// Bytes from memory and products of a token. A prompt reads weights once for all its tokens, and asks the head at its
/// end only. What the last-level cache may hold need not come from memory.
fn work(claim: &Claim, machine: &Machine, model: &Model) -> Work {
    let decodes = claim.measures == Measures::Decode;
    let once_for = if decodes { 1.0 } else { f64::from(claim.tokens) };
    let from_memory = (weight_bytes(model, decodes) - machine.cache_mib * f64::from(1 << 20)).max(0.0);
    let head = if decodes { model.head } else { 0 };
    Work { bytes: from_memory / once_for, products: (model.ternary + head) as f64 }
}

/// The figure in tokens a second.
fn tokens_s(claim: &Claim, model: &Model) -> f64 {
    let tokens = f64::from(claim.tokens);
    match claim.unit {
        Unit::TokensPerSecond => claim.figure,
        Unit::Milliseconds => tokens * 1e3 / claim.figure,
        Unit::Microseconds => tokens * 1e6 / claim.figure,
        Unit::GigabytesPerSecond => claim.figure * 1e9 / weight_bytes(model, claim.measures == Measures::Decode),
    }
}

/// The multiply instruction that bounds a claim, with its products a cycle and core; none for a lookup.
fn multiply<'m>(claim: &Claim, machine: &'m Machine) -> Option<(&'m str, u32)> {
    let all = machine.multiply.iter().map(|(name, products)| (name.as_str(), *products));
    match claim.instruction.as_deref() {
        Some(LOOKUP) => None,
        Some(named) => all.into_iter().find(|(name, _)| *name == named),
        None => all.max_by_key(|(_, products)| *products),
    }
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;
    use std::collections::HashSet;

    fn of(id: &str) -> Judged {
        judge_all(&builtin()).into_iter().find(|judged| judged.claim.id == id).expect("a claim")
    }

    fn factor(id: &str) -> f64 {
        match of(id).verdict {
            Some(Verdict::Impossible { by: By::Multiply, factor }) => factor,
            other => panic!("{id}: {other:?}"),
        }
    }

    #[test]
    fn every_claim_is_judged_and_every_machine_and_model_is_named_by_one() {
        let field = builtin();
        let judged = judge_all(&field);
        assert_eq!(judged.len(), field.claims.len());
        let named = |of: fn(&Claim) -> &String| field.claims.iter().map(of).collect::<HashSet<_>>();
        let (machines, models) = (named(|c| &c.machine), named(|c| &c.model));
        assert!(field.machines.iter().all(|m| machines.contains(&m.name)), "a machine without a claim");
        assert!(field.models.iter().all(|m| models.contains(&m.name)), "a model without a claim");
        for j in &judged {
            assert!(!j.claim.source.is_empty() && !j.why.is_empty() && !j.machine_title.is_empty(), "{}", j.claim.id);
            assert!(j.tokens_s.is_finite() && j.tokens_s > 0.0, "{}", j.claim.id);
        }
    }

    #[test]
    fn three_published_prefills_are_impossible_as_labelled() {
        for (threads, want) in [("1", "4.6"), ("2", "2.2"), ("4", "1.1")] {
            let id = format!("litespark-epyc-prefill-{threads}");
            assert_eq!(format!("{:.1}", factor(&id)), want);
            assert_eq!(of(&id).words(), format!("impossible as labelled, {want}×"));
        }
        // 520.96 tokens/s of 2,084,044,800 products are 1,086 G products/s; a core does 64 x 3.7 G.
        assert!((factor("litespark-epyc-prefill-1") - 520.96 * 2.084_044_8 / (64.0 * 3.7)).abs() < 1e-9);
        assert!(of("litespark-epyc-prefill-1").why.contains("1 core with avx512-vnni (64 a cycle at 3.70 GHz)"));
        // The same code on another machine, and its decoding, are within what those can do.
        for id in ["litespark-xeon-prefill-1", "litespark-epyc-decode-16"] {
            assert!(matches!(of(id).verdict, Some(Verdict::Possible { share, .. }) if share < 0.5), "{id}");
        }
    }

    #[test]
    fn a_figure_at_the_bound_is_possible_with_all_of_it() {
        let mut field = builtin();
        let machine = field.machines.iter().find(|m| m.name == "epyc-9r14").expect("there").clone();
        let claim = Claim { figure: 1.0, ..of("litespark-epyc-prefill-1").claim };
        let products = judge_all(&Field { claims: vec![claim.clone()], ..field.clone() })[0].products_per_token;
        let bound = f64::from(machine.multiply["avx512-vnni"]) * machine.clock_ghz * 1e9 / products;
        let mut verdict = |figure: f64| {
            field.claims = vec![Claim { figure, ..claim.clone() }];
            judge_all(&field).remove(0)
        };
        // The next number below and above: their quotients round to 1 or to what is above it.
        let at = verdict(bound * (1.0 - f64::EPSILON));
        let Some(Verdict::Possible { by: By::Multiply, share }) = at.verdict else { panic!("{at:?}") };
        assert_eq!((format!("{share:.2}"), at.words()), ("1.00".into(), "possible, 100%".into()));
        let beyond = verdict(bound * 1.001);
        assert!(beyond.is_impossible() && beyond.words() == "impossible as labelled, 1.001×", "{}", beyond.words());
    }

    #[test]
    fn what_fits_in_the_last_level_cache_has_no_bound_by_memory() {
        let small = of("tq2-5700x3d");
        assert_eq!(small.bytes_per_token, 0.0);
        assert!(matches!(small.verdict, Some(Verdict::Possible { by: By::Multiply, .. })), "{small:?}");
        // Lookups in cache are bound by nothing; from memory by their bytes.
        let mut field = builtin();
        let claim = Claim { instruction: Some(LOOKUP.into()), ..small.claim };
        field.claims = vec![claim];
        let looked_up = &judge_all(&field)[0];
        assert!(looked_up.verdict.is_none() && !looked_up.is_impossible(), "{looked_up:?}");
        assert_eq!(looked_up.words(), "possible, nothing bounds it");
        assert!(matches!(of("t-mac-pi-5").verdict, Some(Verdict::Possible { by: By::Memory, .. })));
    }

    #[test]
    fn units_say_the_same_speed() {
        assert!((of("bitnet-2b4t-latency").tokens_s - 1000.0 / 29.0).abs() < 1e-9);
        assert_eq!(of("bitnet-2b4t-latency").stated(), "29 ms");
        assert!((of("bitnet-gpu-text").tokens_s - 64_000.0 / 221.08).abs() < 1e-9);
        assert_eq!(of("bitnet-gpu-text").stated(), "221.08 ms for 64 tokens");
        assert!((of("bitnet-gpu-kernel").tokens_s - 1e6 / 18.75).abs() < 1e-6);
        // 54 bytes for 256 weights.
        let weights_s = of("tq1-pi-4").tokens_s * 4096.0;
        assert!((weights_s / (0.62e9 / 54.0 * 256.0) - 1.0).abs() < 1e-12);
        // All cores of a CPU, though a team may be larger.
        let mut field = builtin();
        field.claims = [16, 96, 192].map(|n| Claim { threads: Some(n), ..of("litespark-epyc-prefill-4").claim }).into();
        let shares: Vec<_> = judge_all(&field).into_iter().map(|j| j.why).collect();
        assert!(shares[0].contains("16 cores") && shares[1] == shares[2], "{shares:?}");
    }
}
