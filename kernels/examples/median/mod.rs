//! What the examples sum their rounds up with.

/// The middle one of the values; of an even number, the larger of the two.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The 95% interval of the median of the values, from 12 on: by their ranks, whatever their distribution.
#[allow(dead_code, reason = "not every example gives one")]
pub fn interval(values: &[f64]) -> [f64; 2] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = (0.98 * (sorted.len() as f64).sqrt()).ceil() as usize;
    let low = (sorted.len() / 2).saturating_sub(half);
    [sorted[low], sorted[sorted.len() - 1 - low]]
}
