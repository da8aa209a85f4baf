//! The modules of all crates, and where a path leads.
//!
//! Test modules and files that only they reach are no part of it. Both sides of a `#[cfg(..)]` for machines are.

use crate::tokens::{self, Body};
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// The text of the files that are judged, by their path from the repository's root.
pub type Sources = BTreeMap<String, String>;

#[derive(Default)]
pub struct Repository {
    pub crates: Vec<Crate>,
    /// By path from the root of a crate: `low::`, `low::a::`; roots that are no library are called after their file.
    pub modules: BTreeMap<String, Module>,
}

pub struct Crate {
    /// As code spells it.
    pub name: String,
    /// Packages that it depends on, and whether only its tests do.
    pub dependencies: BTreeSet<(String, bool)>,
    /// With a `/` at the end; empty for the repository's root.
    pub folder: String,
}

pub struct Module {
    pub file: String,
    /// Its crate.
    pub krate: usize,
    pub body: Body,
}

impl Repository {
    pub fn read(sources: &Sources) -> Self {
        let mut read = Self::default();
        for (path, text) in sources {
            let Some(folder) = path.strip_suffix("Cargo.toml") else { continue };
            let manifest: Table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
            let Some(name) = manifest.get("package").and_then(|package| package["name"].as_str()) else { continue };
            let (name, krate) = (in_code(name), read.crates.len());
            for file in sources.keys() {
                match file.strip_prefix(folder).filter(|file| is_root(file, &manifest)) {
                    Some("src/lib.rs") => read.file(sources, krate, file, format!("{name}::")),
                    Some(_) => read.file(sources, krate, file, format!("{file}::")),
                    None => false,
                };
            }
            read.crates.push(Crate { name, dependencies: dependencies(&manifest), folder: folder.to_owned() });
        }
        read
    }

    /// Adds the module that a file is, with all below it; not if the file is missing or for tests.
    fn file(&mut self, sources: &Sources, krate: usize, file: &str, module: String) -> bool {
        let Some(body) = sources.get(file).and_then(|text| tokens::read(file, text)) else { return false };
        let is_folder = parent(&module).is_empty() || file.ends_with("/mod.rs");
        let below = if is_folder { beside(file) } else { file.trim_end_matches(".rs") };
        self.module(sources, Module { file: file.to_owned(), krate, body }, module, below);
        true
    }

    /// Adds a module and what it declares, whose files are in the folder `below`.
    fn module(&mut self, sources: &Sources, mut module: Module, path: String, below: &str) {
        let (file, krate) = (module.file.clone(), module.krate);
        for (name, inline) in std::mem::take(&mut module.body.modules) {
            let (child, below) = (format!("{path}{name}::"), format!("{below}/{name}"));
            if let Some(body) = inline {
                self.module(sources, Module { file: file.clone(), krate, body }, child, &below);
            } else if let Some((_, odd)) = module.body.files.iter().find(|(module, _)| *module == name) {
                self.file(sources, krate, &format!("{}/{odd}", beside(&file)), child);
            } else if !self.file(sources, krate, &format!("{below}.rs"), child.clone()) {
                self.file(sources, krate, &format!("{below}/mod.rs"), child);
            }
        }
        self.modules.insert(path, module);
    }

    /// The module that something is in, if that is ours.
    pub fn owner(&self, path: &str) -> Option<&Module> {
        self.modules.get(path).or_else(|| self.modules.get(parent(path)))
    }

    /// All that a path written in a module can mean, with imports spelled out: a module (ends in `::`), something that
    /// a file of ours defines, or something of another package. A function and a module may have the same name.
    pub fn resolve(&self, module: &str, path: &[String]) -> Vec<String> {
        self.follow(module, path, &mut Vec::new())
    }

    fn follow(&self, from: &str, path: &[String], seen: &mut Vec<String>) -> Vec<String> {
        let Some((first, rest)) = path.split_first() else { return vec![from.to_owned()] };
        let mut found = match first.as_str() {
            "self" => vec![from.to_owned()],
            "super" => vec![parent(from).to_owned()],
            "crate" => vec![from[..from.find("::").expect("a module has a root") + 2].to_owned()],
            name => self.named(from, name, seen),
        };
        if found.is_empty() {
            // A name alone is a function or a closure; what is inside a crate is named behind it.
            let is_library = !rest.is_empty() && self.modules.contains_key(&format!("{first}::"));
            found.push(if is_library { format!("{first}::") } else { first.clone() });
        }
        for segment in rest {
            if found.iter().any(|found| found.ends_with("::")) {
                found.retain(|found| found.ends_with("::"));
            }
            found = found.into_iter().flat_map(|found| self.step(found, segment, seen)).collect();
        }
        found
    }

    fn step(&self, found: String, segment: &str, seen: &mut Vec<String>) -> Vec<String> {
        if !found.ends_with("::") {
            // A variant or a method is where its type is.
            let is_ours = self.owner(&found).is_some();
            return vec![if is_ours { found } else { format!("{found}::{segment}") }];
        }
        match self.named(&found, segment, seen) {
            _ if segment == "super" => vec![parent(&found).to_owned()],
            // Something that a macro defines.
            none if none.is_empty() => vec![format!("{found}{}", bare(segment))],
            some => some,
        }
    }

    /// What a name alone means in a module, without the names of other packages. `seen` keeps a name from being looked
    /// up for itself: `pub use verdict::verdict`.
    pub fn named(&self, module: &str, name: &str, seen: &mut Vec<String>) -> Vec<String> {
        let (item, child) = (format!("{module}{}", bare(name)), format!("{module}{name}::"));
        let Some(Module { body, .. }) = self.modules.get(module) else { return Vec::new() };
        let mut found: Vec<String> = self.modules.contains_key(&child).then_some(child).into_iter().collect();
        found.extend(body.defines.contains(bare(name)).then(|| item.clone()));
        if seen.contains(&item) {
            return found;
        }
        seen.push(item);
        for import in body.imports.iter().filter(|import| import.name == bare(name)) {
            found.extend(self.follow(module, &import.path, seen));
        }
        if found.is_empty() {
            for import in body.imports.iter().filter(|import| import.name == "*") {
                for taken in self.follow(module, &import.path, seen) {
                    found.extend(self.named(&taken, name, seen));
                }
            }
        }
        seen.pop();
        found
    }
}

/// The module that something is in: `a::` of `a::b` and of `a::b::`.
fn parent(path: &str) -> &str {
    let inside = path.trim_end_matches("::");
    &inside[..inside.rfind("::").map_or(0, |at| at + 2)]
}

/// The folder that a file is in.
fn beside(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The files that a compiler starts with: library, program, build script, and each test, bench and example.
fn is_root(path: &str, manifest: &Table) -> bool {
    match path.split('/').collect::<Vec<_>>()[..] {
        ["build.rs"] | ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] | ["src", "bin", _, "main.rs"] => true,
        ["tests" | "benches" | "examples", _] | ["tests" | "benches" | "examples", _, "main.rs"] => true,
        _ => {
            let targets = manifest.values().filter_map(Value::as_array).flatten();
            targets.filter_map(|target| target.get("path")?.as_str()).any(|root| root == path)
        }
    }
}

fn dependencies(manifest: &Table) -> BTreeSet<(String, bool)> {
    let for_targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let mut found = BTreeSet::new();
    for table in for_targets.filter_map(Value::as_table).chain([manifest]) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
                found.insert((in_code(name), kind == "dev-dependencies"));
            }
        }
    }
    found
}

fn in_code(name: &str) -> String {
    name.replace('-', "_")
}

/// A name without the `!` of a call.
pub fn bare(name: &str) -> &str {
    name.trim_end_matches('!')
}
