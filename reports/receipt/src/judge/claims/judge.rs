//! A claim against its evidence: holds, fails, or not measurable here, with the numbers and one sentence on why.

use super::evidence::{Evidence, evidence};
use super::{Claim, Rule};
use crate::figures::{measured, number};
use crate::record::Receipt;
use serde::Serialize;

/// What a receipt says about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The measurement agrees with the claimed figure, by the claim's rule.
    Holds,
    /// The measurement does not agree with the claimed figure.
    Fails,
    /// This receipt cannot decide the claim.
    NotMeasurable,
}

impl Verdict {
    /// The verdict in words, for tables.
    pub fn words(self) -> &'static str {
        ["holds", "fails", "not measurable here"][self as usize]
    }
}

/// A claim with its verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The claim.
    #[serde(flatten)]
    pub claim: Claim,
    /// What the receipt says about the claim.
    pub verdict: Verdict,
    /// The measured figure, in the claim's unit; absent where nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// Lower end of the measured figure's interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of the measured figure's interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Why the verdict is what it is, in one sentence with the numbers.
    pub why: String,
    /// Where in the receipt the evidence is (a JSON pointer); absent without evidence or for the analysis's own
    /// arithmetic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// Judges every claim against one receipt, in the order of `claims`.
pub fn judge_all(claims: &[Claim], receipt: &Receipt) -> Vec<Judged> {
    claims.iter().map(|claim| judge(claim, receipt)).collect()
}

/// Judges one claim against one receipt.
pub fn judge(claim: &Claim, receipt: &Receipt) -> Judged {
    let not_measurable = |found, why: String| judged(claim, Verdict::NotMeasurable, found, format!("{why}."));
    match evidence(&claim.metric, receipt) {
        Err(reason) => not_measurable(None, reason),
        Ok(found) if claim.metric.is_ratio() && found.interval.is_none() => {
            not_measurable(Some(&found), format!("{} has too few rounds for an interval", found.place))
        }
        Ok(found) => decided(claim, &found),
    }
}

fn judged(claim: &Claim, verdict: Verdict, found: Option<&Evidence>, mut why: String) -> Judged {
    if let Some(note) = &claim.note {
        why += &format!(" {note}");
    }
    let (low, high) = found.and_then(|e| e.interval).unzip();
    let evidence = found.map(|e| e.at.clone()).filter(|at| !at.is_empty());
    Judged { claim: claim.clone(), verdict, measured: found.map(|e| e.value), low, high, why, evidence }
}

/// The interval that the claim allows.
fn allowed(claim: &Claim) -> (f64, f64) {
    let (low, high) = (claim.expected * (1.0 - claim.tolerance), claim.expected * (1.0 + claim.tolerance));
    match claim.judge {
        Rule::AtLeast => (low, f64::INFINITY),
        Rule::AtMost => (f64::NEG_INFINITY, high),
        Rule::About | Rule::Equals => (low, high),
    }
}

fn decided(claim: &Claim, found: &Evidence) -> Judged {
    let (low, high) = found.interval.unwrap_or((found.value, found.value));
    let (from, to) = allowed(claim);
    let holds = match claim.judge {
        Rule::Equals => from <= low && high <= to,
        Rule::AtLeast | Rule::AtMost | Rule::About => low <= to && from <= high,
    };
    // As it is stated, digit by digit.
    let stated = format!("{}{}", claim.expected, tolerance(claim));
    let relation = match (claim.judge, holds) {
        (Rule::AtLeast, true) if low > claim.expected => format!("above the stated {stated}"),
        (Rule::AtLeast, true) => format!("reaches the stated {stated}"),
        (Rule::AtLeast, false) => format!("stays below the stated {stated}"),
        (Rule::AtMost, true) => format!("within the stated {stated}"),
        (Rule::AtMost, false) => format!("more than the stated {stated}"),
        (_, true) => format!("agrees with {stated}"),
        (_, false) if low > to => format!("above {stated}"),
        (_, false) if high < from => format!("below {stated}"),
        (_, false) => format!("not within {stated}"),
    };
    let interval = found.interval.map_or(String::new(), |(l, h)| format!(" [{}, {}]", measured(l), measured(h)));
    let verdict = if holds { Verdict::Holds } else { Verdict::Fails };
    judged(claim, verdict, Some(found), format!("{}{interval}: {relation} ({}).", measured(found.value), found.place))
}

fn tolerance(claim: &Claim) -> String {
    if claim.tolerance == 0.0 { String::new() } else { format!(" ± {}%", number(100.0 * claim.tolerance)) }
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;
    use crate::fixture;

    fn by_id(id: &str, receipt: &Receipt) -> Judged {
        judge(builtin().claims.iter().find(|c| c.id == id).expect("a claim"), receipt)
    }

    #[test]
    fn a_rule_says_which_intervals_a_figure_allows() {
        use Verdict::{Fails, Holds};
        // At least and at most hold when the interval contains or exceeds the figure, about when it meets the figure
        // within the tolerance, equals when all of it does.
        for (rule, expected, tolerance, value, interval, verdict) in [
            (Rule::AtLeast, 1.2, 0.0, 1.19, Some((1.17, 1.21)), Holds),
            (Rule::AtLeast, 1.2, 0.0, 1.5, Some((1.4, 1.6)), Holds),
            (Rule::AtLeast, 1.2, 0.0, 1.1, Some((1.05, 1.19)), Fails),
            (Rule::AtLeast, 1.2, 0.1, 1.1, Some((1.05, 1.19)), Holds),
            (Rule::AtMost, 27.0, 0.0, 26.0, None, Holds),
            (Rule::AtMost, 27.0, 0.0, 28.0, Some((27.5, 29.0)), Fails),
            (Rule::About, 1.0, 0.05, 1.1, Some((1.04, 1.2)), Holds),
            (Rule::About, 1.0, 0.05, 1.1, Some((1.06, 1.2)), Fails),
            (Rule::About, 1.0, 0.05, 0.9, Some((0.8, 0.94)), Fails),
            (Rule::Equals, 1.0, 0.05, 1.0, Some((0.96, 1.04)), Holds),
            (Rule::Equals, 1.0, 0.05, 1.0, Some((0.96, 1.06)), Fails),
        ] {
            let claim = Claim { expected, judge: rule, tolerance, ..builtin().claims.swap_remove(0) };
            let found = decided(&claim, &Evidence { value, interval, place: "here".into(), at: "/micro/0".into() });
            assert_eq!(found.verdict, verdict, "{}", found.why);
        }
    }

    #[test]
    fn every_claim_has_a_verdict_and_every_reason_its_number() {
        let receipt = fixture::complete();
        let value = serde_json::to_value(&receipt).expect("serialises");
        for judged in judge_all(&builtin().claims, &receipt) {
            assert!(judged.why.ends_with('.'), "{}", judged.why);
            if judged.verdict != Verdict::NotMeasurable {
                let measured = judged.measured.expect("a verdict has a number");
                let figure = crate::figures::measured(measured);
                assert!(judged.why.contains(&figure), "{}: {}", judged.claim.id, judged.why);
                let has_interval = judged.low.is_some() && judged.high.is_some();
                assert!(has_interval || !judged.claim.metric.is_ratio(), "{}", judged.claim.id);
            }
            let at = judged.evidence.as_deref();
            assert!(at.is_none_or(|at| value.pointer(at).is_some()), "{at:?}");
        }
    }

    #[test]
    fn known_numbers_give_known_verdicts() {
        let receipt = fixture::complete();
        let of = |id: &str| by_id(id, &receipt);
        // The stages' G weights/s for dequantize: 3.08, 2.97, 10.5, 9.89, 10.4, 10.7.
        let permute = of("phase-4");
        assert_eq!(permute.verdict, Verdict::Fails);
        assert!((permute.measured.expect("measured") / (10.65 / 3.08) - 1.0).abs() < 0.02, "{permute:?}");
        let saved = of("saved-1");
        let want = (1.0 / 2.97 - 1.0 / 10.46) * 3.08;
        assert!((saved.measured.expect("measured") / want - 1.0).abs() < 0.05, "{saved:?} {want}");
        assert_eq!(of("phase-1-again").verdict, Verdict::Fails);
        assert!(of("phase-1-again").why.contains("Contradicts"));
        // Its own arithmetic: 9,000 / 9,500 is not 90%, 3x on 9 of 10 s is 0.25 tokens/s.
        assert_eq!(of("dequantise-share").verdict, Verdict::Fails);
        assert_eq!(of("target-arithmetic").measured, Some(0.25));
        assert_eq!(of("target-arithmetic").verdict, Verdict::Fails);
        // The built-in model is not the 2B one.
        let rate = of("scalar-rate");
        assert_eq!(rate.verdict, Verdict::NotMeasurable);
        assert!(rate.why.contains("scenario timeout"), "{}", rate.why);
        assert_eq!(of("code-table").verdict, Verdict::Fails);
        assert_eq!((of("block").verdict, of("parity").verdict), (Verdict::Holds, Verdict::Holds));
        assert_eq!(of("split-loop").verdict, Verdict::NotMeasurable);
        // 2.08 G weights at 2.125 bits are 554 MB: 36.7 ms at the 15.07 GB/s of this machine's memory.
        let floor = of("forward-floor");
        assert!((floor.measured.expect("measured") - 36.74).abs() < 0.01, "{floor:?}");
        assert_eq!(floor.verdict, Verdict::Fails);
    }

    #[test]
    fn a_model_of_the_2b_size_decides_its_claims() {
        let mut receipt = fixture::complete();
        receipt.model.as_mut().expect("there").ternary_weights = 2_084_044_800;
        let scalar = &mut receipt.generation.as_mut().expect("there").kernels[0];
        scalar.rounds.iter_mut().for_each(|r| (r.decode_ns, r.decode_tokens) = (70_000_000_000, 7));
        let of = |id: &str| by_id(id, &receipt);
        assert_eq!((of("scalar-rate").measured, of("scalar-rate").verdict), (Some(0.1), Verdict::Holds));
        assert_eq!((of("eighty-seconds").measured, of("eighty-seconds").verdict), (Some(80.0), Verdict::Holds));
        assert_eq!((of("timeout").measured, of("timeout").verdict), (Some(3.0), Verdict::Holds));
    }

    #[test]
    fn too_few_rounds_decide_no_ratio() {
        let receipt = fixture::interrupted();
        let tiled = by_id("phase-2-alone-gemv", &receipt);
        assert_eq!(tiled.verdict, Verdict::NotMeasurable);
        assert!(tiled.measured.is_some() && tiled.why.contains("too few rounds"), "{}", tiled.why);
        let empty = judge_all(&builtin().claims, &fixture::empty());
        assert!(empty.iter().filter(|j| j.verdict == Verdict::Holds).all(|j| j.evidence.is_some()));
    }
}
