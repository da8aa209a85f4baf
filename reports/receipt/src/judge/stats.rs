//! Medians, quantiles and exact sign-test intervals.

/// Confidence of the intervals in reports: 0.99 is 99%.
pub const CONFIDENCE: f64 = 0.99;

/// Median of the values; 0 where there are none.
pub fn median(values: &[f64]) -> f64 {
    median_of(&mut values.to_vec())
}

/// The same, of values whose order need not last.
pub fn median_of(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    // Selected, not sorted: the noise of a median takes a thousand of them.
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| n.is_multiple_of(2));
    lower.map_or(upper, |lower| (lower + upper) / 2.0)
}

/// Quantile: the smallest value that at least `share` (0 to 1) of the values do not exceed; 0 where there are none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

/// Exact distribution-free interval for the median: the r-th smallest and r-th largest value, with the largest r whose
/// two tails of Binomial(n, 1/2) together stay within 1 - confidence. None when even r = 1 does not reach the
/// confidence.
pub fn sign_test_interval(values: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let n = values.len();
    let mut log_probability = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    let mut rank = 0;
    for outcomes in 0..n.div_ceil(2) {
        tail += log_probability.exp();
        if 2.0 * tail > 1.0 - confidence {
            break;
        }
        rank = outcomes + 1;
        log_probability += ((n - outcomes) as f64 / (outcomes + 1) as f64).ln();
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    (rank > 0).then(|| (sorted[rank - 1], sorted[n - rank]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tails_that_are_just_as_allowed_are_allowed() {
        // Below and above the one value: half each, together all that a confidence of 0 allows.
        assert_eq!(sign_test_interval(&[3.0], 0.0), Some((3.0, 3.0)));
        assert_eq!(sign_test_interval(&[3.0], 0.01), None);
    }

    #[test]
    fn intervals_are_the_textbook_ones() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        // Binomial(20, 1/2): P(X <= 3) = 0.00129, P(X <= 4) = 0.0059: at 99% the 4th from either end, at 95% the 6th.
        assert_eq!(sign_test_interval(&values, 0.99), Some((4.0, 17.0)));
        assert_eq!(sign_test_interval(&values, 0.95), Some((6.0, 15.0)));
        assert_eq!(sign_test_interval(&values[..7], 0.99), None);
        assert_eq!(sign_test_interval(&values[..8], 0.99), Some((1.0, 8.0)));
        assert_eq!(sign_test_interval(&[], 0.5), None);
    }

    #[test]
    fn medians_and_quantiles() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0]), median(&[])), (2.0, 2.5, 0.0));
        assert_eq!(
            (quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), quantile(&[1.0, 2.0], 0.95), quantile(&[], 0.5)),
            (2.0, 2.0, 0.0)
        );
    }

    #[test]
    fn no_underflow_over_many_rounds() {
        let values: Vec<f64> = (0..5000).map(f64::from).collect();
        let (low, high) = sign_test_interval(&values, 0.99).expect("enough rounds");
        assert!((2400.0..2450.0).contains(&low) && (2550.0..2600.0).contains(&high), "{low} {high}");
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_median(values in prop::collection::vec(-1e3f64..1e3, 8..100)) {
            let (low, high) = sign_test_interval(&values, 0.99).expect("8 rounds are enough");
            let m = median(&values);
            prop_assert!(low <= m && m <= high);
        }
    }
}
