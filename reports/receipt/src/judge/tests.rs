use super::*;
use crate::judge::sequential::{self, ROUND_LOOKS, SamePair, Sample, Test, Until};
use crate::random::SplitMix64;
use crate::record::{Family, Outcome, Receipt, Rule, Verdict};

/// The example of commit a711d99, written before there was a direction.
const OLD: &[u8] = include_bytes!("../../tests/fixtures/receipt-1.1.0.json");

fn old() -> Receipt {
    crate::store::parse("receipt-1.1.0.json", OLD).expect("readable")
}

#[test]
fn the_example_of_a711d99_has_the_counts_that_were_agreed() {
    let tally = super::tally(&old());
    let counts = [Direction::Unstable, Direction::Slower, Direction::Faster, Direction::Same, Direction::Undecided];
    assert_eq!(counts.map(|d| tally.count(d)), [5, 23, 61, 7, 5]);
    assert_eq!((tally.total(), tally.settled()), (101, 91));
}

#[test]
fn the_pair_that_was_called_two_things_has_one_word() {
    let receipt = old();
    let cell = receipt.micro.iter().find(|c| c.family == Family::W2A8 && c.k == 2560 && c.m == 6912).expect("there");
    let trit5 = cell.summaries.iter().find(|s| s.kernel == "avx512-vnni-trit5").expect("there");
    let ratio = trit5.vs_previous.as_ref().expect("it builds on avx512-vnni");
    assert_eq!((ratio.partner.as_str(), ratio.direction()), ("avx512-vnni", Direction::Slower));
    assert_eq!(trit5.verdict.as_ref().map(Verdict::direction), Some(Direction::Slower));
}

#[test]
fn a_stored_verdict_and_its_ratio_say_the_same_in_every_cell() {
    let receipt = old();
    for (cell, entry, verdict) in super::comparisons(&receipt) {
        let s = &receipt.micro[cell].summaries[entry];
        let ratio = s.vs_previous.iter().chain(&s.vs_baseline).find(|r| r.partner == verdict.partner).expect("shown");
        assert_eq!(ratio.verdict.as_deref(), Some(verdict), "{} in cell {cell}", s.kernel);
    }
    let blocks = receipt.generation.iter().flat_map(|g| &g.blocks).flat_map(|b| &b.summaries);
    let judged = blocks.filter(|s| s.verdict.is_some()).inspect(|s| {
        let verdict = s.verdict.as_ref().expect("filtered");
        let ratio = s.vs_previous.iter().chain(&s.vs_baseline).find(|r| r.partner == verdict.partner).expect("shown");
        assert_eq!(ratio.verdict.as_deref(), Some(verdict), "{}", s.kernel);
    });
    assert_eq!(judged.count(), 12);
}

fn verdict(outcome: Outcome, change: f64, alarm: (f64, f64), pass: (f64, f64)) -> Verdict {
    Verdict {
        outcome,
        partner: "p".into(),
        samples: 100,
        change,
        alarm_low: Some(alarm.0),
        alarm_high: Some(alarm.1),
        pass_high: Some(pass.1),
        pass_low: Some(pass.0),
        delta_eff: 0.05,
        aa_p95: 0.0,
        aa_change: 0.0,
        aa_low: None,
        aa_high: None,
        reason: String::new(),
        next_step: String::new(),
    }
}

#[test]
fn faster_is_slower_with_the_two_sides_exchanged() {
    let of = |change: f64, high: f64| verdict(Outcome::Pass, change, (-0.9, high), (-0.9, high)).direction();
    // 5% slower is x 1.05, so 5% faster is / 1.05: a change of -4.76%.
    assert_eq!(of(-0.0477, -0.01), Direction::Faster);
    assert_eq!(of(-0.0476, -0.01), Direction::Undecided, "not beyond the threshold");
    assert_eq!(of(-0.5, 0.0), Direction::Undecided, "the interval holds 0");
    let same = |low, high| verdict(Outcome::Pass, 0.0, (-0.2, 0.2), (low, high)).direction();
    assert_eq!(same(-0.0476, 0.0499), Direction::Same);
    assert_eq!([same(-0.0477, 0.01), same(-0.01, 0.05)], [Direction::Undecided; 2]);
    let outcome = |outcome| verdict(outcome, -0.5, (-0.6, -0.4), (-0.6, -0.4)).direction();
    assert_eq!(outcome(Outcome::Unstable), Direction::Unstable);
    assert_eq!(outcome(Outcome::Fail), Direction::Slower);
    assert_eq!(outcome(Outcome::Inconclusive), Direction::Faster);
}

/// Exchanging the two sides of any pair exchanges slower and faster and leaves the other words as they are.
#[test]
fn the_rule_has_no_favourite_side() {
    let random = &mut SplitMix64::new(5);
    let rule = Rule::new(0.03, "round", &ROUND_LOOKS, 200, 40);
    let test = Test { rule: &rule, until: Until::Settled };
    let mut seen = [0; 5];
    for case in 0..400 {
        let shift = f64::from(random.signed_unit()) * 0.12;
        let noise = if case % 5 == 0 { 0.05 } else { 0.01 };
        let mut draw =
            |shift: f64| -> Vec<f64> { (0..200).map(|_| shift + noise * f64::from(random.signed_unit())).collect() };
        let (effect, same) = (draw(shift), SamePair::new(Sample::Round, draw(0.0)));
        let other: Vec<f64> = effect.iter().map(|x| -x).collect();
        let word = |effect: &[f64]| sequential::decide(test, effect, &same, "p").0.direction();
        let (one, two) = (word(&effect), word(&other));
        let expected = match one {
            Direction::Slower => Direction::Faster,
            Direction::Faster => Direction::Slower,
            other => other,
        };
        assert_eq!(two, expected, "shift {shift}");
        seen[one as usize] += 1;
    }
    assert!(seen[..4].iter().all(|n| *n > 0), "{seen:?}");
}

#[test]
fn the_last_look_is_judged_with_all_its_rounds() {
    let rule = Rule::new(0.03, "round", &ROUND_LOOKS, 200, 1);
    // Nothing in the first 50 rounds, 10% from then on: the first look could stop at PASS, the last one knows better.
    let effect: Vec<f64> = (0..200).map(|i| if i < 50 { 0.0 } else { 0.1 } + 1e-4 * f64::from(i % 7)).collect();
    let same = vec![0.0; 200];
    let by = |until, n: usize| {
        let same = SamePair::new(Sample::Round, same[..n].to_vec());
        sequential::decide(Test { rule: &rule, until }, &effect[..n], &same, "p")
    };
    assert_eq!((by(Until::Decided, 200).0.outcome, by(Until::Decided, 200).0.samples), (Outcome::Pass, 50));
    let (last, stands) = by(Until::Settled, 200);
    assert_eq!((last.direction(), last.samples, stands), (Direction::Slower, 200, true));
    let (cut, stands) = by(Until::Settled, 49);
    assert_eq!((cut.direction(), stands), (Direction::Undecided, false), "no look was reached");
}

#[test]
fn one_clock_charges_a_preempted_epoch_its_cpu_time() {
    let round = crate::record::Round {
        order: vec![0, 1],
        ns: vec![100, 900],
        cpu_ns: vec![90, 105],
        wall_ns: Vec::new(),
        involuntary_switches: vec![0, 1],
    };
    let times = |method: Method, threads| [0, 1].map(|e| method.times(std::slice::from_ref(&round), e, threads)[0]);
    assert_eq!(times(Method::Current, 1), [100, 105]);
    assert_eq!(times(Method::Current, 2), [100, 900], "other threads' time is not known");
    assert_eq!(times(Method::Before12, 1), [100, 900], "old receipts keep wall time");
    assert_eq!(Method::Current.times(std::slice::from_ref(&round), 7, 1), [0], "a round that lacks a column");
    assert_eq!(["1.0.0", "1.1.0", "1.2.0"].map(Method::of), [Method::Before12, Method::Before12, Method::Current]);
}

#[test]
fn of_two_measurements_of_a_cell_the_second_is_judged_and_both_are_kept() {
    let mut receipt = crate::fixture::unstable();
    let at = receipt.micro.iter().position(super::unstable).expect("the fixture has an unstable cell");
    let first = receipt.micro[at].clone();
    // The same kernels once more, and this time the A/A pair is quiet.
    receipt.micro[at].rounds = crate::fixture::complete().micro[at].rounds.clone();
    receipt.micro[at].unstable_first = Some(Box::new(first));
    let before = super::tally(&receipt).total();
    complete(&mut receipt);
    let cell = &receipt.micro[at];
    let kept = cell.unstable_first.as_deref().expect("kept");
    assert!(super::unstable(kept) && kept.ratios().all(|r| r.direction() == Direction::Unstable));
    let words: Vec<&str> = cell.ratios().map(|r| r.direction().word()).collect();
    assert!(cell.ratios().all(|r| r.direction().is_settled()), "{words:?}");
    assert_eq!(super::tally(&receipt).total(), before, "one comparison is shown once");
}
