//! What physics allows: bytes and products of a unit of work against what a machine reads and multiplies a second.
//!
//! No run is needed. Rows of a run are held against bandwidth that the run measured, published figures against what a
//! machine's maker states ([`super::field`]); both ask [`judge`].

use serde::Serialize;

/// What one unit of a rate costs: a decoded token, a token of a prompt, a call of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Bytes that must be read.
    pub bytes: f64,
    /// Products of a weight and an activation.
    pub products: f64,
}

/// The most that a machine does a second; absent where that sets no bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Bytes read from where they are.
    pub bytes_s: Option<f64>,
    /// Products of its multiply instruction. A lookup has none, so products are no ground against it.
    pub products_s: Option<f64>,
}

/// Which bound decides: the one that the work reaches first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Bytes that must be read.
    Memory,
    /// Products that must be multiplied.
    Multiply,
}

impl By {
    /// The bound in words, for sentences: `memory`.
    pub fn words(self) -> &'static str {
        ["memory", "the multiply"][self as usize]
    }
}

/// Whether a rate is possible.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is, with its share of what the bound allows: 1 is all of it.
    Possible { by: By, share: f64 },
    /// It is not: so many times what the bound allows.
    Impossible { by: By, factor: f64 },
}

/// Holds `rate` units of work a second against a machine. It is impossible where it is more than `tolerance` times what
/// the nearer bound allows; what bounds are measured needs a tolerance above 1, what they are by arithmetic needs none.
/// `None` where neither sets a bound.
pub fn judge(work: Work, peak: Peak, rate: f64, tolerance: f64) -> Option<Verdict> {
    let times = |a_unit: f64, a_second: Option<f64>| {
        a_second.map(|most| rate * a_unit / most).filter(|times| times.is_finite() && *times > 0.0)
    };
    let memory = times(work.bytes, peak.bytes_s).map(|times| (By::Memory, times));
    let multiply = times(work.products, peak.products_s).map(|times| (By::Multiply, times));
    let (by, times) = memory.into_iter().chain(multiply).max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(if times > tolerance {
        Verdict::Impossible { by, factor: times }
    } else {
        Verdict::Possible { by, share: times }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work { bytes: 500e6, products: 2e9 };
    const PEAK: Peak = Peak { bytes_s: Some(50e9), products_s: Some(400e9) };

    #[test]
    fn the_nearer_bound_decides() {
        // 100 tokens/s by memory, 200 by the multiply.
        assert_eq!(judge(WORK, PEAK, 50.0, 1.0), Some(Verdict::Possible { by: By::Memory, share: 0.5 }));
        assert_eq!(judge(WORK, PEAK, 150.0, 1.0), Some(Verdict::Impossible { by: By::Memory, factor: 1.5 }));
        let one_read_for_all = Work { bytes: 500e6 / 128.0, ..WORK };
        assert_eq!(
            judge(one_read_for_all, PEAK, 150.0, 1.0),
            Some(Verdict::Possible { by: By::Multiply, share: 0.75 })
        );
        assert_eq!(
            judge(one_read_for_all, PEAK, 500.0, 1.0),
            Some(Verdict::Impossible { by: By::Multiply, factor: 2.5 })
        );
    }

    #[test]
    fn a_rate_at_the_bound_is_possible_and_one_beyond_the_tolerance_is_not() {
        assert_eq!(judge(WORK, PEAK, 100.0, 1.0), Some(Verdict::Possible { by: By::Memory, share: 1.0 }));
        assert!(matches!(judge(WORK, PEAK, 100.1, 1.0), Some(Verdict::Impossible { .. })));
        assert!(matches!(judge(WORK, PEAK, 124.9, 1.25), Some(Verdict::Possible { .. })));
        assert!(matches!(judge(WORK, PEAK, 125.1, 1.25), Some(Verdict::Impossible { .. })));
    }

    #[test]
    fn what_sets_no_bound_decides_nothing() {
        let lookups = Peak { products_s: None, ..PEAK };
        let in_cache = Work { bytes: 0.0, ..WORK };
        assert_eq!(judge(in_cache, lookups, 1e9, 1.0), None);
        assert_eq!(judge(in_cache, PEAK, 100.0, 1.0), Some(Verdict::Possible { by: By::Multiply, share: 0.5 }));
        assert_eq!(judge(WORK, Peak { bytes_s: Some(0.0), products_s: None }, 1.0, 1.0), None);
        assert_eq!(judge(WORK, PEAK, f64::NAN, 1.0), None);
    }
}
