//! How each of many receipts stands: whether it holds, and whether another file is the same one or contradicts it.

use super::{Read, Recheck};
use crate::error::{Error, Kind, Result};
use crate::figures::{integer, plain};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// How a file that is called a receipt stands among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It holds.
    Holds,
    /// It holds, and an earlier file has the same content: it counts once.
    Repeated,
    /// A check failed; the part is named.
    Fails,
    /// It holds by itself, and another file has other content under the same run id: neither counts.
    OtherContent,
    /// It has another major version than this build reads.
    OtherVersion,
    /// It is no receipt, or was not written to its end.
    Unreadable,
    /// A symbolic link that leads back to a folder above itself.
    Loop,
}

impl Standing {
    /// Every standing, the best first.
    pub const ALL: [Self; 7] = [
        Self::Holds,
        Self::Repeated,
        Self::Fails,
        Self::OtherContent,
        Self::OtherVersion,
        Self::Unreadable,
        Self::Loop,
    ];

    /// The standing in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Repeated => "holds, counted once",
            Self::Fails => "does not hold",
            Self::OtherContent => "other content",
            Self::OtherVersion => "other version",
            Self::Unreadable => "unreadable",
            Self::Loop => "loop of links",
        }
    }

    /// Whether nothing is wrong with the file.
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Holds | Self::Repeated)
    }
}

/// One file among many, and how it stands.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Where the file is, as it is to be shown.
    pub path: String,
    /// How it stands.
    pub standing: Standing,
    /// JSON pointer of the part that does not hold, if one does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// What is wrong, or which file it repeats; empty where it holds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// What tells the run from every other, if the receipt says.
    #[serde(skip)]
    run: Option<String>,
    /// SHA-256 over all values of the receipt.
    #[serde(skip)]
    content: String,
}

impl Checked {
    /// A file that is no receipt, and why.
    pub fn without_receipt(path: String, standing: Standing, what: impl AsRef<str>) -> Self {
        let what = plain(what.as_ref());
        Self { path, standing, part: None, what, run: None, content: String::new() }
    }

    /// How a file stands by itself, after its recheck. Messages that begin with the file's `path` lose it.
    pub fn of(path: String, rechecked: &Result<(Recheck, Option<Read>)>) -> Self {
        match rechecked {
            Err(error) => Self::of_error(path, error),
            Ok((found, read)) => {
                let first = found.problems.first();
                let more = match found.problems.len() {
                    0 | 1 => String::new(),
                    n => format!("; {} more", n - 1),
                };
                let run = read.as_ref().and_then(|read| read.receipt.run_id.clone());
                Self {
                    path,
                    standing: if first.is_none() { Standing::Holds } else { Standing::Fails },
                    part: first.map(|problem| plain(&problem.field)),
                    what: first.map_or_else(String::new, |problem| problem.line() + &more),
                    run,
                    content: read.as_ref().map_or_else(String::new, |read| read.content.clone()),
                }
            }
        }
    }

    fn of_error(path: String, error: &Error) -> Self {
        let standing = match error.kind() {
            Kind::OtherVersion => Standing::OtherVersion,
            Kind::Input | Kind::Failed => Standing::Unreadable,
        };
        let message = error.to_string();
        let what = message.strip_prefix(path.as_str()).unwrap_or(&message).trim_start();
        Self::without_receipt(path.clone(), standing, what)
    }

    /// The file as one line of text: `does not hold: a/receipt.json: /host: not what was written`.
    pub fn line(&self) -> String {
        let what = if self.what.is_empty() { String::new() } else { format!(": {}", self.what) };
        plain(&format!("{}: {}{what}", self.standing.words(), self.path))
    }
}

/// Holds the files against each other, in the order given: of equal receipts the first counts, and of receipts that
/// call themselves one run and differ, none.
pub fn settle(files: &mut [Checked]) {
    let mut contents: HashMap<String, HashSet<String>> = HashMap::new();
    for file in files.iter().filter(|file| file.standing == Standing::Holds) {
        if let Some(run) = &file.run {
            contents.entry(run.clone()).or_default().insert(file.content.clone());
        }
    }
    let of_run = |file: &Checked| file.run.as_ref().and_then(|run| contents.get(run)).map_or(0, HashSet::len);
    let mut first: HashMap<String, String> = HashMap::new();
    for file in files.iter_mut().filter(|file| file.standing == Standing::Holds) {
        let several = of_run(file);
        if several > 1 {
            let run = plain(file.run.as_deref().unwrap_or_default());
            file.standing = Standing::OtherContent;
            file.what = format!("{several} receipts with different content call themselves run {run}");
        } else if let Some(earlier) = first.get(&file.content) {
            file.standing = Standing::Repeated;
            file.what = format!("the same as {earlier}");
        } else {
            first.insert(file.content.clone(), file.path.clone());
        }
    }
}

/// How many files there are and how they stand: `12 receipts (holds: 10; unreadable: 2)`.
pub fn tally(files: &[Checked]) -> String {
    let count = |standing: Standing| files.iter().filter(|file| file.standing == standing).count();
    let parts = Standing::ALL.into_iter().filter(|standing| count(*standing) > 0);
    let parts: Vec<String> = parts.map(|s| format!("{}: {}", s.words(), integer(count(s) as u64))).collect();
    let plural = if files.len() == 1 { "" } else { "s" };
    format!("{} receipt{plural} ({})", integer(files.len() as u64), parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::recheck::recheck_and_read;
    use crate::record::Receipt;
    use crate::sealed;

    fn checked(path: &str, bytes: &[u8]) -> Checked {
        Checked::of(path.into(), &recheck_and_read(path.into(), bytes, None))
    }

    fn of_run(path: &str, run: Option<&str>, change: impl FnOnce(&mut Receipt)) -> Checked {
        let mut receipt = fixture::complete();
        receipt.run_id = run.map(str::to_owned);
        change(&mut receipt);
        checked(path, &sealed(&receipt).expect("written"))
    }

    #[test]
    fn each_file_stands_by_itself() {
        let whole = String::from_utf8(sealed(&fixture::complete()).expect("written")).expect("JSON");
        let line = |text: &str| checked("a/receipt.json", text.as_bytes()).line();
        assert_eq!(line(&whole), "holds: a/receipt.json");
        let edited = whole.replacen("\"cpus\":", "\"cpus\":1", 1);
        assert_eq!(line(&edited), "does not hold: a/receipt.json: /host: not what was written");
        assert!(line(&whole[..whole.len() / 2]).starts_with("unreadable: a/receipt.json: is not JSON: EOF"));
        let other = whole.replacen("\"schema_version\":\"1.", "\"schema_version\":\"2.", 1);
        assert!(line(&other).starts_with("other version: a/receipt.json: has schema version \"2."), "{}", line(&other));
        assert_eq!(line("{}"), "unreadable: a/receipt.json: is JSON but not a receipt: it has no \"schema_version\"");
    }

    #[test]
    fn equal_receipts_count_once_and_runs_that_contradict_each_other_never() {
        let mut files = [
            of_run("a", Some("1"), |_| {}),
            of_run("b", Some("1"), |_| {}),
            of_run("c", Some("2"), |_| {}),
            of_run("d", Some("2"), |r| r.elapsed_s += 1.0),
            of_run("e", Some("2"), |r| r.elapsed_s += 1.0),
            of_run("f", None, |_| {}),
            of_run("g", None, |r| r.elapsed_s += 1.0),
            of_run("h", None, |_| {}),
        ];
        settle(&mut files);
        let standings = files.each_ref().map(|file| file.standing);
        use Standing::{Holds, OtherContent, Repeated};
        let expected = [Holds, Repeated, OtherContent, OtherContent, OtherContent, Holds, Holds, Repeated];
        assert_eq!(standings, expected);
        assert_eq!((files[1].what.as_str(), files[7].what.as_str()), ("the same as a", "the same as f"));
        assert_eq!(files[3].what, "2 receipts with different content call themselves run 2");
    }

    #[test]
    fn an_edited_copy_does_not_take_the_original_with_it() {
        let whole = Receipt { run_id: Some("1".into()), ..fixture::complete() };
        let bytes = String::from_utf8(sealed(&whole).expect("written")).expect("JSON");
        let edited = bytes.replacen("\"cpus\":", "\"cpus\":1", 1);
        let mut files = [checked("edited", edited.as_bytes()), checked("whole", bytes.as_bytes())];
        settle(&mut files);
        assert_eq!(files.map(|file| file.standing), [Standing::Fails, Standing::Holds]);
    }
}
