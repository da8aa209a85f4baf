//! Opening a model, whatever it lies in.

use super::config;
use super::folder::{self, Folder};
use super::header::Header;
use super::json::Object;
use super::shards;
use super::tensors::Reader;
use super::vocab;
use crate::error::{Error, Result};
use crate::gguf::{Gguf, Parts, Reading};
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";

impl Gguf {
    /// Opens the model at `path`: a GGUF file, or a Hugging Face folder (config.json, tokenizer.json, one or several
    /// safetensors files), for which a file inside it may stand. Maps all files and checks their headers; weights stay
    /// where they are. Errors are one line: file, field or tensor, where there is one the byte offset, what is wrong.
    ///
    /// Whoever reads weights asks [`Self::check_unchanged`] afterwards.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, Reading::default())
    }

    /// As [`Self::open`], where the user says what a file does not.
    ///
    /// # Errors
    /// A layout of I2_S for a folder, which has none.
    pub fn open_as(path: &Path, reading: Reading) -> Result<Self> {
        match folder::of(path)? {
            Some(folder) if reading.i2s.is_some() => {
                let what = "is a folder, whose tensors are never I2_S; leave --i2s-layout out";
                Err(Error::input(format!("{} {what}", folder.display())))
            }
            Some(folder) => open_folder(folder, reading),
            None => Self::open_file(path, reading),
        }
    }
}

fn open_folder(path: PathBuf, reading: Reading) -> Result<Gguf> {
    let mut folder = Folder::new(path);
    let mut header = Header::default();
    let config = match folder.map(CONFIG)? {
        Some(part) => Object::parse(&part.path.display().to_string(), &part.bytes)?,
        None => return Err(folder.error(CONFIG, "is missing; download it")),
    };
    let facts = config::read(&config, &name_of(folder.path()), &mut header)?;
    vocab::read(&mut folder, facts.vocab, &mut header)?;
    let stored = shards::read(&mut folder)?;
    // Numbers of files are those of the order in which they are hashed.
    folder.files.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
    let reader = Reader { stored: &stored, files: &folder.files, quantization: &facts.quantization, tied: facts.tied };
    let described = reader.read()?;
    let bytes = header.finish();
    let Header { mut origins, mut decisions, .. } = header;
    origins.extend(described.origins);
    decisions.extend(described.decisions);
    let path = folder.path().to_owned();
    let parts = Parts { files: folder.files, scales: described.scales, origins, decisions };
    Gguf::from_parts(path, bytes, (parts, described.tensors), reading)
}

/// The folder's own name, also where it is `.`.
fn name_of(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or(folder.to_owned());
    whole.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}
