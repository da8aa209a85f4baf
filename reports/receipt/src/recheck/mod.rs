//! Checks a receipt: its digests, its own logic (no kernel timed that was not verified, whole rounds), and every
//! figure, recomputed from the raw rounds and compared bit for bit.

mod problem;
mod recompute;
mod standing;
mod structure;

use crate::error::{Error, Kind, Result};
use crate::integrity::{FIELD, Integrity};
use crate::record::{Build, Receipt};
use crate::store;
pub use problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use standing::{Checked, Standing, settle, tally};
use std::path::PathBuf;

/// Parts of old receipts that this build no longer reads, and what they hold.
const NO_LONGER_READ: [(&str, &str); 2] = [
    ("calibration", "gates of a build against itself"),
    ("sparsity", "a sweep of one feed-forward block over live shares"),
];

const BEFORE_DIGESTS: &str = "written before 1.1, so it holds no digests: raw numbers are taken as they are, figures \
                              were computed from them";

/// The result of checking one receipt: what was compared, and what is wrong.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recheck {
    /// Path of the receipt's file.
    pub receipt: PathBuf,
    /// Whether the check found no problem.
    pub verified: bool,
    /// Number of values that the receipt's digests cover.
    pub values_with_digest: u64,
    /// Number of values that were recomputed and compared, raw data included.
    pub values_compared: usize,
    /// What is wrong: first the parts that the digests show to be edited, then contradictions within the receipt, then
    /// figures that the raw rounds do not give.
    pub problems: Vec<Problem>,
    /// What could not be checked, and why.
    pub notes: Vec<String>,
}

/// Rechecks a receipt from the bytes of its file. `own` is the build that checks: texts are compared where it wrote the
/// receipt. A checker that is no build of tritbench gives none, and texts are not compared.
///
/// # Errors
/// Bytes that are not a receipt. A receipt that fails a check is not an error here; its problems are listed.
pub fn recheck(file: PathBuf, bytes: &[u8], own: Option<&Build>) -> Result<Recheck> {
    Ok(recheck_and_read(file, bytes, own)?.0)
}

/// A receipt that was rechecked, as it was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The receipt, every pair judged.
    pub receipt: Receipt,
    /// SHA-256 over all of its values, however the file writes them: equal for copies of one receipt.
    pub content: String,
}

/// [`recheck`] for callers that go on with the receipt: it is there unless an edit made it unreadable.
///
/// # Errors
/// Bytes that are not a receipt.
pub fn recheck_and_read(file: PathBuf, bytes: &[u8], own: Option<&Build>) -> Result<(Recheck, Option<Read>)> {
    let name = file.display().to_string();
    let value = store::value(&name, bytes)?;
    let mut out = Recheck { receipt: file, ..Recheck::default() };
    digests(&value, &mut out);
    out.notes.extend(NO_LONGER_READ.iter().filter(|(part, _)| value.get(part).is_some()).map(|(part, what)| {
        format!("/{part} ({what}) is of an older build: digests cover it, nothing of it was recomputed")
    }));
    let mut read = None;
    match store::parse(&name, bytes) {
        Ok(receipt) => {
            typed(&receipt, &value, own, &mut out);
            // Where the digests hold, the root is that of what is there.
            let written = receipt.integrity.as_ref().filter(|_| out.problems.is_empty());
            let content = written.map_or_else(|| Integrity::of(&value).root, |written| written.root.clone());
            read = Some(Read { receipt, content });
        }
        // The digests have named the part with the edit that made the receipt unreadable, such as a negative count.
        // Another version's digests are not this build's to judge.
        Err(error) if !out.problems.is_empty() && error.kind() != Kind::OtherVersion => {
            out.notes.push(format!("nothing else was checked: {error}"))
        }
        Err(error) => return Err(error),
    }
    out.verified = out.problems.is_empty();
    Ok((out, read))
}

/// Compares with the digests that were written.
fn digests(value: &Value, out: &mut Recheck) {
    let version = value["schema_version"].as_str();
    match value.get(FIELD).map(Integrity::deserialize) {
        Some(Ok(integrity)) => {
            out.values_with_digest = integrity.parts.iter().map(|part| part.leaves).fold(0, u64::saturating_add);
            out.problems.extend(integrity.edits(value).into_iter().map(|(part, what)| Problem::new(part, what)));
        }
        Some(Err(e)) => out.problems.push(Problem::new("/integrity", format!("cannot be read: {e}"))),
        None if version.is_some_and(|version| version.starts_with("1.0.")) => out.notes.push(BEFORE_DIGESTS.into()),
        None if version.is_some() => {
            out.problems.push(Problem::new("/integrity", "missing: receipts since 1.1 hold digests"));
        }
        // Not a receipt: `store::parse` returns the error.
        None => {}
    }
}

fn typed(receipt: &Receipt, written: &Value, own: Option<&Build>, out: &mut Recheck) {
    let broken = structure::problems(receipt);
    let is_sound = broken.is_empty();
    let mut add = |problem: Problem| match out.problems.iter_mut().find(|known| known.field == problem.field) {
        Some(known) => known.recomputed = known.recomputed.take().or(problem.recomputed),
        None => out.problems.push(problem),
    };
    broken.into_iter().for_each(&mut add);
    if !is_sound {
        out.notes.push("figures were not computed again: the rounds are not whole".into());
        return;
    }
    let (differences, compared) = recompute::differences(receipt, written, own);
    differences.into_iter().for_each(&mut add);
    out.values_compared = compared;
    if !recompute::same_build(receipt, own) {
        out.notes.push("written by another build, which may word things differently: texts were not recomputed".into());
    }
}

impl Recheck {
    /// Refuses a receipt that fails a check: for callers that act on its figures.
    ///
    /// # Errors
    /// A failed check, with the first thing that is wrong.
    pub fn require(self) -> Result<Self> {
        match self.problems.first() {
            None => Ok(self),
            Some(first) => Err(refusal(&self.receipt.display().to_string(), first, self.problems.len())),
        }
    }
}

/// The error for a receipt that fails a check: `first` is the problem that it names, `problems` how many there are.
pub fn refusal(file: &str, first: &Problem, problems: usize) -> Error {
    let more = if problems > 1 { format!("; {} more", problems - 1) } else { String::new() };
    Error::failed(format!("{file}: {}{more}", first.line()))
}

#[cfg(test)]
mod structure_tests;
#[cfg(test)]
mod tests;
