//! Writing packed weights: one tensor in memory at a time.

use super::{HASH_AT, MAGIC, RECORD, VERSION, fixed, places};
use crate::build_info::hex;
use crate::error::{Error, Result};
use crate::files::stream_atomic;
use crate::interrupt;
use crate::model::loading::Loading;
use crate::model::weights::Model;
use kernels::{CodeTable, Packing};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What was written.
#[derive(Debug, Serialize)]
pub struct PackedSummary {
    /// Where.
    pub path: PathBuf,
    /// Layout.
    pub packing: &'static str,
    /// Size of the file.
    pub bytes: u64,
    /// Ternary tensors in it.
    pub tensors: usize,
    /// Of the model file.
    pub source_sha256: String,
}

/// Packs a model's ternary tensors and writes them to `path`, which appears only when it is complete. Progress counts bytes of codes.
pub fn write_packed(model: &Model, packing: Packing, path: &Path, loading: &mut Loading) -> Result<PackedSummary> {
    let (places, bytes) = places(model, packing)?;
    let io = |e: &std::io::Error| Error::io("write", path, e);
    stream_atomic(path, bytes as u64, |file| {
        let mut table = Vec::with_capacity(places.len() * RECORD);
        // The header needs every hash: it is written last, into room left for it.
        file.write_all(&vec![0; RECORD * (1 + places.len())]).map_err(|e| io(&e))?;
        for place in &places {
            if interrupt::requested() {
                return Err(Error::interrupted(format!("interrupted; {} is not written", path.display())));
            }
            let weights = model.matrix(&place.name, packing, CodeTable::TERNARY, &mut loading.team)?;
            let codes = weights.code_bytes();
            let filling = vec![0; place.padded().len() - codes.len()];
            file.write_all(codes).and_then(|()| file.write_all(&filling)).map_err(|e| io(&e))?;
            let name = fixed::<{ super::NAME_BYTES }>(&place.name);
            table.extend(name.ok_or_else(|| Error::failed(format!("the name {} is too long", place.name)))?);
            for n in [place.rows, place.k, place.offset, place.length] {
                table.extend((n as u64).to_le_bytes());
            }
            table.extend(place.scale.to_le_bytes());
            table.extend([0; 4]);
            table.extend(Sha256::new().chain_update(codes).chain_update(&filling).finalize());
            loading.progress.add(codes.len() as u64);
        }
        let mut header = header(model, packing, places.len(), bytes)?;
        header.extend(Sha256::new().chain_update(&header).chain_update(&table).finalize());
        file.seek(SeekFrom::Start(0)).map_err(|e| io(&e))?;
        file.write_all(&header).and_then(|()| file.write_all(&table)).map_err(|e| io(&e))
    })?;
    Ok(PackedSummary {
        path: path.to_path_buf(),
        packing: packing.name(),
        bytes: bytes as u64,
        tensors: places.len(),
        source_sha256: hex(&model.sha256),
    })
}

/// The header up to its hash.
fn header(model: &Model, packing: Packing, tensors: usize, bytes: usize) -> Result<Vec<u8>> {
    let mut header = Vec::with_capacity(RECORD);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend((tensors as u32).to_le_bytes());
    let name = fixed::<{ super::PACKING_BYTES }>(packing.name());
    header.extend(name.ok_or_else(|| Error::failed(format!("the name {packing} is too long")))?);
    header.extend((bytes as u64).to_le_bytes());
    header.extend([0; 8]);
    header.extend(model.sha256);
    debug_assert_eq!(header.len(), HASH_AT);
    Ok(header)
}
