//! What the multiply instruction of a kernel reaches alone.

use crate::record::{Limits, MultiplyPeak};

/// The measured peak of the multiply instruction that a kernel's products are made with.
pub fn multiply<'l>(limits: &'l Limits, kernel: &str) -> Option<&'l MultiplyPeak> {
    let id = &limits.kernels.iter().find(|k| k.kernel == kernel)?.multiply;
    limits.multiplies.iter().find(|m| m.id == *id)
}

/// Peak of `threads` threads in 10^9 products a second: as measured together, else that many times one thread's.
pub fn peak_gmac_s(peak: &MultiplyPeak, threads: usize) -> f64 {
    let together = peak.teams.iter().find(|t| t.threads == threads);
    together.map_or(peak.gmac_s.high * threads as f64, |team| team.gmac_s.high)
}

/// How many times as much as one thread `threads` threads compute: as the kernel's multiply showed, else that many.
pub fn together(limits: &Limits, kernel: &str, threads: usize) -> f64 {
    let shown = multiply(limits, kernel).map(|peak| peak_gmac_s(peak, threads) / peak.gmac_s.high);
    shown.filter(|factor| factor.is_finite() && *factor > 0.0).unwrap_or(threads as f64)
}
