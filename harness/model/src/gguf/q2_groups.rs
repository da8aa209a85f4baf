//! Whether the Q2_0 tensors of a file have groups of 64 or of 128 weights.
//!
//! Two projects gave type number 42 to blocks that differ in nothing but their length: 18 bytes for 64 weights, or 34
//! for 128. Every code and nearly every scale is valid in both, so a wrong guess gives plausible garbage. What tells
//! them apart is where the next tensor begins: n weights take n/64 bytes more in groups of 64, far more than padding
//! hides, unless n is below 64 times the alignment.

use super::cursor::{Cursor, quoted};
use super::reading::Decision;
use super::tensors::{self, TensorInfo};
use super::types::{self, TypeInfo};
use crate::error::Result;

/// Where tensor data is in a file.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Byte offset of the data section.
    pub data_start: u64,
    /// Alignment of tensors in bytes.
    pub alignment: u64,
    /// Size of the file in bytes.
    pub file_len: u64,
}

/// The room that a tensor has: up to the next one, or to the end of the file.
#[derive(Clone, Copy)]
struct Room {
    bytes: u64,
    last: bool,
}

impl Room {
    fn until(self) -> &'static str {
        if self.last { "the end of the file" } else { "the next tensor" }
    }

    /// Whether `size` bytes and their padding are the room. After the last tensor, padding may be missing.
    fn is_for(self, size: u64, alignment: u64) -> bool {
        let padded = size.checked_next_multiple_of(alignment);
        padded == Some(self.bytes) || (self.last && size <= self.bytes && padded.is_some_and(|most| self.bytes < most))
    }
}

/// A tensor with its room, and whether that is the room of each layout.
struct Evidence<'a> {
    tensor: &'a TensorInfo,
    room: Room,
    fits: [bool; 2],
}

/// The layouts, the one that is read when both fit first.
const LAYOUTS: [(u64, TypeInfo); 2] = [(64, types::Q2_0), (128, types::Q2_0_G128)];

/// Chooses the layout of all Q2_0 tensors, puts it into their descriptions with their sizes, and says why. `None` for a
/// file without such tensors. Offsets are still relative to the data section.
///
/// # Errors
/// A shape that no layout has; distances between tensors that are those of neither layout, or of one for some tensors
/// and of the other for others.
pub fn decide(cursor: &Cursor<'_>, infos: &mut [(TensorInfo, usize)], extent: Extent) -> Result<Option<Decision>> {
    let is_q2_0 = |tensor: &TensorInfo| tensor.kind.code == types::Q2_0.code;
    let mut offsets: Vec<u64> = infos.iter().map(|(tensor, _)| tensor.offset).collect();
    offsets.sort_unstable();
    let found = infos.iter().map(|(tensor, _)| tensor).filter(|tensor| is_q2_0(tensor));
    // A row of groups of 128 is one of groups of 64, so a shape that is none of these is none at all.
    let found: Vec<Evidence<'_>> = found
        .map(|tensor| tensors::size(cursor, tensor).map(|_| evidence(tensor, &offsets, extent)))
        .collect::<Result<_>>()?;
    if found.is_empty() {
        return Ok(None);
    }
    let (layout, why) = choose(cursor, &found)?;
    let (group, kind) = LAYOUTS[layout];
    for (tensor, _) in infos.iter_mut().filter(|(tensor, _)| is_q2_0(tensor)) {
        tensor.kind = kind;
        tensor.n_bytes = tensors::size(cursor, tensor)?;
    }
    Ok(Some(Decision { what: format!("Q2_0 groups: {group} weights"), evidence: why }))
}

/// `offsets` are those of all tensors, in order. Of tensors with one offset, which is an error, none is before another.
fn evidence<'a>(tensor: &'a TensorInfo, offsets: &[u64], extent: Extent) -> Evidence<'a> {
    let data_len = extent.file_len.saturating_sub(extent.data_start);
    let next = offsets.get(offsets.partition_point(|&offset| offset <= tensor.offset));
    let room = Room { bytes: next.copied().unwrap_or(data_len).saturating_sub(tensor.offset), last: next.is_none() };
    let fits = LAYOUTS.map(|(_, kind)| {
        let size = kind.n_bytes(&tensor.dims).ok().flatten();
        size.is_some_and(|size| room.is_for(size, extent.alignment))
    });
    Evidence { tensor, room, fits }
}

/// Number of the layout that the tensors have, and why, in words.
fn choose(cursor: &Cursor<'_>, found: &[Evidence<'_>]) -> Result<(usize, String)> {
    // The end of a file that was cut says nothing: the last tensor counts only where it is alone.
    let inner: Vec<&Evidence<'_>> = found.iter().filter(|e| !e.room.last).collect();
    let asked = if inner.is_empty() { found.iter().collect() } else { inner };
    let only = |layout: usize| asked.iter().find(|e| e.fits[layout] && !e.fits[1 - layout]);
    let refused = |e: &Evidence<'_>, what: String| {
        let field = format!("tensor {}", quoted(&e.tensor.name));
        Err(cursor.error_at(e.tensor.header_offset as usize, &field, format!("{what}; download or convert it again")))
    };
    match (asked.iter().find(|e| e.fits == [false; 2]), only(0), only(1)) {
        (Some(bad), ..) => {
            let Evidence { tensor, room, .. } = bad;
            let what = format!("Q2_0 has two layouts, and {}, {} bytes after its start,", room.until(), room.bytes);
            refused(bad, format!("{what} fits neither ({})", sizes(tensor)))
        }
        (None, Some(short), Some(long)) => {
            let long = quoted(&long.tensor.name);
            refused(short, format!("lies as Q2_0 with groups of 64 does, and tensor {long} as with groups of 128"))
        }
        (None, Some(first), None) => Ok((0, distance(first, asked.len()))),
        (None, None, Some(first)) => Ok((1, distance(first, asked.len()))),
        (None, None, None) => Ok((0, BOTH_FIT.to_string())),
    }
}

const BOTH_FIT: &str = "assumed: both 64 and 128 fit, since padding hides the difference in tensors so small; 64 is \
                        what ggml writes";

/// What groups of 64 and of 128 take in a tensor.
fn sizes(tensor: &TensorInfo) -> String {
    let size = |(group, kind): (u64, TypeInfo)| match kind.n_bytes(&tensor.dims) {
        Ok(Some(bytes)) => format!("groups of {group} take {bytes}"),
        _ => format!("groups of {group} do not divide its rows"),
    };
    LAYOUTS.map(size).join(", ")
}

fn distance(first: &Evidence<'_>, tensors: usize) -> String {
    let Evidence { tensor, room, .. } = first;
    let (name, bytes) = (quoted(&tensor.name), room.bytes);
    let rest = if tensors > 1 { format!("; all {tensors} distances agree") } else { String::new() };
    format!("{} is {bytes} bytes after the start of tensor {name}: {}{rest}", room.until(), sizes(tensor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::gguf::Gguf;
    use crate::gguf::testing::Builder;

    const SMALL: [u64; 2] = [128, 1];
    const LARGE: [u64; 2] = [256, 32];

    /// Tensors of these shapes with groups of so many weights, and a norm behind them where `norm` says so.
    fn file(tensors: &[([u64; 2], u64)], norm: bool) -> Vec<u8> {
        let builder = tensors.iter().enumerate().fold(Builder::new(), |builder, (i, (dims, group))| {
            let n = dims[0] * dims[1];
            let data = vec![0; (n / group * (2 + group / 4)) as usize];
            builder.with_tensor(&format!("t{i}"), dims, 42, data)
        });
        if norm { builder.zeros("norm", &[8], 0).build() } else { builder.build() }
    }

    fn groups(bytes: Vec<u8>) -> Result<(TypeInfo, Decision)> {
        let gguf = Gguf::from_bytes("m.gguf", bytes)?;
        assert!(gguf.tensors.iter().filter(|t| t.kind.code == 42).all(|t| t.kind == gguf.tensors[0].kind));
        Ok((gguf.tensors[0].kind, gguf.decisions[0].clone()))
    }

    fn refused(bytes: Vec<u8>, parts: &[&str]) {
        let error = groups(bytes).unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == Kind::Input && !text.contains('\n'), "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} not in {text:?}"));
    }

    #[test]
    fn distances_tell() {
        for (group, kind) in LAYOUTS {
            for norm in [true, false] {
                let (found, decision) = groups(file(&[(LARGE, group), (SMALL, group), (LARGE, group)], norm)).unwrap();
                assert_eq!((found, decision.what), (kind, format!("Q2_0 groups: {group} weights")));
                let tensors = if norm { 3 } else { 2 };
                assert_eq!(
                    decision.evidence,
                    format!(
                        "the next tensor is {} bytes after the start of tensor \"t0\": groups of 64 take 2304, groups \
                         of 128 take 2176; all {tensors} distances agree",
                        if group == 64 { 2304 } else { 2176 }
                    )
                );
            }
        }
    }

    /// The end of the file, with padding or without, stands for the next tensor.
    #[test]
    fn a_single_tensor_is_told_by_the_end_of_the_file() {
        for (group, kind) in LAYOUTS {
            // 48 rows: 3456 bytes and 3264, and neither a multiple of 32 with 50.
            for rows in [48, 50] {
                let whole = file(&[([256, rows], group)], false);
                let start = Gguf::from_bytes("m", whole.clone()).unwrap().data_start;
                let end = (start + 256 * rows / group * (2 + group / 4)) as usize;
                for len in end..=whole.len() {
                    let (found, decision) = groups(whole[..len].to_vec()).unwrap();
                    assert_eq!(found, kind);
                    assert!(decision.evidence.starts_with("the end of the file is"), "{}", decision.evidence);
                }
            }
            let (found, _) = groups(file(&[(LARGE, group)], true)).unwrap();
            assert_eq!(found, kind);
        }
        let cut = |bytes: Vec<u8>, less: usize| bytes[..bytes.len() - less].to_vec();
        let long = [file(&[(LARGE, 64)], false), vec![0; 64]].concat();
        let fits_neither = ["tensor \"t0\" at byte", "the end of the file", "fits neither", "64 take 2304", "again"];
        refused(cut(file(&[(LARGE, 64)], false), 32), &fits_neither);
        refused(cut(file(&[(LARGE, 128)], false), 32), &fits_neither);
        refused(long, &fits_neither);
    }

    /// What was cut off is said as for other types, where other tensors tell the layout.
    #[test]
    fn a_cut_file_is_told_by_its_other_tensors() {
        let whole = file(&[(LARGE, 64), (LARGE, 64)], false);
        refused(whole[..whole.len() - 100].to_vec(), &["\"t1\"", "100 bytes are missing"]);
        let (found, _) = groups([whole, vec![0; 999]].concat()).unwrap();
        assert_eq!(found, types::Q2_0);
    }

    #[test]
    fn padding_may_hide_the_difference() {
        for (group, norm) in [(64, true), (128, true), (128, false)] {
            let (found, decision) = groups(file(&[(SMALL, group)], norm)).unwrap();
            assert_eq!(found, types::Q2_0);
            assert!(decision.evidence.starts_with("assumed: both 64 and 128 fit"), "{}", decision.evidence);
        }
        // One that is large enough tells for all.
        let (found, _) = groups(file(&[(SMALL, 128), (LARGE, 128)], true)).unwrap();
        assert_eq!(found, types::Q2_0_G128);
    }

    #[test]
    fn rows_that_are_no_whole_groups_of_128() {
        let (found, decision) = groups(file(&[([192, 32], 64)], true)).unwrap();
        assert_eq!(found, types::Q2_0);
        assert!(decision.evidence.contains("groups of 128 do not divide its rows"), "{}", decision.evidence);
        refused(file(&[([32, 36], 64)], true), &["\"t0\"", "32 is not a multiple of 64, the block of Q2_0"]);
    }

    #[test]
    fn tensors_that_disagree_and_distances_of_neither_are_refused() {
        let mixed = file(&[(LARGE, 128), (LARGE, 64)], true);
        refused(mixed, &["tensor \"t1\" at byte", "groups of 64 does", "\"t0\" as with groups of 128"]);
        let gap = Builder::new().with_tensor("t0", &LARGE, 42, vec![0; 4096]).zeros("norm", &[8], 0).build();
        refused(gap, &["tensor \"t0\" at byte", "the next tensor, 4096 bytes after its start", "fits neither"]);
    }
}
