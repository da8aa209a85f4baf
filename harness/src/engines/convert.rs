//! What an engine reads: the model's own file where it can, else one that is made of it once and kept.

use super::definition::Definition;
use super::places::Places;
use crate::error::{Error, Result};
use crate::files::{stream_atomic, write_atomic};
use crate::gate::wait;
use crate::guests::Failed;
use crate::interrupt;
use crate::load_model::cache_folder;
use crate::output::note;
use model::convert::{Conversion, Target};
use model::encoding::{self, Encoding};
use model::gguf::Gguf;
use model::hash::{sha256_hex, sha256_of_file};
use receipt::{EngineFile, RowStatus};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or folder that an engine can read, and what one decoded token reads of it.
pub struct Prepared {
    /// Absolute path.
    pub path: PathBuf,
    pub file: EngineFile,
    /// Bytes of weights a token.
    pub bytes_per_token: u64,
}

/// The model as its file is, and where converted ones are kept.
pub struct Source<'a> {
    pub gguf: &'a Gguf,
    /// SHA-256 of the model's bytes.
    pub sha256: &'a str,
}

impl Source<'_> {
    /// The encoding of most of the model's ternary matrices.
    fn encoding(&self) -> Option<&'static Encoding> {
        let encodings =
            self.gguf.tensors.iter().filter_map(|tensor| tensor.kind.encoding.map(|e| (e, tensor.elements())));
        let mut sums: Vec<(&'static Encoding, u64)> = Vec::new();
        for (encoding, elements) in encodings {
            match sums.iter_mut().find(|(known, _)| known.name == encoding.name) {
                Some((_, sum)) => *sum += elements,
                None => sums.push((encoding, elements)),
            }
        }
        sums.into_iter().max_by_key(|(_, sum)| *sum).map(|(encoding, _)| encoding)
    }

    /// The file that this engine reads, made where it is not there yet.
    ///
    /// # Errors
    /// A conversion that is not possible, or a converter that fails, is a row.
    pub fn for_engine(&self, engine: &Definition, places: &Places) -> std::result::Result<Prepared, Failed> {
        let own = self.encoding().map(|encoding| encoding.name);
        if let Some(command) = &engine.convert {
            return self.by_command(engine, command, places);
        }
        if let Some(own) = own.filter(|own| engine.formats.iter().any(|format| format == own)) {
            let path = self.on_disk()?;
            return self.prepared(&path, own, false);
        }
        let written = engine.formats.iter().filter_map(|name| encoding::find(name));
        let mut refused = None;
        for encoding in written.filter(|encoding| encoding.encode.is_some()) {
            let path = kept(&format!("{}-{}.gguf", &self.sha256[..16.min(self.sha256.len())], encoding.name))?;
            match self.write(&path, encoding) {
                Ok(()) => return self.prepared(&path, encoding.name, true),
                Err(error) if error.is_interrupt() => return Err(error.into()),
                Err(error) => refused = refused.or(Some(error.to_string())),
            }
        }
        let (reads, is) = (engine.formats.join(", "), own.unwrap_or("none of the ternary encodings"));
        let why = refused.unwrap_or_else(|| "this program writes none of them".to_owned());
        Err(unsupported(format!("it reads {reads} and the model is {is}: {why}")))
    }

    /// The model's own file; the built-in one is written to the cache.
    fn on_disk(&self) -> Result<PathBuf> {
        let path = self.gguf.path();
        if path.exists() {
            return std::path::absolute(path).map_err(|e| Error::io("find", path, &e));
        }
        let path = kept(&format!("{}.gguf", &self.sha256[..16.min(self.sha256.len())]))?;
        if !path.exists() {
            let mut bytes = Vec::new();
            self.gguf.for_each_chunk(|chunk| bytes.extend_from_slice(chunk));
            write_atomic(&path, &bytes)?;
        }
        Ok(path)
    }

    fn write(&self, path: &Path, encoding: &'static Encoding) -> Result<()> {
        if path.exists() {
            return Ok(());
        }
        note(format!("converting the model to {} once, {}", encoding.name, path.display()));
        let target = Target { encoding, exact: false };
        let conversion = Conversion::new(self.gguf, target, interrupt::flag(), &|_| {})?;
        stream_atomic(path, conversion.bytes(), |file| {
            conversion.write(file, interrupt::flag(), &|_| {}).map_err(|e| match interrupt::requested() {
                true => Error::interrupted(format!("interrupted; {} is not written", path.display())),
                false => Error::io("write", path, &e),
            })
        })
    }

    /// Lets the engine's own converter make its file, once for each model and command.
    fn by_command(
        &self,
        engine: &Definition,
        command: &[String],
        places: &Places,
    ) -> std::result::Result<Prepared, Failed> {
        let model = self.on_disk()?;
        let words = engine.filled(command, places).map_err(unsupported)?;
        let key = sha256_hex([self.sha256, &command.join("\n")].join("\n").as_bytes());
        let out = kept(&format!("{}-{}", engine.name, &key[..16]))?;
        let [shown, made] = [&model, &out].map(|path| path.display().to_string());
        let words: Vec<String> =
            words.iter().map(|word| word.replace("{model}", &shown).replace("{out}", &made)).collect();
        if !out.exists() {
            let Some((program, arguments)) = words.split_first() else {
                return Err(unsupported("its convert names no program".into()));
            };
            note(format!("{}: converting the model: {}", engine.name, words.join(" ")));
            let ran = wait::run(Command::new(program).args(arguments), &format!("{program} to convert"), false);
            let ran = ran.map_err(|e| match e.kind() {
                std::io::ErrorKind::Interrupted => {
                    Failed::Run(Error::interrupted(format!("interrupted while {program} converted the model")))
                }
                _ => unsupported(format!("cannot run {program}: {e}")),
            });
            let ran = ran.inspect_err(|_| remove(&out))?;
            if !ran.status.success() || !out.exists() {
                remove(&out);
                let said = String::from_utf8_lossy(&ran.stderr).into_owned();
                let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
                return Err(unsupported(format!("its converter failed ({}): {last}", ran.status)));
            }
        }
        self.prepared(&out, &engine.formats[0], true)
    }

    fn prepared(&self, path: &Path, format: &str, converted: bool) -> std::result::Result<Prepared, Failed> {
        let mut files = Vec::new();
        list(path, &mut files).map_err(|e| Error::io("read", path, &e))?;
        files.sort();
        let (mut bytes, mut hashes) = (0, Vec::new());
        for file in &files {
            let (size, hash) = sha256_of_file(file).map_err(|e| Error::io("read", file, &e))?;
            bytes += size;
            hashes.push(hash);
        }
        let sha256 = match &hashes[..] {
            [one] => one.clone(),
            // A folder: the hash of its files' hashes, by name.
            several => sha256_hex(several.join("\n").as_bytes()),
        };
        let bytes_per_token = match Gguf::open(path) {
            Ok(gguf) => read_a_token(&gguf),
            // A format that this program does not read: all of it, as if the embedding were its head.
            Err(_) => bytes,
        };
        let file = EngineFile { format: format.to_owned(), bytes, sha256, converted };
        Ok(Prepared { path: path.to_path_buf(), file, bytes_per_token })
    }
}

/// Bytes of tensors that a token reads: all but the embedding where the head has rows of its own.
fn read_a_token(gguf: &Gguf) -> u64 {
    let own_head = gguf.find_tensor("output.weight").is_some();
    let read = gguf.tensors.iter().filter(|tensor| !(own_head && tensor.name == "token_embd.weight"));
    read.filter_map(|tensor| tensor.n_bytes).sum()
}

/// A file of this name in the cache's folder for engines.
fn kept(name: &str) -> Result<PathBuf> {
    let folder = cache_folder()?.join("engines");
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create the cache folder", &folder, &e))?;
    std::path::absolute(folder.join(name)).map_err(|e| Error::io("find", &folder, &e))
}

fn remove(path: &Path) {
    let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
}

fn list(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            list(&entry?.path(), files)?;
        }
    } else {
        files.push(path.to_path_buf());
    }
    Ok(())
}

fn unsupported(why: String) -> Failed {
    Failed::Row { status: RowStatus::Unsupported, why }
}
