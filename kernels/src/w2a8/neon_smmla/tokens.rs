//! A batch in the order of the inner loop: tokens in pairs, eight activations of each side by side.

use crate::activation::QuantizedActivations;
use std::cell::RefCell;

/// Pairs of tokens of the widest tile.
pub(super) const PAIRS: usize = 4;

thread_local! {
    /// Kept, so that a prompt's hundreds of calls allocate once a thread.
    static ORDERED: RefCell<Vec<i8>> = const { RefCell::new(Vec::new()) };
}

/// Runs `product` with up to 2 [`PAIRS`] tokens in order: for each 8 of `16 * steps` k, those of each pair, 16 bytes.
/// The last of an odd number is paired with zeros.
pub(super) fn with_pairs(tokens: &[QuantizedActivations], steps: usize, product: impl FnOnce(&[i8])) {
    ORDERED.with_borrow_mut(|ordered| {
        let pairs = tokens.len().div_ceil(2);
        ordered.clear();
        ordered.resize(32 * steps * pairs, 0);
        for (t, token) in tokens.iter().enumerate() {
            let eights = token.padded().as_chunks::<8>().0.iter().take(2 * steps);
            for (k, eight) in eights.enumerate() {
                ordered[(k * pairs + t / 2) * 16 + t % 2 * 8..][..8].copy_from_slice(eight);
            }
        }
        product(ordered);
    });
}
