//! Writing GGUF v3 headers. Data is the caller's: the header says where each tensor goes, so it can be streamed.

use super::types;
use crate::error::{Error, Result};

/// Alignment of what this program writes.
const ALIGNMENT: u64 = 32;

/// A header under construction. Keys keep their order; tensors are laid out one after the other.
#[derive(Default)]
pub struct HeaderWriter {
    keys: Vec<u8>,
    n_keys: u64,
    tensors: Vec<u8>,
    n_tensors: u64,
    data_bytes: u64,
}

fn push_string(out: &mut Vec<u8>, s: &str) {
    out.extend((s.len() as u64).to_le_bytes());
    out.extend(s.as_bytes());
}

impl HeaderWriter {
    /// An empty header.
    pub fn new() -> Self {
        Self::default()
    }

    fn key(&mut self, key: &str, kind: u32) -> &mut Vec<u8> {
        self.n_keys += 1;
        push_string(&mut self.keys, key);
        self.keys.extend(kind.to_le_bytes());
        &mut self.keys
    }

    fn array(&mut self, key: &str, element: u32, len: usize) -> &mut Vec<u8> {
        let out = self.key(key, 9);
        out.extend(element.to_le_bytes());
        out.extend((len as u64).to_le_bytes());
        out
    }

    /// Adds an unsigned 32-bit value.
    pub fn u32(&mut self, key: &str, value: u32) {
        self.key(key, 4).extend(value.to_le_bytes());
    }

    /// Adds a float.
    pub fn f32(&mut self, key: &str, value: f32) {
        self.key(key, 6).extend(value.to_le_bytes());
    }

    /// Adds a bool.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.key(key, 7).push(value.into());
    }

    /// Adds a string.
    pub fn string(&mut self, key: &str, value: &str) {
        push_string(self.key(key, 8), value);
    }

    /// Adds an unsigned 64-bit value.
    pub fn u64(&mut self, key: &str, value: u64) {
        self.key(key, 10).extend(value.to_le_bytes());
    }

    /// Adds an array of strings.
    pub fn strings<S: AsRef<str>>(&mut self, key: &str, values: &[S]) {
        let out = self.array(key, 8, values.len());
        values.iter().for_each(|v| push_string(out, v.as_ref()));
    }

    /// Adds an array of signed 32-bit values.
    pub fn i32s(&mut self, key: &str, values: &[i32]) {
        let out = self.array(key, 5, values.len());
        values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    }

    /// Adds an array of floats.
    pub fn f32s(&mut self, key: &str, values: &[f32]) {
        let out = self.array(key, 6, values.len());
        values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    }

    /// Adds a tensor of type `code` (dims innermost first) after the last one. Returns its bytes without the padding
    /// that [`padding`] gives.
    pub fn tensor(&mut self, name: &str, dims: &[u64], code: u32) -> Result<u64> {
        let fail = |why: String| Error::input(format!("cannot write tensor \"{name}\" of shape {dims:?}: {why}"));
        let kind = types::find(code).ok_or_else(|| fail(format!("unknown type {code}")))?;
        let size = kind.n_bytes(dims).map_err(fail)?.ok_or_else(|| fail(format!("no size for type {}", kind.name)))?;
        push_string(&mut self.tensors, name);
        self.tensors.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|d| self.tensors.extend(d.to_le_bytes()));
        self.tensors.extend(code.to_le_bytes());
        self.tensors.extend(self.data_bytes.to_le_bytes());
        self.n_tensors += 1;
        let next = self.data_bytes.checked_add(size).and_then(|n| n.checked_next_multiple_of(ALIGNMENT));
        self.data_bytes = next.ok_or_else(|| fail("the file would overflow 64 bits".into()))?;
        Ok(size)
    }

    /// Bytes of all tensors with their padding.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The header, padded to where the data begins.
    pub fn finish(self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(self.n_tensors.to_le_bytes());
        out.extend(self.n_keys.to_le_bytes());
        out.extend(self.keys);
        out.extend(self.tensors);
        out.resize(out.len().next_multiple_of(ALIGNMENT as usize), 0);
        out
    }
}

/// Zero bytes to write after a tensor of `n` bytes.
pub fn padding(n: u64) -> &'static [u8] {
    &[0; ALIGNMENT as usize][..(n.wrapping_neg() % ALIGNMENT) as usize]
}
