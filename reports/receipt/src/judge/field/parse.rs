//! `field-claims.toml` into claims. Every error is one line with the file and the line.

use super::{Claim, Field, LOOKUP, Machine, Model};
use crate::error::Result;
use crate::toml_error;
use serde::Deserialize;
use toml::Spanned;

/// The file, each table with its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    machine: Vec<Spanned<Machine>>,
    model: Vec<Spanned<Model>>,
    claim: Vec<Spanned<Claim>>,
}

/// A check of a scenario that a claim names: the error says what is wrong with it.
pub type ScenarioCheck<'a> = &'a dyn Fn(&str) -> std::result::Result<(), String>;

/// Parses and checks a file of published figures; `origin` is what errors call it, `scenario` says whether there is a
/// scenario of that name.
///
/// # Errors
/// Text that is not such a file, in one line: `f.toml: line 3: ...`.
pub fn parse(origin: &str, text: &str, scenario: ScenarioCheck<'_>) -> Result<Field> {
    let wrong = |at: usize, what: String| toml_error::error(origin, text, at, &what);
    let file: File = toml_error::parse(origin, text)?;
    let mut field = Field { machines: Vec::new(), models: Vec::new(), claims: Vec::new() };
    for machine in file.machine {
        let (at, machine) = (machine.span().start, machine.into_inner());
        let known = field.machines.iter().any(|other| other.name == machine.name);
        check_machine(&machine, known).map_err(|what| wrong(at, format!("machine {:?}: {what}", machine.name)))?;
        field.machines.push(machine);
    }
    for model in file.model {
        let (at, model) = (model.span().start, model.into_inner());
        let known = field.models.iter().any(|other| other.name == model.name);
        check_model(&model, known).map_err(|what| wrong(at, format!("model {:?}: {what}", model.name)))?;
        field.models.push(model);
    }
    for claim in file.claim {
        let (at, claim) = (claim.span().start, claim.into_inner());
        let checked = check_claim(&claim, &field).and_then(|()| scenario(&claim.scenario));
        checked.map_err(|what| wrong(at, format!("claim {:?}: {what}", claim.id)))?;
        field.claims.push(claim);
    }
    Ok(field)
}

type Checked = std::result::Result<(), String>;

const TWICE: &str = "is there already";

fn check_machine(machine: &Machine, known: bool) -> Checked {
    if known {
        return Err(TWICE.into());
    }
    if machine.cores == 0 {
        return Err("cores is 0; write how many multiply at once".into());
    }
    let nothing = machine.multiply.values().all(|&products| products == 0);
    if nothing {
        return Err("multiply has no instruction; write { NAME = PRODUCTS_A_CYCLE }".into());
    }
    if machine.multiply.contains_key(LOOKUP) {
        return Err(format!("multiply: {LOOKUP} is the word of claims for kernels that do not multiply"));
    }
    Ok(())
}

fn check_model(model: &Model, known: bool) -> Checked {
    if known {
        return Err(TWICE.into());
    }
    if model.ternary == 0 {
        return Err("ternary is 0; write the weights of its blocks".into());
    }
    if !(0.0..=64.0).contains(&model.head_bits) || (model.head == 0) != (model.head_bits == 0.0) {
        return Err("head and head_bits go together: weights of the output head, and bits of each".into());
    }
    Ok(())
}

fn check_claim(claim: &Claim, field: &Field) -> Checked {
    if field.claims.iter().any(|other| other.id == claim.id) {
        return Err(TWICE.into());
    }
    let Some(machine) = field.machine(claim) else {
        return Err(format!("there is no machine {:?}", claim.machine));
    };
    if field.model(claim).is_none() {
        return Err(format!("there is no model {:?}", claim.model));
    }
    if claim.tokens == 0 || claim.threads == Some(0) {
        return Err("tokens and threads are above 0".into());
    }
    if let Some(name) =
        claim.instruction.as_ref().filter(|name| *name != LOOKUP && !machine.multiply.contains_key(*name))
    {
        let known = machine.multiply.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(format!("{} has no instruction {name:?}; it has {known}, or write {LOOKUP}", machine.name));
    }
    let date = claim.date.strip_prefix("read ").unwrap_or(&claim.date);
    let parts: Vec<&str> = date.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits = parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !digits || ![4, 2, 2].starts_with(&lengths) {
        return Err(format!(
            "{:?} is no date: write 2024-12-06, 2024-12 or 2024, after `read ` if need be",
            claim.date
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"[[machine]]
name = "m"
title = "M"
cores = 2
clock_ghz = 4.0
memory_gb_s = 50.0
cache_mib = 8
multiply = { vnni = 64 }
source = "s"
[[model]]
name = "2b"
title = "2B"
ternary = 2000
bits = 2
head = 100
head_bits = 16
source = "s"
[[claim]]
id = "a"
title = "t"
source = "s"
date = "2024-12"
machine = "m"
threads = 1
model = "2b"
measures = "decode"
figure = 10
unit = "tokens/s"
scenario = "quick"
"#;

    fn only_quick(name: &str) -> std::result::Result<(), String> {
        if name == "quick" { Ok(()) } else { Err(format!("there is no scenario {name:?}")) }
    }

    #[test]
    fn a_whole_file_parses() {
        let field = parse("f.toml", ONE, &only_quick).expect("valid");
        assert_eq!((field.machines.len(), field.models.len(), field.claims.len()), (1, 1, 1));
        assert_eq!((field.claims[0].tokens, field.claims[0].figure), (1, 10.0));
        for date in ["2024", "2024-12-06", "read 2026-11"] {
            parse("f.toml", &ONE.replace("\"2024-12\"", &format!("{date:?}")), &only_quick).expect(date);
        }
    }

    #[test]
    fn errors_name_the_line_and_what_is_wrong() {
        let with = |from: &str, to: &str| {
            assert!(ONE.contains(from), "{from}");
            parse("f.toml", &ONE.replacen(from, to, 1), &only_quick).expect_err("refused").to_string()
        };
        let claim = ONE.split_once("[[claim]]").expect("there").1;
        let twice = format!("{ONE}[[claim]]{claim}");
        let cases = [
            (with("cores = 2", "cores = 2\ncoers = 2"), 5, "unknown field `coers`"),
            (with("cores = 2", "cores = 0"), 1, "machine \"m\": cores is 0"),
            (with("clock_ghz = 4.0", "clock_ghz = -1"), 5, "-1 is not a number above 0"),
            (with("{ vnni = 64 }", "{}"), 1, "machine \"m\": multiply has no instruction"),
            (with("{ vnni = 64 }", "{ lookup = 64 }"), 1, "machine \"m\": multiply: lookup"),
            (with("ternary = 2000", "ternary = 0"), 10, "model \"2b\": ternary is 0"),
            (with("head_bits = 16\n", ""), 10, "model \"2b\": head and head_bits go together"),
            (with("machine = \"m\"", "machine = \"n\""), 18, "claim \"a\": there is no machine \"n\""),
            (with("model = \"2b\"", "model = \"3b\""), 18, "claim \"a\": there is no model \"3b\""),
            (with("threads = 1", "threads = 0"), 18, "claim \"a\": tokens and threads are above 0"),
            (with("figure = 10", "figure = 0"), 27, "0 is not a number above 0"),
            (with("\"tokens/s\"", "\"parsecs\""), 28, "unknown variant `parsecs`"),
            (with("\"decode\"", "\"dreams\""), 26, "unknown variant `dreams`"),
            (with("\"2024-12\"", "\"lately\""), 18, "claim \"a\": \"lately\" is no date"),
            (with("\"2024-12\"", "\"2024-12-06-01\""), 18, "claim \"a\": \"2024-12-06-01\" is no date"),
            (with("\"quick\"", "\"slow\""), 18, "claim \"a\": there is no scenario \"slow\""),
            (
                with("threads = 1", "instruction = \"amx\""),
                18,
                "claim \"a\": m has no instruction \"amx\"; it has vnni",
            ),
            (parse("f.toml", &twice, &only_quick).expect_err("refused").to_string(), 30, "claim \"a\": is there"),
        ];
        for (got, line, what) in cases {
            assert!(got.starts_with(&format!("f.toml: line {line}: {what}")), "{got}\nshould be: line {line}: {what}");
            assert!(!got.contains('\n'), "{got}");
        }
    }
}
