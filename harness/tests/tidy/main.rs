//! The shape of the repository, as a test that needs no build of what it reads.
//!
//! A file can be understood alone only if the files that it takes names from do not take names from it; a crate can be
//! used alone only if it does not know the crates above it. Neither is seen in a review of a few lines, so it is read
//! from the source text here: no circles of files ([`circles`]), short files and lines ([`sizes`]), the arrows between
//! crates that ARCHITECTURE.md draws, and what that document says a crate never touches ([`architecture`]).
//!
//! From text to arrows: [`lex`] (tokens), [`items`] (what one file defines and names), [`modules`] (where each name is
//! found), [`arrows`] (which file takes what from which).

mod architecture;
mod arrows;
mod circles;
mod document;
mod items;
mod lex;
mod manifest;
mod modules;
mod own_tests;
mod scan;
mod sizes;
mod sources;

use modules::Repository;
use sources::Sources;

/// Every complaint has a line of its own: the file, what is wrong, what to do.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn no_circle_of_files() {
    let sources = Sources::of_this_repository();
    none(circles::complaints(&Repository::read(&sources)));
}

#[test]
fn files_and_lines_are_short() {
    none(sizes::complaints(&Sources::of_this_repository()));
}

#[test]
fn crates_keep_to_the_architecture() {
    let sources = Sources::of_this_repository();
    none(architecture::complaints(&sources, &Repository::read(&sources)));
}
