//! Crates know only the crates that ARCHITECTURE.md lets them know, and touch nothing that it forbids them.
//!
//! Two fenced blocks of it are data. `arrows` has a line for every crate, with the crates that it may know:
//! `model -> kernels`. `never` has a line for crates that must not touch some things, as paths, or as macros with their
//! `!`: `kernels: std::fs, println!`.

use crate::modules::{Repository, Sources};
use std::collections::{BTreeMap, BTreeSet};

type Lines = BTreeMap<String, Vec<String>>;

pub fn complaints(sources: &Sources, repository: &Repository) -> Vec<String> {
    let text = sources.get("ARCHITECTURE.md").map_or("", String::as_str);
    match lines(text, "arrows", "->")
        .and_then(|arrows| Ok(Document { arrows, never: lines(text, "never", ":")?, repository }))
    {
        Ok(document) => [document.crates(), document.manifests(), document.code()].concat(),
        Err(complaint) => vec![complaint],
    }
}

/// The lines `crate SIGN entry, entry` of a fenced block.
fn lines(text: &str, block: &str, sign: &str) -> Result<Lines, String> {
    let fence = format!("```{block}");
    let inside = text.lines().skip_while(|line| line.trim() != fence).skip(1).take_while(|line| line.trim() != "```");
    let mut read = Lines::new();
    for line in inside.map(str::trim).filter(|line| !line.is_empty()) {
        let (name, entries) = line.split_once(sign).ok_or_else(|| {
            format!("ARCHITECTURE.md: `{line}` in block {block} has no `{sign}`; write `crate {sign} entry, entry`")
        })?;
        let entries = entries.split(',').map(str::trim).filter(|entry| !entry.is_empty() && *entry != "(nothing)");
        read.insert(name.trim().to_owned(), entries.map(str::to_owned).collect());
    }
    let missing = || format!("ARCHITECTURE.md: no block `{block}` with a line for each crate; write it");
    if read.is_empty() { Err(missing()) } else { Ok(read) }
}

struct Document<'a> {
    arrows: Lines,
    never: Lines,
    repository: &'a Repository,
}

impl Document<'_> {
    /// The document and the repository have the same crates.
    fn crates(&self) -> Vec<String> {
        let crates: BTreeSet<&String> = self.repository.crates.iter().map(|krate| &krate.name).collect();
        let missing = crates.iter().filter(|name| !self.arrows.contains_key(**name));
        let missing = missing
            .map(|name| format!("ARCHITECTURE.md: crate {name} is missing; add `{name} -> ...` to its block `arrows`"));
        let named = self.arrows.values().flatten().chain(self.arrows.keys()).chain(self.never.keys());
        let gone: BTreeSet<&String> = named.filter(|name| !crates.contains(name)).collect();
        let gone = gone.iter().map(|name| format!("ARCHITECTURE.md: there is no crate {name}; correct its blocks"));
        missing.chain(gone).collect()
    }

    fn manifests(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for krate in &self.repository.crates {
            for (name, dev) in krate.dependencies.iter().filter(|(name, _)| !self.allows(&krate.name, name)) {
                let (kind, instead) = (if *dev { "dev-depends" } else { "depends" }, self.instead(&krate.name));
                complaints.push(format!("{}Cargo.toml: {kind} on {name}; {instead}", krate.folder));
            }
        }
        complaints
    }

    fn code(&self) -> Vec<String> {
        let Self { repository, never, .. } = self;
        let mut complaints = BTreeSet::new();
        for (path, module) in &repository.modules {
            let (krate, file) = (&repository.crates[module.krate], &module.file);
            // Tests, benches and examples are not what users build.
            let is_shipped = file[krate.folder.len()..].starts_with("src/");
            let never = never.get(&krate.name).filter(|_| is_shipped).into_iter().flatten();
            let written = module.body.imports.iter().map(|import| &import.path).chain(&module.body.mentions);
            for (written, found) in written.flat_map(|w| repository.resolve(path, w).into_iter().map(move |f| (w, f))) {
                if let Some(owner) = repository.owner(&found) {
                    let other = &repository.crates[owner.krate].name;
                    if !self.allows(&krate.name, other) {
                        let (written, instead) = (written.join("::"), self.instead(&krate.name));
                        complaints.insert(format!("{file}: names {written} of crate {other}; {instead}"));
                    }
                    continue;
                }
                for forbidden in never.clone().filter(|forbidden| is_part_of(&found, forbidden)) {
                    let name = &krate.name;
                    complaints.insert(format!(
                        "{file}: {found}; ARCHITECTURE.md keeps {forbidden} out of {name}: take it as an argument"
                    ));
                }
            }
        }
        complaints.into_iter().collect()
    }

    /// Every crate may know itself and packages from elsewhere. A crate that the document lacks has a complaint of its
    /// own.
    fn allows(&self, from: &str, to: &str) -> bool {
        let is_ours = self.repository.crates.iter().any(|krate| krate.name == to);
        from == to || !is_ours || self.arrows.get(from).is_none_or(|known| known.iter().any(|known| known == to))
    }

    fn instead(&self, name: &str) -> String {
        let known = self.arrows.get(name).map_or(String::new(), |known| known.join(", "));
        let known = if known.is_empty() { "no crate".to_owned() } else { format!("only {known}") };
        format!("{name} may know {known} (ARCHITECTURE.md): hand it over as an argument or move it down")
    }
}

/// `std::fs` forbids `std::fs::File`; `println!` forbids `std::println!` too.
fn is_part_of(path: &str, forbidden: &str) -> bool {
    let last = path.rsplit("::").next();
    format!("{path}::").starts_with(&format!("{forbidden}::")) || (forbidden.ends_with('!') && last == Some(forbidden))
}
