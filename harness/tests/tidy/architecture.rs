//! Crates know only the crates that ARCHITECTURE.md lets them know, and touch nothing that it forbids them.

use crate::document::Document;
use crate::modules::{Found, Id, Repository};
use crate::sources::Sources;
use std::collections::BTreeSet;

pub fn complaints(sources: &Sources, repository: &Repository) -> Vec<String> {
    let Some(text) = sources.text("ARCHITECTURE.md") else {
        return vec!["ARCHITECTURE.md: missing; write it, with its blocks `arrows` and `never`".to_owned()];
    };
    match Document::read(text) {
        Ok(document) => {
            let mut complaints = known_crates(&document, repository);
            complaints.extend(manifests(&document, repository));
            complaints.extend(code(&document, repository));
            complaints
        }
        Err(complaint) => vec![complaint],
    }
}

/// The document and the repository have the same crates.
fn known_crates(document: &Document, repository: &Repository) -> Vec<String> {
    let crates: BTreeSet<&String> = repository.crates.iter().map(|krate| &krate.manifest.name).collect();
    let drawn: BTreeSet<&String> = document.arrows.keys().collect();
    let missing = crates
        .difference(&drawn)
        .map(|name| format!("ARCHITECTURE.md: crate {name} is missing; add `{name} -> ...` to its block `arrows`"));
    let named = document.arrows.values().flatten().chain(document.arrows.keys()).chain(document.never.keys());
    let gone: BTreeSet<&String> = named.filter(|name| !crates.contains(name)).collect();
    let gone = gone.into_iter().map(|name| format!("ARCHITECTURE.md: there is no crate {name}; correct its blocks"));
    missing.chain(gone).collect()
}

fn manifests(document: &Document, repository: &Repository) -> Vec<String> {
    let mut complaints = Vec::new();
    for krate in &repository.crates {
        for dependency in &krate.manifest.dependencies {
            if !allowed(document, repository, &krate.manifest.name, &dependency.name) {
                let kind = if dependency.dev { "dev-depends" } else { "depends" };
                complaints.push(format!(
                    "{}Cargo.toml: {kind} on {}; {}",
                    krate.folder,
                    dependency.name,
                    instead(document, &krate.manifest.name)
                ));
            }
        }
    }
    complaints
}

fn code(document: &Document, repository: &Repository) -> Vec<String> {
    let mut complaints = BTreeSet::new();
    for id in 0..repository.modules.len() {
        let module = &repository.modules[id];
        let name = &repository.crates[module.krate].manifest.name;
        for (path, found) in named(repository, id) {
            match found {
                Found::Module(target) | Found::Item(target, _) => {
                    let other = &repository.crates[repository.modules[target].krate].manifest.name;
                    if !allowed(document, repository, name, other) {
                        let instead = instead(document, name);
                        complaints.insert(format!("{}: names {path} of crate {other}; {instead}", module.file));
                    }
                }
                Found::Outside(outside) => {
                    let never = document.never.get(name).filter(|_| is_shipped(repository, id));
                    for forbidden in never.into_iter().flatten().filter(|forbidden| is_part_of(&outside, forbidden)) {
                        complaints.insert(format!(
                            "{}: {}; ARCHITECTURE.md keeps {forbidden} out of {name}: take it as an argument",
                            module.file,
                            outside.join("::")
                        ));
                    }
                }
            }
        }
    }
    complaints.into_iter().collect()
}

/// All that a module names, as it is written and as what it is.
fn named(repository: &Repository, id: Id) -> impl Iterator<Item = (String, Found)> {
    let body = &repository.modules[id].body;
    let paths = body.imports.iter().map(|import| &import.path).chain(&body.mentions);
    paths.flat_map(move |path| repository.resolve(id, path).into_iter().map(move |found| (path.join("::"), found)))
}

/// Every crate may know itself and packages from elsewhere.
fn allowed(document: &Document, repository: &Repository, from: &str, to: &str) -> bool {
    let is_ours = repository.crates.iter().any(|krate| krate.manifest.name == to);
    // A crate that the document lacks has a complaint of its own.
    from == to || !is_ours || document.arrows.get(from).is_none_or(|known| known.iter().any(|known| known == to))
}

fn instead(document: &Document, name: &str) -> String {
    let known = document.arrows.get(name).map_or(String::new(), |known| known.join(", "));
    let known = if known.is_empty() { "no crate".to_owned() } else { format!("only {known}") };
    format!("{name} may know {known} (ARCHITECTURE.md): hand it over as an argument or move it down")
}

/// What users build, as opposed to tests, benches and examples.
fn is_shipped(repository: &Repository, id: Id) -> bool {
    let module = &repository.modules[id];
    module.file.strip_prefix(&repository.crates[module.krate].folder).is_some_and(|path| path.starts_with("src/"))
}

/// `std::fs` forbids `std::fs::File`; `println!` forbids `std::println!` too.
fn is_part_of(path: &[String], forbidden: &str) -> bool {
    let segments: Vec<&str> = forbidden.split("::").collect();
    let begins = path.len() >= segments.len() && path.iter().zip(&segments).all(|(a, b)| a == b);
    begins || (forbidden.ends_with('!') && path.last().is_some_and(|last| last == forbidden))
}
