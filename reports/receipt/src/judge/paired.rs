//! The one place where rounds become ratios: medians of log ratios over paired rounds, with exact sign-test intervals.
//!
//! Looks with alpha spending, family-wise correction and verdicts build on it; the raw rounds stay in the receipt.

use super::method::Method;
use super::stats::{CONFIDENCE, median, quantile, sign_test_interval};
use crate::record::Ratio;

/// The times of two kernels in the same rounds, compared round by round.
pub struct Paired {
    log_ratios: Vec<f64>,
}

impl Paired {
    /// ln(own time / partner time) of each round, above 0 for slower; rounds without both are left out.
    pub fn new(method: Method, partner_ns: &[u64], own_ns: &[u64]) -> Self {
        Self { log_ratios: method.log_ratios_of_figures(partner_ns, own_ns) }
    }

    /// Median ratio with its interval; above 1 means faster than the partner.
    pub fn ratio(&self, partner: &str) -> Ratio {
        let interval = sign_test_interval(&self.log_ratios, CONFIDENCE);
        Ratio {
            partner: partner.to_owned(),
            median: speed_up(median(&self.log_ratios)),
            low: interval.map(|(_, high)| speed_up(high)),
            high: interval.map(|(low, _)| speed_up(low)),
            confidence: CONFIDENCE,
            verdict: None,
        }
    }

    /// For a self-pair: 95th percentile of |ratio - 1|, the noise that any single round's ratio carries.
    pub fn noise_floor(&self) -> f64 {
        let deviations: Vec<f64> = self.log_ratios.iter().map(|r| (speed_up(*r) - 1.0).abs()).collect();
        quantile(&deviations, 0.95)
    }
}

/// How many times as fast: 2 for half the time.
fn speed_up(log_ratio: f64) -> f64 {
    (-log_ratio).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_floor_is_what_nineteen_of_twenty_rounds_stay_within() {
        let floor = |slow: usize| {
            let own: Vec<u64> = (0..20).map(|round| if round < slow { 125 } else { 100 }).collect();
            Paired::new(Method::default(), &[100; 20], &own).noise_floor()
        };
        assert_eq!((floor(0), floor(1)), (0.0, 0.0));
        assert!((floor(2) - 0.2).abs() < 1e-12);
        // Faster is as far from 1 as slower.
        assert!((Paired::new(Method::default(), &[125; 20], &[100; 20]).noise_floor() - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_ratio_above_one_means_faster() {
        let ratio = Paired::new(Method::default(), &[200, 220, 180, 0], &[100, 110, 90, 5]).ratio("scalar");
        assert!((ratio.median - 2.0).abs() < 1e-12 && ratio.low.is_none() && ratio.partner == "scalar");
    }
}
