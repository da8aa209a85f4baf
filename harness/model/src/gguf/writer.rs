//! Writing GGUF v3 headers. Data is the caller's: the header says where each tensor goes, so it can be streamed.

use super::types::{self, TypeInfo};
use crate::error::{Error, Result};

/// Alignment of what this program writes, in bytes.
pub(crate) const ALIGNMENT: u64 = 32;

/// Builds the header of a GGUF file. Keys keep their order; tensors are laid out one after the other.
#[derive(Clone, Default)]
pub struct HeaderWriter {
    /// Each with its name, type and value.
    pub(super) keys: Vec<Vec<u8>>,
    /// Name, dimensions, type code, and bytes without padding.
    pub(super) tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data_bytes: u64,
    /// Data of the tensors, where a test wants a whole file in memory.
    #[cfg(test)]
    pub(super) data: Vec<Vec<u8>>,
}

/// A string as GGUF spells it: its length, then its bytes.
pub(super) fn string(s: &str) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat()
}

fn cannot_write(name: &str, dims: &[u64], why: String) -> Error {
    Error::input(format!("cannot write tensor \"{name}\" of shape {dims:?}: {why}"))
}

impl HeaderWriter {
    /// A header without keys or tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metadata key with a value of the type with this code, as the bytes that follow the code in the file.
    pub fn raw(mut self, key: &str, code: u32, value: &[u8]) -> Self {
        self.keys.push([&string(key)[..], &code.to_le_bytes(), value].concat());
        self
    }

    /// Adds a metadata key with an array of `len` elements, of the type with the code `element`.
    pub fn array(self, key: &str, element: u32, len: usize, values: &[u8]) -> Self {
        self.raw(key, 9, &[&element.to_le_bytes()[..], &(len as u64).to_le_bytes(), values].concat())
    }

    /// Adds a metadata key with an unsigned 32-bit value.
    pub fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    /// Adds a metadata key with an f32 value.
    pub fn f32(self, key: &str, value: f32) -> Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    /// Adds a metadata key with a bool value.
    pub fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, 7, &[value.into()])
    }

    /// Adds a metadata key with a string value.
    pub fn string(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &string(value))
    }

    /// Adds a metadata key with an unsigned 64-bit value.
    pub fn u64(self, key: &str, value: u64) -> Self {
        self.raw(key, 10, &value.to_le_bytes())
    }

    /// Adds a metadata key with an array of strings.
    pub fn strings<S: AsRef<str>>(self, key: &str, values: &[S]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| string(v.as_ref())).collect();
        self.array(key, 8, values.len(), &bytes)
    }

    /// Adds a metadata key with an array of signed 32-bit values.
    pub fn i32s(self, key: &str, values: &[i32]) -> Self {
        self.array(key, 5, values.len(), bytemuck::cast_slice(values))
    }

    /// Adds a tensor of type `code` (dims innermost first) after the last one. Returns its bytes without the padding
    /// that [`padding`] gives.
    pub fn tensor(&mut self, name: &str, dims: &[u64], code: u32) -> Result<u64> {
        let unknown = || cannot_write(name, dims, format!("unknown type {code}"));
        self.tensor_of(name, dims, types::find(code).ok_or_else(unknown)?)
    }

    /// As [`Self::tensor`], of a layout that its code alone does not tell.
    pub(crate) fn tensor_of(&mut self, name: &str, dims: &[u64], kind: TypeInfo) -> Result<u64> {
        let fail = |why: String| cannot_write(name, dims, why);
        let size = kind.n_bytes(dims).map_err(fail)?.ok_or_else(|| fail(format!("no size for type {}", kind.name)))?;
        let next = self.data_bytes.checked_add(size).and_then(|n| n.checked_next_multiple_of(ALIGNMENT));
        self.data_bytes = next.ok_or_else(|| fail("the file would overflow 64 bits".into()))?;
        self.tensors.push((name.to_string(), dims.to_vec(), kind.code, size));
        Ok(size)
    }

    /// Total bytes of all tensors' data, padding included.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The header's bytes, padded to where the tensor data begins.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        self.keys.iter().for_each(|key| out.extend(key));
        let mut offset = 0;
        for (name, dims, code, bytes) in &self.tensors {
            out.extend(string(name));
            out.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(code.to_le_bytes());
            out.extend(u64::to_le_bytes(offset));
            offset = (offset + bytes).next_multiple_of(ALIGNMENT);
        }
        out.extend(padding(out.len() as u64));
        out
    }
}

/// The zero bytes to write after a tensor of `n` bytes, up to the alignment.
pub fn padding(n: u64) -> &'static [u8] {
    &[0; ALIGNMENT as usize][..(n.wrapping_neg() % ALIGNMENT) as usize]
}
