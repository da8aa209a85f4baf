//! Tensor descriptions: reading them, and placing them in the file.

use std::collections::HashMap;

use super::cursor::{Cursor, quoted};
use super::types::{self, TypeInfo};
use crate::error::Result;
use serde::Serialize;

/// Largest number of tensors in one file; the largest published models have a few thousand.
pub const MAX_TENSORS: u64 = 65_536;
/// Fewest bytes of a tensor's description: name length, number of dimensions, one dimension, type, offset.
pub const MIN_INFO_BYTES: usize = 8 + 4 + 8 + 4 + 8;
/// ggml allows 64 bytes; some forks more.
const MAX_NAME_BYTES: u64 = 256;
/// ggml's limit.
const MAX_DIMS: u32 = 4;

/// Description of one tensor of a file: name, type, dimensions and place.
#[derive(Clone, Debug, Serialize)]
pub struct TensorInfo {
    /// Name of the tensor, unique in the file.
    pub name: String,
    /// Type of the tensor's data, by the code in the file.
    #[serde(flatten)]
    pub kind: TypeInfo,
    /// Elements along each dimension, innermost first; 1 to 4 of them, none zero.
    pub dims: Vec<u64>,
    /// Size of the data in bytes; `None` where the type's layout is not fixed by its code (then the tensor can only be
    /// listed).
    #[serde(rename = "bytes")]
    pub n_bytes: Option<u64>,
    /// Byte offset of the data within the file, a multiple of the alignment.
    pub offset: u64,
    /// Byte offset of the description in the header, for errors.
    #[serde(skip)]
    pub header_offset: u64,
    /// Which file the data is in: 0 for the one with the header, else the number of a part (see [`super::Parts`]).
    #[serde(skip)]
    pub file: usize,
}

impl TensorInfo {
    /// Number of elements. Does not overflow: sizes were checked when the file was opened.
    pub fn elements(&self) -> u64 {
        self.dims.iter().product()
    }
}

/// Reads the description of tensor `index`, whose offset is still relative to the data section, and says at which byte
/// the offset itself stands. The size of a type with several layouts is left to whoever decides which it is.
pub fn read_info(cursor: &mut Cursor<'_>, index: usize) -> Result<(TensorInfo, usize)> {
    let header_offset = cursor.at();
    let name = cursor.string(MAX_NAME_BYTES, &|| format!("name of tensor {index}"))?.to_string();
    let field = format!("tensor {}", quoted(&name));
    let at = cursor.at();
    let n_dims = cursor.u32(&format!("number of dimensions of {field}"))?;
    if n_dims == 0 || n_dims > MAX_DIMS {
        return Err(cursor.error_at(at, &field, format!("has {n_dims} dimensions; 1 to {MAX_DIMS} are possible")));
    }
    let mut dims = Vec::with_capacity(MAX_DIMS as usize);
    for d in 0..n_dims {
        let at = cursor.at();
        let dim = cursor.u64(&format!("dimension {d} of {field}"))?;
        if dim == 0 {
            return Err(cursor.error_at(at, &field, format!("dimension {d} is 0")));
        }
        dims.push(dim);
    }
    let at = cursor.at();
    let code = cursor.u32(&format!("type of {field}"))?;
    let Some(kind) = types::find(code) else {
        return Err(cursor.error_at(at, &field, format!("unknown tensor type {code}")));
    };
    let mut tensor =
        TensorInfo { name, dims, kind, offset: 0, n_bytes: None, header_offset: header_offset as u64, file: 0 };
    if !types::has_layouts(code) {
        tensor.n_bytes = size(cursor, &tensor)?;
    }
    let offset_at = cursor.at();
    tensor.offset = cursor.u64(&format!("offset of {field}"))?;
    Ok((tensor, offset_at))
}

/// Bytes of a tensor by its type and dimensions; the error says where the dimensions are.
pub(super) fn size(cursor: &Cursor<'_>, tensor: &TensorInfo) -> Result<Option<u64>> {
    let TensorInfo { name, kind, dims, .. } = tensor;
    // Behind the name with its length, and the number of dimensions.
    let at = tensor.header_offset as usize + 8 + name.len() + 4;
    let shape = |why| format!("shape {dims:?} of type {}: {why}", kind.name);
    kind.n_bytes(dims).map_err(|why| cursor.error_at(at, &format!("tensor {}", quoted(name)), shape(why)))
}

/// How much of the file is not there, and what to do.
fn missing_bytes(infos: &[(TensorInfo, usize)], data_start: u64, file_len: u64) -> String {
    let end = |(tensor, _): &(TensorInfo, usize)| {
        data_start.checked_add(tensor.offset)?.checked_add(tensor.n_bytes.unwrap_or(0))
    };
    // None where an offset is none: such a file was not cut.
    match infos.iter().map(end).collect::<Option<Vec<u64>>>().and_then(|ends| ends.into_iter().max()) {
        Some(end) => {
            let missing = end.saturating_sub(file_len);
            format!("{missing} bytes are missing, so it is truncated or corrupt; download or copy it again")
        }
        None => "it is corrupt; download or copy it again".to_string(),
    }
}

/// Makes offsets absolute and checks that every tensor is aligned, inside the file, named once and overlaps no other.
pub fn place(
    cursor: &Cursor<'_>,
    infos: Vec<(TensorInfo, usize)>,
    data_start: u64,
    alignment: u64,
    file_len: u64,
) -> Result<(Vec<TensorInfo>, HashMap<String, usize>)> {
    let missing = missing_bytes(&infos, data_start, file_len);
    let mut spans = Vec::with_capacity(infos.len());
    let (mut tensors, mut names) = (Vec::with_capacity(infos.len()), HashMap::with_capacity(infos.len()));
    for (index, (mut tensor, offset_at)) in infos.into_iter().enumerate() {
        let field = format!("tensor {}", quoted(&tensor.name));
        let fail = |what: String| Err(cursor.error_at(offset_at, &format!("offset of {field}"), what));
        if tensor.offset % alignment != 0 {
            return fail(format!("{} is not a multiple of the alignment {alignment}", tensor.offset));
        }
        let size = tensor.n_bytes.unwrap_or(0);
        let end = data_start.checked_add(tensor.offset).and_then(|start| start.checked_add(size));
        if end.is_none_or(|end| end > file_len) {
            return fail(format!(
                "{} + {size} bytes from the data section at {data_start} is past the end of the file \
                 ({file_len} bytes): {missing}",
                tensor.offset
            ));
        }
        tensor.offset += data_start; // checked just above
        if names.insert(tensor.name.clone(), index).is_some() {
            return Err(cursor.error_at(tensor.header_offset as usize, &field, "appears twice"));
        }
        spans.push((tensor.offset, size, index, offset_at));
        tensors.push(tensor);
    }
    spans.sort_unstable();
    let mut previous: Option<(u64, usize)> = None;
    for &(start, size, index, offset_at) in &spans {
        if let Some((end, before)) = previous
            && start < end
        {
            let (this, other) = (&tensors[index].name, &tensors[before].name);
            let what = format!("its data at {start} overlaps tensor {}, which ends at {end}", quoted(other));
            return Err(cursor.error_at(offset_at, &format!("offset of tensor {}", quoted(this)), what));
        }
        if size > 0 {
            previous = Some((start + size, index));
        }
    }
    Ok((tensors, names))
}
