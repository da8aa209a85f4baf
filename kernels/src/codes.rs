//! Memory of packed codes: their own, or another owner's, such as a mapped file.

use crate::AlignedBuffer;
use crate::error::KernelError;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Start of shared codes: as for [`AlignedBuffer`], so that no vector load straddles cache lines.
pub(crate) const ALIGNMENT: usize = 64;

/// A part of bytes that somebody else keeps in memory.
#[derive(Clone)]
pub struct SharedBytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl SharedBytes {
    /// The bytes `range` of `owner`, which keeps them for as long as anything uses them.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if `owner` has fewer bytes, [`KernelError::Misaligned`] if the part does not start at a multiple of 64.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> Result<Self, KernelError> {
        let all = (*owner).as_ref();
        let Some(part) = all.get(range.clone()) else {
            return Err(KernelError::Shape { what: "end of shared bytes", expected: range.end, actual: all.len() });
        };
        if !part.is_empty() && !part.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Err(KernelError::Misaligned { alignment: ALIGNMENT });
        }
        Ok(Self { owner, range })
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    /// Asks the owner each time; the checks hold even if its answer changes.
    fn deref(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({:?})", self.range)
    }
}

/// Packed codes.
#[derive(Clone, Debug)]
pub(crate) enum Codes {
    Owned(AlignedBuffer<u8>),
    Shared(SharedBytes),
}

impl Deref for Codes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(buffer) => buffer,
            Self::Shared(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_must_exist_and_be_aligned() {
        let owner: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(Buffer(AlignedBuffer::zeroed(256)));
        assert_eq!(SharedBytes::new(Arc::clone(&owner), 64..256).expect("inside").len(), 192);
        assert!(SharedBytes::new(Arc::clone(&owner), 256..256).expect("nothing").is_empty());
        let part = SharedBytes::new(Arc::clone(&owner), 64..128).expect("inside");
        assert_eq!(format!("{part:?}"), "SharedBytes(64..128)", "not what somebody else's file holds");
        let past = SharedBytes::new(Arc::clone(&owner), 64..257).expect_err("too long");
        assert!(matches!(past, KernelError::Shape { expected: 257, actual: 256, .. }));
        let odd = SharedBytes::new(owner, 8..72).expect_err("misaligned");
        assert_eq!(odd, KernelError::Misaligned { alignment: 64 });
    }

    struct Buffer(AlignedBuffer<u8>);

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
}
