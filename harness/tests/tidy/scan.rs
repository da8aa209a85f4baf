//! Where an item begins and ends, what its attributes say, and the paths in its code.

use crate::lex::{Token, tokens};

/// The segments of `a::b::c`. The last one ends in `!` where a macro is called.
pub type Path = Vec<String>;

/// The attributes that tokens begin with.
#[derive(Default)]
pub struct Attributes {
    pub length: usize,
    /// `#[cfg(test)]` or `#[test]`.
    pub test: bool,
    /// `#![cfg(test)]`, said of all that follows.
    pub inner_test: bool,
    pub path: Option<String>,
}

impl Attributes {
    pub fn read(tokens: &[Token]) -> Self {
        let mut read = Self::default();
        loop {
            let rest = &tokens[read.length..];
            let (inner, mark) = match rest {
                [Token::Mark('#'), Token::Mark('['), ..] => (false, 1),
                [Token::Mark('#'), Token::Mark('!'), Token::Mark('['), ..] => (true, 2),
                _ => return read,
            };
            let length = mark + group_length(&rest[mark..]);
            match &rest[mark + 1..length] {
                [Token::Word("test"), ..] => read.test = true,
                [Token::Word("cfg"), Token::Mark('('), Token::Word("test"), ..]
                | [
                    Token::Word("cfg"),
                    Token::Mark('('),
                    Token::Word("all"),
                    Token::Mark('('),
                    Token::Word("test"),
                    ..,
                ] => {
                    read.test |= !inner;
                    read.inner_test |= inner;
                }
                [Token::Word("path"), Token::Mark('='), Token::Text(path), ..] => read.path = Some((*path).to_owned()),
                _ => {}
            }
            read.length += length;
        }
    }
}

/// The length of `( .. )`, `[ .. ]` or `{ .. }`.
fn group_length(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// An item ends with `;`, or with its braces unless it is a value (`const A: B = B { .. };`) or an import.
/// A variant, a field or an argument, which can stand behind `#[cfg(test)]` too, ends with a comma.
pub fn item_length(tokens: &[Token]) -> usize {
    let (head, _) = skip_visibility(tokens);
    let to_semicolon = match head {
        [Token::Word("use" | "static" | "type" | "let"), ..] => true,
        [Token::Word("const"), after, ..] => !matches!(after, Token::Word("fn" | "unsafe" | "async" | "extern")),
        _ => false,
    };
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Mark(';') => return at + 1,
            Token::Mark(',') if !to_semicolon && !is_item(head) => return at + 1,
            Token::Mark('{') if !to_semicolon => return at + group_length(&tokens[at..]),
            Token::Mark('(' | '[' | '{') => at += group_length(&tokens[at..]),
            Token::Mark(')' | ']' | '}') => return at,
            _ => at += 1,
        }
    }
    at
}

/// Commas at the top of an item stand between its generic parameters.
fn is_item(head: &[Token]) -> bool {
    const FIRST: [&str; 13] = [
        "fn",
        "struct",
        "enum",
        "trait",
        "union",
        "impl",
        "mod",
        "macro_rules",
        "unsafe",
        "async",
        "extern",
        "const",
        "auto",
    ];
    matches!(head, [Token::Word(word), ..] if FIRST.contains(word))
}

/// What follows `pub` or `pub(..)`, and whether it stands there.
pub fn skip_visibility<'a, 'b>(item: &'a [Token<'b>]) -> (&'a [Token<'b>], bool) {
    match item {
        [Token::Word("pub"), Token::Mark('('), ..] => (&item[1 + group_length(&item[1..])..], true),
        [Token::Word("pub"), ..] => (&item[1..], true),
        _ => (item, false),
    }
}

/// The name that an item defines, if it defines one.
pub fn defined_name<'a>(head: &[Token<'a>]) -> Option<&'a str> {
    match head {
        [Token::Word("macro_rules"), Token::Mark('!'), Token::Word(name), ..] => Some(name),
        [Token::Word("const" | "static"), Token::Word("mut"), Token::Word(name), ..] => Some(name),
        [Token::Word("unsafe" | "async" | "extern" | "auto"), rest @ ..] | [Token::Text(_), rest @ ..] => {
            defined_name(rest)
        }
        [Token::Word("const"), Token::Word("fn" | "unsafe" | "async" | "extern"), ..] => defined_name(&head[1..]),
        [
            Token::Word("fn" | "struct" | "enum" | "trait" | "union" | "type" | "const" | "static"),
            Token::Word(name),
            ..,
        ] => Some(name),
        _ => None,
    }
}

/// Adds the path that stands at `at`, if one does, and returns how many tokens to go on.
pub fn mention(code: &[Token], at: usize, mentions: &mut Vec<Path>) -> usize {
    let first = match code[at] {
        Token::Word(word) => word,
        Token::Text(text) if code[..at].ends_with(&[Token::Mark('=')]) && is_path(text) => {
            // `#[serde(deserialize_with = "super::finite")]`
            let inside = tokens(text);
            mention(&inside, 0, mentions);
            return 1;
        }
        _ => return 1,
    };
    let mut path = vec![first.to_owned()];
    let mut length = 1;
    while let [Token::PathSep, Token::Word(word), ..] = code[at + length..] {
        path.push(word.to_owned());
        length += 2;
    }
    let before = at.checked_sub(1).map(|before| code[before]);
    let after = code.get(at + length);
    let calls_macro = after == Some(&Token::Mark('!')) && code.get(at + length + 1) != Some(&Token::Mark('='));
    if calls_macro && let Some(last) = path.last_mut() {
        last.push('!');
    }
    // A field, a method, the rest of `<T as Trait>::name`, the definition of a method.
    let is_no_item = matches!(before, Some(Token::Mark('.') | Token::PathSep | Token::Word("fn")));
    // `name: ..` is a field or an argument, and a lower-case name that is not called most often a variable.
    let lower = first.starts_with(|c: char| c.is_lowercase() || c == '_');
    let is_a_variable = after == Some(&Token::Mark(':')) || (lower && after != Some(&Token::Mark('(')) && !calls_macro);
    if !is_no_item && (path.len() > 1 || !is_a_variable) {
        mentions.push(path);
    }
    length
}

/// Strings that are assigned are paths where they look like `a::b`.
fn is_path(text: &str) -> bool {
    text.contains("::") && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':')
}
