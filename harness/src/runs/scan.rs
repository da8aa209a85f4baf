//! Finds run folders below a folder, folders that are none, and places that cannot be looked into.

use crate::error::{Error, Result};
use receipt::RECEIPT_FILE;
use receipt::recheck::{Checked, Standing};
use reports::Unreadable;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Run folders and other folders below a folder, in the order of names.
#[derive(Debug, Default)]
pub struct Found {
    /// Folders with a receipt: runs.
    pub runs: Vec<PathBuf>,
    /// The topmost folders without a receipt in themselves or below: no fault.
    pub others: Vec<Unreadable>,
    /// Places where receipts may be and cannot be looked for: folders that cannot be read, loops of links.
    pub unseen: Vec<Checked>,
}

/// Looks into every folder but hidden ones; a link is followed once, wherever it leads. Only that `folder` itself
/// cannot be read, or holds no run, is an error.
pub fn scan(folder: &Path) -> Result<Found> {
    let io = |e: &std::io::Error| Error::io("read the folder", folder, e);
    let real = folder.canonicalize().map_err(|e| io(&e))?;
    let mut walk =
        Walk { root: folder, seen: HashSet::from([real.clone()]), above: vec![real], found: Found::default() };
    for child in walk.children(folder).map_err(|e| io(&e))? {
        walk.look_into(&child);
    }
    let found = walk.found;
    if found.runs.is_empty() && found.unseen.is_empty() {
        let what = "no receipt.json in it or in a folder below: name a run folder, or one that holds run folders";
        return Err(Error::input(format!("{}: {what}", folder.display())));
    }
    Ok(found)
}

struct Walk<'a> {
    root: &'a Path,
    /// Real paths of all folders that were looked into.
    seen: HashSet<PathBuf>,
    /// Real paths of the folders from the root to the one that is looked into.
    above: Vec<PathBuf>,
    found: Found,
}

impl Walk<'_> {
    fn below_root(&self, path: &Path) -> String {
        path.strip_prefix(self.root).unwrap_or(path).display().to_string()
    }

    fn unseen(&mut self, path: &Path, standing: Standing, what: String) {
        let path = self.below_root(path);
        self.found.unseen.push(Checked::without_receipt(path, standing, what));
    }

    /// Folders in a folder, by name, and links to folders.
    fn children(&mut self, folder: &Path) -> std::io::Result<Vec<PathBuf>> {
        let (mut folders, mut links) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_symlink() && self.leads_to_a_folder(&entry.path()) {
                links.push(entry.path());
            }
        }
        folders.sort();
        links.sort();
        // A run is called by its own folder's name where there is a link to it besides.
        folders.extend(links);
        Ok(folders)
    }

    /// A link that leads nowhere may have been anything; one that leads in a circle is said.
    fn leads_to_a_folder(&mut self, link: &Path) -> bool {
        match std::fs::metadata(link) {
            Ok(target) => target.is_dir(),
            // The receipt itself is read later, and its row says why it cannot be.
            Err(_) if link.file_name().is_some_and(|name| name == RECEIPT_FILE) => false,
            Err(e) => {
                let standing = match e.kind() {
                    ErrorKind::NotFound | ErrorKind::NotADirectory => None,
                    ErrorKind::PermissionDenied => Some(Standing::Unreadable),
                    _ => Some(Standing::Loop),
                };
                if let Some(standing) = standing {
                    self.unseen(link, standing, format!("the link cannot be followed: {e}"));
                }
                false
            }
        }
    }

    /// Returns whether there is a run in `folder` or below, or was when it was looked into before.
    fn look_into(&mut self, folder: &Path) -> bool {
        let real = match folder.canonicalize() {
            Ok(real) => real,
            Err(e) => return self.cannot_read(folder, &e),
        };
        if self.above.iter().any(|above| above.starts_with(&real)) {
            self.unseen(folder, Standing::Loop, "leads back to a folder above it".into());
            return false;
        }
        if !self.seen.insert(real.clone()) {
            return true;
        }
        let names = match self.children(folder) {
            Ok(names) => names,
            Err(e) => return self.cannot_read(folder, &e),
        };
        // A link to nothing is there too: its row says that it cannot be read.
        let own = folder.join(RECEIPT_FILE).symlink_metadata().is_ok();
        if own {
            self.found.runs.push(folder.to_path_buf());
        }
        let (before, unseen) = (self.found.others.len(), self.found.unseen.len());
        self.above.push(real);
        // No short circuit: all of them are looked into.
        let below = names.iter().filter(|child| self.look_into(child)).count() > 0;
        self.above.pop();
        if own {
            // What lies in a run folder without a receipt is the run's own, such as its charts.
            self.found.others.truncate(before);
        } else if !below {
            // One line for the whole tree, where no other row speaks of it.
            self.found.others.truncate(before);
            if self.found.unseen.len() == unseen {
                let (path, reason) = (self.below_root(folder), format!("no {RECEIPT_FILE} in it or below"));
                self.found.others.push(Unreadable { path, reason });
            }
        }
        own || below
    }

    fn cannot_read(&mut self, folder: &Path, error: &std::io::Error) -> bool {
        self.unseen(folder, Standing::Unreadable, format!("cannot read the folder: {error}"));
        false
    }
}
