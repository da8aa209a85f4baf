//! The built-in model's file, taken apart far enough to damage it at a known place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A GGUF file in memory and where its parts are.
#[derive(Clone)]
pub struct File {
    pub bytes: Vec<u8>,
    pub keys: BTreeMap<String, Key>,
    pub tensors: BTreeMap<String, Tensor>,
    /// First byte after the header.
    pub header_end: usize,
    /// First byte of tensor data.
    pub data_start: usize,
}

/// Where a metadata key is.
#[derive(Clone, Debug)]
pub struct Key {
    /// The characters of its name.
    pub name: Range<usize>,
    /// Its value type.
    pub kind: usize,
    /// Its value; a string's length, an array's element type.
    pub value: usize,
}

/// Where a tensor's description is.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: Range<usize>,
    pub n_dims: usize,
    pub dims: usize,
    pub kind: usize,
    pub offset: usize,
    /// First byte of its data in the file.
    pub data: usize,
    /// Number of weights.
    pub elements: usize,
}

impl File {
    /// The built-in model.
    pub fn builtin() -> Self {
        Self::parse(std::fs::read(super::scenarios().join("model/shakespeare-ternary.gguf")).expect("it is there"))
    }

    /// Takes a sound file apart.
    pub fn parse(bytes: Vec<u8>) -> Self {
        let mut at = 24;
        let (n_tensors, n_keys) = (u64_at(&bytes, 8), u64_at(&bytes, 16));
        let mut keys = BTreeMap::new();
        for _ in 0..n_keys {
            let name = string_at(&bytes, &mut at);
            let (kind, value) = (at, at + 4);
            at += 4;
            skip_value(&bytes, u32_at(&bytes, kind), &mut at);
            keys.insert(text(&bytes, &name), Key { name, kind, value });
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..n_tensors {
            let name = string_at(&bytes, &mut at);
            let (n_dims, dims) = (at, at + 4);
            let n = u32_at(&bytes, n_dims) as usize;
            let elements = (0..n).map(|i| u64_at(&bytes, dims + 8 * i)).product();
            let (kind, offset) = (dims + 8 * n, dims + 8 * n + 4);
            at = offset + 8;
            let data = u64_at(&bytes, offset);
            tensors.insert(text(&bytes, &name), Tensor { name, n_dims, dims, kind, offset, data, elements });
        }
        let data_start = at.next_multiple_of(32);
        tensors.values_mut().for_each(|t| t.data += data_start);
        Self { bytes, keys, tensors, header_end: at, data_start }
    }

    pub fn key(&self, name: &str) -> &Key {
        &self.keys[name]
    }

    pub fn tensor(&self, name: &str) -> &Tensor {
        &self.tensors[name]
    }

    /// A copy with `patch` at `at`.
    pub fn patched(&self, at: usize, patch: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        bytes
    }

    /// A copy whose header has `with` instead of `range`, the data section moved to where it must be then.
    pub fn spliced(&self, range: Range<usize>, with: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes[..self.header_end].to_vec();
        bytes.splice(range, with.iter().copied());
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend_from_slice(&self.bytes[self.data_start..]);
        bytes
    }

    /// A copy with one more metadata key of value type `kind`.
    pub fn with_key(&self, key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        let entry = [&(key.len() as u64).to_le_bytes()[..], key.as_bytes(), &kind.to_le_bytes(), value].concat();
        self.counted(24..24, &entry, 1)
    }

    /// A copy that lacks a metadata key.
    pub fn without_key(&self, key: &str) -> Vec<u8> {
        let Key { name, kind, value } = self.key(key);
        let mut end = *value;
        skip_value(&self.bytes, u32_at(&self.bytes, *kind), &mut end);
        self.counted(name.start - 8..end, &[], -1)
    }

    /// [`Self::spliced`] with `more` keys in the count.
    fn counted(&self, range: Range<usize>, with: &[u8], more: i64) -> Vec<u8> {
        let mut bytes = self.spliced(range, with);
        let keys = u64_at(&bytes, 16) as i64 + more;
        bytes[16..24].copy_from_slice(&keys.to_le_bytes());
        bytes
    }

    /// A copy in which a string of the header is another of the same length, everywhere.
    pub fn renamed(&self, from: &str, to: &str) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let mut bytes = self.bytes.clone();
        for at in 0..self.header_end - from.len() {
            if &bytes[at..at + from.len()] == from.as_bytes() {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        bytes
    }
}

/// Writes a damaged file and returns its path as text.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, bytes).expect("written");
    path.display().to_string()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize
}

fn string_at(bytes: &[u8], at: &mut usize) -> Range<usize> {
    let start = *at + 8;
    *at = start + u64_at(bytes, start - 8);
    start..*at
}

fn text(bytes: &[u8], range: &Range<usize>) -> String {
    String::from_utf8(bytes[range.clone()].to_vec()).expect("UTF-8")
}

fn skip_value(bytes: &[u8], kind: u32, at: &mut usize) {
    match kind {
        0 | 1 | 7 => *at += 1,
        2 | 3 => *at += 2,
        4..=6 => *at += 4,
        10..=12 => *at += 8,
        8 => drop(string_at(bytes, at)),
        9 => {
            let (inner, n) = (u32_at(bytes, *at), u64_at(bytes, *at + 4));
            *at += 12;
            (0..n).for_each(|_| skip_value(bytes, inner, at));
        }
        other => panic!("value type {other} at {at}"),
    }
}
