//! Cache-line aligned, zero-initialised, fixed-length storage; in huge pages when it is large.

use crate::huge_pages::Pages;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

mod sealed {
    /// Types for which all-zero bytes are a valid value and that need no drop.
    pub trait Plain: Copy + 'static {}
    impl Plain for u8 {}
    impl Plain for i8 {}
    impl Plain for u16 {}
    impl Plain for i32 {}
    impl Plain for f32 {}
}
pub(crate) use sealed::Plain;

/// Alignment of every buffer: one cache line and one AVX-512 register.
const ALIGNMENT: usize = 64;

/// A boxed slice whose start is aligned to 64 bytes, so that vector loads never straddle cache lines. From 2 MiB on
/// Linux backs it with transparent huge pages where it can.
pub struct AlignedBuffer<T: Plain> {
    start: NonNull<T>,
    len: usize,
    /// A mapping, or a part of one, unmapped by its drop or that of its last part; else it is from the heap.
    pages: Option<Pages>,
}

impl<T: Plain> AlignedBuffer<T> {
    /// A buffer of `len` values, all zero. Aborts the process if memory cannot be allocated, as `Vec` does.
    pub fn zeroed(len: usize) -> Self {
        Self::in_pages(len, Pages::huge)
    }

    /// The same for a part of something large whose parts are made one after the other, read in that order and dropped
    /// together, as the weights of a model: on Linux parts share huge pages, whatever each of them has.
    pub fn zeroed_part(len: usize) -> Self {
        Self::in_pages(len, |bytes| Pages::shared(bytes, ALIGNMENT).or_else(|| Pages::huge(bytes)))
    }

    fn in_pages(len: usize, pages: impl FnOnce(usize) -> Option<Pages>) -> Self {
        let Some(layout) = Self::layout(len) else {
            return Self { start: NonNull::dangling(), len: 0, pages: None };
        };
        #[cfg(all(target_os = "linux", not(miri)))]
        let pages = |bytes| crate::guarded::zeroed(bytes).or_else(|| pages(bytes));
        let pages = pages(layout.size());
        if let Some(pages) = pages {
            return Self { start: pages.start.cast(), len, pages: Some(pages) };
        }
        // SAFETY: the layout has a non-zero size, checked by `layout`.
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(raw.cast::<T>()) else { handle_alloc_error(layout) };
        Self { start, len, pages: None }
    }

    /// None for an empty buffer. A length that overflows is treated like a failed allocation, as `Vec` does.
    fn layout(len: usize) -> Option<Layout> {
        let bytes = len.saturating_mul(size_of::<T>());
        if bytes == 0 {
            return None;
        }
        match Layout::from_size_align(bytes, ALIGNMENT) {
            Ok(layout) => Some(layout),
            Err(_) => handle_alloc_error(Layout::new::<T>()),
        }
    }
}

impl<T: Plain> Drop for AlignedBuffer<T> {
    fn drop(&mut self) {
        #[cfg(all(target_os = "linux", not(miri)))]
        if let Some(pages) = self.pages.take() {
            return crate::guarded::done_with(pages);
        }
        if let (None, Some(layout)) = (&self.pages, Self::layout(self.len)) {
            // SAFETY: `start` came from `alloc_zeroed` with this very layout; `T: Plain` needs no drop.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}

impl<T: Plain> Deref for AlignedBuffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `start` is valid for `len` values (dangling only when `len` is 0), all initialised: zeroed bytes are
        // a `T: Plain`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> AsRef<[T]> for AlignedBuffer<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: Plain> DerefMut for AlignedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> From<&[T]> for AlignedBuffer<T> {
    fn from(values: &[T]) -> Self {
        let mut copy = Self::zeroed(values.len());
        copy.copy_from_slice(values);
        copy
    }
}

impl<T: Plain> Clone for AlignedBuffer<T> {
    fn clone(&self) -> Self {
        let part = self.pages.as_ref().is_some_and(Pages::is_shared);
        let mut copy = if part { Self::zeroed_part(self.len) } else { Self::zeroed(self.len) };
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Plain + std::fmt::Debug> std::fmt::Debug for AlignedBuffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuffer(len {})", self.len)
    }
}

// SAFETY: the buffer owns its memory exclusively, like a `Box<[T]>`, from the heap or mapped; `T: Plain` values are
// numbers.
unsafe impl<T: Plain> Send for AlignedBuffer<T> {}
// SAFETY: shared access only reads; there is no interior mutability.
unsafe impl<T: Plain> Sync for AlignedBuffer<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_zeroed_and_writable() {
        for len in [0, 1, 63, 64, 1000] {
            let mut buffer = AlignedBuffer::<i32>::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&v| v == 0));
            assert!(len == 0 || (buffer.as_ptr() as usize).is_multiple_of(ALIGNMENT));
            buffer.iter_mut().for_each(|v| *v = 7);
            assert!(buffer.clone().iter().all(|&v| v == 7));
        }
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn parts_share_pages_and_do_not_overlap() {
        // More than one mapping holds, of lengths that are no multiple of anything; the last two are too small and too
        // large.
        let lengths = [300_001, 5 << 20, 200_000, 17 << 20, 16 << 20, 1_180_001, 64, 40 << 20];
        let mut parts: Vec<_> = lengths.into_iter().map(AlignedBuffer::<u8>::zeroed_part).collect();
        for (value, part) in (1..).zip(&mut parts) {
            assert!(part.as_ptr().addr().is_multiple_of(ALIGNMENT) && part.iter().all(|&byte| byte == 0));
            part.fill(value);
        }
        let shared = |part: &AlignedBuffer<u8>| part.pages.as_ref().is_some_and(Pages::is_shared);
        assert_eq!(parts.iter().map(shared).collect::<Vec<_>>(), [[true; 6].as_slice(), &[false; 2]].concat());
        let copies = parts.clone();
        assert!(copies.iter().map(shared).eq(parts.iter().map(shared)));
        let mut ranges: Vec<_> = copies.iter().chain(&parts).map(|part| part.as_ptr_range()).collect();
        ranges.sort_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|two| two[0].end <= two[1].start), "{ranges:?}");
        // What others of a mapping held stays when some are dropped.
        let last = parts.pop();
        drop(parts);
        let values = copies.iter().chain(&last).zip((1..=8).chain([8]));
        values.for_each(|(part, value)| assert!(part.iter().all(|&byte| byte == value)));
    }
}
