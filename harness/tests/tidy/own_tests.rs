//! The tidy test must be able to fail: small repositories, each with one thing wrong, and one with nothing wrong.

use crate::circles::arrows;
use crate::modules::{Repository, Sources};
use crate::{architecture, circles, long_files_and_lines};

const LOW: &str = "[package]\nname = \"low\"\n";
const HIGH: &str = "[package]\nname = \"high\"\n[dependencies]\nlow.workspace = true\n";
const ARCHITECTURE: &str =
    "Text.\n```arrows\nlow -> (nothing)\nhigh -> low\n```\n```never\nlow: std::fs, println!\n```\n";

fn sources(files: &[(&str, &str)]) -> Sources {
    files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect()
}

fn one_crate(files: &[(&str, &str)]) -> Repository {
    Repository::read(&sources(&[files, &[("Cargo.toml", LOW)]].concat()))
}

/// The arrows of one crate as `from -> to: names`, without the folder `src/`.
fn drawn(files: &[(&str, &str)]) -> Vec<String> {
    let short = |path: &str| path.trim_start_matches("src/").trim_end_matches(".rs").to_owned();
    let mut drawn = Vec::new();
    for (from, to, names) in arrows(&one_crate(files)).iter().flat_map(|(f, to)| to.iter().map(move |(t, n)| (f, t, n)))
    {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        drawn.push(format!("{} -> {}: {}", short(from), short(to), names.join(" ")));
    }
    drawn
}

#[test]
fn a_circle_is_found() {
    let found = circles::complaints(&one_crate(&[
        ("src/lib.rs", "mod a; mod b; mod c;"),
        ("src/a.rs", "use crate::b::f; pub fn g() { f() }"),
        ("src/b.rs", "pub fn f() { super::c::h() }"),
        ("src/c.rs", "pub fn h() { crate::a::g() }"),
    ]));
    assert_eq!(found.len(), 1, "{found:?}");
    let whole = "src/a.rs: in a circle of 3 files: src/a.rs -> src/b.rs -> src/c.rs -> src/a.rs;";
    assert!(found[0].starts_with(whole) && found[0].contains("\n    src/c.rs -> src/a.rs: g"), "{found:?}");
    // A child and a parent that name each other.
    let parent = "mod child; pub use child::Leaf; pub struct Tree { leaves: Vec<Leaf> } pub const MOST: usize = 3;";
    let child = "pub struct Leaf([u8; super::MOST]);";
    assert_eq!(circles::complaints(&one_crate(&[("src/lib.rs", parent), ("src/child.rs", child)])).len(), 1);
}

#[test]
fn exporting_a_name_is_no_arrow_and_naming_it_leads_to_its_definition() {
    let arrows = drawn(&[
        ("src/lib.rs", "mod tree; mod user; pub use tree::Leaf; pub(crate) use tree::leaf::f as g;"),
        ("src/tree/mod.rs", "mod leaf; pub use leaf::*;"),
        ("src/tree/leaf.rs", "pub struct Leaf; pub fn f() {}"),
        ("src/user.rs", "use crate::Leaf; use crate::tree; fn f() { tree::f(); crate::g() }"),
    ]);
    assert_eq!(arrows, ["user -> tree/leaf: Leaf f"]);
}

#[test]
fn a_list_of_kernels_declares_modules() {
    let arrows = drawn(&[
        ("src/lib.rs", "mod other; kernels! { a, b if target_arch = \"x86_64\", } layouts! { c, }"),
        ("src/other.rs", "pub fn f() {}"),
        ("src/a.rs", "use crate::other::f;"),
        ("src/b.rs", "use crate::other::f;"),
        ("src/c.rs", "use crate::other::f;"),
    ]);
    assert_eq!(arrows, ["a -> other: f", "b -> other: f", "c -> other: f"]);
}

#[test]
fn every_way_to_name_something_is_an_arrow() {
    let other = "pub struct T; pub enum E { V } pub trait R {} pub const C: [u8; 2] = [1; 2]; pub static S: T = T {};
        pub const unsafe extern \"C\" fn f() {} macro_rules! m { () => {} } pub(crate) use m;";
    for (code, name) in [
        ("use super::other::{self as o, T}; fn x(_: T) {}", "T"),
        ("use super::other as o; fn x() { o::f() }", "f"),
        ("use super::{other::{E, T as _}}; ", "E T"),
        ("fn x() { use crate::other::*; use super::other::E::V; }", "E"),
        ("use crate::other::*; fn x(e: E) {}", "E"),
        ("impl crate::other::R for u8 {}", "R"),
        ("fn x() -> usize { self::super::other::C.len() }", "C"),
        ("fn x() { /* \" */ let _ = '\"'; let c = r#\"\"#; crate::other::m!() }", "m"),
        ("#[serde(with = \"crate::other::f\")] struct X;", "f"),
        ("mod inner { fn x() { super::super::other::f() } }", "f"),
        ("fn x() { Vec::<crate::other::T>::new(); }", "T"),
        ("use crate::other; fn x() { other::made_by_a_macro() }", "made_by_a_macro"),
    ] {
        let arrows = drawn(&[("src/main.rs", "mod other; mod user;"), ("src/other.rs", other), ("src/user.rs", code)]);
        assert_eq!(arrows, [format!("user -> other: {name}")], "{code}");
    }
}

#[test]
fn comments_strings_tests_and_other_packages_are_no_arrows() {
    for code in [
        "// use super::other::f;",
        "/* /* */ use super::other::f; */",
        "fn x() { let _ = \"use super::other::f;\"; }",
        "#[cfg(test)] mod tests { use super::super::other::f; }",
        "#[cfg(test)] use super::other::f;",
        "#[cfg(all(test, unix))] fn x(a: u8, b: u8) { super::other::f() }",
        "impl X { #[cfg(test)] const A: u8 = super::other::f(1, 2); }",
        "#[cfg(test)] mod only_tests;",
        "use std::other::f; fn x(y: Y) { y.f(); serde::other::f() }",
        "use super::other;",
    ] {
        let arrows = drawn(&[
            ("src/lib.rs", "mod other; mod user; "),
            ("src/other.rs", "pub fn f() {}"),
            ("src/user.rs", code),
            ("src/user/only_tests.rs", "use crate::other::f;"),
        ]);
        assert_eq!(arrows, Vec::<String>::new(), "{code}");
    }
}

#[test]
fn files_are_found_where_a_compiler_finds_them() {
    let arrows = drawn(&[
        ("src/lib.rs", "pub mod a; #[path = \"odd.rs\"] mod b; pub fn f() {}"),
        ("src/a/mod.rs", "mod deep; mod inline { mod deeper; }"),
        ("src/a/deep.rs", "fn x() { crate::f() }"),
        ("src/a/inline/deeper.rs", "fn x() { crate::f() }"),
        ("src/odd.rs", "fn x() { crate::f() }"),
        ("tests/it.rs", "mod common; use low::f;"),
        ("tests/common/mod.rs", "fn x() { low::f() }"),
        ("src/nobody.rs", "fn x() { crate::f() }"),
    ]);
    let to_lib = ["a/deep", "a/inline/deeper", "odd", "tests/common/mod", "tests/it"];
    assert_eq!(arrows, to_lib.map(|file| format!("{file} -> lib: f")));
}

#[test]
fn long_files_and_long_lines_are_found() {
    let wide = |columns: usize| format!("// {}\n", "ä".repeat(columns - 3));
    let complaints = |lines: usize, columns: usize| {
        let (long, line, any) = ("\n".repeat(lines), wide(columns), wide(200));
        long_files_and_lines(&sources(&[("a.rs", &long), ("b.rs", &line), ("Cargo.toml", &any)]))
    };
    assert!(complaints(500, 120).is_empty());
    let found = complaints(501, 121);
    assert!(found.len() == 2 && found[0].starts_with("a.rs: 501 lines"), "{found:?}");
    assert!(found[1].starts_with("b.rs:1: 121 characters"), "{found:?}");
}

/// What is wrong with two crates, of which `high` may know `low`, when one file says something else.
fn broken(path: &str, text: &str) -> Vec<String> {
    let mut sources = sources(&[
        ("ARCHITECTURE.md", ARCHITECTURE),
        ("low/Cargo.toml", LOW),
        ("low/src/lib.rs", "pub fn f() {} #[cfg(test)] mod tests { use std::fs; }"),
        ("low/tests/it.rs", "use std::fs;"),
        ("high/Cargo.toml", HIGH),
        ("high/src/lib.rs", "use low::f; use std::fs; pub fn g() { println!() }"),
    ]);
    sources.insert(path.to_owned(), text.to_owned());
    architecture::complaints(&sources, &Repository::read(&sources))
}

#[test]
fn what_the_architecture_forbids_is_found() {
    assert_eq!(broken("README.md", ""), Vec::<String>::new(), "a repository as drawn is tidy");
    let depends = format!("{LOW}[target.'cfg(unix)'.dependencies]\nhigh = {{ path = \"../high\" }}\n");
    let dev = format!("{LOW}[dev-dependencies.high]\npath = \"../high\"\n");
    let no_arrow = ARCHITECTURE.replace("high -> low", "high -> (nothing)");
    let lacks = ARCHITECTURE.replace("high -> low\n", "");
    let gone = ARCHITECTURE.replace("-> low", "-> low, lowest");
    let shapeless = ARCHITECTURE.replace("->", "to");
    for (path, text, complaint) in [
        ("low/src/lib.rs", "use high::g;", "low/src/lib.rs: names high::g of crate high; low may know no crate"),
        ("low/src/lib.rs", "fn f() { high::g() }", "low/src/lib.rs: names high::g of crate high"),
        ("low/Cargo.toml", &depends, "low/Cargo.toml: depends on high; low may know no crate"),
        ("low/Cargo.toml", &dev, "low/Cargo.toml: dev-depends on high"),
        ("low/src/lib.rs", "use std::fs::File;", "low/src/lib.rs: std::fs::File; ARCHITECTURE.md keeps std::fs out"),
        ("low/src/lib.rs", "use std as s; fn f() { s::fs::read() }", "low/src/lib.rs: std::fs::read; "),
        ("low/src/lib.rs", "use std::{io, fs as files};", "low/src/lib.rs: std::fs; "),
        ("low/src/lib.rs", "fn f() { println!() }", "low/src/lib.rs: println!; "),
        ("low/src/lib.rs", "fn f() { std::println!() }", "low/src/lib.rs: std::println!; "),
        ("ARCHITECTURE.md", &no_arrow, "high/Cargo.toml: depends on low; high may know no crate"),
        ("ARCHITECTURE.md", &lacks, "ARCHITECTURE.md: crate high is missing"),
        ("ARCHITECTURE.md", &gone, "ARCHITECTURE.md: there is no crate lowest"),
        ("ARCHITECTURE.md", &shapeless, "ARCHITECTURE.md: `low to (nothing)` in block arrows has no `->`"),
        ("ARCHITECTURE.md", "Text.", "ARCHITECTURE.md: no block `arrows`"),
    ] {
        let complaints = broken(path, text);
        assert!(complaints.first().is_some_and(|first| first.starts_with(complaint)), "{complaint}\n{complaints:?}");
    }
}

#[test]
fn a_manifest_is_read() {
    let text = "[package]\nname = \"some-crate\"\n[[bin]]\npath = \"src/odd.rs\"\n[dependencies]\n# none = \"1\"\n\
                a-b.workspace = true\nc = { package = \"d\" }\n[dev-dependencies]\ne = \"1\"\n\
                [lints]\nworkspace = true\n";
    let workspace = "[workspace]\n[workspace.dependencies]\na = \"1\"\n";
    let files = [("a/Cargo.toml", text), ("a/src/odd.rs", ""), ("a/src/no.rs", ""), ("Cargo.toml", workspace)];
    let read = Repository::read(&sources(&files));
    assert_eq!((read.crates.len(), read.crates[0].name.as_str()), (1, "some_crate"));
    assert_eq!(read.modules.values().map(|module| &module.file).collect::<Vec<_>>(), ["a/src/odd.rs"]);
    let expected = [("a_b", false), ("d", false), ("e", true)].map(|(name, dev)| (name.to_owned(), dev));
    assert_eq!(read.crates[0].dependencies, expected.into());
}
