//! The safetensors files of a folder: which there are, and the tensors that they hold together.

use super::folder::{Folder, ending};
use super::json::{self, one_line};
use crate::error::{Error, Result};
use crate::gguf::{quoted, stranger};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Tensors of a folder; the largest published models have a few thousand.
const MAX_TENSORS: usize = 65_536;
/// Files of a model; the largest published ones have some hundreds.
const MAX_SHARDS: usize = 4096;

/// A tensor of a shard.
pub struct Stored {
    /// File name of the shard.
    pub shard: String,
    /// Number format of the elements.
    pub dtype: Dtype,
    /// Elements along each dimension, outermost first.
    pub shape: Vec<u64>,
    /// Byte offset of the data in the shard.
    pub at: u64,
    /// Size of the data in bytes.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Maps all shards and checks their headers. The tensors come by name.
pub fn read(folder: &mut Folder) -> Result<BTreeMap<String, Stored>> {
    let listed = match folder.map(INDEX)? {
        Some(part) => Some(json::parse::<Index>(&part.path.display().to_string(), &part.bytes)?.weight_map),
        None => None,
    };
    let shards = match &listed {
        None if folder.has(WHOLE) => vec![WHOLE.to_owned()],
        None => return Err(no_weights(folder.path())),
        Some(listed) => of_index(folder, listed)?,
    };
    let mut tensors = BTreeMap::new();
    for shard in shards {
        read_shard(folder, &shard, &mut tensors)?;
    }
    if let Some(listed) = listed {
        hold_against(folder, &listed, &tensors)?;
    }
    Ok(tensors)
}

/// What is there instead of weights that can be read.
fn no_weights(folder: &Path) -> Error {
    let name = folder.display();
    let there = ending(folder, ".safetensors");
    let what = match there.first() {
        Some(one) if there.len() == 1 && !one.contains("-of-") => {
            format!("no {WHOLE}; if {one} is the whole model, call it so")
        }
        Some(one) => format!("no {INDEX}, which says what {one} and the other shards hold; download it"),
        None if !ending(folder, ".bin").is_empty() => {
            format!("no {WHOLE}; PyTorch's .bin files are not read, so save it again with safe_serialization=True")
        }
        None => format!("no {WHOLE} and no {INDEX}; download the weights, too"),
    };
    Error::input(format!("{name}: {what}"))
}

/// The shards that an index lists.
fn of_index(folder: &Folder, listed: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (tensor, shard) in listed {
        // A name alone: an index must not lead out of its folder.
        if Path::new(shard).file_name().is_none_or(|name| name.to_str() != Some(shard)) {
            let what =
                format!("{} is said to be in {}, which is not the name of a file", quoted(tensor), quoted(shard));
            return Err(folder.error(INDEX, what));
        }
        *counts.entry(shard).or_default() += 1;
    }
    if counts.is_empty() || counts.len() > MAX_SHARDS {
        return Err(folder.error(INDEX, format!("\"weight_map\" lists {} files, not 1 to {MAX_SHARDS}", counts.len())));
    }
    if let Some((shard, tensors)) = counts.iter().find(|(shard, _)| !folder.has(shard)) {
        let what = format!("the shard {} with {tensors} tensors is missing; download it", quoted(shard));
        return Err(folder.error(INDEX, what));
    }
    if folder.has(WHOLE) && !counts.contains_key(WHOLE) {
        let what = format!("lists other files, and {WHOLE} is there, too: two sets of weights; remove one");
        return Err(folder.error(INDEX, what));
    }
    Ok(counts.keys().map(|shard| (*shard).to_owned()).collect())
}

fn read_shard(folder: &mut Folder, shard: &str, tensors: &mut BTreeMap<String, Stored>) -> Result<()> {
    let Some(part) = folder.map(shard)? else { return Err(folder.error(shard, "is missing; download it")) };
    let (header, metadata) = SafeTensors::read_metadata(&part.bytes).map_err(|error| {
        let what = stranger::lfs_pointer(&part.bytes).unwrap_or_else(|| {
            let n = part.bytes.len();
            format!("is no whole safetensors file ({n} bytes): {}; download it again", one_line(&error))
        });
        Error::input(format!("{}: {what}", part.path.display()))
    })?;
    // The length, then the header, then the data. Both lie in the file, so the sum is small.
    let data = 8 + header as u64;
    let infos: HashMap<String, _> = metadata.tensors();
    if tensors.len() + infos.len() > MAX_TENSORS {
        return Err(folder.error(shard, format!("more than {MAX_TENSORS} tensors; no model here has so many")));
    }
    for (name, info) in infos {
        let (from, to) = info.data_offsets;
        let shape = info.shape.iter().map(|&n| n as u64).collect();
        // The library has checked that offsets are in order, without a gap, and end with the file.
        let at = data + from as u64;
        let stored = Stored { shard: shard.to_owned(), dtype: info.dtype, shape, at, bytes: (to - from) as u64 };
        if let Some(other) = tensors.insert(name.clone(), stored) {
            let what = format!("tensor {} is in {}, too", quoted(&name), other.shard);
            return Err(folder.error(shard, format!("{what}; one of the files is of another model")));
        }
    }
    Ok(())
}

/// The index and the shards must agree.
fn hold_against(folder: &Folder, listed: &BTreeMap<String, String>, tensors: &BTreeMap<String, Stored>) -> Result<()> {
    for (name, shard) in listed {
        let what = match tensors.get(name) {
            Some(found) if found.shard == *shard => continue,
            Some(found) => format!("lists tensor {} in {shard}, and it is in {}", quoted(name), found.shard),
            None => format!("lists tensor {} in {shard}, which does not have it", quoted(name)),
        };
        return Err(folder.error(INDEX, format!("{what}; download index and shards again")));
    }
    match tensors.iter().find(|(name, _)| !listed.contains_key(*name)) {
        None => Ok(()),
        Some((name, found)) => {
            let what = format!("has tensor {}, which {INDEX} does not list", quoted(name));
            Err(folder.error(&found.shard, format!("{what}; download index and shards again")))
        }
    }
}
