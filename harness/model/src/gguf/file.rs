//! An open model file.

use super::cursor::{Cursor, quoted};
use super::i2s_layout;
use super::metadata::{self, Entry, Value};
use super::parts::Parts;
use super::q2_groups::{self, Extent};
use super::reading::{Decision, Reading};
use super::stranger;
use super::tensors::{self, TensorInfo};
use super::types::{self, TypeInfo};
use crate::error::{Error, Result};
use crate::mapped::{self, Mapped};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

#[cfg(target_endian = "big")]
compile_error!("GGUF data is little-endian and is cast in place; a big-endian machine would need a copy");

/// Metadata keys in one file; published models have 20 to 50.
const MAX_KEYS: u64 = 65_536;
/// Fewest bytes of a key/value pair: key length, type, a one-byte value.
const MIN_ENTRY_BYTES: usize = 8 + 4 + 1;
/// Alignment when the file does not say.
const DEFAULT_ALIGNMENT: u64 = 32;
/// Bounds of `general.alignment`: f32 casts need 4, GGUF asks for a multiple of 8; above a huge page it is nonsense.
const ALIGNMENTS: std::ops::RangeInclusive<u64> = 8..=(2 << 20);

pub(super) enum Backing {
    Map(Mapped),
    Memory(Cow<'static, [u8]>),
}

impl std::ops::Deref for Backing {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Backing::Map(map) => map,
            Backing::Memory(bytes) => bytes,
        }
    }
}

/// An open GGUF file whose header has been checked.
pub struct Gguf {
    pub(crate) path: PathBuf,
    /// `path` as errors show it.
    pub(super) name: String,
    /// The GGUF file; only its header where the tensors lie in `parts`.
    pub(super) bytes: Backing,
    /// What a model in several files has beside the header; nothing for a GGUF file.
    pub(super) parts: Parts,
    /// GGUF version, 2 or 3.
    pub(crate) version: u32,
    /// Alignment of tensor data in bytes.
    pub(crate) alignment: u64,
    /// Byte offset in the file at which the tensor data section begins.
    pub data_start: u64,
    /// All keys with their values, in file order.
    pub(crate) metadata: Vec<Entry>,
    pub(super) keys: HashMap<String, usize>,
    /// Descriptions of the file's tensors, in file order.
    pub tensors: Vec<TensorInfo>,
    tensor_names: HashMap<String, usize>,
    /// What the type numbers of tensors leave open, and why they are read as they are.
    pub decisions: Vec<Decision>,
    /// How the file is read, where the user says more than the file.
    pub reading: Reading,
}

impl Gguf {
    /// Opens the one GGUF file at `path`: maps it, checks its header. Errors are one line: file, field, byte offset,
    /// what is wrong. `reading` says what the file does not. `Gguf::open` takes folders, too.
    ///
    /// Whoever reads weights asks [`Self::check_unchanged`] afterwards.
    pub fn open_file(path: &Path, reading: Reading) -> Result<Self> {
        let map = mapped::map(path, "model")?;
        Self::parse(path.to_path_buf(), Backing::Map(map), reading)
    }

    /// Opens a GGUF file that lies in memory. `name` stands in for a path. Casting tensors needs `bytes` aligned to 8.
    pub fn from_bytes(name: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        Self::from_bytes_as(name, bytes, Reading::default())
    }

    /// As [`Self::from_bytes`], where the user says what the file does not.
    pub fn from_bytes_as(name: &str, bytes: impl Into<Cow<'static, [u8]>>, reading: Reading) -> Result<Self> {
        Self::parse(PathBuf::from(name), Backing::Memory(bytes.into()), reading)
    }

    /// Puts a model in several files together: a header in memory, without tensors, the parts, and the tensors in
    /// them.
    pub(crate) fn from_parts(
        path: PathBuf,
        header: Vec<u8>,
        (parts, tensors): (Parts, Vec<TensorInfo>),
        reading: Reading,
    ) -> Result<Self> {
        let mut gguf = Self { parts, ..Self::parse(path, Backing::Memory(header.into()), reading)? };
        for (index, tensor) in tensors.iter().enumerate() {
            if gguf.tensor_names.insert(tensor.name.clone(), index).is_some() {
                return Err(gguf.tensor_error(tensor, "another tensor of the folder has the same meaning; remove one"));
            }
        }
        gguf.tensors = tensors;
        gguf.decisions = std::mem::take(&mut gguf.parts.decisions);
        Ok(gguf)
    }

    fn parse(path: PathBuf, bytes: Backing, reading: Reading) -> Result<Self> {
        let name = path.display().to_string();
        if bytes.is_empty() {
            return Err(Error::input(format!("{name}: the file is empty (0 bytes), not a GGUF; download it again")));
        }
        let mut cursor = Cursor::new(&name, &bytes, 0);
        let version = read_version(&name, &bytes, &mut cursor)?;
        let tensor_count = cursor.count(tensors::MIN_INFO_BYTES, tensors::MAX_TENSORS, "tensor count")?;
        let key_count = cursor.count(MIN_ENTRY_BYTES, MAX_KEYS, "metadata count")?;
        let (metadata, keys) = read_entries(&mut cursor, key_count)?;
        let alignment = alignment(&cursor, &metadata, &keys)?;
        let mut infos = (0..tensor_count).map(|i| tensors::read_info(&mut cursor, i)).collect::<Result<Vec<_>>>()?;
        // The header ends inside the file and alignment is at most 2 MiB, so this cannot overflow.
        let data_start = (cursor.at() as u64).next_multiple_of(alignment);
        let file_len = bytes.len() as u64;
        let i2s = i2s_layout::decide(&cursor, &mut infos, reading)?;
        let q2 = q2_groups::decide(&cursor, &mut infos, Extent { data_start, alignment, file_len })?;
        let decisions = i2s.into_iter().chain(q2).collect();
        let (tensors, tensor_names) = tensors::place(&cursor, infos, data_start, alignment, file_len)?;
        Ok(Self {
            path,
            name,
            bytes,
            parts: Parts::default(),
            version,
            alignment,
            data_start,
            metadata,
            keys,
            tensors,
            tensor_names,
            decisions,
            reading,
        })
    }

    /// Path of the file, or the name given to bytes in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finds the tensor with this name, if the file has it.
    pub fn find_tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensor_names.get(name).map(|&i| &self.tensors[i])
    }

    /// Finds the tensor with this name; the error says that it is missing.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo> {
        self.tensor_number(name).map(|number| &self.tensors[number])
    }

    /// The number of the tensor with this name; the error says that it is missing.
    pub fn tensor_number(&self, name: &str) -> Result<usize> {
        self.tensor_names.get(name).copied().ok_or_else(|| {
            let (file, name, n) = (&self.name, quoted(name), self.tensors.len());
            let what = format!("tensor {name} is missing (the file has {n} tensors)");
            Error::input(format!("{file}: {what}; `model inspect` lists them"))
        })
    }

    /// Data bytes of a tensor; empty when the type's size is not known (see [`TensorInfo::n_bytes`]).
    pub fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        // In range: `place`, or whoever made the parts, checked offset + size against the file for every tensor.
        let start = tensor.offset as usize;
        let file = self.parts.file_of(tensor).unwrap_or(&self.bytes);
        &file[start..start + tensor.n_bytes.unwrap_or(0) as usize]
    }

    /// Values of an F32 tensor, borrowed from the file.
    pub fn f32s(&self, tensor: &TensorInfo) -> Result<&[f32]> {
        self.cast(tensor, types::F32)
    }

    /// Values of an F16 tensor, borrowed from the file.
    pub fn f16s(&self, tensor: &TensorInfo) -> Result<&[half::f16]> {
        self.cast(tensor, types::F16)
    }

    /// Values of a tensor of any dense type as f32, whatever its shape; each must be finite.
    pub fn vector(&self, tensor: &TensorInfo) -> Result<Vec<f32>> {
        let Some(elements) = tensor.kind.elements else {
            return Err(self.tensor_error(tensor, format!("is {}, whose numbers are not read", tensor.kind.name)));
        };
        let mut out = vec![0.0; tensor.elements() as usize];
        (elements.decode)(self.bytes(tensor), &mut out);
        let Some((i, x)) = out.iter().enumerate().find(|(_, x)| !x.is_finite()) else { return Ok(out) };
        // Only where an element has a place of its own.
        let at = match elements.block {
            1 => format!(" at byte {}", tensor.offset + (elements.bytes * i) as u64),
            _ => String::new(),
        };
        Err(self.tensor_error(tensor, format!("element {i}{at} is {x}, not a finite number")))
    }

    fn cast<T: bytemuck::Pod>(&self, tensor: &TensorInfo, want: TypeInfo) -> Result<&[T]> {
        if tensor.kind != want {
            return Err(self.tensor_error(tensor, format!("is {}, not {}", tensor.kind.name, want.name)));
        }
        let failed = |e| self.tensor_error(tensor, format!("cannot be read: {e}"));
        bytemuck::try_cast_slice(self.bytes(tensor)).map_err(failed)
    }

    /// Makes an input error about a tensor, with its name and the byte offset of its description in the header; in a
    /// folder that of its data in the shard, which is named.
    pub fn tensor_error(&self, tensor: &TensorInfo, what: impl std::fmt::Display) -> Error {
        let (name, at) = (quoted(&tensor.name), tensor.header_offset);
        Error::input(match self.parts.place_of(tensor) {
            Some((shard, called)) => format!("{shard}: tensor {called} ({name}) at byte {}: {what}", tensor.offset),
            None => format!("{}: tensor {name} described at byte {at}: {what}", self.name),
        })
    }
}

fn read_version(name: &str, file: &[u8], cursor: &mut Cursor<'_>) -> Result<u32> {
    if !file.starts_with(b"GGUF")
        && let Some(what) = stranger::recognise(file)
    {
        return Err(Error::input(format!("{name}: {what}")));
    }
    let magic = cursor.array::<4>("magic")?;
    if &magic != b"GGUF" {
        let what = format!("expected \"GGUF\", found \"{}\": this is not a GGUF file", magic.escape_ascii());
        return Err(cursor.error_at(0, "magic", format!("{what}; download or convert the model again")));
    }
    let version = cursor.u32("version")?;
    let swapped = version.swap_bytes();
    let what = match version {
        // Version 2 has the same layout; 3 only added big-endian files.
        2 | 3 => return Ok(version),
        1 => "1 is the first draft of the format; convert the model again, to GGUF v3".to_string(),
        4..=99 => format!("{version} is newer than this program, which reads 2 and 3; convert the model to GGUF v3"),
        _ if (1..=99).contains(&swapped) => {
            format!("{swapped} in big-endian order, which is not read here; {}", stranger::LITTLE)
        }
        _ => format!("{version} is no version of GGUF; the file is corrupt, so download it again"),
    };
    Err(cursor.error_at(4, "version", what))
}

fn read_entries(cursor: &mut Cursor<'_>, count: usize) -> Result<(Vec<Entry>, HashMap<String, usize>)> {
    let (mut entries, mut keys) = (Vec::new(), HashMap::new());
    for index in 0..count {
        let at = cursor.at();
        let entry = metadata::read_entry(cursor, index)?;
        if keys.insert(entry.key.clone(), index).is_some() {
            return Err(cursor.error_at(at, &format!("metadata key {}", quoted(&entry.key)), "appears twice"));
        }
        entries.push(entry);
    }
    Ok((entries, keys))
}

fn alignment(cursor: &Cursor<'_>, entries: &[Entry], keys: &HashMap<String, usize>) -> Result<u64> {
    let Some(&index) = keys.get("general.alignment") else { return Ok(DEFAULT_ALIGNMENT) };
    match &entries[index].value {
        Value::Unsigned(n) if n.is_power_of_two() && ALIGNMENTS.contains(n) => Ok(*n),
        other => {
            let found = other.summary(entries[index].kind);
            let what = format!("{found} is not a power of two from {} to {}", ALIGNMENTS.start(), ALIGNMENTS.end());
            Err(cursor.error_at(entries[index].at, "general.alignment", what))
        }
    }
}
