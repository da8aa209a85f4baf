//! What a crate's Cargo.toml says: its name, what it depends on, and source files at unusual places.
//!
//! Only the shapes that manifests of this repository have are read: a dependency is a line or a header of its own.

#[derive(Debug, Default, PartialEq)]
pub struct Manifest {
    /// As code spells it.
    pub name: String,
    pub dependencies: Vec<Dependency>,
    /// `path = "src/x.rs"` of a target.
    pub roots: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub struct Dependency {
    pub name: String,
    /// Of tests and benches only.
    pub dev: bool,
}

impl Manifest {
    /// None for the manifest of a workspace that is no crate.
    pub fn read(text: &str) -> Option<Self> {
        let mut read = Self::default();
        let mut section = "";
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_start_matches('[').trim_end_matches(']');
                let (table, last) = section.rsplit_once('.').unwrap_or(("", section));
                if is_dependencies(table) {
                    read.depend(table, last);
                }
                continue;
            }
            let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
                continue;
            };
            if section == "package" && key == "name" {
                read.name = as_in_code(value);
            } else if key == "path" && value.ends_with(".rs\"") {
                read.roots.push(value.trim_matches('"').to_owned());
            } else if is_dependencies(section) {
                let renamed = value.split_once("package = \"").and_then(|(_, name)| name.split('"').next());
                let name = key.split('.').next().expect("split gives at least one");
                read.depend(section, renamed.unwrap_or(name));
            }
        }
        (!read.name.is_empty()).then_some(read)
    }

    fn depend(&mut self, table: &str, name: &str) {
        self.dependencies.push(Dependency { name: as_in_code(name), dev: table.ends_with("dev-dependencies") });
    }
}

fn is_dependencies(table: &str) -> bool {
    // `[workspace.dependencies]` is a list to choose from; `[target.'cfg(..)'.dependencies]` counts.
    table.ends_with("dependencies") && !table.starts_with("workspace")
}

fn as_in_code(name: &str) -> String {
    name.trim_matches('"').replace('-', "_")
}
