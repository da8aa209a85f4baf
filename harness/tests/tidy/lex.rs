//! Rust text as tokens, just well enough to find names: comments are dropped, numbers and lifetimes are opaque.

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// A name or a keyword.
    Word(&'a str),
    /// What stands between the quotes of a string: attributes name functions there.
    Text(&'a str),
    /// `::`
    PathSep,
    Mark(char),
    /// A number, a character or a lifetime.
    Other,
}

pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut rest = source;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, length) = next(rest, first);
        tokens.extend(token);
        rest = &rest[length..];
    }
    tokens
}

/// The token that `rest` begins with, or none (blanks, comments), and its length in bytes.
fn next(rest: &str, first: char) -> (Option<Token<'_>>, usize) {
    if first.is_whitespace() {
        (None, first.len_utf8())
    } else if rest.starts_with("//") {
        (None, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (None, block_comment(rest))
    } else if rest.starts_with("::") {
        (Some(Token::PathSep), 2)
    } else if first == '\'' {
        (Some(Token::Other), quoted_or_lifetime(rest))
    } else if first.is_ascii_digit() {
        (Some(Token::Other), word(rest))
    } else if let Some((text, length)) = string(rest) {
        (Some(Token::Text(text)), length)
    } else if rest.starts_with("b'") {
        (Some(Token::Other), 1 + quoted_or_lifetime(&rest[1..]))
    } else if is_word(first) {
        let raw = if rest.starts_with("r#") { 2 } else { 0 };
        let length = raw + word(&rest[raw..]);
        (Some(Token::Word(&rest[raw..length])), length)
    } else {
        (Some(Token::Mark(first)), first.len_utf8())
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(rest: &str) -> usize {
    rest.find(|c| !is_word(c)).unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let here = &rest[at..];
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += here.chars().next().map_or(0, char::len_utf8);
        }
        if depth == 0 || at >= rest.len() {
            return at;
        }
    }
}

/// `"text"` with any of the prefixes b, c, r, br, cr and any number of `#`: the text and the length of all of it.
fn string(rest: &str) -> Option<(&str, usize)> {
    let prefix = rest.find(|c| !matches!(c, 'b' | 'c' | 'r')).filter(|&length| length <= 2)?;
    let raw = rest[..prefix].ends_with('r');
    let hashes = if raw { rest[prefix..].find(|c| c != '#')? } else { 0 };
    let start = prefix + hashes + 1;
    let inside = rest[prefix + hashes..].strip_prefix('"')?;
    let length = if raw { inside.find(&format!("\"{}", "#".repeat(hashes)))? } else { unescaped(inside, '"') };
    Some((&inside[..length], (start + length + 1 + hashes).min(rest.len())))
}

/// The distance to the first `end` that no backslash stands before.
fn unescaped(inside: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        if c == end && !escaped {
            return at;
        }
        escaped = c == '\\' && !escaped;
    }
    inside.len()
}

/// `'a'` and `'\n'` are characters; `'a` is a lifetime.
fn quoted_or_lifetime(rest: &str) -> usize {
    let inside = &rest[1..];
    let first = inside.chars().next().map_or(0, char::len_utf8);
    if inside.starts_with('\\') {
        (1 + unescaped(inside, '\'') + 1).min(rest.len())
    } else if inside[first..].starts_with('\'') {
        1 + first + 1
    } else {
        1 + word(inside)
    }
}
