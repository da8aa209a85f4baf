//! Tests of the rule: chances over many made-up runs, thresholds, looks, the same code against itself.

use super::*;

fn rule(comparisons: usize) -> Rule {
    Rule::new(DELTA, "round", &ROUND_LOOKS, 800, comparisons)
}

/// Noise like a shared machine's: a core of about 1% and outliers of 30%, which a median must shrug off.
fn noise(random: &mut SplitMix64) -> f64 {
    let core = (0..4).map(|_| f64::from(random.signed_unit())).sum::<f64>() * 0.01;
    if random.next_u64().is_multiple_of(20) { core + 0.3 } else { core }
}

fn by_rounds(rule: &Rule, effect: &[f64], same: &[f64]) -> (Verdict, bool) {
    decide(Test { rule, until: Until::Decided }, effect, &SamePair::new(Sample::Round, same.to_vec()), "p")
}

fn run(rule: &Rule, effect: f64, seed: u64) -> Verdict {
    let random = &mut SplitMix64::new(seed);
    let (effect, same): (Vec<f64>, Vec<f64>) =
        (0..rule.most()).map(|_| (effect + noise(random) - noise(random), noise(random) - noise(random))).unzip();
    let (verdict, stands) = by_rounds(rule, &effect, &same);
    assert!(stands, "the last look always stands");
    verdict
}

#[test]
fn null_pairs_pass_early_and_never_alarm() {
    let verdicts: Vec<Verdict> = (0..2000).map(|seed| run(&rule(40), 0.0, seed)).collect();
    assert!(verdicts.iter().all(|v| v.outcome != Outcome::Fail));
    let passed: Vec<_> = verdicts.iter().filter(|v| v.outcome == Outcome::Pass).collect();
    assert!(passed.len() > 1960, "{}", passed.len());
    let rounds: usize = passed.iter().map(|v| v.samples).sum();
    assert!(rounds / passed.len() <= 110, "{} rounds on average", rounds / passed.len());
}

#[test]
fn a_true_five_percent_is_found() {
    let found = (0..1000).filter(|seed| run(&rule(40), 0.05f64.ln_1p(), *seed).outcome == Outcome::Fail).count();
    assert!(found >= 950, "{found} of 1000");
}

#[test]
fn process_pairs_decide_both_ways() {
    let rule = Rule::new(DELTA, "process pair", &PAIR_LOOKS, 32, 45);
    let verdict = |effect: f64, n: usize| {
        let effect: Vec<f64> = (0..n).map(|i| effect + 0.002 * (i % 5) as f64).collect();
        let same: Vec<f64> = (0..n).map(|i| 0.004 * (i % 3) as f64 - 0.004).collect();
        judge(&rule, &effect, Same::new(Sample::ProcessPair, &same), "b")
    };
    let (null, stands) = verdict(0.0, 12);
    assert!(stands && null.outcome == Outcome::Pass, "{null:?}");
    let (early, stands) = verdict(0.05, 12);
    assert!(!stands && early.outcome == Outcome::Inconclusive, "12 pairs cannot carry an alarm among 45: {early:?}");
    let (slow, stands) = verdict(0.05, 16);
    assert!(stands && slow.outcome == Outcome::Fail && slow.reason.contains("slower than b"), "{slow:?}");
}

#[test]
fn the_chance_of_a_false_alarm_is_shared_among_looks_and_comparisons() {
    let effect: Vec<f64> = (0..200).map(|i| 0.1 + 0.0001 * f64::from(i)).collect();
    let same = vec![0.0; 200];
    for (comparisons, alarm) in [(1, 0.01 / 5.0), (40, 0.01 / 5.0 / 40.0)] {
        let verdict = judge(&rule(comparisons), &effect, Same::of_parts(&same, &[]), "p").0;
        let ends = |alpha: f64| sign_test_interval(&effect, 1.0 - alpha).expect("200 are enough");
        assert_eq!(verdict.alarm_low, Some(ends(alarm).0.exp_m1()), "{comparisons} comparisons");
        assert_eq!(verdict.pass_high, Some(ends(0.01 / 5.0).1.exp_m1()), "a pass speaks for its own cell");
    }
    assert!(sign_test_interval(&effect, 1.0 - 0.01 / 5.0) != sign_test_interval(&effect, 1.0 - 0.01 / 5.0 / 40.0));
}

#[test]
fn the_threshold_is_delta_or_twice_the_noise() {
    let verdict = |effect: f64, same: &[f64]| {
        let effect: Vec<f64> = (0..100).map(|i| effect + 1e-5 * f64::from(i % 3)).collect();
        judge(&rule(1), &effect, Same::of_parts(&[0.0; 100], same), "p").0
    };
    let quiet = verdict(0.0, &[0.0; 12]);
    assert_eq!((quiet.delta_eff, quiet.aa_p95, quiet.outcome), (DELTA, 0.0, Outcome::Pass));
    // Parts that are all alike have one median, whatever is drawn.
    let noisy = verdict(0.04, &[0.05; 12]);
    assert_eq!((noisy.delta_eff, noisy.aa_p95), (2.0 * 0.05f64.exp_m1(), 0.05f64.exp_m1()));
    assert_eq!(noisy.outcome, Outcome::Pass, "within the noise");
    assert_eq!(verdict(0.2, &[0.05; 12]).outcome, Outcome::Fail);
    assert_eq!(verdict(0.031, &[0.0; 12]).outcome, Outcome::Fail);
    assert_eq!(verdict(0.029, &[0.0; 12]).outcome, Outcome::Pass, "certain, and too small to matter");
    let (machine, stands) = judge(&rule(1), &[0.2; 100], Same::of_parts(&[0.0; 100], &[0.08; 12]), "p");
    assert_eq!((machine.outcome, stands), (Outcome::Unstable, false));
    assert!(machine.reason.contains("by up to 8.3% (100 rounds)"), "{}", machine.reason);
}

#[test]
fn a_bias_of_the_machine_counts_in_both_directions_and_only_when_it_is_certain() {
    let outcome = |zeros: usize, bias: f64| {
        let same: Vec<f64> = (0..100).map(|i| if i < zeros { 0.0 } else { bias }).collect();
        judge(&rule(1), &[0.0; 100], Same::of_parts(&same, &[0.0; 12]), "p").0.outcome
    };
    assert_eq!([outcome(0, 0.02), outcome(0, -0.02)], [Outcome::Unstable; 2]);
    // The 37th of 100 is an end of the interval: at exactly 0 it does not exclude 0.
    assert_eq!([outcome(45, 0.02), outcome(45, -0.02)], [Outcome::Pass; 2]);
}

#[test]
fn looks_are_those_that_fit() {
    let looks = |most| Rule::new(DELTA, "round", &ROUND_LOOKS, most, 0).looks;
    assert_eq!([looks(49), looks(50), looks(60), looks(800)], [vec![49], vec![50], vec![50], ROUND_LOOKS.to_vec()]);
    let rule = Rule::new(DELTA, "round", &ROUND_LOOKS, 60, 0);
    assert_eq!((rule.most(), rule.comparisons, rule.alpha), (50, 1, ALPHA));
}

#[test]
fn blocks_are_whole_or_the_only_one() {
    let values: Vec<f64> = (0..25).map(f64::from).collect();
    assert_eq!(blocks(&values), [4.5, 14.5]);
    assert_eq!((blocks(&values[..10]), blocks(&values[..3]), blocks(&[])), (vec![4.5], vec![1.0], vec![]));
    assert_eq!(log_ratios(&[100, 0, 100, 100], &[100, 100, 0, 200]), [0.0, 2f64.ln()]);
}

#[test]
fn the_floor_is_that_of_the_median() {
    let random = &mut SplitMix64::new(7);
    let normal = |random: &mut SplitMix64| (0..12).map(|_| f64::from(random.signed_unit())).sum::<f64>() / 2.0;
    let parts: Vec<f64> = (0..400).map(|_| 0.01 * normal(random)).collect();
    // The median of n normal values has standard deviation 1.25 / sqrt(n), and 95% lie within 1.96 of it.
    for n in [12, 100, 400] {
        let expected = 1.96 * 1.2533 * 0.01 / (n as f64).sqrt();
        let got = noise_of_median(&parts[..n]);
        assert!((0.5..2.0).contains(&(got / expected)), "{n}: {got} for {expected}");
    }
    assert_eq!(noise_of_median(&[]), 0.0);
}

#[test]
fn a_machine_that_differs_from_itself_is_unstable() {
    let same: Vec<f64> = (0..100).map(|i| 0.02 + 0.0001 * f64::from(i % 7)).collect();
    let (verdict, stands) = judge(&rule(1), &[0.0; 100], Same::new(Sample::Round, &same), "p");
    assert_eq!((verdict.outcome, stands), (Outcome::Unstable, false));
    assert!(verdict.reason.contains("+2.1%") && verdict.next_step.contains("--pin"), "{verdict:?}");
    // A bias that is certain and tiny moves nothing.
    let same: Vec<f64> = same.iter().map(|s| s / 20.0).collect();
    assert_eq!(judge(&rule(1), &[0.0; 100], Same::new(Sample::Round, &same), "p").0.outcome, Outcome::Pass);
}

/// 15% is where noise makes the threshold too large to be of use, not a delta that somebody asked for.
#[test]
fn a_large_delta_is_no_noise() {
    let rule = Rule { delta: 0.2, ..rule(1) };
    let outcome = |noise: f64| {
        let same: Vec<f64> = (0..100).map(|i| noise * f64::from(i % 7 - 3)).collect();
        judge(&rule, &[0.0; 100], Same { p95: noise, ..Same::new(Sample::Round, &same) }, "p").0.outcome
    };
    assert_eq!([0.001, 0.09, 0.11].map(outcome), [Outcome::Pass, Outcome::Pass, Outcome::Unstable]);
}

#[test]
fn blocks_of_one_text_are_not_independent() {
    let rule = Rule::new(DELTA, "token block", &[81], 81, 10);
    // Each text is off by as much as its engines' places in memory make it, one way or the other.
    let same: Vec<f64> =
        (0..81).map(|i| if (i / 9) % 3 == 0 { -0.05 } else { 0.04 } + 0.0001 * f64::from(i % 7)).collect();
    let test = Test { rule: &rule, until: Until::Decided };
    let by = |sample, same: &[f64]| decide(test, &[0.0; 81], &SamePair::new(sample, same.to_vec()), "p").0;
    assert_eq!(by(Sample::Round, &same).outcome, Outcome::Unstable);
    let verdict = by(Sample::TokenBlock(9), &same);
    assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:?}");
    assert!(verdict.aa_p95 > 0.03 && verdict.delta_eff > 0.06 && verdict.samples == 81, "{verdict:?}");
    let all: Vec<f64> = same.iter().map(|s| s.abs()).collect();
    assert_eq!(by(Sample::TokenBlock(9), &all).outcome, Outcome::Unstable);
}

#[test]
fn what_comes_after_the_deciding_look_changes_nothing() {
    let mut effect = vec![0.001; 50];
    let same = vec![0.0; 60];
    let first = by_rounds(&rule(3), &effect, &same);
    effect.extend([0.5; 10]);
    assert!(first.1 && first.0.outcome == Outcome::Pass);
    assert_eq!(by_rounds(&rule(3), &effect, &same), first);
    let (early, stands) = by_rounds(&rule(3), &effect[..49], &same);
    assert!(!stands && early.reason == "stopped after 49 rounds, before the first look", "{early:?}");
}

#[test]
fn few_rounds_are_said_to_be_few() {
    let rule = Rule::new(DELTA, "round", &ROUND_LOOKS, 5, 3);
    assert_eq!(rule.looks, [5]);
    let (verdict, stands) = judge(&rule, &[0.0; 5], Same::of_parts(&[0.0; 5], &[]), "p");
    assert!(stands && verdict.outcome == Outcome::Inconclusive && verdict.reason.contains("too few"), "{verdict:?}");
}
