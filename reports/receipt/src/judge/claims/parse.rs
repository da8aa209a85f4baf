//! `claims.toml` into claims. The types say what a file may hold; what they cannot say is checked here. Every error is
//! one line with the file and the line.

use super::{Claim, Claims};
use crate::error::Result;
use crate::toml_error;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// The file, each claim with its place.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// Title of the analysis.
    title: String,
    /// Where it can be read.
    source: String,
    /// Kernel ids in the order in which the analysis builds one on the other.
    #[schemars(with = "Vec<String>")]
    ladder: Spanned<Vec<String>>,
    /// The figures that it states.
    #[schemars(with = "Vec<Claim>")]
    claim: Vec<Spanned<Claim>>,
}

/// The JSON Schema of a claims file, for editors.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(File).to_value();
    schema["title"] = "tritbench claims".into();
    schema
}

/// A check of a kernel id that a claims file names: the error says what is wrong with it.
pub type KernelCheck<'a> = &'a dyn Fn(&str) -> std::result::Result<(), String>;

/// Parses and checks a claims file; `origin` is what errors call it, `kernel` says whether there is a kernel of that
/// id.
///
/// # Errors
/// Text that is not such a file, in one line: `f.toml: line 3: ...`.
pub fn parse(origin: &str, text: &str, kernel: KernelCheck<'_>) -> Result<Claims> {
    let wrong = |at: usize, what: String| toml_error::error(origin, text, at, &what);
    let file: File = toml_error::parse(origin, text)?;
    for id in file.ladder.get_ref() {
        kernel(id).map_err(|what| wrong(file.ladder.span().start, format!("ladder: {what}")))?;
    }
    let mut claims: Vec<Claim> = Vec::new();
    for spanned in file.claim {
        let at = spanned.span().start;
        let claim = spanned.into_inner();
        if claims.iter().any(|known| known.id == claim.id) {
            return Err(wrong(at, format!("claim \"{}\" is there already", claim.id)));
        }
        for id in claim.metric.kernels() {
            kernel(id).map_err(|what| wrong(at, format!("claim \"{}\": {what}", claim.id)))?;
        }
        claims.push(claim);
    }
    Ok(Claims { title: file.title, source: file.source, ladder: file.ladder.into_inner(), claims })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "[[claim]]\n\
                       id = \"a\"\n\
                       section = \"5.1\"\n\
                       text = \"t\"\n\
                       metric = { name = \"speed_up\", kernel = \"scalar\", over = \"scalar\", op = \"gemv\" }\n\
                       expected = 1.2\n\
                       unit = \"x\"\n\
                       judge = \"at_least\"\n\
                       standing = \"published\"\n";
    const HEAD: &str = "title = \"t\"\nsource = \"s\"\nladder = [\"scalar\"]\n";

    fn only_scalar(id: &str) -> std::result::Result<(), String> {
        if id == "scalar" { Ok(()) } else { Err(format!("there is no kernel \"{id}\"; known: scalar")) }
    }

    fn error(text: &str) -> String {
        parse("f.toml", text, &only_scalar).expect_err("refused").to_string()
    }

    #[test]
    fn a_whole_file_parses() {
        let file = parse("f.toml", &format!("{HEAD}{ONE}"), &only_scalar).expect("valid");
        let claims = &file.claims;
        assert_eq!((claims.len(), claims[0].expected, claims[0].tolerance), (1, 1.2, 0.0));
        assert!(claims[0].metric.is_ratio());
        assert_eq!((file.title.as_str(), file.source.as_str(), file.ladder.len()), ("t", "s", 1));
    }

    #[test]
    fn errors_name_the_line_and_what_is_wrong() {
        let with = |from: &str, to: &str| {
            assert!(ONE.contains(from) || HEAD.contains(from), "{from}");
            error(&format!("{HEAD}{ONE}").replace(from, to))
        };
        let speed_up = "{ name = \"speed_up\", kernel = \"scalar\", over = \"scalar\", op = \"gemv\" }";
        let cases = [
            (with("judge = \"at_least\"", "judge = \"perhaps\""), 11, "unknown variant `perhaps`"),
            (with("expected = 1.2\n", "expected = 1.2\nexpekted = 1\n"), 10, "unknown field `expekted`"),
            (with("expected = 1.2", "expected = -1.0"), 9, "-1 is not a number above 0"),
            (with("over = \"scalar\", ", ""), 8, "missing field `over`"),
            (with("over = \"scalar\", ", "over = \"scalar\", under = 1, "), 8, "unknown field `under`"),
            (with("\"speed_up\"", "\"speed\""), 8, "unknown variant `speed`"),
            (with("op = \"gemv\"", "op = \"gemw\""), 8, "unknown variant `gemw`"),
            (with("unit = \"x\"", "unit = \"x\"\ntolerance = 2.0"), 11, "2 is not a share"),
            (with(speed_up, "{ name = \"none\" }"), 8, "missing field `why`"),
            (with(speed_up, "{ name = \"table_perplexity\", k = 1 }"), 8, "unknown field `k`"),
            (with(speed_up, "{ name = \"quotient\", numbers = [1.0] }"), 8, "invalid length 1"),
            (with(speed_up, "{ name = \"quotient\", numbers = [1.0, 0.0] }"), 8, "0 is not a number above 0"),
            (with("title = \"t\"\n", ""), 1, "missing field `title`"),
            (with("ladder = [\"scalar\"]", "ladder = [\"avx9\"]"), 3, "ladder: there is no kernel \"avx9\""),
            (error(&format!("{HEAD}{ONE}{ONE}")), 13, "claim \"a\" is there already"),
            (with("kernel = \"scalar\"", "kernel = \"avx9\""), 4, "claim \"a\": there is no kernel \"avx9\"; known:"),
            (error(&format!("{HEAD}[[claim]]\nid = 3")), 5, "invalid type: integer `3`"),
            (error(&format!("{HEAD}[[claim]\n")), 4, ""),
        ];
        for (got, line, what) in cases {
            assert!(got.starts_with(&format!("f.toml: line {line}: {what}")), "{got}\nshould be: line {line}: {what}");
            assert!(!got.contains('\n'), "{got}");
        }
    }
}
