//! The folder that a run writes to. It is made and tried out before anything is measured, so that a full disk is not found afterwards.

use crate::error::{Error, Result};
use crate::receipt::Receipt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// More than a default run writes.
const PROBE_BYTES: usize = 8 << 20;
/// What a run writes, besides `receipt.json`.
const OUTPUTS: [&str; 4] = ["receipt.json", "measurements.csv", "report.html", "charts"];

/// A folder that can be written to.
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder at `out`, or a new one named after time and scenario in `reports/runs`. A run that `out` already holds is moved to
    /// `earlier/` inside it.
    pub fn create(out: Option<&Path>, scenario: &str, timestamp: &str) -> Result<Self> {
        let path = match out {
            Some(path) => path.to_path_buf(),
            None => new_folder(scenario, timestamp)?,
        };
        fs::create_dir_all(&path).map_err(|e| Error::io("create the run folder", &path, &e))?;
        let this = Self { path };
        this.try_writing()?;
        this.keep_earlier_run()?;
        Ok(this)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn try_writing(&self) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.path)
            .map_err(|e| Error::io("write to the run folder", &self.path, &e))?;
        let zeros = vec![0u8; 1 << 20];
        let written = (0..PROBE_BYTES / zeros.len()).try_for_each(|_| file.write_all(&zeros));
        written.and_then(|()| file.as_file().sync_all()).map_err(|e| {
            let path = self.path.display();
            Error::input(format!(
                "cannot write {} MiB to {path}: {e}; free space or name another --out",
                PROBE_BYTES >> 20
            ))
        })
    }

    fn keep_earlier_run(&self) -> Result<()> {
        let receipt = self.path.join(OUTPUTS[0]);
        if !receipt.exists() {
            return Ok(());
        }
        let earlier = self.path.join("earlier");
        let target =
            (1..).map(|n| earlier.join(n.to_string())).find(|p| !p.exists()).unwrap_or_else(|| earlier.clone());
        fs::create_dir_all(&target).map_err(|e| Error::io("create", &target, &e))?;
        for name in OUTPUTS {
            let from = self.path.join(name);
            if from.exists() {
                fs::rename(&from, target.join(name)).map_err(|e| Error::io("move the earlier run's", &from, &e))?;
            }
        }
        eprintln!("{} holds an earlier run; moved it to {}", self.path.display(), target.display());
        Ok(())
    }

    /// Writes the receipt; whole or not at all.
    pub fn save(&self, receipt: &Receipt) -> Result<PathBuf> {
        crate::receipt::write_receipt(receipt, &self.path)
    }
}

/// A folder that did not exist: two runs at once get two.
fn new_folder(scenario: &str, timestamp: &str) -> Result<PathBuf> {
    let parent = Path::new("reports").join("runs");
    fs::create_dir_all(&parent).map_err(|e| Error::io("create", &parent, &e))?;
    let plain = |text: &str| text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect::<String>();
    let time: String = timestamp.chars().filter(|c| c.is_ascii_digit() || *c == 'T').take(15).collect();
    for attempt in 1..1000 {
        let suffix = if attempt == 1 { String::new() } else { format!("-{attempt}") };
        let path = parent.join(format!("{time}-{}{suffix}", plain(scenario)));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("create", &path, &e)),
        }
    }
    Err(Error::input(format!("{} has a thousand runs of this second; name one with --out", parent.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_run_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("run");
        for n in 1..4 {
            let folder = RunFolder::create(Some(&out), "quick", "now").expect("writable");
            fs::write(folder.path().join("receipt.json"), n.to_string()).expect("written");
        }
        let read = |name: &str| fs::read_to_string(out.join(name)).expect("there");
        assert_eq!(
            [read("receipt.json"), read("earlier/1/receipt.json"), read("earlier/2/receipt.json")],
            ["3", "1", "2"]
        );
        assert_eq!(fs::read_dir(&out).expect("a folder").count(), 2, "the probe left nothing");
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("file"), "").expect("written");
        let error = RunFolder::create(Some(&dir.path().join("file/run")), "quick", "now").err().expect("refused");
        assert!(error.to_string().contains("file/run"), "{error}");
    }
}
