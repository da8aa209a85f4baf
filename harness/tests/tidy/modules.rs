//! The modules of all crates, and where a path leads.
//!
//! Test modules and files that only they reach are no part of it. Both sides of a `#[cfg(..)]` for machines are.

use crate::items::{Body, Import};
use crate::lex::tokens;
use crate::manifest::Manifest;
use crate::sources::Sources;

pub type Id = usize;

#[derive(Default)]
pub struct Repository {
    pub crates: Vec<Crate>,
    pub modules: Vec<Module>,
}

pub struct Crate {
    pub manifest: Manifest,
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

/// Where a module stands: its crate, its file, the folder where the files of its children are, and what it is in.
struct Place<'a> {
    krate: usize,
    file: &'a str,
    below: &'a str,
    parent: Option<Id>,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Module(Id),
    /// A name that this module's file defines.
    Item(Id, String),
    /// Something of another package, with imports spelled out.
    Outside(Vec<String>),
}

impl Repository {
    pub fn read(sources: &Sources) -> Self {
        let mut read = Self::default();
        for (path, text) in &sources.files {
            if let Some(folder) = path.strip_suffix("Cargo.toml")
                && let Some(manifest) = Manifest::read(text)
            {
                read.crates.push(Crate { manifest, folder: folder.to_owned(), library: None });
            }
        }
        for krate in 0..read.crates.len() {
            let folder = read.crates[krate].folder.clone();
            for file in read.roots(krate, sources) {
                let root = read.file(sources, krate, &file, None);
                if file == format!("{folder}src/lib.rs") {
                    read.crates[krate].library = root;
                }
            }
        }
        read
    }

    /// The files that a compiler starts with: library, program, build script, and each test, bench and example.
    fn roots(&self, krate: usize, sources: &Sources) -> Vec<String> {
        let Crate { manifest, folder, .. } = &self.crates[krate];
        let is_root = |path: &str| {
            let parts: Vec<&str> = path.split('/').collect();
            match parts[..] {
                ["build.rs"] | ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] | ["src", "bin", _, "main.rs"] => true,
                ["tests" | "benches" | "examples", _] | ["tests" | "benches" | "examples", _, "main.rs"] => true,
                _ => manifest.roots.iter().any(|root| root == path),
            }
        };
        let files = sources.rust_files().map(|(path, _)| path);
        files.filter(|path| path.strip_prefix(folder.as_str()).is_some_and(is_root)).map(str::to_owned).collect()
    }

    /// The module that a file is, with all below it; none for a file that is missing or for tests.
    fn file(&mut self, sources: &Sources, krate: usize, file: &str, parent: Option<Id>) -> Option<Id> {
        let body = Body::read(&tokens(sources.text(file)?));
        let (folder, name) = file.rsplit_once('/').map_or(("", file), |(folder, name)| (folder, name));
        let stem = name.trim_end_matches(".rs");
        let below = if parent.is_none() || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
        (!body.test).then(|| self.module(sources, Place { krate, file, below: &below, parent }, body))
    }

    fn module(&mut self, sources: &Sources, place: Place<'_>, mut body: Body) -> Id {
        let Place { krate, file, below, parent } = place;
        let id = self.modules.len();
        let declared = std::mem::take(&mut body.modules);
        self.modules.push(Module { file: file.to_owned(), krate, body, parent, children: Vec::new() });
        for child in declared {
            let beside = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            let child_id = if let Some(inline) = child.inline {
                let below = &format!("{below}/{}", child.name);
                Some(self.module(sources, Place { krate, file, below, parent: Some(id) }, inline))
            } else if let Some(path) = child.file {
                self.file(sources, krate, &format!("{beside}/{path}"), Some(id))
            } else {
                let flat = self.file(sources, krate, &format!("{below}/{}.rs", child.name), Some(id));
                flat.or_else(|| self.file(sources, krate, &format!("{below}/{}/mod.rs", child.name), Some(id)))
            };
            self.modules[id].children.extend(child_id.map(|child_id| (child.name, child_id)));
        }
        id
    }

    pub fn is_below(&self, module: Id, ancestor: Id) -> bool {
        let mut above = self.modules[module].parent;
        while let Some(id) = above.filter(|&id| id != ancestor) {
            above = self.modules[id].parent;
        }
        above.is_some()
    }

    /// All that a path written in a module can mean: a function and a module may have the same name.
    pub fn resolve(&self, module: Id, path: &[String]) -> Vec<Found> {
        self.follow(module, path, &mut Vec::new())
    }

    /// What a name alone means in a module, without the names of other packages.
    pub fn lookup(&self, module: Id, name: &str) -> Vec<Found> {
        self.named(module, name, &mut Vec::new())
    }

    fn follow(&self, from: Id, path: &[String], seen: &mut Vec<(Id, String)>) -> Vec<Found> {
        let Some((first, rest)) = path.split_first() else { return vec![Found::Module(from)] };
        let mut found = match first.as_str() {
            "self" => vec![Found::Module(from)],
            "super" => self.modules[from].parent.map(Found::Module).into_iter().collect(),
            "crate" => vec![Found::Module(self.root(from))],
            name => self.named(from, name, seen),
        };
        if found.is_empty() {
            // A name alone is a function or a closure; what is inside a crate is named behind it.
            let named = self.crates.iter().find(|krate| krate.manifest.name == *first && !rest.is_empty());
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

    /// `seen` keeps a name from being looked up for itself: `pub use verdict::verdict`.
    fn named(&self, module: Id, name: &str, seen: &mut Vec<(Id, String)>) -> Vec<Found> {
        let key = (module, bare(name).to_owned());
        let Module { body, children, .. } = &self.modules[module];
        let mut found: Vec<Found> = Vec::new();
        found.extend(children.iter().filter(|(child, _)| child == name).map(|&(_, id)| Found::Module(id)));
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
            let all_of = |import: &&Import| import.name == "*";
            for import in body.imports.iter().filter(all_of) {
                for found_module in self.follow(module, &import.path, seen) {
                    if let Found::Module(taken) = found_module {
                        found.extend(self.named(taken, name, seen));
                    }
                }
            }
        }
        seen.pop();
        found
    }

    fn root(&self, module: Id) -> Id {
        let mut root = module;
        while let Some(parent) = self.modules[root].parent {
            root = parent;
        }
        root
    }
}

/// A name without the `!` of a call.
pub fn bare(name: &str) -> &str {
    name.trim_end_matches('!')
}
