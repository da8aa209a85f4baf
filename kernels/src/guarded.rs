//! Test memory between protected pages: reading or writing one byte outside an operand ends the test at once.
//!
//! Within [`placed`], every [`crate::AlignedBuffer`] of the thread lies right behind a protected page or right before
//! one. The suite below it runs every kernel, head, sparse product and element-wise operation on such operands, and
//! looks at the registers that a kernel may not leave changed.

mod element_wise;
mod products;
mod state;

use crate::huge_pages::{Pages, smaps_of};
use crate::testing::feature_sets;
use crate::{AlignedBuffer, CpuFeatures};
use rustix::mm::{MprotectFlags, ProtFlags, mprotect};
use std::cell::Cell;
use std::ptr::NonNull;

/// A multiple of every page size in use.
const GRANULE: usize = 64 << 10;

/// Which end of an operand touches a protected page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The first byte follows one.
    Start,
    /// One follows the last byte. The start is then aligned as the length allows, as a row range's inside larger
    /// weights is.
    End,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Start, Self::End];
}

thread_local! {
    static SIDE: Cell<Option<Side>> = const { Cell::new(None) };
}

/// Runs `f` with all buffers of this thread placed. The buffers may outlive it.
pub(crate) fn placed<R>(side: Side, f: impl FnOnce() -> R) -> R {
    /// Puts the old value back, also when `f` panics.
    struct Restore(Option<Side>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SIDE.set(self.0);
        }
    }
    let _restore = Restore(SIDE.replace(Some(side)));
    f()
}

/// `bytes` zeros between granules that may not be touched, if this thread is within [`placed`].
pub(crate) fn zeroed(bytes: usize) -> Option<Pages> {
    let side = SIDE.get()?;
    let inner = bytes.next_multiple_of(GRANULE);
    let mut pages = Pages::map(inner + 2 * GRANULE, ProtFlags::empty()).expect("mapped");
    let first = pages.start.as_ptr().wrapping_byte_add(GRANULE);
    // SAFETY: the range lies in the new mapping, which nothing else knows of yet.
    unsafe { mprotect(first.cast(), inner, MprotectFlags::READ | MprotectFlags::WRITE) }.expect("protected");
    let offset = if side == Side::Start { 0 } else { inner - bytes };
    pages.start = NonNull::new(first.wrapping_byte_add(offset))?;
    Some(pages)
}

/// `values` in a guarded buffer.
fn guard<T: crate::buffer::Plain>(side: Side, values: &[T]) -> AlignedBuffer<T> {
    placed(side, || AlignedBuffer::from(values))
}

/// Both sides with each set of features that selects different code.
fn sides_and_features() -> impl Iterator<Item = (Side, CpuFeatures)> {
    Side::BOTH.into_iter().flat_map(|side| feature_sets().into_iter().map(move |features| (side, features)))
}

#[test]
fn buffers_lie_against_protected_pages() {
    let permissions = |address| smaps_of(address)[0].split(' ').nth(1).map(str::to_owned).unwrap_or_default();
    for bytes in [1, 32, 64, 4096, GRANULE, GRANULE + 64] {
        for side in Side::BOTH {
            let buffer = guard(side, &vec![7u8; bytes]);
            let (first, end) = (buffer.as_ptr().addr(), buffer.as_ptr().addr() + bytes);
            let forbidden = if side == Side::Start { first - 1 } else { end };
            assert_eq!(permissions(forbidden), "---p", "{bytes} bytes, {side:?}");
            assert_eq!([permissions(first), permissions(end - 1)], ["rw-p", "rw-p"]);
        }
    }
    let outside = AlignedBuffer::<u8>::zeroed(64);
    assert_eq!(outside.as_ptr().addr() % 64, 0, "outside of `placed` nothing changes");
}
