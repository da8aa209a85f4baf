//! Circles of files: each reaches each along the arrows, so none of them can be read, tested or moved alone.
//!
//! An arrow leads from a file to the one that *defines* what it names, wherever it was imported or exported on the way.
//! A module that only declares children and exports their names takes nothing from them; as soon as its own code names
//! one of them, it does.

use crate::modules::{Module, Repository, bare};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// From file to file, with the names.
pub type Arrows = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

pub fn complaints(repository: &Repository) -> Vec<String> {
    let arrows = arrows(repository);
    let (mut told, mut complaints) = (BTreeSet::new(), Vec::new());
    for start in arrows.keys() {
        let Some(way) = way_round(start, &arrows).filter(|_| !told.contains(start)) else { continue };
        let mut text = format!("{start}: in a circle of {} files: {};", way.len() - 1, way.join(" -> "));
        text += " move what both sides name to a file that names neither";
        for (from, to) in way.iter().zip(&way[1..]) {
            let names: Vec<&str> = arrows[*from][*to].iter().map(String::as_str).collect();
            text += &format!("\n    {from} -> {to}: {}", names.join(", "));
        }
        told.extend(way.into_iter().map(str::to_owned));
        complaints.push(text);
    }
    complaints
}

/// The shortest way from a file back to itself.
fn way_round<'a>(start: &'a str, arrows: &'a Arrows) -> Option<Vec<&'a str>> {
    let (mut ways, mut seen) = (VecDeque::from([vec![start]]), BTreeSet::new());
    while let Some(way) = ways.pop_front() {
        for to in arrows.get(way[way.len() - 1]).into_iter().flat_map(BTreeMap::keys) {
            let longer = [&way[..], &[to]].concat();
            if to == start {
                return Some(longer);
            }
            if seen.insert(to) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// The arrows between files of the same crate and of different ones.
pub fn arrows(repository: &Repository) -> Arrows {
    let mut arrows = Arrows::new();
    for (path, module) in &repository.modules {
        for item in taken(repository, path).iter().filter(|item| !item.ends_with("::")) {
            if let Some(Module { file: to, .. }) = repository.owner(item).filter(|owner| owner.file != module.file) {
                let names = arrows.entry(module.file.clone()).or_default().entry(to.clone()).or_default();
                names.insert(item.rsplit("::").next().unwrap_or(item).to_owned());
            }
        }
    }
    arrows
}

/// What a module's code and imports name.
fn taken(repository: &Repository, module: &str) -> Vec<String> {
    let body = &repository.modules[module].body;
    let mut taken = Vec::new();
    for import in body.imports.iter().filter(|import| import.name != "*") {
        let found = repository.resolve(module, &import.path);
        taken.extend(found.into_iter().filter(|found| !import.exported || !found.starts_with(module)));
    }
    for path in &body.mentions {
        taken.extend(match &path[..] {
            [name] => alone(repository, module, name),
            path => repository.resolve(module, path),
        });
    }
    taken
}

/// A name that stands alone is this module's own, imported, or a macro that a module above it defines: those need no
/// import.
fn alone(repository: &Repository, module: &str, name: &str) -> Vec<String> {
    let found = repository.named(module, name, &mut Vec::new());
    if !found.is_empty() || !name.ends_with('!') {
        return found;
    }
    let above = repository.modules.iter().filter(|(above, _)| module.starts_with(above.as_str()));
    let defining = above.filter(|(_, above)| above.body.defines.contains(bare(name)));
    defining.map(|(above, _)| format!("{above}{}", bare(name))).collect()
}
