//! What ARCHITECTURE.md promises about crates, in two fenced blocks that this test reads.
//!
//! `arrows` has a line for every crate, with the crates that it may know:
//! ```text
//! kernels -> (nothing)
//! model -> kernels
//! ```
//! `never` has a line for crates that must not touch some things, as paths, or as macros with their `!`:
//! ```text
//! kernels: std::fs, println!
//! ```

use std::collections::BTreeMap;

const NOTHING: &str = "(nothing)";

#[derive(Debug, Default, PartialEq)]
pub struct Document {
    pub arrows: BTreeMap<String, Vec<String>>,
    pub never: BTreeMap<String, Vec<String>>,
}

impl Document {
    pub fn read(text: &str) -> Result<Self, String> {
        let arrows = lines(text, "arrows", "->")?;
        let never = lines(text, "never", ":")?;
        Ok(Self { arrows, never })
    }
}

/// The lines `crate SIGN entry, entry` of a fenced block.
fn lines(text: &str, block: &str, sign: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let fence = format!("```{block}");
    let inside = text.lines().skip_while(|line| line.trim() != fence).skip(1).take_while(|line| line.trim() != "```");
    let mut read = BTreeMap::new();
    for line in inside.map(str::trim).filter(|line| !line.is_empty()) {
        let (name, entries) = line.split_once(sign).ok_or_else(|| {
            format!("ARCHITECTURE.md: `{line}` in block {block} has no `{sign}`; write `crate {sign} entry, entry`")
        })?;
        let entries = entries.split(',').map(str::trim).filter(|entry| !entry.is_empty() && *entry != NOTHING);
        read.insert(name.trim().to_owned(), entries.map(str::to_owned).collect());
    }
    if read.is_empty() {
        return Err(format!("ARCHITECTURE.md: no block `{block}` with a line for each crate; write it"));
    }
    Ok(read)
}
