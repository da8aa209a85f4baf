//! What an engine reads: the model's own file where it can, else one that is made of it once and kept.

use super::definition::Definition;
use super::places::Places;
use crate::cmd::convert;
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::gate::wait;
use crate::guests::Failed;
use crate::load_model::cache_folder;
use crate::output::note;
use crate::worker::log::last_line;
use model::convert::Target;
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
    pub weights: Weights,
}

/// What a decoded token must read of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Bytes of the matrices of the blocks as the file has them.
    stored: u64,
    /// The least that anybody packs them in: five codes a byte.
    least: u64,
    /// Elements of the output head.
    head: u64,
}

/// Ternary codes that a byte holds at most: 3^5 is 243.
const CODES_A_BYTE: u64 = 5;

impl Weights {
    /// Those of a file, as far as this program reads it; else those of the model that it was made of.
    fn of(path: &Path, model: &Gguf) -> Self {
        Gguf::open(path).map_or_else(|_| Self::of_tensors(model), |gguf| Self::of_tensors(&gguf))
    }

    fn of_tensors(gguf: &Gguf) -> Self {
        let (mut stored, mut elements) = (0, 0);
        for tensor in gguf.tensors.iter().filter(|tensor| tensor.name.starts_with("blk.") && tensor.dims.len() > 1) {
            let packed = tensor.elements() / CODES_A_BYTE;
            elements += tensor.elements();
            // A file of plain numbers is packed when it is loaded: nobody multiplies those.
            stored += tensor.n_bytes.filter(|_| tensor.kind.encoding.is_some()).unwrap_or(packed);
        }
        let head = gguf.find_tensor("output.weight").or_else(|| gguf.find_tensor("token_embd.weight"));
        Self { stored, least: elements / CODES_A_BYTE, head: head.map_or(0, |head| head.elements()) }
    }

    /// Bytes a token with a head of so many bits. An engine that packs more tightly than its file may say so, but not
    /// below what can be.
    pub fn bytes_per_token(&self, head_bits: u32, said: Option<u64>) -> u64 {
        let head = self.head * u64::from(head_bits) / 8;
        said.map_or(self.stored + head, |said| said.max(self.least + head))
    }
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
        let reads = |own: &&str| engine.formats.is_empty() || engine.formats.iter().any(|format| format == own);
        if let Some(own) = own.filter(reads) {
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
        let name = self.gguf.path().display().to_string();
        convert::write(&name, self.gguf, target, path).map(|_| ())
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
                let last = last_line(&String::from_utf8_lossy(&ran.stderr)).unwrap_or_else(|| "it said nothing".into());
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
        let file = EngineFile { format: format.to_owned(), bytes, sha256, converted };
        Ok(Prepared { path: path.to_path_buf(), file, weights: Weights::of(path, self.gguf) })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::builtin;

    #[test]
    fn a_token_reads_the_blocks_and_the_head() {
        let gguf = builtin::open().expect("opens");
        let weights = Weights::of_tensors(&gguf);
        // 3 blocks of 512 x (512 + 2 x 128 + 512) and 3 x 512 x 1024 weights, 21 scales of 32 bytes; 1024 rows of 512.
        let (ternary, head) = (3 * 512 * (1280 + 3 * 1024), 1024 * 512);
        assert_eq!(weights, Weights { stored: ternary / 4 + 21 * 32, least: ternary / 5, head });
        assert_eq!(weights.bytes_per_token(16, None), ternary / 4 + 21 * 32 + 2 * head);
        assert_eq!(weights.bytes_per_token(8, Some(10)), weights.least + head, "no less than can be");
        assert_eq!(weights.bytes_per_token(8, Some(1 << 30)), 1 << 30);
    }
}
