//! Small GGUF files built in memory, for tests: headers with data.

pub use super::writer::HeaderWriter as Builder;
use super::writer::{padding, string};

impl Builder {
    pub(crate) fn with_tensor(mut self, name: &str, dims: &[u64], kind: u32, data: Vec<u8>) -> Self {
        self.tensors.push((name.to_string(), dims.to_vec(), kind, data.len() as u64));
        self.data.push(data);
        self
    }

    /// An I2_S tensor with every code 1 (weight 0) and scale 1, or an F32/F16 one of zeros.
    pub(crate) fn zeros(self, name: &str, dims: &[u64], kind: u32) -> Self {
        let n = dims.iter().product::<u64>() as usize;
        let data = match kind {
            36 => i2s(n, 0x55, 1.0),
            1 => vec![0; n * 2],
            _ => vec![0; n * 4],
        };
        self.with_tensor(name, dims, kind, data)
    }

    pub(crate) fn without_key(mut self, key: &str) -> Self {
        self.keys.retain(|k| !k.starts_with(&string(key)));
        self
    }

    pub(crate) fn without_tensor(mut self, name: &str) -> Self {
        let at = self.tensors.iter().position(|t| t.0 == name).expect("it is there");
        self.tensors.remove(at);
        self.data.remove(at);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.data.iter().fold(self.finish(), |file, data| [&file, &data[..], padding(data.len() as u64)].concat())
    }
}

/// An I2_S tensor of `n` weights: the same codes in every byte, then the scale.
pub fn i2s(n: usize, codes: u8, scale: f32) -> Vec<u8> {
    [vec![codes; n / 4], scale.to_le_bytes().to_vec(), vec![0; 28]].concat()
}

/// Byte offset of `needle` in `bytes` (the end of its first occurrence).
pub fn after(bytes: &[u8], needle: &str) -> usize {
    bytes.windows(needle.len()).position(|w| w == needle.as_bytes()).expect("needle is there") + needle.len()
}
