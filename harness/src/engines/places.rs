//! Where commands of engines find what is shipped with this program: the adapters, and the program itself.

use crate::build_info;
use crate::error::{Error, Result};
use std::path::PathBuf;
use tempfile::TempDir;

/// The shipped adapters, by the name that a definition calls them.
const ADAPTERS: [(&str, &str); 5] = [
    ("gguf_rename.py", include_str!("../../engines/gguf_rename.py")),
    ("llama.c", include_str!("../../engines/llama.c")),
    ("llama.sh", include_str!("../../engines/llama.sh")),
    ("completions.py", include_str!("../../engines/completions.py")),
    ("litespark.py", include_str!("../../engines/litespark.py")),
];

/// What `{adapters}` and `{self}` stand for.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Folder of the shipped adapters.
    pub adapters: PathBuf,
    /// This program.
    pub own: PathBuf,
}

/// The file of this program as its children find it, also when another has been built in its place since.
fn own() -> PathBuf {
    let running = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    if running.exists() { running } else { build_info::own_program() }
}

impl Places {
    /// Writes the adapters to a new folder, which is gone when the second value is dropped.
    pub fn new() -> Result<(Self, TempDir)> {
        let failed = |e: &std::io::Error| Error::io("create a folder in", &std::env::temp_dir(), e);
        let folder = TempDir::with_prefix("tritbench-engines-").map_err(|e| failed(&e))?;
        for (name, text) in ADAPTERS {
            let path = folder.path().join(name);
            std::fs::write(&path, text).map_err(|e| Error::io("write", &path, &e))?;
        }
        Ok((Self { adapters: folder.path().to_path_buf(), own: own() }, folder))
    }

    /// A word with these places filled in.
    pub fn fill(&self, word: &str) -> String {
        let [adapters, own] = [&self.adapters, &self.own].map(|path| path.display().to_string());
        word.replace("{adapters}", &adapters).replace("{self}", &own)
    }
}
