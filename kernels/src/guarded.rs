//! Memory between protected pages: reading or writing one byte outside an operand ends the process at once.
//!
//! Within [`placed`], every [`crate::AlignedBuffer`] of the thread lies right behind a protected page or right before
//! one. This project's tests run every kernel, head, sparse product and element-wise operation on such operands, and
//! look at the registers that a kernel may not leave changed; foreign kernels meet them before they are timed. On
//! Linux; elsewhere buffers stay where they are.

#[cfg(all(test, target_os = "linux", not(miri)))]
mod element_wise;
#[cfg(all(test, target_os = "linux", not(miri)))]
mod products;
#[cfg(all(test, target_os = "linux", not(miri)))]
mod state;

#[cfg(all(test, target_os = "linux", not(miri)))]
use crate::{AlignedBuffer, CpuFeatures, huge_pages::smaps_of, testing::feature_sets};
use std::cell::Cell;
#[cfg(all(target_os = "linux", not(miri)))]
use {crate::huge_pages::Pages, std::cell::RefCell, std::collections::BTreeMap, std::ptr::NonNull};

/// A multiple of every page size in use.
#[cfg(all(target_os = "linux", not(miri)))]
const GRANULE: usize = 64 << 10;

/// Which end of an operand touches a protected page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first byte follows one.
    Start,
    /// One follows the last byte. The start is then aligned as the length allows, as a row range's inside larger
    /// weights is.
    End,
}

impl Side {
    /// Both ends.
    pub const BOTH: [Self; 2] = [Self::Start, Self::End];
}

thread_local! {
    static SIDE: Cell<Option<Side>> = const { Cell::new(None) };
}

/// Runs `f` with all buffers of this thread placed. The buffers may outlive it.
pub fn placed<R>(side: Side, f: impl FnOnce() -> R) -> R {
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

/// Whether buffers of this thread have a protected page right behind them.
pub(crate) fn active() -> bool {
    cfg!(all(target_os = "linux", not(miri))) && SIDE.get() == Some(Side::End)
}

/// Most mappings that a thread keeps.
#[cfg(all(target_os = "linux", not(miri)))]
const KEPT: usize = 512;

#[cfg(all(target_os = "linux", not(miri)))]
thread_local! {
    /// Mappings of one granule between two, for the next buffers: a suite makes a million, each of which would cost
    /// three calls of the system. By address: the highest is the next one, as the system has it, so that the same
    /// operands of each case lie where those of the last one lay, and a kernel that knows results by address is wrong.
    static FREE: RefCell<BTreeMap<NonNull<u8>, Pages>> = const { RefCell::new(BTreeMap::new()) };
}

/// `bytes` zeros between granules that may not be touched, if this thread is within [`placed`].
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn zeroed(bytes: usize) -> Option<Pages> {
    let side = SIDE.get()?;
    let inner = bytes.next_multiple_of(GRANULE);
    let kept = (inner == GRANULE).then(|| FREE.with_borrow_mut(BTreeMap::pop_last)).flatten();
    let mut pages = kept.map(|(_, pages)| pages).or_else(|| between(inner))?;
    let first = pages.whole().0.as_ptr().wrapping_byte_add(GRANULE);
    let offset = if side == Side::Start { 0 } else { inner - bytes };
    pages.start = NonNull::new(first.wrapping_byte_add(offset))?;
    // Another buffer may have lain there.
    // SAFETY: these bytes lie in the readable and writable part of the mapping, which nothing else knows of now.
    unsafe { pages.start.write_bytes(0, bytes) };
    Some(pages)
}

/// A new mapping: `inner` zeros between two granules that may not be touched.
#[cfg(all(target_os = "linux", not(miri)))]
fn between(inner: usize) -> Option<Pages> {
    use rustix::mm::{MprotectFlags, ProtFlags, mprotect};
    let pages = Pages::map(inner + 2 * GRANULE, ProtFlags::empty())?;
    let first = pages.whole().0.as_ptr().wrapping_byte_add(GRANULE);
    // SAFETY: the range lies in the new mapping, which nothing else knows of yet.
    unsafe { mprotect(first.cast(), inner, MprotectFlags::READ | MprotectFlags::WRITE) }.ok()?;
    Some(pages)
}

/// Takes the mapping of a buffer that is dropped: kept for the next one where it is of the common size.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn done_with(pages: Pages) {
    // Buffers in huge pages are larger. A thread that ends keeps nothing.
    if !pages.is_shared() && pages.whole().1 == 3 * GRANULE {
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.insert(pages.whole().0, pages);
            }
        });
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

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
        // What a buffer held is nothing to the next one in its place.
        for side in Side::BOTH {
            let (lay, place) =
                (guard(side, &[7u8; 100]), |buffer: &AlignedBuffer<u8>| buffer.as_ptr().addr() / GRANULE);
            let first = place(&lay);
            drop(lay);
            let next = placed(side, || AlignedBuffer::<u8>::zeroed(99));
            assert!(place(&next) == first && next.iter().all(|&byte| byte == 0), "{side:?}");
        }
        // A part of a shared mapping that happens to be as large as one of these has no protected pages.
        let kept = || FREE.with_borrow(BTreeMap::len);
        let before = kept();
        drop(AlignedBuffer::<u8>::zeroed_part(3 * GRANULE));
        assert_eq!(kept(), before);
        let outside = AlignedBuffer::<u8>::zeroed(64);
        assert_eq!(outside.as_ptr().addr() % 64, 0, "outside of `placed` nothing changes");
    }
}

/// `values` in a guarded buffer.
#[cfg(all(test, target_os = "linux", not(miri)))]
fn guard<T: crate::buffer::Plain>(side: Side, values: &[T]) -> AlignedBuffer<T> {
    placed(side, || AlignedBuffer::from(values))
}

/// Both sides with each set of features that selects different code.
#[cfg(all(test, target_os = "linux", not(miri)))]
fn sides_and_features() -> impl Iterator<Item = (Side, CpuFeatures)> {
    Side::BOTH.into_iter().flat_map(|side| feature_sets().into_iter().map(move |features| (side, features)))
}
