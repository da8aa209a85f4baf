//! A copy of a program that is gated, because what lies at its path may be built anew while the gate runs.

use crate::build_info;
use crate::error::{Error, Result};
use crate::files::{make_executable, read_limited};
use crate::worker::parent::{Patience, Worker};
use crate::worker::start::Program;
use model::hash::sha256_hex;
use std::fs;
use std::path::{Path, PathBuf};

/// Largest program that is read.
const MAX_BYTES: u64 = 1 << 30;

/// What a gate calls the processes of a pair, by column of a round.
pub const LABELS: [&str; 3] = ["the baseline", "the current build", "the baseline's second process"];

/// One of the two builds of a gate.
pub struct Side {
    pub program: Program,
    /// SHA-256 of the program's file, in hex.
    pub sha256: String,
}

/// A copy of a gated program, which stays the same while the original may be built anew.
pub struct Kept {
    pub path: PathBuf,
    pub sha256: String,
    /// What the user called it, for errors.
    named: String,
}

impl Kept {
    /// Copies the program at `path` into `folder`. `named` is what the user called it: the flag and its value.
    ///
    /// # Errors
    /// Exit 2 for what is no file that may be executed.
    pub fn take(named: &str, path: &Path, folder: &Path) -> Result<Self> {
        let wrong = |what: &str| Error::input(format!("{named}: {what}"));
        let found = fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => wrong("no such file"),
            _ => Error::io("read the program", path, &e),
        })?;
        if found.is_dir() {
            return Err(wrong("a folder; name a tritbench executable"));
        }
        let bytes = read_limited(path, "a program", MAX_BYTES)?;
        if !executable(&found) {
            return Err(wrong("not executable; if it is a tritbench program, `chmod +x` it"));
        }
        Ok(Self { path: write(&bytes, folder)?, sha256: sha256_hex(&bytes), named: named.into() })
    }

    /// Copies the program that `flag` names, else the one that runs.
    pub fn given(flag: &str, path: Option<&Path>, folder: &Path) -> Result<Self> {
        match path {
            Some(path) => Self::take(&format!("{flag} {}", path.display()), path, folder),
            None => Self::take("this program", &build_info::own_program(), folder),
        }
    }

    /// Starts the copy once, to find out which protocol it speaks.
    ///
    /// # Errors
    /// Exit 5 for one that does not run here or is no build of ours, exit 2 for what is no program at all.
    pub fn program(&self, label: &str) -> Result<Program> {
        let found = Worker::find(&format!("{label}, {}", self.named), &self.path, Patience::from_environment()?);
        found.map_err(|error| match why_not(&self.named, &self.path) {
            Some(why) if !error.is_interrupt() => why,
            _ => error,
        })
    }

    /// Makes the copy a side of the gate; `column` is its place in a round.
    pub fn side(&self, column: usize) -> Result<Side> {
        Ok(Side { program: self.program(LABELS[column])?, sha256: self.sha256.clone() })
    }
}

#[cfg(unix)]
fn executable(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    found.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn executable(_: &fs::Metadata) -> bool {
    true
}

/// Copies `binary` into `folder` under a name like any other copy's: the length of a program's path moves its stack.
pub fn fresh_copy(binary: &Path, folder: &Path) -> Result<PathBuf> {
    write(&fs::read(binary).map_err(|e| Error::io("read the program", binary, &e))?, folder)
}

fn write(bytes: &[u8], folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, &e))?;
    let copy = folder.join("program");
    // Written byte by byte, not cloned: copies that share blocks on the disk may share their place in memory.
    fs::write(&copy, bytes).map_err(|e| Error::io("write", &copy, &e))?;
    make_executable(&copy)?;
    Ok(copy)
}

/// Looks into a file that did not run: it is nothing that runs anywhere, or this machine lacks something.
fn why_not(named: &str, path: &Path) -> Option<Error> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let (file, own) = (fs::read(path).ok()?, fs::read(build_info::own_program()).ok()?);
    let lacks = |what: String| Error::unsupported(format!("{named}: {what}"));
    let missing = |what: &str, path: &[u8]| {
        let name = String::from_utf8_lossy(path);
        (!name.is_empty() && !Path::new(&*name).exists()).then(|| lacks(format!("{what} {name} is not there")))
    };
    if let Some(rest) = file.strip_prefix(b"#!") {
        let line = rest.split(|byte| *byte == b'\n').next()?.trim_ascii();
        return missing("its interpreter", line.split(u8::is_ascii_whitespace).next()?);
    }
    if !file.starts_with(b"\x7fELF") {
        return Some(Error::input(format!("{named}: neither a program nor a script")));
    }
    // Class and byte order, and the processor.
    if file.get(4..6) != own.get(4..6) || file.get(18..20) != own.get(18..20) {
        let this = std::env::consts::ARCH;
        return Some(lacks(format!("built for another processor than this one, which is {this}")));
    }
    missing("its loader", loader(&file)?)
}

/// The program that loads an executable of 64 bits, low byte first.
fn loader(file: &[u8]) -> Option<&[u8]> {
    const INTERPRETER: u64 = 3;
    let number = |at: usize, bytes: usize| {
        let part = file.get(at..at + bytes)?;
        Some(part.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let (start, size, count) = (number(32, 8)? as usize, number(54, 2)? as usize, number(56, 2)? as usize);
    let headers = (0..count).map(|i| start.saturating_add(i * size));
    let header = headers.into_iter().find(|at| number(*at, 4) == Some(INTERPRETER))?;
    let (offset, bytes) = (number(header + 8, 8)? as usize, number(header + 32, 8)? as usize);
    file.get(offset..offset.checked_add(bytes)?)?.split(|byte| *byte == 0).next()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::error::Exit;

    #[test]
    fn a_file_says_why_it_does_not_run() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("program");
        let why = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            why_not("it", &path).map(|error| (error.exit(), error.to_string()))
        };
        let lacks = |bytes: &[u8], start: &str| {
            let why = why(bytes);
            assert!(matches!(&why, Some((Exit::Unsupported, what)) if what.starts_with(start)), "{start}: {why:?}");
        };
        assert_eq!(why(b"notes"), Some((Exit::Input, "it: neither a program nor a script".into())));
        assert_eq!(why(b"#!/bin/sh\n"), None);
        lacks(b"#! /no/such/shell -x\n", "it: its interpreter /no/such/shell is not there");
        let own = fs::read(build_info::own_program()).expect("read");
        assert_eq!(why(&own), None);
        let mut other = own.clone();
        other[18] ^= 0xff;
        lacks(&other, "it: built for another processor");
        // Tests are linked to the system's libraries.
        let name = loader(&own).expect("a loader").to_vec();
        let at = own.windows(name.len()).position(|part| part == name).expect("there");
        let mut other = own;
        other[at + name.len() - 1] ^= 1;
        lacks(&other, "it: its loader /");
        // Damaged anywhere: an answer or none, never a panic.
        (0..64).for_each(|end| drop(why(&other[..end])));
        other[32..64].fill(0xff);
        assert_eq!(why(&other), None);
    }
}
