//! The folder that a run writes to, tried out before anything is measured: a full disk is not found afterwards.

use crate::error::{Error, Result};
use crate::files::deepest_existing;
use crate::output::note;
use receipt::{RECEIPT_FILE, Receipt};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// More than a default run writes.
const PROBE_BYTES: usize = 8 << 20;
/// What a run writes: the receipt, and what is made of it.
const OUTPUTS: [&str; 5] = [RECEIPT_FILE, "measurements.csv", "report.html", "charts", SUMMARY_FILE];
/// File name of a gate's summary for a pull request.
pub const SUMMARY_FILE: &str = "summary.md";

/// A run's folder, tried out: it can be written to.
pub struct RunFolder {
    pub path: PathBuf,
    /// Whether it was made for this run.
    made: bool,
    /// Whether what is in it is this run's.
    begun: bool,
    /// Where the run went that was there before.
    earlier: Option<PathBuf>,
}

impl RunFolder {
    /// Takes folder `out`, or a new one named after time and scenario where [`runs`] says: tried before it is made,
    /// so that no empty folder is left where nothing can be written.
    pub fn create(out: Option<&Path>, scenario: &str, timestamp: &str) -> Result<Self> {
        Self::try_out(out)?;
        let asked = out.map_or_else(runs, Path::to_path_buf);
        let made = out.is_none() || !asked.exists();
        fs::create_dir_all(&asked).map_err(|e| unwritable(&asked, &e))?;
        let path = if out.is_none() { new_folder(&asked, scenario, timestamp)? } else { asked };
        Ok(Self { path, made, begun: false, earlier: None })
    }

    /// Tries whether [`Self::create`] could write, before long work. Leaves nothing behind.
    pub fn try_out(out: Option<&Path>) -> Result<()> {
        let asked = out.map_or_else(runs, Path::to_path_buf);
        if asked.exists() && !asked.is_dir() {
            return Err(unwritable(&asked, &std::io::Error::other("it is a file")));
        }
        try_writing(deepest_existing(&asked)).map_err(|e| unwritable(&asked, &e))
    }

    /// Writes the first receipt, after moving what the folder already holds of a run to `earlier/` inside it: any of
    /// it, since a page without its receipt is another run's too.
    pub fn begin(&mut self, receipt: &Receipt) -> Result<()> {
        if OUTPUTS.iter().any(|name| self.path.join(name).exists()) {
            let earlier = self.path.join("earlier");
            let mut targets = (1..).map(|n| earlier.join(n.to_string()));
            let target = targets.find(|p| !p.exists()).unwrap_or_else(|| earlier.clone());
            fs::create_dir_all(&target).map_err(|e| Error::io("create", &target, &e))?;
            self.earlier = Some(target.clone());
            move_outputs(&self.path, &target)?;
            note(format!("{} holds an earlier run; moved it to {}", self.path.display(), target.display()));
        }
        self.begun = true;
        self.save(receipt).map(|_| ())
    }

    /// Leaves the folder as it was found: for a run that ends before it measured anything.
    pub fn abandon(&self) {
        // Best effort: the error that ended the run is the one to report.
        if self.begun {
            let _ = fs::remove_file(self.path.join(RECEIPT_FILE));
        }
        if let Some(earlier) = &self.earlier {
            let _ = move_outputs(earlier, &self.path).map(|()| {
                let _ = fs::remove_dir(earlier);
                let _ = fs::remove_dir(self.path.join("earlier"));
            });
        } else if self.made {
            let _ = fs::remove_dir(&self.path);
        }
    }

    /// Writes the receipt to the folder, whole or not at all.
    pub fn save(&self, receipt: &Receipt) -> Result<PathBuf> {
        crate::receipt_file::write_receipt(receipt, &self.path)
    }
}

/// Refuses a folder that holds what a run writes: for whoever renders one run's receipt into another's folder.
pub fn refuse_to_replace(folder: &Path) -> Result<()> {
    match OUTPUTS.iter().map(|name| folder.join(name)).find(|path| path.exists()) {
        Some(path) => Err(Error::input(format!("{} exists; add --force to replace it", path.display()))),
        None => Ok(()),
    }
}

/// Where runs go that name no folder: in a checkout of this repository beside its reports, anywhere else into a folder
/// that says whose it is.
fn runs() -> PathBuf {
    let in_checkout = Path::new("reports/receipt/Cargo.toml").exists();
    PathBuf::from(if in_checkout { "reports/runs" } else { "tritbench-runs" })
}

fn unwritable(folder: &Path, error: &std::io::Error) -> Error {
    Error::input(format!("cannot write the run folder {}: {error}; name another with --out", folder.display()))
}

/// Writes as much as a run does to a file without a name, which is gone even after a kill.
fn try_writing(folder: &Path) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    let zeros = vec![0u8; 1 << 20];
    (0..PROBE_BYTES / zeros.len()).try_for_each(|_| file.write_all(&zeros))?;
    file.sync_all()
}

fn move_outputs(from: &Path, to: &Path) -> Result<()> {
    for name in OUTPUTS {
        let old = from.join(name);
        if old.exists() {
            fs::rename(&old, to.join(name)).map_err(|e| Error::io("move the earlier run's", &old, &e))?;
        }
    }
    Ok(())
}

/// A folder that did not exist: two runs at once get two.
fn new_folder(parent: &Path, scenario: &str, timestamp: &str) -> Result<PathBuf> {
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
    use crate::fixture;

    fn run_in(out: &Path, timestamp: &str) -> RunFolder {
        let mut folder = RunFolder::create(Some(out), "quick", timestamp).expect("writable");
        let mut receipt = fixture::empty();
        receipt.timestamp = timestamp.into();
        folder.begin(&receipt).expect("written");
        folder
    }

    #[test]
    fn an_earlier_run_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("run");
        let read = |name: &str| crate::receipt_file::read_receipt(&out.join(name)).expect("there").timestamp;
        ["one", "two", "three"].into_iter().for_each(|timestamp| drop(run_in(&out, timestamp)));
        assert_eq!(
            [read("receipt.json"), read("earlier/1/receipt.json"), read("earlier/2/receipt.json")],
            ["three", "one", "two"]
        );
        assert_eq!(fs::read_dir(&out).expect("a folder").count(), 2, "the probe left nothing");
        run_in(&out, "four").abandon();
        assert_eq!([read("receipt.json"), read("earlier/2/receipt.json")], ["three", "two"], "as it was found");
        assert!(!out.join("earlier/3").exists());
        // One that never began takes nothing away.
        RunFolder::create(Some(&out), "quick", "five").expect("writable").abandon();
        assert_eq!(read("receipt.json"), "three");
        let tried = dir.path().join("new/er");
        RunFolder::try_out(Some(&tried)).expect("writable");
        assert!(!dir.path().join("new").exists(), "only tried");
        run_in(&tried, "one").abandon();
        assert!(!tried.exists(), "an abandoned run leaves nothing");
    }

    #[test]
    fn nothing_of_an_earlier_run_stays_beside_a_new_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("run");
        fs::create_dir_all(out.join("charts")).expect("made");
        // A gate that wrote all it writes, and lost its receipt.
        for name in ["summary.md", "report.html", "measurements.csv", "charts/trace-w2a8.svg"] {
            fs::write(out.join(name), "old").expect("written");
        }
        fs::write(out.join("notes.txt"), "the user's").expect("written");
        let folder = run_in(&out, "one");
        let names = |folder: &Path| {
            let mut names: Vec<_> = fs::read_dir(folder).expect("there").flatten().map(|e| e.file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&out), ["earlier", "notes.txt", "receipt.json"]);
        assert_eq!(names(&out.join("earlier/1")), ["charts", "measurements.csv", "report.html", "summary.md"]);
        folder.abandon();
        assert_eq!(names(&out), ["charts", "measurements.csv", "notes.txt", "report.html", "summary.md"], "as found");
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("file"), "").expect("written");
        for name in ["file", "file/run"] {
            let error = RunFolder::create(Some(&dir.path().join(name)), "quick", "now").err().expect("refused");
            assert!(error.to_string().contains(name) && error.to_string().contains("--out"), "{error}");
        }
    }
}
