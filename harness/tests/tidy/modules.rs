//! The modules of all crates, and where a path leads.
//!
//! Test modules and files that only they reach are no part of it. Both sides of a `#[cfg(..)]` for machines are.

use crate::tokens::{self, Body};
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// The text of the files that are judged, by their path from the repository's root.
pub type Sources = BTreeMap<String, String>;
pub type Id = usize;

#[derive(Default)]
pub struct Repository {
    pub crates: Vec<Crate>,
    pub modules: Vec<Module>,
}

pub struct Crate {
    /// As code spells it.
    pub name: String,
    /// Packages that it depends on, and whether only its tests do.
    pub dependencies: BTreeSet<(String, bool)>,
    /// With a `/` at the end; empty for the repository's root.
    pub folder: String,
    /// What other crates see, of a crate that has a library.
    library: Option<Id>,
}

pub struct Module {
    pub file: String,
    pub krate: usize,
    pub body: Body,
    parent: Option<Id>,
    children: Vec<(String, Id)>,
}

/// What a path leads to.
#[derive(Clone)]
pub enum Found {
    Module(Id),
    /// A name that this module's file defines.
    Item(Id, String),
    /// Something of another package, with imports spelled out.
    Outside(Vec<String>),
}

impl Found {
    pub fn item(self) -> Option<(Id, String)> {
        if let Self::Item(module, name) = self { Some((module, name)) } else { None }
    }
}

impl Repository {
    pub fn read(sources: &Sources) -> Self {
        let mut read = Self::default();
        for (path, text) in sources {
            let Some(folder) = path.strip_suffix("Cargo.toml") else { continue };
            let manifest: Table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
            let Some(name) = manifest.get("package").and_then(|package| package["name"].as_str()) else { continue };
            let krate = read.crates.len();
            let (name, dependencies, folder) = (in_code(name), dependencies(&manifest), folder.to_owned());
            read.crates.push(Crate { name, dependencies, folder: folder.clone(), library: None });
            for file in sources.keys().filter(|file| file.strip_prefix(&folder).is_some_and(|f| is_root(f, &manifest)))
            {
                let root = read.file(sources, krate, file, None);
                if file[folder.len()..] == *"src/lib.rs" {
                    read.crates[krate].library = root;
                }
            }
        }
        read
    }

    /// The module that a file is, with all below it; none for a file that is missing or for tests.
    fn file(&mut self, sources: &Sources, krate: usize, file: &str, parent: Option<Id>) -> Option<Id> {
        let body = tokens::read(file, sources.get(file)?)?;
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        let is_folder = parent.is_none() || name == "mod.rs";
        let below = if is_folder { folder } else { file.trim_end_matches(".rs") };
        Some(self.module(sources, Module { file: file.to_owned(), krate, body, parent, children: Vec::new() }, below))
    }

    /// Adds a module and what it declares, whose files are in the folder `below`.
    fn module(&mut self, sources: &Sources, mut module: Module, below: &str) -> Id {
        let id = self.modules.len();
        let (file, krate, parent) = (module.file.clone(), module.krate, Some(id));
        let (declared, files) = (std::mem::take(&mut module.body.modules), module.body.files.clone());
        self.modules.push(module);
        for (name, inline) in declared {
            let below = format!("{below}/{name}");
            let child = if let Some(body) = inline {
                let module = Module { file: file.clone(), krate, body, parent, children: Vec::new() };
                Some(self.module(sources, module, &below))
            } else if let Some((_, path)) = files.iter().find(|(module, _)| *module == name) {
                let beside = file.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.file(sources, krate, &format!("{beside}/{path}"), parent)
            } else {
                let flat = self.file(sources, krate, &format!("{below}.rs"), parent);
                flat.or_else(|| self.file(sources, krate, &format!("{below}/mod.rs"), parent))
            };
            self.modules[id].children.extend(child.map(|child| (name, child)));
        }
        id
    }

    pub fn is_below(&self, module: Id, ancestor: Id) -> bool {
        self.above(module).skip(1).any(|id| id == ancestor)
    }

    /// A module and those that it is in, up to the root of its crate.
    fn above(&self, module: Id) -> impl Iterator<Item = Id> {
        std::iter::successors(Some(module), |&id| self.modules[id].parent)
    }

    /// All that a path written in a module can mean: a function and a module may have the same name.
    pub fn resolve(&self, module: Id, path: &[String]) -> Vec<Found> {
        self.follow(module, path, &mut Vec::new())
    }

    fn follow(&self, from: Id, path: &[String], seen: &mut Vec<(Id, String)>) -> Vec<Found> {
        let Some((first, rest)) = path.split_first() else { return vec![Found::Module(from)] };
        let mut found = match first.as_str() {
            "self" => vec![Found::Module(from)],
            "super" => self.modules[from].parent.map(Found::Module).into_iter().collect(),
            "crate" => self.above(from).last().map(Found::Module).into_iter().collect(),
            name => self.named(from, name, seen),
        };
        if found.is_empty() {
            // A name alone is a function or a closure; what is inside a crate is named behind it.
            let named = self.crates.iter().find(|krate| krate.name == *first && !rest.is_empty());
            let library = named.and_then(|krate| krate.library);
            found.push(library.map_or_else(|| Found::Outside(vec![first.clone()]), Found::Module));
        }
        for segment in rest {
            if found.iter().any(|found| matches!(found, Found::Module(_))) {
                found.retain(|found| matches!(found, Found::Module(_)));
            }
            found = found.into_iter().flat_map(|found| self.step(found, segment, seen)).collect();
        }
        found
    }

    fn step(&self, found: Found, segment: &str, seen: &mut Vec<(Id, String)>) -> Vec<Found> {
        match found {
            Found::Module(module) if segment == "super" => {
                self.modules[module].parent.map(Found::Module).into_iter().collect()
            }
            Found::Module(module) => match self.named(module, segment, seen) {
                // Something that a macro defines.
                none if none.is_empty() => vec![Found::Item(module, bare(segment).to_owned())],
                some => some,
            },
            // A variant, a method.
            Found::Item(..) => vec![found],
            Found::Outside(mut path) => {
                path.push(segment.to_owned());
                vec![Found::Outside(path)]
            }
        }
    }

    /// What a name alone means in a module, without the names of other packages. `seen` keeps a name from being looked
    /// up for itself: `pub use verdict::verdict`.
    pub fn named(&self, module: Id, name: &str, seen: &mut Vec<(Id, String)>) -> Vec<Found> {
        let key = (module, bare(name).to_owned());
        let Module { body, children, .. } = &self.modules[module];
        let mut found: Vec<Found> =
            children.iter().filter(|(child, _)| child == name).map(|&(_, id)| Found::Module(id)).collect();
        if body.defines.contains(bare(name)) {
            found.push(Found::Item(module, bare(name).to_owned()));
        }
        if seen.contains(&key) {
            return found;
        }
        seen.push(key);
        for import in body.imports.iter().filter(|import| import.name == bare(name)) {
            found.extend(self.follow(module, &import.path, seen));
        }
        if found.is_empty() {
            for import in body.imports.iter().filter(|import| import.name == "*") {
                for taken in self.follow(module, &import.path, seen) {
                    if let Found::Module(taken) = taken {
                        found.extend(self.named(taken, name, seen));
                    }
                }
            }
        }
        seen.pop();
        found
    }
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
