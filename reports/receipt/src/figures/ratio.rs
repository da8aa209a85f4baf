//! Ratios with their intervals and directions.

use super::number::ratio;
use crate::judge::Direction;
use crate::record::Ratio;

/// A ratio with its interval, `12.3× [12.1, 12.5]`, or a word on why there is no interval.
pub fn ratio_with_interval(r: &Ratio) -> String {
    format!("{} {}", ratio(r.median), interval(r))
}

/// A ratio with the sign of its direction, none for faster: `12.3×`, `▼0.81×`, `=1.01×`, `?1.04×`, `!1.02×`.
pub fn judged(r: &Ratio) -> String {
    let mark = match r.direction() {
        Direction::Faster => "",
        direction => direction.marker(),
    };
    format!("{mark}{}", ratio(r.median))
}

/// The legend of the signs that [`judged`] puts before a ratio.
pub const SIGNS: &str = "▼ slower  = same  ? undecided  ! unstable";

/// A ratio's interval: `[12.1, 12.5]` or `[too few rounds]`. Ends that would look the same get another decimal.
pub fn interval(r: &Ratio) -> String {
    let (Some(low), Some(high)) = (r.low, r.high) else { return "[too few rounds]".into() };
    if !(low.is_finite() && high.is_finite()) {
        return "[n/a]".into();
    }
    let decimals = match high.abs() {
        h if h < 9.995 => 2,
        h if h < 99.95 => 1,
        _ => 0,
    };
    let at = |decimals: usize| (format!("{low:.decimals$}"), format!("{high:.decimals$}"));
    let (mut a, mut b) = at(decimals);
    if a == b {
        (a, b) = at(decimals + 1);
    }
    format!("[{a}, {b}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_without_interval_says_so() {
        let mut r = Ratio {
            partner: "a".into(),
            median: 1.234,
            low: Some(1.2),
            high: Some(1.26),
            confidence: 0.99,
            verdict: None,
        };
        assert_eq!(ratio_with_interval(&r), "1.23× [1.20, 1.26]");
        (r.low, r.high) = (Some(1.231), Some(1.234));
        assert_eq!(interval(&r), "[1.231, 1.234]");
        r.low = None;
        assert_eq!(ratio_with_interval(&r), "1.23× [too few rounds]");
    }
}
