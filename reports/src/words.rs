//! Small words that several parts need.

use receipt::figures;

/// `1 kernel`, `2 kernels`.
pub fn count(n: usize, what: &str) -> String {
    format!("{} {what}{}", figures::integer(n as u64), if n == 1 { "" } else { "s" })
}
