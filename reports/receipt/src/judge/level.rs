//! Which level of the caches holds so many bytes.

/// Bytes that `threads` threads can keep in cache `index` (0 is L1): the last of three or more levels is shared.
pub fn capacity(caches: &[u64], index: usize, threads: usize) -> u64 {
    let shared = index >= 2 && index + 1 == caches.len();
    caches[index].saturating_mul(if shared { 1 } else { threads as u64 })
}

/// The first cache level that holds `bytes` of `threads` threads together: `L1`, `L2`, ..., or `DRAM`.
pub fn level(caches: &[u64], bytes: u64, threads: usize) -> String {
    let fits = (0..caches.len()).find(|&i| bytes <= capacity(caches, i, threads));
    fits.map_or_else(|| "DRAM".into(), |i| format!("L{}", i + 1))
}
