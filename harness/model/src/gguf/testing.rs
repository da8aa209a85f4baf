//! Small GGUF files built in memory, for tests.

/// A file under construction: metadata and tensors are appended, `build` lays them out.
#[derive(Clone)]
pub struct Builder {
    pub version: u32,
    pub alignment: usize,
    pub keys: Vec<Vec<u8>>,
    pub tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

pub fn string(s: &str) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat()
}

impl Builder {
    pub fn new() -> Self {
        Self { version: 3, alignment: 32, keys: Vec::new(), tensors: Vec::new() }
    }

    /// A key with a raw value of type code `kind`.
    pub fn raw(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.keys.push([&string(key)[..], &kind.to_le_bytes(), value].concat());
        self
    }

    pub fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    pub fn f32(self, key: &str, value: f32) -> Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    pub fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, 7, &[value.into()])
    }

    pub fn string(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &string(value))
    }

    pub fn strings(self, key: &str, values: &[&str]) -> Self {
        let mut bytes = [&8u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        values.iter().for_each(|v| bytes.extend(string(v)));
        self.raw(key, 9, &bytes)
    }

    pub fn i32s(self, key: &str, values: &[i32]) -> Self {
        let mut bytes = [&5u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        self.raw(key, 9, &bytes)
    }

    pub fn tensor(mut self, name: &str, dims: &[u64], kind: u32, data: Vec<u8>) -> Self {
        self.tensors.push((name.to_string(), dims.to_vec(), kind, data));
        self
    }

    pub fn without_key(mut self, key: &str) -> Self {
        self.keys.retain(|k| !k.starts_with(&string(key)));
        self
    }

    pub fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|t| t.0 != name);
        self
    }

    /// An I2_S tensor with every code 1 (weight 0) and scale 1, or an F32/F16 one of zeros.
    pub fn zeros(self, name: &str, dims: &[u64], kind: u32) -> Self {
        let n: u64 = dims.iter().product();
        let data = match kind {
            36 => [vec![0x55; n as usize / 4], 1f32.to_le_bytes().to_vec(), vec![0; 28]].concat(),
            1 => vec![0; n as usize * 2],
            _ => vec![0; n as usize * 4],
        };
        self.tensor(name, dims, kind, data)
    }

    pub fn build(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        self.keys.iter().for_each(|k| out.extend(k));
        let (mut data, pad) = (Vec::new(), |v: &mut Vec<u8>| v.resize(v.len().next_multiple_of(self.alignment), 0));
        for (name, dims, kind, bytes) in &self.tensors {
            out.extend(string(name));
            out.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend_from_slice(bytes);
            pad(&mut data);
        }
        pad(&mut out);
        out.extend(data);
        out
    }
}

/// Byte offset of `needle` in `bytes` (the end of its first occurrence).
pub fn after(bytes: &[u8], needle: &str) -> usize {
    bytes.windows(needle.len()).position(|w| w == needle.as_bytes()).expect("needle is there") + needle.len()
}
