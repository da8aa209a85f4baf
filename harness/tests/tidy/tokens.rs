//! What a file says about names: what it defines, which modules it has, what it imports, and which paths stand in its
//! code. Whatever `#[cfg(test)]` stands before is not there.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;

/// The segments of `a::b::c`. The last one ends in `!` where a macro is called.
pub type Path = Vec<String>;

#[derive(Default)]
pub struct Body {
    /// Functions, types, traits, constants, statics and macros.
    pub defines: BTreeSet<String>,
    /// `mod name;` or `mod name { .. }`, whose text is here.
    pub modules: Vec<(String, Option<Body>)>,
    /// Files that `#[path = ".."]` names, by module.
    pub files: Vec<(String, String)>,
    pub imports: Vec<Import>,
    /// Paths in code, attributes and signatures. One segment where a name stands alone.
    pub mentions: BTreeSet<Path>,
}

/// One name of a `use`.
pub struct Import {
    pub path: Path,
    /// The name here; `*` takes all of them.
    pub name: String,
    /// Others find the name here too: `pub use`.
    pub exported: bool,
}

/// The body of a file; none if all of it is for tests.
pub fn read(file: &str, text: &str) -> Option<Body> {
    let stream = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut tokens = Vec::new();
    flatten(stream, text, &mut tokens);
    let all_for_tests = tokens.windows(6).any(|six| six == ["#", "!", "[", "cfg", "(", "test"]);
    (!all_for_tests).then(|| Body::of(&without_tests(&tokens)))
}

/// Tokens as they are written, `::` as one. Comments are none.
fn flatten<'a>(stream: TokenStream, text: &'a str, tokens: &mut Vec<&'a str>) {
    let mut last_end = 0;
    for tree in stream {
        let at = tree.span().byte_range();
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = (group.span_open().byte_range(), group.span_close().byte_range());
                // A documenting comment is an attribute all of whose tokens are the comment.
                if !text[at].starts_with('/') {
                    tokens.push(&text[open]);
                    flatten(group.stream(), text, tokens);
                    tokens.push(&text[close]);
                }
            }
            _ if text[at.clone()].starts_with('/') && at.len() > 1 => {}
            _ if &text[at.clone()] == ":" && tokens.last() == Some(&":") && last_end == at.start => {
                *tokens.last_mut().expect("it is `:`") = "::";
            }
            _ => {
                last_end = at.end;
                tokens.push(&text[at]);
            }
        }
    }
}

fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if let ["#", "[", "test", ..]
        | ["#", "[", "cfg", "(", "test", ..]
        | ["#", "[", "cfg", "(", "all", "(", "test", ..] = tokens[at..]
        {
            while tokens[at..].starts_with(&["#"]) {
                at += 1 + group_length(&tokens[at + 1..]);
            }
            at += item_length(&tokens[at..]);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

fn nesting(token: &str) -> i32 {
    i32::from(matches!(token, "(" | "[" | "{")) - i32::from(matches!(token, ")" | "]" | "}"))
}

/// The length of `( .. )`, `[ .. ]` or `{ .. }`.
fn group_length(tokens: &[&str]) -> usize {
    let mut depth = 0;
    let end = tokens.iter().position(|token| {
        depth += nesting(token);
        depth == 0
    });
    end.map_or(tokens.len(), |end| end + 1)
}

/// An item ends with `;` or with its braces; behind those of a value (`const A: B = B { .. };`) or an import nothing
/// but `;` is left. A variant, a field or an argument, which can stand behind `#[cfg(test)]` too, ends with a comma.
fn item_length(tokens: &[&str]) -> usize {
    let mut at = match tokens {
        ["pub", "(", ..] => 1 + group_length(&tokens[1..]),
        ["pub", ..] => 1,
        _ => 0,
    };
    // Commas at the top of an item stand between its generic parameters; what ends with a comma begins with a name.
    let is_item = tokens.get(at + 1).is_some_and(|second| is_word(second)) || tokens[at] == "impl";
    while let Some(&token) = tokens.get(at) {
        match token {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            "{" => return at + group_length(&tokens[at..]),
            "(" | "[" => at += group_length(&tokens[at..]),
            ")" | "]" | "}" => return at,
            _ => at += 1,
        }
    }
    at
}

impl Body {
    fn of(tokens: &[&str]) -> Self {
        let mut body = Self::default();
        let (mut at, mut depth, mut file) = (0, 0, None);
        while at < tokens.len() {
            let before = at.checked_sub(1).map_or("", |before| tokens[before]);
            let end = match tokens[at..] {
                ["use", next, ..] if next != "<" => {
                    let exported = depth == 0 && matches!(before, "pub" | ")");
                    at + 1 + body.import(&tokens[at + 1..], &[], exported)
                }
                ["path", "=", name, ..] if before == "[" => {
                    file = Some(name.trim_matches('"').to_owned());
                    at + 3
                }
                ["mod", name, "{", ..] => {
                    let length = group_length(&tokens[at + 2..]);
                    let inside = Self::of(&tokens[at + 3..at + 1 + length]);
                    body.modules.push((name.to_owned(), Some(inside)));
                    at + 2 + length
                }
                ["mod", name, ";", ..] => {
                    body.files.extend(file.take().map(|file| (name.to_owned(), file)));
                    body.modules.push((name.to_owned(), None));
                    at + 3
                }
                // The lists of `kernels` declare a module by each name; what is no file is no module.
                ["kernels" | "layouts", "!", "{", ..] => {
                    let length = group_length(&tokens[at + 2..]);
                    let list = tokens[at + 3..at + 1 + length].iter().filter(|token| is_word(token));
                    body.modules.extend(list.map(|name| ((*name).to_owned(), None)));
                    at + 2 + length
                }
                ["macro_rules", "!", name, ..] | ["const" | "static", "mut", name, ..] => {
                    body.defines.insert(name.to_owned());
                    at + 3
                }
                ["fn" | "struct" | "enum" | "trait" | "union" | "type" | "const" | "static", name, ..]
                    if depth == 0 && before != "'" && !["fn", "unsafe", "async", "extern"].contains(&name) =>
                {
                    body.defines.extend(is_word(name).then(|| name.to_owned()));
                    at + 2
                }
                _ => body.mention(tokens, at),
            };
            depth += tokens[at..end].iter().map(|token| nesting(token)).sum::<i32>();
            at = end;
        }
        body
    }

    /// One branch of a `use` tree, up to `,`, `}` or `;`. Returns how many tokens it has.
    fn import(&mut self, tree: &[&str], before: &[String], exported: bool) -> usize {
        let (mut path, mut name, mut at) = (before.to_vec(), None, 0);
        loop {
            match tree[at] {
                "as" => {
                    at += 1;
                    name = Some(tree[at].to_owned());
                }
                // `a::{self}` is `a`.
                "self" if !path.is_empty() => name = path.last().cloned(),
                "*" => name = Some("*".to_owned()),
                "{" => {
                    at += 1;
                    while tree[at] != "}" {
                        at += self.import(&tree[at..], &path, exported);
                        at += usize::from(tree[at] == ",");
                    }
                    return at + 1;
                }
                "," | "}" | ";" => break,
                "::" => {}
                word => {
                    path.push(word.to_owned());
                    name = Some(word.to_owned());
                }
            }
            at += 1;
        }
        self.imports.extend(name.map(|name| Import { path, name, exported }));
        at
    }

    /// Notes the path that stands at `at`, if one does, and returns where to go on.
    fn mention(&mut self, tokens: &[&str], at: usize) -> usize {
        let before = at.checked_sub(1).map_or("", |before| tokens[before]);
        let first = tokens[at];
        // `#[serde(deserialize_with = "super::finite")]`
        if first.starts_with('"') && first.contains("::") && before == "=" {
            let path = first.trim_matches('"').split("::").map(str::to_owned).collect::<Path>();
            self.mentions.extend(path.iter().all(|segment| is_word(segment)).then_some(path));
        }
        if !is_word(first) || before == "'" {
            return at + 1;
        }
        let mut path = vec![first.to_owned()];
        let mut end = at + 1;
        while let ["::", word, ..] = tokens[end..]
            && is_word(word)
        {
            path.push(word.to_owned());
            end += 2;
        }
        let after = tokens.get(end).copied().unwrap_or("");
        let calls_macro = after == "!" && tokens.get(end + 1) != Some(&"=");
        if calls_macro {
            *path.last_mut().expect("it has one") += "!";
        }
        // A field, a method, the rest of `<T as Trait>::name`, the definition of a method.
        let is_no_item = matches!(before, "." | "::" | "fn");
        // `name: ..` is a field or an argument, and a lower-case name that is not called most often a variable.
        let is_a_variable = after == ":" || (!first.starts_with(char::is_uppercase) && after != "(" && !calls_macro);
        if !is_no_item && (path.len() > 1 || !is_a_variable) {
            self.mentions.insert(path);
        }
        end
    }
}

fn is_word(token: &str) -> bool {
    !token.starts_with(|c: char| c.is_ascii_digit()) && token.chars().all(|c| c.is_alphanumeric() || c == '_')
}
