//! What a module says about names: what it defines, which modules it has, what it imports, and which paths stand in its
//! code.
//!
//! Read item by item from tokens. Whatever `#[cfg(test)]` stands before is not there.

use crate::lex::Token;
use crate::scan::{self, Attributes, Path};
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub struct Body {
    /// Functions, types, traits, constants, statics and macros.
    pub defines: BTreeSet<String>,
    pub modules: Vec<Declared>,
    pub imports: Vec<Import>,
    /// Paths in code, attributes and signatures. One segment where a name stands alone.
    pub mentions: BTreeSet<Path>,
    /// The whole file is for tests: `#![cfg(test)]`.
    pub test: bool,
}

/// `mod name;` or `mod name { .. }`.
#[derive(Debug)]
pub struct Declared {
    pub name: String,
    /// `#[path = ".."]`
    pub file: Option<String>,
    pub inline: Option<Body>,
}

/// One name of a `use`.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    pub path: Path,
    /// The name here; `*` takes all of them, `_` none.
    pub name: String,
    /// Others find the name here too: `pub use`.
    pub exported: bool,
}

impl Body {
    pub fn read(tokens: &[Token]) -> Self {
        let mut body = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let attributes = Attributes::read(&tokens[at..]);
            body.test |= attributes.inner_test;
            let start = at + attributes.length;
            let length = scan::item_length(&tokens[start..]);
            if !attributes.test {
                body.item(&tokens[at..start], &attributes, &tokens[start..start + length]);
            }
            at = start + length.max(1);
        }
        body
    }

    fn item(&mut self, attributes: &[Token], said: &Attributes, item: &[Token]) {
        let (head, exported) = scan::skip_visibility(item);
        match head {
            [Token::Word("use"), tree @ ..] => self.imports.extend(imports(tree, exported)),
            [Token::Word("mod"), Token::Word(name), rest @ ..] => {
                let inside = rest.split_first().and_then(|(_, inside)| inside.split_last());
                let inline = inside.filter(|_| rest[0] == Token::Mark('{')).map(|(_, inside)| Self::read(inside));
                self.modules.push(Declared { name: (*name).to_owned(), file: said.path.clone(), inline });
            }
            // The lists of `kernels` declare a module by each name; what is no file is no module.
            [Token::Word("kernels" | "layouts"), Token::Mark('!'), Token::Mark('{'), list @ ..] => {
                let names =
                    list.iter().filter_map(|token| if let Token::Word(word) = token { Some(*word) } else { None });
                let declared = names.map(|name| Declared { name: name.to_owned(), file: None, inline: None });
                self.modules.extend(declared);
            }
            _ => {
                self.defines.extend(scan::defined_name(head).map(str::to_owned));
                self.code(item);
            }
        }
        self.code(attributes);
    }

    /// The paths of an item's code. What it imports for itself is spelled out: `use a::b; b::c()` names `a::b::c`.
    fn code(&mut self, item: &[Token]) {
        let (mut local, mut mentions) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < item.len() {
            let attributes = Attributes::read(&item[at..]);
            if attributes.test {
                at += attributes.length;
                at += scan::item_length(&item[at..]).max(1);
            } else if let [Token::Word("use"), tree @ ..] = &item[at..]
                && tree.first() != Some(&Token::Mark('<'))
            {
                local.extend(imports(tree, false));
                at += scan::item_length(&item[at..]).max(1);
            } else {
                at += scan::mention(item, at, &mut mentions);
            }
        }
        for mut path in mentions {
            if let Some(import) = local.iter().find(|import| import.name == path[0].trim_end_matches('!')) {
                path.splice(..1, import.path.iter().cloned());
            }
            self.mentions.insert(path);
        }
        self.mentions.extend(local.into_iter().map(|import| import.path));
    }
}

/// The names that the tree behind `use` brings.
fn imports(tree: &[Token], exported: bool) -> Vec<Import> {
    let mut found = Vec::new();
    branch(tree, &[], exported, &mut found);
    found
}

/// One branch of a `use` tree, up to `,`, `}` or `;`. Returns how many tokens it has.
fn branch(tree: &[Token], before: &[String], exported: bool, found: &mut Vec<Import>) -> usize {
    let mut path = before.to_vec();
    let mut name = None;
    let mut at = 0;
    while let Some(token) = tree.get(at) {
        match token {
            Token::Word("as") => {
                if let Some(Token::Word(alias)) = tree.get(at + 1) {
                    name = Some((*alias).to_owned());
                }
                at += 1;
            }
            // `a::{self}` is `a`.
            Token::Word("self") if !path.is_empty() => name = path.last().cloned(),
            Token::Word(word) => {
                path.push((*word).to_owned());
                name = Some((*word).to_owned());
            }
            Token::Mark('*') => name = Some("*".to_owned()),
            Token::Mark('{') => {
                at += 1;
                while tree.get(at).is_some_and(|token| *token != Token::Mark('}')) {
                    at += branch(&tree[at..], &path, exported, found);
                    at += usize::from(tree.get(at) == Some(&Token::Mark(',')));
                }
                return at + 1;
            }
            Token::Mark(',' | '}' | ';') => break,
            _ => {}
        }
        at += 1;
    }
    found.extend(name.map(|name| Import { path, name, exported }));
    at
}
