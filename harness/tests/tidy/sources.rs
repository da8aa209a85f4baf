//! The text of the files that are judged, by their path from the repository's root. Tests of this test make their own.

use std::collections::BTreeMap;
use std::path::Path;

pub struct Sources {
    pub files: BTreeMap<String, String>,
}

impl Sources {
    /// Rust files, manifests and ARCHITECTURE.md. What git does not keep (`target`, hidden folders) is not looked at.
    pub fn of_this_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut sources = Self { files: BTreeMap::new() };
        sources.walk(&root, "");
        sources
    }

    fn walk(&mut self, folder: &Path, prefix: &str) {
        for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
            let entry = entry.expect("readable");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().expect("known");
            if kind.is_dir() && name != "target" && !name.starts_with('.') {
                self.walk(&entry.path(), &format!("{path}/"));
            } else if kind.is_file() && (name.ends_with(".rs") || name == "Cargo.toml" || path == "ARCHITECTURE.md") {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_else(|error| panic!("{path}: {error}"));
                self.files.insert(path, text);
            }
        }
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(|(path, _)| path.ends_with(".rs"))
    }
}
