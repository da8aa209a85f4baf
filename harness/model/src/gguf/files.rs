//! The files of an open model: their bytes, their size, and whether they are still what was opened.

use super::file::{Backing, Gguf};
use crate::error::Result;
use std::path::Path;

/// Bytes that are handed out at once when whole files are read.
const CHUNK: usize = 1 << 20;

impl Gguf {
    /// Whether this is a folder whose files were read as if they were one GGUF file.
    pub fn is_folder(&self) -> bool {
        !self.parts.files.is_empty()
    }

    /// All bytes of the file that metadata lies in, where its entries say: the GGUF file, or a folder's header in
    /// memory.
    pub fn header_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Those decisions for which the file has no evidence.
    pub(crate) fn assumed_decisions(&self) -> Vec<String> {
        let assumed = self.decisions.iter().filter(|decision| decision.evidence.starts_with("assumed"));
        assumed.map(|d| format!("{} ({}); `model inspect --score` tells", d.what, d.evidence)).collect()
    }

    /// The files that the model was read from, whole: the GGUF file, or those of a folder in the byte order of their
    /// names.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        let one = (!self.is_folder()).then_some((self.path.as_path(), &*self.bytes));
        one.into_iter().chain(self.parts.files.iter().map(|part| (part.path.as_path(), &*part.bytes)))
    }

    /// Bytes of all files together.
    pub fn n_bytes(&self) -> u64 {
        self.files().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Calls `take` with all bytes of [`Self::files`], piece by piece in their order. A hash of them is that of the
    /// files one after another: for a folder, `cat` of them by name.
    pub fn for_each_chunk(&self, mut take: impl FnMut(&[u8])) {
        self.files().for_each(|(_, bytes)| bytes.chunks(CHUNK).for_each(&mut take));
    }

    /// Fails with an input error if a file was changed since it was opened: what was read since is not to be trusted.
    pub fn check_unchanged(&self) -> Result<()> {
        if let Backing::Map(map) = &self.bytes {
            map.check_unchanged()?;
        }
        self.parts.files.iter().try_for_each(|part| part.bytes.check_unchanged())
    }
}
