//! Where packed codes are: in a buffer of their own, or in a file that is mapped.

use crate::AlignedBuffer;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes of a mapped file that stay mapped as long as this. They may be cut or rewritten by others at any time: that
/// changes results, and whoever maps files says so.
pub type MappedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Codes of a matrix.
#[derive(Clone)]
pub(super) enum Held {
    Own(AlignedBuffer<u8>),
    Mapped(MappedBytes),
}

impl Deref for Held {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(buffer) => buffer,
            Self::Mapped(bytes) => (**bytes).as_ref(),
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if matches!(self, Self::Own(_)) { "own" } else { "mapped" };
        write!(f, "Held({of}, {} bytes)", self.len())
    }
}
