//! Which paths stand for a folder, and the files that are read from it.

use crate::error::{Error, Result};
use crate::gguf::Part;
use crate::mapped;
use std::path::{Path, PathBuf};

/// The file without which a folder is none of these.
const CONFIG: &str = "config.json";

/// The folder that a path stands for: one with a config.json, or that of a file inside it that a user may name for the
/// whole. `None` for any other file.
///
/// # Errors
/// A folder without a config.json: says what is there instead.
pub fn of(path: &Path) -> Result<Option<PathBuf>> {
    if path.is_dir() {
        return if path.join(CONFIG).exists() { Ok(Some(path.to_owned())) } else { Err(without_config(path)) };
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stands_for_all = name.ends_with(".safetensors")
        || name.ends_with(".safetensors.index.json")
        || [CONFIG, "tokenizer.json", "tokenizer_config.json", "generation_config.json"].contains(&&*name);
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((stands_for_all && path.is_file() && folder.join(CONFIG).exists()).then(|| folder.to_owned()))
}

/// Names of the files in a folder that end so, sorted.
pub fn ending(folder: &Path, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

fn without_config(folder: &Path) -> Error {
    let name = folder.display();
    let next = match (ending(folder, ".gguf").first(), ending(folder, ".safetensors").first()) {
        (Some(gguf), _) => format!("name a GGUF file inside it, for example {}", folder.join(gguf).display()),
        (None, Some(_)) => {
            format!("a folder with safetensors needs its {CONFIG} and tokenizer.json; download them, too")
        }
        (None, None) => "name a GGUF file, or a folder with config.json, tokenizer.json and safetensors".to_owned(),
    };
    Error::input(format!("{name} is a folder without a {CONFIG}; {next}"))
}

/// A folder, with the files that were read from it.
pub struct Folder {
    path: PathBuf,
    /// Mapped, in the order in which they were asked for.
    pub files: Vec<Part>,
}

impl Folder {
    /// A folder of which no file was read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, files: Vec::new() }
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in the folder as errors show it.
    pub fn name_of(&self, file: &str) -> String {
        self.path.join(file).display().to_string()
    }

    /// Whether the folder has a file of this name.
    pub fn has(&self, file: &str) -> bool {
        self.path.join(file).exists()
    }

    /// Maps a file that is read for the model; `None` where there is no such file.
    pub fn map(&mut self, file: &str) -> Result<Option<&Part>> {
        if !self.has(file) {
            return Ok(None);
        }
        let path = self.path.join(file);
        let bytes = mapped::map(&path, "model")?;
        self.files.push(Part { path, bytes });
        Ok(self.files.last())
    }

    /// Makes an input error about a file of the folder.
    pub fn error(&self, file: &str, what: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: {what}", self.name_of(file)))
    }
}
