//! Saved baselines: the program itself, the scenario and flags, and the exact results. No time is saved, because a time
//! of another day says nothing about today's machine.

use crate::error::{Error, Result};
use crate::files::{deepest_existing, make_executable, read_limited, write_atomic};
use crate::output::note;
use model::hash::sha256_hex;
use receipt::{Build, ExactCheck};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Layout of `baseline.json`.
const VERSION: u32 = 1;
const FACTS: &str = "baseline.json";
const PROGRAM: &str = "tritbench";
/// What it was called in baselines that were saved before the program had its name.
const OLD_PROGRAM: &str = "harness";
/// Largest `baseline.json` and largest program that are read.
const MAX_FACTS_BYTES: u64 = 64 << 20;
const MAX_PROGRAM_BYTES: u64 = 1 << 30;
/// Prefix of folders that are being written or removed; they are never read.
const UNFINISHED: &str = ".unfinished-";

/// A saved baseline: all that is needed to run a build again and to check that it is the same program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of the layout of this record.
    pub version: u32,
    pub name: String,
    /// When the baseline was saved, RFC 3339, UTC.
    pub created: String,
    pub build: Build,
    /// Name of the CPU that the baseline was saved on; shown, never compared.
    pub cpu: String,
    /// The scenario's text, so that a later edit of the file does not change what is gated.
    pub scenario: String,
    /// Whether `--quick` made the scenario's matrix smaller.
    pub quick: bool,
    /// Ids of the kernels that were asked for; all when absent.
    pub kernels: Option<Vec<String>>,
    pub threads: usize,
    /// CPU feature mask, as for `--cpu-features`; none when absent.
    pub cpu_features: Option<String>,
    pub seed: u64,
    pub binary_sha256: String,
    pub binary_bytes: u64,
    /// The exact results of this build; in each, `baseline` and `current` are the same value.
    pub computed: Vec<ExactCheck>,
}

/// A folder that holds baselines.
pub struct Store {
    pub folder: PathBuf,
}

impl Store {
    /// The store in `folder`, by default in `ci/baselines`.
    pub fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.map_or_else(|| Path::new("ci").join("baselines"), Path::to_path_buf) }
    }

    /// Refuses names that are not plain file names, and existing names unless `--replace` is given.
    pub fn check_name(&self, name: &str, replace: bool) -> Result<()> {
        plain(name)?;
        if self.folder.join(name).exists() && !replace {
            return Err(Error::input(format!("baseline {name} exists; use another name or --replace")));
        }
        Ok(())
    }

    /// Tries whether a baseline could be saved, before what it is to hold is computed. Leaves nothing behind.
    pub fn try_out(&self) -> Result<()> {
        tempfile::tempfile_in(deepest_existing(&self.folder)).map(|_| ()).map_err(|e| {
            Error::input(format!("cannot write in {}: {e}; name another folder with --dir", self.folder.display()))
        })
    }

    /// Saves a baseline with its program, whole or not at all. An earlier one of this name stays until then.
    pub fn save(&self, baseline: &Baseline, program: &[u8]) -> Result<PathBuf> {
        fs::create_dir_all(&self.folder).map_err(|e| Error::io("create the folder", &self.folder, &e))?;
        self.sweep();
        let new = self.unfinished("new");
        let made = self.fill(&new, baseline, program).and_then(|()| self.exchange(&new, &baseline.name));
        if made.is_err() {
            let _ = fs::remove_dir_all(&new);
        }
        made
    }

    fn fill(&self, folder: &Path, baseline: &Baseline, program: &[u8]) -> Result<()> {
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, &e))?;
        write_atomic(&folder.join(PROGRAM), program)?;
        make_executable(&folder.join(PROGRAM))?;
        let json = serde_json::to_vec_pretty(baseline)
            .map_err(|e| Error::failed(format!("cannot write baseline {} as JSON: {e}", baseline.name)))?;
        write_atomic(&folder.join(FACTS), &json)
    }

    fn exchange(&self, new: &Path, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let old = self.unfinished("old");
        let had = path.exists();
        if had {
            fs::rename(&path, &old).map_err(|e| Error::io("replace", &path, &e))?;
        }
        let placed = fs::rename(new, &path).map_err(|e| Error::io("write", &path, &e));
        if had {
            let _ = if placed.is_ok() { fs::remove_dir_all(&old) } else { fs::rename(&old, &path) };
        }
        placed.map(|()| path)
    }

    /// Loads a baseline by name, with the path of its program, which is checked against its hash.
    pub fn load(&self, name: &str) -> Result<(Baseline, PathBuf)> {
        plain(name)?;
        let folder = self.folder.join(name);
        let path = folder.join(FACTS);
        if !path.is_file() {
            let (names, place) = (self.names(), self.folder.display());
            let known = if names.is_empty() { "none".into() } else { names.join(", ") };
            let next = format!("make one with `tritbench baseline save {name}`");
            return Err(Error::input(format!("there is no baseline {name} in {place} (saved: {known}); {next}")));
        }
        let baseline = self.facts(&path)?;
        let old = folder.join(OLD_PROGRAM);
        let program = if old.exists() { old } else { folder.join(PROGRAM) };
        let shown = program.display();
        if !program.exists() {
            return Err(Error::input(format!("baseline {name} has lost its program, {shown}; save it again")));
        }
        let bytes = read_limited(&program, "the program of a baseline", MAX_PROGRAM_BYTES)?;
        if sha256_hex(&bytes) != baseline.binary_sha256 {
            let what = format!("is not the program that baseline {name} was saved with (its hash differs)");
            return Err(Error::input(format!("{shown} {what}; save it again")));
        }
        Ok((baseline, program))
    }

    fn facts(&self, path: &Path) -> Result<Baseline> {
        let text = read_limited(path, "a baseline", MAX_FACTS_BYTES)?;
        let bad = |what: String| {
            Error::input(format!("{} is not a baseline{what}; save it again with this build", path.display()))
        };
        let version: serde_json::Value = serde_json::from_slice(&text).map_err(|e| bad(format!(": {e}")))?;
        if version.get("version").and_then(serde_json::Value::as_u64) != Some(u64::from(VERSION)) {
            return Err(bad(format!(" of version {VERSION}")));
        }
        serde_json::from_slice(&text).map_err(|e| bad(format!(": {e}")))
    }

    /// Sorted names of the folders that look like a baseline.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let named = entries.filter(|e| e.path().join(FACTS).is_file());
        let mut names: Vec<String> = named.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.retain(|n| plain(n).is_ok());
        names.sort_unstable();
        names
    }

    /// Loads all baselines with their names; one that cannot be read is an error beside its name.
    pub fn all(&self) -> Vec<(String, Result<Baseline>)> {
        self.names().into_iter().map(|n| (n.clone(), self.facts(&self.folder.join(n).join(FACTS)))).collect()
    }

    /// Removes the baseline `name`; where there is no such baseline, the error says which ones there are.
    pub fn remove(&self, name: &str) -> Result<()> {
        plain(name)?;
        let path = self.folder.join(name);
        if !path.join(FACTS).is_file() {
            return self.load(name).map(|_| ());
        }
        // Renamed first: if the process is killed while it removes files, no half of a baseline keeps the name.
        let old = self.unfinished("old");
        fs::rename(&path, &old).map_err(|e| Error::io("remove", &path, &e))?;
        fs::remove_dir_all(&old).map_err(|e| Error::io("remove", &old, &e))
    }

    fn unfinished(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{UNFINISHED}{}-{what}", std::process::id()))
    }

    /// Removes unfinished folders of processes that no longer run.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix(UNFINISHED).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
            let alive = |pid: u32| {
                pid == std::process::id()
                    || !Path::new("/proc/self").exists()
                    || Path::new(&format!("/proc/{pid}")).exists()
            };
            if owner.is_some_and(|pid| !alive(pid)) && fs::remove_dir_all(entry.path()).is_ok() {
                note(format!("removed {}, which an interrupted save had left", entry.path().display()));
            }
        }
    }
}

impl Baseline {
    /// Version of the layout in which this build writes and reads baselines.
    pub const fn version() -> u32 {
        VERSION
    }
}

fn plain(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&name.len()) && !name.starts_with('.') && name.chars().all(allowed) {
        return Ok(());
    }
    let next = "use up to 64 letters, digits, dots, dashes and underscores, not a dot first";
    Err(Error::input(format!("{name:?} is no name for a baseline; {next}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(name: &str, program: &[u8]) -> Baseline {
        Baseline {
            version: VERSION,
            name: name.into(),
            created: "2026-01-01T00:00:00Z".into(),
            build: crate::build_info::build(),
            cpu: "a CPU".into(),
            scenario: String::new(),
            quick: true,
            kernels: None,
            threads: 1,
            cpu_features: None,
            seed: 1,
            binary_sha256: sha256_hex(program),
            binary_bytes: program.len() as u64,
            computed: Vec::new(),
        }
    }

    #[test]
    fn saved_listed_replaced_removed_and_never_outside_the_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::new(Some(&dir.path().join("b")));
        assert!(store.names().is_empty());
        store.save(&example("main", b"one"), b"one").expect("saved");
        assert!(store.check_name("main", false).is_err() && store.check_name("main", true).is_ok());
        store.save(&example("main", b"two"), b"two").expect("replaced");
        store.save(&example("other", b"x"), b"x").expect("saved");
        assert_eq!(store.names(), ["main", "other"]);
        let (loaded, program) = store.load("main").expect("loads");
        assert_eq!((loaded.binary_bytes, fs::read(program).expect("there")), (3, b"two".to_vec()));
        store.remove("main").expect("removed");
        let error = store.load("main").expect_err("gone").to_string();
        assert!(error.contains("saved: other") && error.contains("baseline save main"), "{error}");
        assert!(store.remove("main").is_err());
        assert_eq!(fs::read_dir(&store.folder).expect("there").count(), 1, "nothing else is left");
        for name in ["", ".", "..", "a/b", "../x", ".hidden", "a b", &"x".repeat(65)] {
            assert!(store.load(name).expect_err("refused").to_string().contains("is no name"), "{name}");
        }
    }

    #[test]
    fn a_changed_program_and_a_half_saved_one_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::new(Some(dir.path()));
        store.save(&example("main", b"one"), b"one").expect("saved");
        fs::write(dir.path().join("main/tritbench"), b"two").expect("written");
        assert!(store.load("main").expect_err("refused").to_string().contains("its hash differs"));
        fs::write(dir.path().join("main/baseline.json"), b"{\"version\": 1").expect("written");
        assert!(store.load("main").expect_err("refused").to_string().contains("is not a baseline"));
        // What a kill leaves is no baseline, and the next save takes it away. No process has so high a number.
        let left = dir.path().join(".unfinished-99999999-new");
        fs::create_dir(&left).expect("made");
        fs::write(left.join("baseline.json"), b"{}").expect("written");
        assert_eq!(store.names(), ["main"]);
        store.save(&example("next", b"one"), b"one").expect("saved");
        assert!(!left.exists());
    }
}
