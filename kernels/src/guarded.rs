//! Test memory between protected pages: reading or writing one byte outside an operand ends the test at once.
//!
//! Within [`placed`], every [`crate::AlignedBuffer`] of the thread lies right behind a protected page or right before
//! one. The suite below it runs every kernel, head, sparse product and element-wise operation on such operands, and
//! looks at the registers that a kernel may not leave changed.

mod element_wise;
mod heads;
mod products;
mod sparse_products;
mod state;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

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

/// A mapping whose first and last granule may not be touched, and the operand between them.
pub(crate) struct GuardedPages {
    base: NonNull<c_void>,
    mapped: usize,
    start: NonNull<u8>,
}

impl GuardedPages {
    /// `bytes` zeros if this thread is within [`placed`].
    pub(crate) fn zeroed(bytes: usize) -> Option<Self> {
        let side = SIDE.get()?;
        let inner = bytes.next_multiple_of(GRANULE);
        let mapped = inner + 2 * GRANULE;
        // SAFETY: a new private mapping at an address of the system's choice overlaps nothing.
        let base =
            unsafe { mmap_anonymous(null_mut(), mapped, ProtFlags::empty(), MapFlags::PRIVATE) }.expect("mapped");
        let first = base.wrapping_byte_add(GRANULE);
        // SAFETY: the range lies in the mapping above, which nothing else knows of yet.
        unsafe { mprotect(first, inner, MprotectFlags::READ | MprotectFlags::WRITE) }.expect("protected");
        let start = match side {
            Side::Start => first,
            Side::End => first.wrapping_byte_add(inner - bytes),
        };
        Some(Self { base: NonNull::new(base)?, mapped, start: NonNull::new(start.cast())? })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for GuardedPages {
    fn drop(&mut self) {
        // SAFETY: the whole mapping that `zeroed` made, once; the buffer that owns it is being dropped.
        unsafe { munmap(self.base.as_ptr(), self.mapped) }.expect("the mapping was ours");
    }
}

/// `values` in a guarded buffer.
fn guard<T: crate::buffer::Plain>(side: Side, values: &[T]) -> crate::AlignedBuffer<T> {
    let mut buffer = placed(side, || crate::AlignedBuffer::zeroed(values.len()));
    buffer.copy_from_slice(values);
    buffer
}

/// The feature sets that pick different implementations, as far as this CPU and the environment's mask have them.
fn feature_sets() -> Vec<crate::CpuFeatures> {
    use crate::CpuFeatures;
    let mut sets: Vec<CpuFeatures> =
        [CpuFeatures::NONE, CpuFeatures::X86_64_V3, CpuFeatures::X86_64_V4, CpuFeatures::detect()]
            .map(|set| set.intersect(CpuFeatures::detect()))
            .to_vec();
    sets.dedup();
    sets
}

/// The permissions of the page at `address`, from the system's own list.
#[cfg(test)]
fn permissions(address: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
    let found = maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let parse = |hex| usize::from_str_radix(hex, 16).ok();
        (parse(from)?..parse(to)?).contains(&address).then(|| rest[..4].to_owned())
    });
    found.unwrap_or_default()
}

#[test]
fn buffers_lie_against_protected_pages() {
    for bytes in [1, 32, 64, 4096, GRANULE, GRANULE + 64] {
        for side in Side::BOTH {
            let buffer = guard(side, &vec![7u8; bytes]);
            let (first, end) = (buffer.as_ptr().addr(), buffer.as_ptr().addr() + bytes);
            let forbidden = match side {
                Side::Start => first - 1,
                Side::End => end,
            };
            assert_eq!(permissions(forbidden), "---p", "{bytes} bytes, {side:?}");
            assert_eq!((permissions(first).as_str(), permissions(end - 1).as_str()), ("rw-p", "rw-p"));
        }
    }
    let outside = crate::AlignedBuffer::<u8>::zeroed(64);
    assert_eq!(outside.as_ptr().addr() % 64, 0, "outside of `placed` nothing changes");
}
