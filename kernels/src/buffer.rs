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
    /// A mapping of its own, unmapped by its drop; else it is from the heap.
    pages: Option<Pages>,
}

impl<T: Plain> AlignedBuffer<T> {
    /// A buffer of `len` values, all zero. Aborts the process if memory cannot be allocated, as `Vec` does.
    pub fn zeroed(len: usize) -> Self {
        let Some(layout) = Self::layout(len) else {
            return Self { start: NonNull::dangling(), len: 0, pages: None };
        };
        let pages = Pages::huge(layout.size());
        #[cfg(all(target_os = "linux", not(miri)))]
        let pages = crate::guarded::zeroed(layout.size()).or(pages);
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
        Self::from(&self[..])
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
}
