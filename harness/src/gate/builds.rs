//! Builds of revisions: `tritbench-gate` in the repository's git folder has the work tree while a revision is built,
//! and target folders that later gates find again. One gate at a time is in it.
//!
//! Cargo takes packages of two work trees for the same, and a file for unchanged that is older than its last build. So
//! the files of a revision are newer than any build, unless the last build in this target folder was of this very
//! revision and came to its end: then they are older, and nothing is built again.

use super::cargo::Cargo;
use super::program::Kept;
use super::revision::Revision;
use super::wait::Patience;
use crate::error::{Error, Result};
use crate::output::note;
use model::hash::sha256_hex;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// In the folder that all work trees of a repository share.
const FOLDER: &str = "tritbench-gate";
const LOCK: &str = "lock";
const TREE: &str = "tree";
/// Target folders begin with this. One holds the builds of one recipe with one Cargo.lock: what revisions share is
/// built once, and each takes the place of the one before.
const TARGET: &str = "target-";
/// In a target folder: the commit that was built last, if its build came to its end.
const BUILT: &str = "built-commit";
/// So many target folders stay, the last used.
const MOST: usize = 3;
/// Seconds since 1970 of files that are older or newer than any build.
const OLD: u64 = 1_000_000_000;
const NEW: u64 = 4_000_000_000;

/// The folder of builds, locked.
struct Builds {
    folder: PathBuf,
    _lock: File,
}

/// Builds a revision and keeps its program in `folder`.
pub fn build(revision: &Revision, folder: &Path) -> Result<Kept> {
    let cargo = Cargo::find(&revision.git)?;
    let builds = Builds::lock(&revision.common)?;
    let label = revision.label();
    note(format!("building {label} with {} in {}", cargo.words(), builds.folder.display()));
    let tree = builds.check_out(revision)?;
    let lock_file = fs::read(tree.path.join("Cargo.lock")).unwrap_or_default();
    let name = sha256_hex(format!("{} {}", cargo.words(), sha256_hex(&lock_file)).as_bytes());
    let target = builds.target(&name[..12])?;
    let built = target.join(BUILT);
    let again = fs::read_to_string(&built).is_ok_and(|last| last == revision.commit);
    tree.set_age(if again { OLD } else { NEW })?;
    // Whatever ends this build before its end, the next one begins anew.
    if built.exists() {
        fs::remove_file(&built).map_err(|e| Error::io("remove", &built, &e))?;
    }
    let program = cargo.build(&label, &tree.path, &target)?;
    fs::write(&built, &revision.commit).map_err(|e| Error::io("write", &built, &e))?;
    // Kept before the lock is given back, because another revision's program comes to the same place.
    Kept::take(&format!("the program of {label}"), &program, folder)
}

impl Builds {
    fn lock(common: &Path) -> Result<Self> {
        let folder = common.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|e| Error::io("create the folder", &folder, &e))?;
        let path = folder.join(LOCK);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|e| Error::io("open", &path, &e))?;
        let mut waiting = None;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(e)) => {
                    note(format!("warning: cannot lock {}: {e}; do not start a second gate here", path.display()));
                    break;
                }
                Err(TryLockError::WouldBlock) => {}
            }
            let patience = waiting.get_or_insert_with(|| {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let what = format!("process {}, which builds a revision in {}", holder.trim(), folder.display());
                note(format!("waiting for {what}"));
                Patience::new(what)
            });
            if !patience.wait() {
                return Err(Error::interrupted("interrupted while another gate was building; nothing was measured"));
            }
        }
        // For whoever waits.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { folder, _lock: file })
    }

    /// The target folder of this name. Others that were not used lately go, and so does what was built here by gates
    /// that had one target folder for everything.
    fn target(&self, name: &str) -> Result<PathBuf> {
        let target = self.folder.join(format!("{TARGET}{name}"));
        let io = |e: std::io::Error| Error::io("write in", &target, &e);
        fs::create_dir_all(&target).map_err(io)?;
        File::open(&target).and_then(|folder| folder.set_modified(SystemTime::now())).map_err(io)?;
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|e| Error::io("read", &self.folder, &e))?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path != target && name != LOCK && name != TREE {
                let used = entry.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                others.push((name.to_string_lossy().starts_with(TARGET), used, path));
            }
        }
        // Target folders first, and of these the last used.
        others.sort_unstable_by(|a, b| b.cmp(a));
        let stay = others.iter().take(MOST - 1).take_while(|(target, ..)| *target).count();
        for (.., path) in &others[stay..] {
            let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            gone.map_err(|e| Error::io("remove", path, &e))?;
            note(format!("removed {}, an older gate's build", path.display()));
        }
        Ok(target)
    }

    fn check_out(&self, revision: &Revision) -> Result<Tree> {
        // Removed whatever becomes of it.
        let mut tree = Tree { path: self.folder.join(TREE), of_git: None };
        if tree.path.exists() {
            fs::remove_dir_all(&tree.path).map_err(|e| Error::io("remove", &tree.path, &e))?;
        }
        let at = tree.path.as_os_str();
        // With force, because a killed gate's tree may still be on git's list.
        let add = ["worktree", "add", "--force", "--force", "--detach"].map(AsRef::as_ref);
        revision.git.run(&[&add[..], &[at, revision.commit.as_ref()]].concat()).map_err(|refused| {
            refused.reword(|why| Error::input(format!("cannot check out {}: {why}", revision.label())))
        })?;
        let args: [&std::ffi::OsStr; 4] = ["-C".as_ref(), at, "rev-parse".as_ref(), "--absolute-git-dir".as_ref()];
        tree.of_git = revision.git.ask(&args)?.map(PathBuf::from);
        Ok(tree)
    }
}

/// A work tree; removed when dropped, by hand, because that must work after Ctrl-C too.
struct Tree {
    path: PathBuf,
    /// What git keeps about it.
    of_git: Option<PathBuf>,
}

impl Tree {
    /// Gives all files the same age. What git keeps about the tree is read by build scripts too.
    fn set_age(&self, seconds: u64) -> Result<()> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut parts = [Some(&self.path), self.of_git.as_ref()].into_iter().flatten();
        let set = parts.try_for_each(|path| set_age(path, time));
        set.map_err(|e| Error::io("set the age of files in", &self.path, &e))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        if let Some(of_git) = &self.of_git {
            let _ = fs::remove_dir_all(of_git);
        }
    }
}

fn set_age(path: &Path, time: SystemTime) -> std::io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            set_age(&entry?.path(), time)?;
        }
    }
    if kind.is_dir() || kind.is_file() {
        File::open(path)?.set_modified(time)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_target_folders_stay_and_nothing_of_older_gates() {
        let dir = tempfile::tempdir().expect("a folder");
        let builds = Builds::lock(dir.path()).expect("locked");
        fs::create_dir_all(builds.folder.join("debug/deps")).expect("made");
        fs::write(builds.folder.join("CACHEDIR.TAG"), "").expect("written");
        let names = || {
            let entries = fs::read_dir(&builds.folder).expect("there").flatten();
            let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
            names.sort();
            names
        };
        for name in ["a", "b", "c", "a", "d"] {
            let target = builds.target(name).expect("made");
            fs::write(target.join("program"), "").expect("written");
        }
        assert_eq!(names(), ["lock", "target-a", "target-c", "target-d"]);
    }
}
