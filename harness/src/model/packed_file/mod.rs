//! A file of weights packed for one kernel, which is mapped instead of packing the model again.
//!
//! All numbers are little-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `TRITPACK` |
//! | 8..12 | version, 1 |
//! | 12..16 | number of tensors, n |
//! | 16..48 | name of the packing, filled up with zeros |
//! | 48..56 | bytes of the file |
//! | 56..64 | 0 |
//! | 64..96 | SHA-256 of the model file that the weights are from |
//! | 96..128 | SHA-256 of bytes 0..96 and of the table |
//! | 128..128 + 128n | the table, an entry a tensor in the order of the model's graph |
//! | then | the tensors' codes, each filled up with zeros to a multiple of 64 bytes, one after the other |
//!
//! An entry:
//!
//! | bytes | field |
//! |---|---|
//! | 0..56 | name of the tensor, filled up with zeros |
//! | 56..64, 64..72 | rows, k |
//! | 72..80, 80..88 | offset of its codes in the file, and their length without the filling |
//! | 88..92, 92..96 | scale (f32), 0 |
//! | 96..128 | SHA-256 of its codes with the filling |
//!
//! Two checks come before any use. [`PackedFile::open`] compares header and table with the model: first their hash, then every field, because
//! all but the tensors' hashes follow from the model and the packing. [`PackedFile::check`] reads all codes once, on all threads, compares
//! their hashes, and refuses any byte that packing cannot produce. So a damaged file, or the file of another model, is refused and gives no
//! wrong number. The hashes show damage and mistakes, not malice: whoever can write the file can write its hashes too, and at worst chooses
//! the weights. The file must not be changed while it is in use, see [`crate::files::map`].

mod read;
mod write;

pub use read::{PackedFile, PackedModel};
pub use write::write_packed;

use super::weights::{MatrixShape, Model};
use crate::error::{Error, Result};
use kernels::Packing;

const MAGIC: &[u8; 8] = b"TRITPACK";
const VERSION: u32 = 1;
/// Of the header and of each entry of the table.
const RECORD: usize = 128;
/// Of each tensor's codes: a cache line.
const ALIGNMENT: usize = 64;
const PACKING_BYTES: usize = 32;
const NAME_BYTES: usize = 56;
const SOURCE_AT: usize = 64;
const HASH_AT: usize = 96;

/// One tensor: everything about it but its hash.
struct Place {
    name: String,
    rows: usize,
    k: usize,
    offset: usize,
    length: usize,
    scale: f32,
}

impl Place {
    /// Codes and filling.
    fn padded(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.length.next_multiple_of(ALIGNMENT)
    }
}

/// Where each tensor of a model lies in a file of this packing, and the size of the file.
fn places(model: &Model, packing: Packing) -> Result<(Vec<Place>, usize)> {
    let mut offset = RECORD * (1 + model.matrices().count());
    let mut places = Vec::new();
    for MatrixShape { name, rows, k } in model.matrices() {
        let too_large = || Error::input(format!("{}: tensor {name} is too large to pack", model.path().display()));
        let length = packing.code_bytes(rows, k).ok_or_else(too_large)?;
        let scale = model.scale(&name)?;
        let place = Place { rows, k, offset, length, scale, name: name.clone() };
        // Lengths are far below the address space, and their sum is about that of a file that exists.
        offset = place.offset.checked_add(length.next_multiple_of(ALIGNMENT)).ok_or_else(too_large)?;
        places.push(place);
    }
    Ok((places, offset))
}

/// `text` filled up with zeros; None if it does not fit.
fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    out.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(out)
}

#[cfg(test)]
mod tests;
