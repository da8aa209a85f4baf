//! A figure of a table, and how it is written: in full where there is room, short in narrow tables.

use receipt::{Ratio, Spread, figures};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

/// A small drawing in a cell: lines in a box of 200 by 20, right is later or slower.
#[derive(Clone, Debug, Default)]
pub struct Drawing {
    /// The words that a screen reader says for the drawing.
    pub label: String,
    /// Points (x, y) of each unbroken line.
    pub lines: Vec<Vec<(f64, f64)>>,
    /// Dots (x, y), and whether each is hollow.
    pub dots: Vec<(f64, f64, bool)>,
    /// Top and height of the band of differences that do not count.
    pub band: Option<(f64, f64)>,
    /// Whether an upright line marks the middle of the box.
    pub middle: bool,
}

/// A figure or text of a table's cell, written only when a page or file is rendered.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// No figure.
    #[default]
    Nothing,
    /// No figure, and why.
    Absent(&'static str),
    /// Words.
    Text(String),
    /// Text that is typed or compared by eye, such as an id.
    Code(String),
    /// A word of the judge or of a check.
    Tag(String),
    /// A whole number.
    Integer(u64),
    /// A number that is written with three significant digits.
    Number(f64),
    /// A number as `Number`, of which a small one keeps three significant digits: `0.000598`.
    Measured(f64),
    /// A number that is written with so many decimals.
    Decimals(f64, usize),
    /// An error, written as `1.2e-7`.
    Small(f64),
    /// A share (0 to 1), written as a percentage.
    Percent(f64),
    /// The smallest difference that counts, as a share: `±3.0%`.
    Counts(f64),
    /// A change as a share: `+1.2%`.
    Change(f64),
    /// A time in nanoseconds.
    Time(f64),
    /// A size in bytes.
    Bytes(u64),
    /// A ratio without an interval: `12.3×`.
    Factor(f64),
    /// A median between the smallest and the largest sample.
    Spread(Spread),
    /// A share (0 to 1), and the ends of its interval.
    Shares(f64, Option<(f64, f64)>),
    /// A ratio with its interval, and the judge's direction.
    Judged(Ratio),
    /// A small drawing of lines and dots.
    Drawing(Drawing),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

impl Value {
    /// A word of the judge or of a check.
    pub fn word(word: impl Into<String>) -> Self {
        Self::Tag(word.into())
    }

    /// A ratio over a partner; without one, the factor 1 of the partner itself.
    pub fn over(ratio: Option<&Ratio>) -> Self {
        ratio.map_or(Self::Factor(1.0), |ratio| Self::Judged(ratio.clone()))
    }

    /// A rate such as tokens a second, of which zero is none.
    pub fn rate(rate: f64) -> Self {
        if rate > 0.0 { Self::Number(rate) } else { Self::Absent("n/a") }
    }

    /// The value as text in full: `12.3× [12.1, 12.5] faster`.
    pub fn in_full(&self) -> String {
        match self {
            Self::Judged(r) => format!("{} {}", figures::ratio_with_interval(r), r.direction().word()),
            other => other.short(),
        }
    }

    /// The value as text for a narrow column: `12.3×`, with a sign before what is not faster.
    pub fn short(&self) -> String {
        match self {
            Self::Nothing => "–".into(),
            Self::Absent(why) => (*why).into(),
            Self::Text(text) | Self::Code(text) | Self::Tag(text) => text.clone(),
            Self::Integer(n) => figures::integer(*n),
            Self::Number(x) => figures::number(*x),
            Self::Measured(x) => figures::measured(*x),
            Self::Decimals(x, n) if x.is_finite() => format!("{x:.n$}"),
            Self::Small(0.0) => "0".into(),
            Self::Small(x) if x.is_finite() => format!("{x:.1e}"),
            Self::Decimals(..) | Self::Small(_) => "not finite".into(),
            Self::Percent(share) => figures::percent(*share),
            Self::Counts(share) => format!("±{}", figures::percent(*share)),
            // Adding 0 turns a rounded -0 into 0.
            Self::Change(share) => format!("{:+.1}%", (1000.0 * share).round() / 10.0 + 0.0),
            Self::Time(ns) => figures::duration_or_none(*ns),
            Self::Bytes(n) => figures::bytes(*n),
            Self::Factor(1.0) => "1×".into(),
            Self::Factor(x) => figures::ratio(*x),
            Self::Spread(s) => {
                format!("{} [{}, {}]", figures::number(s.median), figures::number(s.low), figures::number(s.high))
            }
            Self::Shares(share, Some((low, high))) => {
                format!("{} [{}, {}]", figures::percent(*share), figures::percent(*low), figures::percent(*high))
            }
            Self::Shares(share, None) => format!("{} [too few rounds]", figures::percent(*share)),
            Self::Judged(r) => figures::judged(r),
            Self::Drawing(drawing) => drawing.label.clone(),
        }
    }

    /// The value as a JSON number or text, for tools.
    pub fn json(&self) -> Json {
        match self {
            Self::Nothing | Self::Absent(_) => Json::Null,
            Self::Text(text) | Self::Code(text) | Self::Tag(text) => json!(text),
            Self::Integer(n) | Self::Bytes(n) => json!(n),
            Self::Number(x)
            | Self::Measured(x)
            | Self::Decimals(x, _)
            | Self::Small(x)
            | Self::Percent(x)
            | Self::Counts(x)
            | Self::Change(x)
            | Self::Time(x)
            | Self::Factor(x) => json!(x),
            Self::Spread(s) => json!({"median": s.median, "low": s.low, "high": s.high}),
            Self::Shares(share, ends) => {
                json!({"median": share, "low": ends.map(|e| e.0), "high": ends.map(|e| e.1)})
            }
            Self::Judged(r) => json!({
                "median": r.median, "low": r.low, "high": r.high, "partner": r.partner,
                "direction": r.direction().word(), "counts_from": r.threshold(),
            }),
            Self::Drawing(drawing) => json!(drawing.label),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_once_and_stay_numbers_for_tools() {
        let cases = [
            (Value::Integer(22668), "22,668", json!(22668)),
            (Value::Percent(0.123), "12.3%", json!(0.123)),
            (Value::Counts(0.03), "±3.0%", json!(0.03)),
            (Value::Change(-0.00001), "+0.0%", json!(-0.00001)),
            (Value::Factor(1.0), "1×", json!(1.0)),
            (Value::rate(0.0), "n/a", Json::Null),
            (Value::Small(0.00012), "1.2e-4", json!(0.00012)),
            (Value::Decimals(f64::NAN, 2), "not finite", json!(f64::NAN)),
            (Value::Nothing, "–", Json::Null),
        ];
        for (value, shown, json) in cases {
            assert_eq!((value.in_full().as_str(), value.json()), (shown, json), "{value:?}");
        }
    }
}
