//! The shape of the repository, as a test that needs no build of what it reads.
//!
//! A file can be understood alone only if the files that it takes names from do not take names from it; a crate can be
//! used alone only if it does not know the crates above it. Neither is seen in a review of a few lines, so it is read
//! from the source text here: no circles of files, short files and lines, the arrows between crates that
//! ARCHITECTURE.md draws, and what that document says a crate never touches.
//!
//! [`tokens`] says what one file defines and names, [`modules`] where each name is found.

mod architecture;
mod circles;
mod modules;
mod own_tests;
mod tokens;

use modules::{Repository, Sources};
use std::path::Path;

const LINES: usize = 500;
const COLUMNS: usize = 120;

/// Rust files, manifests and ARCHITECTURE.md. What git does not keep (`target`, hidden folders) is not looked at.
fn walk(folder: &Path, prefix: &str, sources: &mut Sources) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let entry = entry.expect("readable");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("known");
        if kind.is_dir() && name != "target" && !name.starts_with('.') {
            walk(&entry.path(), &format!("{path}/"), sources);
        } else if kind.is_file() && (name.ends_with(".rs") || name == "Cargo.toml" || path == "ARCHITECTURE.md") {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_else(|error| panic!("{path}: {error}"));
            sources.insert(path, text);
        }
    }
}

/// A file is one idea and can be read in one sitting; a line can be read without scrolling.
fn long_files_and_lines(sources: &Sources) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in sources.iter().filter(|(path, _)| path.ends_with(".rs")) {
        let lines = text.lines().count();
        if lines > LINES {
            complaints
                .push(format!("{path}: {lines} lines, at most {LINES}; move one idea of it to a file of its own"));
        }
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| line.chars().count() > COLUMNS) {
            let columns = line.chars().count();
            complaints.push(format!("{path}:{number}: {columns} characters, at most {COLUMNS}; break the line"));
        }
    }
    complaints
}

/// Every complaint has a line of its own: the file, what is wrong, what to do.
#[test]
fn the_repository_is_tidy() {
    let mut sources = Sources::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), "", &mut sources);
    let repository = Repository::read(&sources);
    let complaints = [
        long_files_and_lines(&sources),
        circles::complaints(&repository),
        architecture::complaints(&sources, &repository),
    ];
    assert!(complaints.iter().all(Vec::is_empty), "\n{}\n", complaints.concat().join("\n"));
}
