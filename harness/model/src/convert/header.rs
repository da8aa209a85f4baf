//! The header of the new file: the metadata of the source as it is, but for what the conversion changes.

use super::order::{self, ROPE};
use super::part::Part;
use crate::error::Result;
use crate::gguf::writer::{self, HeaderWriter};
use crate::gguf::{Entry, Gguf, Value, types};

/// The key with the number of the file's main type.
const FILE_TYPE: &str = "general.file_type";
/// The key with the alignment of tensors, which is 32 in what is written here.
const ALIGNMENT: &str = "general.alignment";
/// The key with the largest change of a scale, relative to itself.
const SCALE_CHANGE: &str = "tritbench.convert.largest_scale_change";

/// What files of each type have under [`FILE_TYPE`]. Engines show it and compute nothing with it. Sources:
/// `llama_ftype` of llama.cpp and of ik_llama.cpp, and published files where the projects' tables have other numbers.
const FILE_TYPES: &[(types::TypeInfo, u32)] = &[
    (types::I2S, 40),
    (types::I2S_ROWS, 40),
    (types::I2S_ARM, 40),
    (types::TQ1_0, 36),
    (types::TQ2_0, 37),
    (types::Q2_0, 41),
    (types::Q2_0_G128, 41),
    (types::PQ2_0, 141),
    (types::PTQ1_0, 143),
    (types::IQ2_BN, 137),
];

/// A header, and how many bytes of tensors belong behind it.
pub struct Header {
    /// The file up to the data of its first tensor.
    pub bytes: Vec<u8>,
    /// Bytes of all tensors, with padding.
    pub data_bytes: u64,
}

/// The header of a file with these parts, whose matrices are of type `kind`. `change` is the largest relative change of
/// a scale, where there is one.
pub fn write(source: &Gguf, kind: types::TypeInfo, parts: &[Part<'_>], change: Option<f64>) -> Result<Header> {
    let file_type = FILE_TYPES.iter().find(|(of, _)| *of == kind).map(|(_, number)| *number);
    let before = changed_before(source.entry(SCALE_CHANGE));
    let reordered = order::differs(source)?;
    let mut out = source.metadata.iter().fold(HeaderWriter::new(), |out, entry| match entry.key.as_str() {
        FILE_TYPE if file_type.is_some() => out.u32(FILE_TYPE, file_type.unwrap_or_default()),
        ALIGNMENT => out.u32(ALIGNMENT, writer::ALIGNMENT as u32),
        SCALE_CHANGE if change.is_some() => out,
        ROPE if reordered => out,
        key => out.raw(key, entry.kind as u32, &source.header_bytes()[entry.at..entry.end]),
    });
    if let Some(change) = change {
        out = out.f32(SCALE_CHANGE, (before + change + before * change) as f32);
    }
    for part in parts {
        match part {
            Part::Copy(info) => out.tensor_of(&info.name, &info.dims, info.kind)?,
            Part::Matrix(matrix, _) => out.tensor_of(&matrix.info.name, &matrix.info.dims, kind)?,
            Part::Beside(name, _) => out.tensor_of(name, &[1], types::F32)?,
        };
    }
    Ok(Header { bytes: out.finish(), data_bytes: out.data_bytes() })
}

/// What an earlier conversion changed; both together change at most as much as one after the other.
fn changed_before(entry: Option<&Entry>) -> f64 {
    match entry.map(|entry| &entry.value) {
        Some(Value::F32(before)) if before.is_finite() => f64::from(*before),
        _ => 0.0,
    }
}
