//! A model in several files: a header in memory, and the files in which its tensors lie.

use super::cursor::quoted;
use super::reading::Decision;
use super::tensors::TensorInfo;
use crate::mapped::Mapped;
use std::collections::HashMap;
use std::path::PathBuf;

/// One of the files of a model.
pub struct Part {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds, mapped.
    pub bytes: Mapped,
}

/// What a model in several files has beside its header.
#[derive(Default)]
pub struct Parts {
    /// All files that were read for the model, in the byte order of their names. A tensor's `file` is one more than an
    /// index of it, and its `offset` and `n_bytes` lie in that file.
    pub files: Vec<Part>,
    /// By matrix: the factor on its decoded codes, finite and above zero.
    pub scales: HashMap<String, f32>,
    /// By metadata key or tensor: which file and field it comes from, as errors name it.
    pub origins: HashMap<String, String>,
    /// What the files leave open, and why they are read as they are.
    pub decisions: Vec<Decision>,
}

impl Parts {
    /// The file with a tensor's data, and what the tensor is called there; `None` where that is the header's file.
    pub fn place_of(&self, tensor: &TensorInfo) -> Option<(String, String)> {
        let part = self.files.get(tensor.file.checked_sub(1)?)?;
        let called = self.origins.get(&tensor.name).unwrap_or(&tensor.name);
        Some((part.path.display().to_string(), quoted(called)))
    }

    /// All bytes of the part that a tensor's data is in; `None` where that is the header's file.
    pub fn file_of(&self, tensor: &TensorInfo) -> Option<&[u8]> {
        Some(&self.files.get(tensor.file.checked_sub(1)?)?.bytes)
    }
}
