//! Reading packed weights from a file that is distrusted throughout.

use super::{ALIGNMENT, HASH_AT, MAGIC, NAME_BYTES, PACKING_BYTES, Place, RECORD, SOURCE_AT, VERSION, fixed, places};
use crate::build_info::hex;
use crate::error::{Error, Result};
use crate::files::Mapped;
use crate::model::gguf::{Cursor, quoted};
use crate::model::loading::Loading;
use crate::model::weights::{Model, Weights};
use kernels::{CodeTable, KernelError, PackedWeights, Packing, SharedBytes};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

const CONVERT: &str = "run `model convert` again";

/// A mapped file whose header and table have been checked; its codes have not.
pub struct PackedFile {
    name: String,
    map: Arc<Mapped>,
    packing: Packing,
    /// With the hash that the file says each tensor has.
    tensors: Vec<(Place, [u8; 32])>,
}

impl PackedFile {
    /// Maps `path` and checks everything in it but the codes. Errors are one line: file, field, byte offset, what is wrong.
    pub fn open(path: &Path, model: &Model) -> Result<Self> {
        let map = crate::files::map(path, "packed weights")?;
        let name = path.display().to_string();
        if map.is_empty() {
            return Err(Error::input(format!("{name}: the file is empty (0 bytes); {CONVERT}")));
        }
        let mut cursor = Cursor::new(&name, &map, 0);
        let magic: [u8; 8] = cursor.array("magic")?;
        if magic != *MAGIC {
            let found = magic.escape_ascii();
            let what = format!(
                "expected \"TRITPACK\", found \"{found}\": these are not packed weights; `model convert` writes such files"
            );
            return Err(cursor.error_at(0, "magic", what));
        }
        let version = cursor.u32("version")?;
        if version != VERSION {
            let what = format!("{version} is not supported, only {VERSION}; {CONVERT}");
            return Err(cursor.error_at(8, "version", what));
        }
        let count = cursor.u32("tensor count")?;
        let packing_name: [u8; PACKING_BYTES] = cursor.array("packing")?;
        let bytes = cursor.u64("file size")?;
        if bytes != map.len() as u64 {
            let what =
                format!("the header says {bytes} bytes, the file has {}: truncated or corrupt; {CONVERT}", map.len());
            return Err(cursor.error_at(48, "file size", what));
        }
        let reserved = cursor.u64("reserved")?;
        let source: [u8; 32] = cursor.array("source sha256")?;
        let hash: [u8; 32] = cursor.array("header sha256")?;
        let table_at = cursor.at();
        // u32 times 128 fits; `take` refuses what is not there.
        let table = cursor.take(count as usize * RECORD, "tensor table")?;
        let found = Sha256::new().chain_update(&map[..HASH_AT]).chain_update(table).finalize();
        if hash != found[..] {
            let what = format!("does not fit the header and the tensor table: the file is damaged; {CONVERT}");
            return Err(cursor.error_at(HASH_AT, "header sha256", what));
        }
        // The hash is right, so a fault from here on means another writer, another model or malice.
        let by_name = |p: &&Packing| fixed(p.name()) == Some(packing_name);
        let Some(&packing) = Packing::ALL.iter().find(by_name) else {
            let text = String::from_utf8_lossy(&packing_name);
            let what = format!("{} is not known here; {CONVERT}", quoted(text.trim_end_matches('\0')));
            return Err(cursor.error_at(16, "packing", what));
        };
        if reserved != 0 {
            return Err(cursor.error_at(56, "reserved", format!("{reserved} is not 0; {CONVERT}")));
        }
        if source != model.sha256 {
            let what = format!(
                "the weights are of a model with sha256 {}, {} has {}; {CONVERT} for this model",
                hex(&source),
                model.path().display(),
                hex(&model.sha256)
            );
            return Err(cursor.error_at(SOURCE_AT, "source sha256", what));
        }
        let (places, end) = places(model, packing)?;
        if count as usize != places.len() {
            let what = format!("{count} tensors, the model has {}; {CONVERT}", places.len());
            return Err(cursor.error_at(12, "tensor count", what));
        }
        if end != map.len() {
            let what = format!("{bytes} bytes, this model takes {end} in this packing; {CONVERT}");
            return Err(cursor.error_at(48, "file size", what));
        }
        let mut entries = Cursor::new(&name, &map, table_at);
        let hashes = places.iter().map(|place| read_entry(&mut entries, place)).collect::<Result<Vec<_>>>()?;
        let tensors = places.into_iter().zip(hashes).collect();
        Ok(Self { name, map: Arc::new(map), packing, tensors })
    }

    /// The layout of the weights.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// An input error about the packing.
    pub fn packing_error(&self, what: impl std::fmt::Display) -> Error {
        Cursor::new(&self.name, &[], 0).error_at(16, "packing", what)
    }

    /// Checks all codes and their hashes, and returns the weights.
    pub fn check(&self, loading: &mut Loading) -> Result<PackedModel> {
        let matrices = loading.each(self.tensors.len(), |i| {
            let (place, hash) = &self.tensors[i];
            Ok(((place.name.clone(), self.matrix(i, place, hash)?), place.padded().len() as u64))
        })?;
        self.map.check_unchanged()?;
        Ok(PackedModel { packing: self.packing, matrices: Arc::new(matrices.into_iter().collect()) })
    }

    fn matrix(&self, index: usize, place: &Place, hash: &[u8; 32]) -> Result<PackedWeights> {
        let refused = |at: usize, what: String| {
            let field = format!("codes of tensor {}", quoted(&place.name));
            Cursor::new(&self.name, &[], 0).error_at(at, &field, what)
        };
        // In range: the end of the last tensor is that of the file, `open` saw to it.
        if Sha256::digest(&self.map[place.padded()])[..] != hash[..] {
            let at = RECORD * (1 + index) + HASH_AT;
            let what = format!("their sha256 is not the one at byte {at}: the file is damaged; {CONVERT}");
            return Err(refused(place.offset, what));
        }
        let owner: Arc<dyn AsRef<[u8]> + Send + Sync> = self.map.clone();
        let codes = SharedBytes::new(owner, place.offset..place.offset + place.length);
        let weights =
            codes.and_then(|codes| PackedWeights::from_shared(self.packing, place.rows, place.k, codes, place.scale));
        weights.map_err(|error| match error {
            KernelError::InvalidByte { at, packing } => {
                refused(place.offset + at, format!("a code that {packing} does not have; {CONVERT}"))
            }
            other => refused(place.offset, other.to_string()),
        })
    }
}

/// The hash in an entry of the table that must otherwise be the one for `place`.
fn read_entry(cursor: &mut Cursor<'_>, place: &Place) -> Result<[u8; 32]> {
    let field = |what: &str| format!("{what} of tensor {}", quoted(&place.name));
    let at = cursor.at();
    let name: [u8; NAME_BYTES] = cursor.array("tensor name")?;
    if fixed(&place.name) != Some(name) {
        let text = String::from_utf8_lossy(&name);
        let what = format!("{}, expected {}; {CONVERT}", quoted(text.trim_end_matches('\0')), quoted(&place.name));
        return Err(cursor.error_at(at, "tensor name", what));
    }
    for (what, expected) in [("rows", place.rows), ("k", place.k), ("offset", place.offset), ("length", place.length)] {
        let at = cursor.at();
        let found = cursor.u64(what)?;
        if found != expected as u64 {
            let hint =
                if what == "offset" { format!(" (tensors start at multiples of {ALIGNMENT})") } else { String::new() };
            return Err(cursor.error_at(at, &field(what), format!("{found}, expected {expected}{hint}; {CONVERT}")));
        }
    }
    let at = cursor.at();
    let scale = cursor.u32("scale")?;
    if scale != place.scale.to_bits() {
        let what = format!("{}, the model has {}; {CONVERT}", f32::from_bits(scale), place.scale);
        return Err(cursor.error_at(at, &field("scale"), what));
    }
    let at = cursor.at();
    if cursor.u32("reserved")? != 0 {
        return Err(cursor.error_at(at, &field("reserved"), format!("not 0; {CONVERT}")));
    }
    cursor.array("tensor sha256")
}

/// Weights from a file, all checked; they stay where they are mapped.
#[derive(Clone)]
pub struct PackedModel {
    packing: Packing,
    matrices: Arc<HashMap<String, PackedWeights>>,
}

impl PackedModel {
    /// The layout.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// The weights of the model that the file was checked against, read with `table`.
    pub fn weights(&self, model: &Model, table: CodeTable) -> Result<Weights> {
        if self.packing.ternary_only() && !table.is_ternary() {
            return Err(Error::input(KernelError::TernaryOnly { packing: self.packing, table: table.0 }.to_string()));
        }
        model.assemble(self.packing, |name| {
            let found = self.matrices.get(name).cloned();
            let weights = found.ok_or_else(|| Error::failed(format!("no packed weights for tensor {name}")))?;
            Ok(weights.with_table(table))
        })
    }
}
