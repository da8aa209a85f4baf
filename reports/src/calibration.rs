//! Rates of a calibration with their exact intervals.

use receipt::figures;
use receipt::{CalibrationRecord, CalibrationTrial, Outcome};

/// What the gates with one planted slowdown came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Planted slowdown in percent; 0 for none.
    pub effect: f64,
    /// Gates.
    pub gates: usize,
    /// Gates that said FAIL of the planted kernel; with none planted, of any.
    pub detected: usize,
    /// Gates that said FAIL of a kernel in which nothing was planted.
    pub elsewhere: usize,
    /// Gates that came to INCONCLUSIVE.
    pub inconclusive: usize,
    /// Gates that came to UNSTABLE.
    pub unstable: usize,
    /// Their median duration.
    pub seconds: f64,
}

/// One rate a planted slowdown, the smallest first.
pub fn rates(record: &CalibrationRecord) -> Vec<Rate> {
    record.effects.iter().map(|&effect| rate(record, effect)).collect()
}

fn rate(record: &CalibrationRecord, effect: f64) -> Rate {
    let planted = |t: &CalibrationTrial| t.inject.as_ref().map_or(0.0, |i| i.percent);
    let trials: Vec<&CalibrationTrial> = record.trials.iter().filter(|t| planted(t) == effect).collect();
    let failed = |t: &CalibrationTrial, in_planted: bool| {
        let kernel = t.inject.as_ref().map(|i| i.kernel.as_str());
        t.cells.iter().any(|c| c.verdict.outcome == Outcome::Fail && (Some(c.kernel.as_str()) == kernel) == in_planted)
    };
    let count = |of: &dyn Fn(&CalibrationTrial) -> bool| trials.iter().filter(|t| of(t)).count();
    let elsewhere = count(&|t| failed(t, false));
    Rate {
        effect,
        gates: trials.len(),
        detected: if effect == 0.0 { elsewhere } else { count(&|t| failed(t, true)) },
        elsewhere,
        inconclusive: count(&|t| t.outcome == Outcome::Inconclusive),
        unstable: count(&|t| t.outcome == Outcome::Unstable),
        seconds: figures::median(trials.iter().map(|t| t.seconds)).unwrap_or(0.0),
    }
}

/// Exact 95% interval of a share (Clopper and Pearson 1934): the shares under which `hits` of `n` is neither too few
/// nor too many.
pub fn interval(hits: usize, n: usize) -> (f64, f64) {
    const TAIL: f64 = 0.025;
    // Bisection over the share: the tails of a binomial are monotone in it.
    let solve = |too_small: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if too_small(middle) { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    };
    let low = if hits == 0 { 0.0 } else { solve(&|p| 1.0 - at_most(hits - 1, n, p) < TAIL) };
    let high = if hits == n { 1.0 } else { solve(&|p| at_most(hits, n, p) > TAIL) };
    (low, high)
}

/// P(X <= k) for Binomial(n, p).
fn at_most(k: usize, n: usize, p: f64) -> f64 {
    let (mut log_choose, mut sum) = (0.0f64, 0.0);
    for i in 0..=k.min(n) {
        sum += (log_choose + i as f64 * p.ln() + (n - i) as f64 * (-p).ln_1p()).exp();
        log_choose += ((n - i) as f64).ln() - ((i + 1) as f64).ln();
    }
    sum.min(1.0)
}

/// The result in one sentence.
pub fn sentence(record: &CalibrationRecord) -> String {
    let said = rates(record).into_iter().filter(|r| r.gates > 0).map(|r| {
        let (low, high) = interval(r.detected, r.gates);
        let range = format!("95% interval {} to {}", figures::percent(low), figures::percent(high));
        if r.effect == 0.0 {
            format!("{} of {} gates of the build against itself said FAIL ({range})", r.detected, r.gates)
        } else {
            let (hits, n, e) = (r.detected, r.gates, r.effect);
            format!("a planted {e}% was detected in {hits} of {n} ({range}), with {} alarms elsewhere", r.elsewhere)
        }
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() { "No gate was finished.".into() } else { format!("{}.", said.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_the_published_ones() {
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 5e-4 && (b - d).abs() < 5e-4;
        // Tables of the exact binomial interval.
        assert!(near(interval(0, 40), (0.0, 0.0881)), "{:?}", interval(0, 40));
        assert!(near(interval(40, 40), (0.9119, 1.0)), "{:?}", interval(40, 40));
        assert!(near(interval(5, 10), (0.1871, 0.8129)), "{:?}", interval(5, 10));
        assert!(near(interval(1, 20), (0.0013, 0.2487)), "{:?}", interval(1, 20));
    }
}
