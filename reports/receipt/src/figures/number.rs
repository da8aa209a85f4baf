//! Numbers, sizes, durations and foreign text.

/// A number with three significant digits and no exponent: 0.0123, 1.23, 12.3, 123, 12,300.
pub fn number(x: f64) -> String {
    if !x.is_finite() {
        return "n/a".into();
    }
    let size = x.abs();
    let decimals = match size {
        s if s == 0.0 || s >= 99.95 => 0,
        s if s >= 9.995 => 1,
        s if s >= 0.9995 => 2,
        s if s >= 0.09995 => 3,
        _ => 4,
    };
    grouped(&format!("{x:.decimals$}"))
}

/// A number as [`number`] writes it, but a small one keeps three significant digits: 0.000598, 2.14e-7.
pub fn measured(x: f64) -> String {
    match x.abs() {
        s if s > 0.0 && s < 1e-4 => format!("{x:.2e}"),
        s if s > 0.0 && s < 0.01 => format!("{x:.*}", if s < 1e-3 { 6 } else { 5 }),
        _ => number(x),
    }
}

/// A whole number with commas between thousands: 9,423.
pub fn integer(x: u64) -> String {
    grouped(&x.to_string())
}

/// Digits with a comma before every three: the only place that writes them.
fn grouped(digits: &str) -> String {
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let (sign, whole) = whole.split_at(usize::from(whole.starts_with('-')));
    let head = (whole.len() + 2) % 3 + 1;
    let mut out = format!("{sign}{}", &whole[..head.min(whole.len())]);
    (head..whole.len()).step_by(3).for_each(|at| out += &format!(",{}", &whole[at..at + 3]));
    out + rest
}

/// A ratio in text: two decimals up to 10, where a percent still matters, then three significant digits: `1.23×`.
pub fn ratio(x: f64) -> String {
    if x.is_finite() && x.abs() < 9.995 { format!("{x:.2}×") } else { format!("{}×", number(x)) }
}

/// A share as a percentage: 0.8%, 12.3%, 100%.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        p if !p.is_finite() => "n/a".into(),
        p if p.abs() >= 99.95 => format!("{p:.0}%"),
        p if p != 0.0 && p.abs() < 0.1 => format!("{p:.2}%"),
        p => format!("{p:.1}%"),
    }
}

/// Nanoseconds as [`duration`] writes them; `n/a` for 0 or less.
pub fn duration_or_none(ns: f64) -> String {
    if ns > 0.0 { duration(ns) } else { "n/a".into() }
}

/// Nanoseconds in text, in ns, µs, ms or s, so that one to three digits stand before the point: `1.23 µs`.
pub fn duration(ns: f64) -> String {
    match ns.abs() {
        x if x >= 1e9 => format!("{} s", number(ns / 1e9)),
        x if x >= 1e6 => format!("{} ms", number(ns / 1e6)),
        x if x >= 1e3 => format!("{} µs", number(ns / 1e3)),
        _ => format!("{} ns", number(ns)),
    }
}

/// Seconds of a whole run in text: `12.3 s`, `2 min 05 s`, `1 h 02 min`.
pub fn run_time(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{} s", number(seconds));
    }
    // Rounded once, so that 119.7 s is 2 min 00 s and not 1 min 60 s.
    let s = seconds.round() as u64;
    if s < 3600 {
        format!("{} min {:02} s", s / 60, s % 60)
    } else {
        format!("{} h {:02} min", s / 3600, s % 3600 / 60)
    }
}

/// A number of bytes in binary units with three digits: `32.0 KiB`, `1.00 GiB`.
pub fn bytes(n: u64) -> String {
    let unit = (n.max(1).ilog2() / 10).min(4);
    format!(
        "{} {}",
        number(n as f64 / f64::powi(1024.0, unit as i32)),
        ["B", "KiB", "MiB", "GiB", "TiB"][unit as usize]
    )
}

/// A number of bytes in GiB with two decimals, below 1 GiB in MiB with one: `1.25 GiB`, `512.0 MiB`.
pub fn mib(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 => format!("{:.2} GiB", b as f64 / f64::from(1 << 30)),
        b => format!("{:.1} MiB", b as f64 / f64::from(1 << 20)),
    }
}

/// Text as one line that cannot move the cursor, whatever is in the file name, flag or file that it quotes.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The first 12 characters of a hash, enough to compare by eye.
pub fn short_hash(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// `text` cut to at most `limit` characters, with a note on how much is missing.
pub fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.into(),
        Some((at, _)) => {
            let (head, tail) = text.split_at(at);
            format!("{head}… ({} more characters in receipt.json)", tail.chars().count())
        }
    }
}

/// `text` shortened to at most `limit` characters, with `…` at the end where something is missing.
pub fn label(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.into();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// A prompt in quotes; of a long one the beginning and how long it is, which tells it from others that begin alike.
pub fn prompt(text: &str) -> String {
    let short = label(text, 40);
    match text.chars().count() {
        long if short != text => format!("{short:?} ({long} characters)"),
        _ => format!("{short:?}"),
    }
}

/// Median of the finite values, if there are any.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut v: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
    v.sort_by(f64::total_cmp);
    let upper = *v.get(v.len() / 2)?;
    Some(if v.len() % 2 == 1 { upper } else { (v[v.len() / 2 - 1] + upper) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_that_begin_alike_have_names_of_their_own() {
        assert_eq!(prompt("First Citizen:\nBefore we proceed"), r#""First Citizen:\nBefore we proceed""#);
        let (long, longer) = ("ab".repeat(30), "ab".repeat(31));
        assert_eq!(prompt(&long), format!("\"{}a…\" (60 characters)", "ab".repeat(19)));
        assert_ne!(prompt(&long), prompt(&longer));
    }

    #[test]
    fn numbers_keep_three_digits() {
        let got: Vec<String> = [0.0, 0.0123, 0.5, 1.0, 9.999, 12.34, 99.96, 123.4, 12345.6].map(number).into();
        assert_eq!(got, ["0", "0.0123", "0.500", "1.00", "10.0", "12.3", "100", "123", "12,346"]);
        assert_eq!([0.0, 3e-7, 0.00059812, 0.0051, 1.5].map(measured), ["0", "3.00e-7", "0.000598", "0.00510", "1.50"]);
        assert_eq!(number(f64::NAN), "n/a");
        let whole = [0, 999, 1000, 9_423, 10_072, 123_456, 1_234_567].map(integer);
        assert_eq!(whole, ["0", "999", "1,000", "9,423", "10,072", "123,456", "1,234,567"]);
        assert_eq!([-999.0, -9_423.0, -123_456.7].map(number), ["-999", "-9,423", "-123,457"]);
    }

    #[test]
    fn units_follow_the_size() {
        assert_eq!(duration(950.0), "950 ns");
        assert_eq!(duration(1234.0), "1.23 µs");
        assert_eq!(run_time(119.7), "2 min 00 s");
        let sizes = [0, 1023, 1024, 32 << 10, 1 << 30, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "1,023 B", "1.00 KiB", "32.0 KiB", "1.00 GiB", "16,777,216 TiB"]);
        assert_eq!(percent(0.0123), "1.2%");
    }

    #[test]
    fn medians_skip_what_is_not_a_number() {
        assert_eq!(median([3.0, f64::NAN, 1.0]), Some(2.0));
        assert_eq!(median([]), None);
    }
}
