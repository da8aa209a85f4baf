//! Warnings about a model file: what `scenarios/models.toml` says about its hash and its metadata.

use super::gguf::{Gguf, Value};
use super::known::{KnownModel, MODELS_TOML};
use crate::error::{Error, Result};
use serde::Deserialize;

/// One `[[rule]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Metadata key.
    key: String,
    /// Applies where the value's text is this.
    equals: Option<String>,
    /// Applies where the value's text does not contain this.
    lacks: Option<String>,
    /// Only for files whose hash is not known.
    #[serde(default)]
    unknown: bool,
    /// What to say.
    warning: String,
}

/// Warnings to print before the file is run, the gravest first.
pub fn warnings(gguf: &Gguf, known: Option<&KnownModel>) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Rules {
        rule: Vec<Rule>,
    }
    let rules: Rules = toml::from_str(MODELS_TOML)
        .map_err(|e| Error::input(format!("scenarios/models.toml: {}", e.to_string().trim().replace('\n', " "))))?;
    Ok(apply(&rules.rule, gguf, known))
}

fn apply(rules: &[Rule], gguf: &Gguf, known: Option<&KnownModel>) -> Vec<String> {
    let bad = known.and_then(|k| k.bad.as_ref()).map(|why| format!("this file is known to be bad: {why}"));
    let synthetic = matches!(gguf.entry("tritbench.synthetic").map(|e| &e.value), Some(Value::Bool(true)));
    let applies = |rule: &&Rule| {
        let Some(entry) = gguf.entry(&rule.key) else { return false };
        let text = match &entry.value {
            Value::String(text) => text.clone(),
            Value::Unsigned(n) => n.to_string(),
            Value::Signed(n) => n.to_string(),
            _ => return false,
        };
        let said = rule.equals.as_ref().is_some_and(|wanted| text == *wanted)
            || rule.lacks.as_ref().is_some_and(|wanted| !text.contains(wanted.as_str()));
        said && !(rule.unknown && known.is_some())
    };
    let by_rule = rules.iter().filter(applies).map(|rule| rule.warning.clone());
    bad.into_iter().chain(by_rule.filter(|_| !synthetic)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::super::gguf::testing::Builder;
    use super::*;

    fn of(builder: Builder, known: Option<&KnownModel>) -> Vec<String> {
        warnings(&Gguf::from_bytes("m", builder.build()).expect("sound"), known).expect("the rules are sound")
    }

    fn published() -> KnownModel {
        KnownModel::find("4221b252fdd5fd25e15847adfeb5ee88886506ba50b8a34548374492884c2162")
            .expect("sound")
            .expect("known")
    }

    #[test]
    fn each_rule_has_a_file_that_it_is_for() {
        let said = |builder: Builder| of(builder, None).join("; ");
        assert!(said(Builder::new().string("general.architecture", "bitnet")).contains("SiLU"));
        assert!(said(Builder::new().string("general.name", "bitnet2b")).contains("not its bytes"));
        assert!(said(Builder::new().u32("general.file_type", 40)).contains("64/16"));
        assert!(said(Builder::new().string("tokenizer.chat_template", "{{ x }}")).contains("chat_template"));
        let right = "User: {{ x }}<|eot_id|>Assistant: ";
        assert_eq!(of(Builder::new().string("tokenizer.chat_template", right), None), [""; 0]);
    }

    #[test]
    fn known_and_synthetic_files_are_spared_what_is_about_strangers() {
        let file = || Builder::new().string("general.name", "bitnet2b").u32("general.file_type", 40);
        assert_eq!(of(file(), None).len(), 2);
        assert_eq!(of(file(), Some(&published())), [""; 0]);
        assert_eq!(of(file().bool("tritbench.synthetic", true), None), [""; 0]);
        let wrong_template = file().string("tokenizer.chat_template", "x");
        assert_eq!(of(wrong_template, Some(&published())).len(), 1, "true of a known file too");
        let bad = KnownModel { bad: Some("half of it is missing".into()), ..published() };
        assert_eq!(of(file(), Some(&bad)), ["this file is known to be bad: half of it is missing"]);
        let builtin = builtin::open().expect("sound");
        let known = KnownModel::find(&crate::build_info::sha256_hex(builtin.file_bytes())).expect("sound");
        assert_eq!(warnings(&builtin, known.as_ref()).expect("sound"), [""; 0]);
    }
}
