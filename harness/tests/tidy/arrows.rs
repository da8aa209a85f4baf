//! Which file takes which names from which.
//!
//! An arrow leads from a file to the one that *defines* what it names, wherever it was imported or exported on the way.
//! A module that only declares children and exports their names takes nothing from them; as soon as its own code names
//! one of them, it does.

use crate::modules::{Found, Id, Repository, bare};
use std::collections::{BTreeMap, BTreeSet};

/// From file to file, with the names.
pub type Arrows = BTreeMap<(String, String), BTreeSet<String>>;

/// The arrows between files of the same crate and of different ones.
pub fn arrows(repository: &Repository) -> Arrows {
    let mut arrows = Arrows::new();
    for id in 0..repository.modules.len() {
        for (target, name) in taken(repository, id) {
            let (from, to) = (&repository.modules[id].file, &repository.modules[target].file);
            if from != to {
                arrows.entry((from.clone(), to.clone())).or_default().insert(name);
            }
        }
    }
    arrows
}

/// The items that a module's code and imports name, with the modules that define them.
fn taken(repository: &Repository, id: Id) -> Vec<(Id, String)> {
    let body = &repository.modules[id].body;
    let mut taken = Vec::new();
    for import in body.imports.iter().filter(|import| import.name != "*") {
        let found = repository.resolve(id, &import.path);
        taken.extend(items(found).filter(|&(target, _)| !import.exported || !repository.is_below(target, id)));
    }
    for path in &body.mentions {
        let found = match &path[..] {
            [name] => alone(repository, id, name),
            path => repository.resolve(id, path),
        };
        taken.extend(items(found));
    }
    taken
}

/// A name that stands alone is this module's own, imported, or a macro that a module above it defines: those need no
/// import.
fn alone(repository: &Repository, id: Id, name: &str) -> Vec<Found> {
    let found = repository.lookup(id, name);
    if found.is_empty() && name.ends_with('!') {
        let above = (0..repository.modules.len()).filter(|&above| repository.is_below(id, above));
        let defining = above.filter(|&above| repository.modules[above].body.defines.contains(bare(name)));
        return defining.map(|above| Found::Item(above, bare(name).to_owned())).collect();
    }
    found
}

fn items(found: Vec<Found>) -> impl Iterator<Item = (Id, String)> {
    found.into_iter().filter_map(|found| match found {
        Found::Item(module, name) => Some((module, name)),
        Found::Module(_) | Found::Outside(_) => None,
    })
}
