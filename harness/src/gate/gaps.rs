//! What a gate cannot compare because a build lacks it: kernels, operations, checks, shapes. Each is a row with its
//! reason, and whose gap it is decides whether the gate can pass (`receipt::judge::coverage`).

use super::exact::{NoCheck, output_of};
use crate::worker::protocol::{JobCell, Offer};
use receipt::judge::gate::INSTRUCTIONS;
use receipt::{Activations, ExactCheck, Family, Gap, LeftOut, Operation, Residency};
use std::collections::HashSet;

const CURRENT_LACKS: &str = "the current build does not have it";
const BASELINE_LACKS: &str = "the baseline does not have it";

/// Makes the row of something that the gate leaves out.
pub fn row(kernel: impl Into<String>, reason: impl Into<String>, gap: Gap) -> LeftOut {
    LeftOut { kernel: kernel.into(), reason: reason.into(), gap: Some(gap) }
}

/// What both builds offer of the kernel `id`, and rows for what only one of them does. A result that was exact in the
/// baseline stays held to that, whatever the current build says of itself.
pub fn common(id: &str, [baseline, current]: &[Vec<Offer>; 2]) -> (Option<Offer>, Vec<LeftOut>) {
    let offer_of = |offers: &[Offer]| offers.iter().find(|o| o.id == id).cloned();
    let refused = |reason: String, gap| (None, vec![row(id, reason, gap)]);
    let (baseline, current) = match (offer_of(baseline), offer_of(current)) {
        (Some(baseline), Some(current)) => (baseline, current),
        (None, _) => return refused(BASELINE_LACKS.into(), Gap::NoBaseline),
        (_, None) => return refused(CURRENT_LACKS.into(), Gap::Lost),
    };
    match (&baseline.reason, &current.reason) {
        (Some(why), Some(_)) => return refused(why.clone(), Gap::NotHere),
        (Some(why), None) => return refused(format!("the baseline cannot run it here: {why}"), Gap::NoBaseline),
        (None, Some(why)) => return refused(format!("the current build cannot run it here: {why}"), Gap::Lost),
        (None, None) => {}
    }
    if current.family.is_none() || baseline.family != current.family {
        return refused("it is not of one family in both builds".into(), Gap::Lost);
    }
    let only = |a: &Offer, b: &Offer, why: &str, gap: Gap| {
        let [a, b] = [a, b].map(names);
        let lacking = a.into_iter().filter(move |op| !b.contains(op));
        lacking.map(|op| row(format!("{op} of {id}"), why, gap)).collect::<Vec<_>>()
    };
    let mut rows = only(&baseline, &current, CURRENT_LACKS, Gap::Lost);
    rows.extend(only(&current, &baseline, BASELINE_LACKS, Gap::NoBaseline));
    let ops = current.ops.iter().copied().filter(|op| baseline.ops.contains(op)).collect();
    let rules = current.rules.iter().copied().filter(|rule| baseline.rules.contains(rule)).collect();
    (Some(Offer { ops, rules, exact: baseline.exact, reason: None, ..current }), rows)
}

/// A row where products of a kernel with scales of groups cannot be compared with activations by this rule. Builds of
/// before there was a choice make other operands, so that not even their outputs could be compared.
pub fn by_rule(id: &str, rule: Activations, [baseline, current]: &[Vec<Offer>; 2]) -> Option<LeftOut> {
    let offer_of = |offers: &'_ [Offer]| offers.iter().find(|offer| offer.id == id).cloned();
    let (baseline, current) = (offer_of(baseline)?, offer_of(current)?);
    if current.family != Some(Family::W2gA8) {
        return None;
    }
    let have = [&baseline, &current].map(|offer| offer.rules.contains(&rule));
    let what = format!("products of {id}, activations by {rule}");
    match have {
        [true, true] => None,
        [false, true] if baseline.rules.is_empty() => {
            let why = "the baseline makes other operands for them; it is an older build";
            Some(row(what, why, Gap::NoBaseline))
        }
        [false, true] => Some(row(what, BASELINE_LACKS, Gap::NoBaseline)),
        [true, false] => Some(row(what, CURRENT_LACKS, Gap::Lost)),
        [false, false] => Some(row(what, "neither build has it", Gap::NotHere)),
    }
}

/// Operations of a build's kernel, those too that this build does not know.
fn names(offer: &Offer) -> Vec<String> {
    offer.ops.iter().map(|op| op.name().to_owned()).chain(offer.unknown_ops.iter().cloned()).collect()
}

/// Operations on whole models (decoding, prefill) that both builds know, and rows for those that one lacks. What only
/// the current build knows is a row where the scenario asks for it.
pub fn texts([baseline, current]: &[Vec<Operation>; 2], asked: bool) -> (Vec<Operation>, Vec<LeftOut>) {
    let (mut both, mut rows) = (Vec::new(), Vec::new());
    for op in Operation::ALL.into_iter().filter(|op| op.is_text()) {
        match (baseline.contains(&op), current.contains(&op)) {
            (true, true) => both.push(op),
            (true, false) => rows.push(row(op.name(), "the current build does not know these cells", Gap::Lost)),
            (false, true) if asked => {
                let why = "the baseline does not know these cells; it is an older build";
                rows.push(row(op.name(), why, Gap::NoBaseline));
            }
            (false, false) if asked => {
                rows.push(row(op.name(), "neither build knows these cells; it is an older build", Gap::NotHere));
            }
            (false, _) => {}
        }
    }
    (both, rows)
}

/// Rows for instruction counts that could not be compared, one row for all kernels of one reason.
pub fn counts(kernels: &[(String, NoCheck)]) -> Vec<LeftOut> {
    let mut rows: Vec<(&NoCheck, Vec<&str>)> = Vec::new();
    for (kernel, why) in kernels {
        match rows.iter_mut().find(|(known, _)| *known == why) {
            Some((_, kernels)) => kernels.push(kernel),
            None => rows.push((why, vec![kernel])),
        }
    }
    let named = |kernels: Vec<&str>| format!("{INSTRUCTIONS} of {}", kernels.join(", "));
    rows.into_iter().map(|((gap, reason), kernels)| row(named(kernels), reason, *gap)).collect()
}

/// Rows for outputs stored with the baseline that no cell of this gate repeats, of kernels that both builds have.
pub fn not_repeated(stored: &[ExactCheck], kernels: &[Offer], cells: &[JobCell]) -> Vec<LeftOut> {
    // Rows of matrices in L2 are as many as this machine's L2 holds, and the baseline may be another machine's.
    let cut = cells.iter().any(|cell| cell.residency == Residency::L2);
    let place = |subject: &str| if cut { without_rows(subject) } else { subject.to_owned() };
    let covered = cells.iter().map(output_of).map(|(kernel, subject)| (kernel, place(&subject)));
    let covered: HashSet<(String, String)> = covered.collect();
    // An operation that a build lacks is a row already.
    let possible = |check: &&ExactCheck| {
        let word = check.subject.split([' ', ',']).next().unwrap_or_default();
        let Some(op) = Operation::parse(word) else { return false };
        let of_text = op.is_text() && cells.iter().any(|cell| cell.op == op);
        kernels.iter().any(|k| k.id == check.kernel && (of_text || k.ops.contains(&op)))
    };
    let outputs = stored.iter().filter(|check| check.what == "output").filter(possible);
    let missing = outputs.filter(|check| !covered.contains(&(check.kernel.clone(), place(&check.subject))));
    let reason = "the baseline was saved with it, and this gate's matrix does not have it";
    missing.map(|check| row(format!("{} of {}", check.subject, check.kernel), reason, Gap::Lost)).collect()
}

/// `gemv x2560` of `gemv 256x2560`; what is no product stays as it is.
fn without_rows(subject: &str) -> String {
    let product = subject.split_once(' ').and_then(|(op, shape)| Some((op, shape.split_once('x')?)));
    match product.filter(|(_, (rows, _))| rows.parse::<usize>().is_ok()) {
        Some((op, (_, rest))) => format!("{op} x{rest}"),
        None => subject.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::exact;

    /// As a worker says it.
    fn offer(id: &str, ops: &[&str]) -> Offer {
        let said = serde_json::json!({"id": id, "family": "W2A8", "exact": true, "ops": ops});
        serde_json::from_value(said).expect("an offer")
    }

    /// A kernel with scales of groups, as a worker of this build says it, or without rules as one from before them.
    fn grouped(rules: Option<&[&str]>) -> Vec<Offer> {
        let mut said = serde_json::json!({"id": "g", "family": "W2gA8", "exact": true, "ops": ["gemv"]});
        if let Some(rules) = rules {
            said["rules"] = serde_json::json!(rules);
        }
        vec![serde_json::from_value(said).expect("an offer")]
    }

    /// What only one build has by a rule is its gap, and an older build makes other operands even by the same rule.
    #[test]
    fn products_by_a_rule_are_compared_where_both_builds_have_it() {
        let all = || grouped(Some(&["token", "256", "128", "32", "of later builds"]));
        let token = || grouped(Some(&["token"]));
        let gap = |rule, sides: [Vec<Offer>; 2]| by_rule("g", rule, &sides).map(|row| (row.gap, row.reason));
        let (by_32, by_token) = (Activations::Per32, Activations::Token);
        assert_eq!((gap(by_32, [all(), all()]), gap(by_token, [all(), token()])), (None, None));
        assert_eq!(gap(by_32, [token(), all()]), Some((Some(Gap::NoBaseline), BASELINE_LACKS.into())));
        assert_eq!(gap(by_32, [all(), token()]), Some((Some(Gap::Lost), CURRENT_LACKS.into())));
        assert_eq!(gap(by_32, [token(), token()]).expect("neither").0, Some(Gap::NotHere));
        let (of_before, why) = gap(by_token, [grouped(None), all()]).expect("an older build");
        assert!(of_before == Some(Gap::NoBaseline) && why.contains("it is an older build"), "{why}");
        // What both have is what cells are made of.
        let (both, _) = common("g", &[all(), token()]);
        assert_eq!(both.expect("of both").rules, [by_token]);
        let (both, _) = common("g", &[grouped(None), all()]);
        assert!(both.expect("of both").rules.is_empty());
        // Kernels with one scale have no such choice.
        assert!(by_rule("k", by_32, &[vec![offer("k", &["gemv"])], vec![offer("k", &["gemv"])]]).is_none());
    }

    fn cannot(id: &str) -> Offer {
        Offer { reason: Some("this CPU lacks avx9".into()), ..offer(id, &["gemv"]) }
    }

    fn words(rows: Vec<LeftOut>) -> Vec<(String, Option<Gap>)> {
        rows.into_iter().map(|r| (r.kernel, r.gap)).collect()
    }

    #[test]
    fn a_kernel_that_one_build_lacks_is_the_gap_of_that_build() {
        let (no, k, cannot) = (None, Some(offer("k", &["gemv"])), Some(cannot("k")));
        for (baseline, current, gap) in [
            (&k, &no, Gap::Lost),
            // It ran here before.
            (&k, &cannot, Gap::Lost),
            // Gone, wherever it would run.
            (&cannot, &no, Gap::Lost),
            (&no, &k, Gap::NoBaseline),
            (&cannot, &k, Gap::NoBaseline),
            (&cannot, &cannot, Gap::NotHere),
        ] {
            let (offer, rows) = common("k", &[baseline, current].map(|side| side.clone().into_iter().collect()));
            assert_eq!((offer, words(rows)), (None, vec![("k".into(), Some(gap))]), "{baseline:?} {current:?}");
        }
    }

    #[test]
    fn operations_are_those_of_both_and_the_others_are_rows() {
        let of = |baseline: &[&str], current: &[&str]| common("k", &[baseline, current].map(|o| vec![offer("k", o)]));
        let (both, rows) = of(&["gemv", "gemm"], &["dequantize", "gemv"]);
        assert_eq!(both.expect("both have it").ops, [Operation::Gemv]);
        let wanted = [("gemm of k".into(), Some(Gap::Lost)), ("dequantize of k".into(), Some(Gap::NoBaseline))];
        assert_eq!(words(rows), wanted);
        let (_, rows) = of(&["gemv", "sweep"], &["gemv"]);
        assert_eq!(words(rows), [("sweep of k".into(), Some(Gap::Lost))], "this build has forgotten even its name");
        let rounded = Offer { exact: false, ..offer("k", &["gemv"]) };
        let (both, rows) = common("k", &[vec![offer("k", &["gemv"])], vec![rounded]]);
        assert!(both.expect("both have it").exact && rows.is_empty(), "what was exact must stay so");
    }

    #[test]
    fn texts_that_the_current_build_does_not_know_are_lost() {
        let (all, old) = (Operation::ALL.to_vec(), vec![Operation::Gemv]);
        let known = vec![Operation::Decode, Operation::Prefill];
        assert_eq!(texts(&[all.clone(), all.clone()], true), (known, vec![]));
        let (both, rows) = texts(&[all.clone(), vec![Operation::Decode]], false);
        assert_eq!((both, words(rows)), (vec![Operation::Decode], vec![("prefill".into(), Some(Gap::Lost))]));
        let (both, rows) = texts(&[old.clone(), all], true);
        assert!(both.is_empty() && rows.iter().all(|r| r.gap == Some(Gap::NoBaseline)), "{rows:?}");
        assert_eq!(rows[0].reason, "the baseline does not know these cells; it is an older build");
        assert!(texts(&[old.clone(), old.clone()], false).1.is_empty(), "not asked for");
        assert!(texts(&[old.clone(), old], true).1.iter().all(|r| r.gap == Some(Gap::NotHere)));
    }

    #[test]
    fn counts_are_one_row_a_reason() {
        let neither = || (Gap::NotHere, "neither".to_owned());
        let lost = (Gap::Lost, "gone".to_owned());
        let rows = counts(&[("a".into(), neither()), ("b".into(), lost), ("c".into(), neither())]);
        let wanted = [("instructions of a, c", Gap::NotHere), ("instructions of b", Gap::Lost)];
        assert_eq!(words(rows), wanted.map(|(kernel, gap)| (kernel.to_owned(), Some(gap))));
        assert!(counts(&[]).is_empty());
    }

    #[test]
    fn what_a_saved_baseline_has_beyond_the_matrix_is_lost() {
        let stored = |kernel: &str, subject: &str| ExactCheck {
            passed: true,
            ..exact::no_answer("output", kernel, subject, String::new())
        };
        let cell = |m: usize, residency| JobCell { m, residency, ..JobCell::example() };
        let kept = [
            stored("k", "gemv 256x2560"),
            stored("k", "gemv 512x2560"),
            stored("k", "gemv 256x6912"),
            stored("k", "gemm 256x2560x8"),
            stored("k", "decode, built-in model"),
            stored("not-asked-for", "gemv 1x2560"),
        ];
        let kernels = [offer("k", &["gemv"])];
        let named =
            |cells: &[JobCell]| not_repeated(&kept, &kernels, cells).into_iter().map(|r| r.kernel).collect::<Vec<_>>();
        assert_eq!(named(&[cell(256, Residency::Llc)]), ["gemv 512x2560 of k", "gemv 256x6912 of k"]);
        assert_eq!(named(&[cell(128, Residency::L2)]), ["gemv 256x6912 of k"], "as many rows as this L2 holds");
    }
}
