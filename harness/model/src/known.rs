//! Models known by the hash of their file: expected answers, expected perplexity, and warnings.

use serde::{Deserialize, Serialize};

use crate::builtin;
use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::policy::{self, MODELS_TOML};

/// The goldens files that are built into the program, by the path that `models.toml` uses.
static GOLDEN_FILES: [(&str, &str); 1] = [("model/golden.json", builtin::GOLDEN_JSON)];

/// What a model should answer to one prompt when it always takes the likeliest token.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The prompt.
    pub prompt: String,
    /// Its tokens, with bos where the model wants one.
    pub prompt_ids: Vec<u32>,
    /// The generated tokens.
    pub token_ids: Vec<u32>,
    /// Difference of the two best logits at each generated token. Where it is small, rounding may decide, and correct
    /// programs may differ.
    #[serde(default)]
    pub margins: Option<Vec<f32>>,
    /// Logits after the last token of the prompt; one for each token of the vocabulary.
    #[serde(default)]
    pub logits_last: Option<Vec<f32>>,
    /// Prompt and continuation as text.
    #[serde(default)]
    pub text: Option<String>,
}

/// A perplexity to expect.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KnownPerplexity {
    /// exp of the mean nats per token.
    pub value: f64,
    /// Which text, in words.
    pub text: String,
    /// Tokens in a window; every window starts from an empty cache. `None` where the publisher's rule differs or is not
    /// known.
    #[serde(default)]
    pub window: Option<usize>,
    /// Number of tokens of the text.
    #[serde(default)]
    pub tokens: Option<usize>,
}

/// One known model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnownModel {
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Name.
    pub name: String,
    /// Where it comes from, in words.
    pub source: String,
    /// What a user should know.
    pub notes: Vec<String>,
    /// Why this very file should not be used, if so.
    pub bad: Option<String>,
    /// Tokens besides eos that end an answer.
    pub stop_ids: Vec<u32>,
    /// What its perplexity should be.
    pub perplexity: Option<KnownPerplexity>,
    /// What it should answer.
    pub goldens: Vec<Golden>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelsFile {
    model: Vec<ModelEntry>,
    /// Read by [`policy`].
    #[serde(default, rename = "rule")]
    _rules: Vec<policy::Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    sha256: String,
    name: String,
    source: String,
    notes: Vec<String>,
    bad: Option<String>,
    #[serde(default)]
    stop_ids: Vec<u32>,
    perplexity: Option<KnownPerplexity>,
    #[serde(default)]
    golden: Vec<Golden>,
    goldens_file: Option<String>,
}

/// golden.json as `scenarios/model/export.py` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenFile {
    gguf_sha256: String,
    perplexity: FilePerplexity,
    cases: Vec<GoldenCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePerplexity {
    text_bytes: usize,
    tokens: usize,
    window: usize,
    #[serde(rename = "nats_per_token")]
    _nats_per_token: f64,
    perplexity: f64,
    #[serde(rename = "rule")]
    _rule: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenCase {
    prompt: String,
    prompt_ids: Vec<u32>,
    greedy_ids: Vec<u32>,
    margins: Vec<f32>,
    text: String,
    logits_last: Vec<f32>,
}

impl KnownModel {
    /// All known models, in the file's order.
    pub fn all() -> Result<Vec<KnownModel>> {
        parse(MODELS_TOML)
    }

    /// The model whose file has this SHA-256 (hex, either case), if it is known.
    pub fn find(sha256: &str) -> Result<Option<KnownModel>> {
        Ok(Self::all()?.into_iter().find(|m| m.sha256.eq_ignore_ascii_case(sha256)))
    }
}

/// Warnings to print before the file is run, the gravest first. `known` is what is known about its hash.
pub fn warnings(gguf: &Gguf, known: Option<&KnownModel>) -> Result<Vec<String>> {
    policy::warnings(gguf, known.is_some(), known.and_then(|k| k.bad.as_deref()))
}

fn parse(text: &str) -> Result<Vec<KnownModel>> {
    let bad = |what: String| Error::input(format!("scenarios/models.toml: {}", what.trim().replace('\n', " ")));
    let file: ModelsFile = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
    file.model.into_iter().map(|entry| resolve(entry).map_err(&bad)).collect()
}

fn resolve(entry: ModelEntry) -> std::result::Result<KnownModel, String> {
    let ModelEntry { sha256, name, source, notes, bad, stop_ids, mut perplexity, golden: mut goldens, goldens_file } =
        entry;
    if sha256.len() != 64 || !sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(format!("sha256 of {name} is not 64 lower-case hex digits"));
    }
    if let Some(path) = goldens_file {
        let text = GOLDEN_FILES.iter().find(|(p, _)| *p == path).ok_or_else(|| format!("no goldens file {path}"))?.1;
        let file: GoldenFile = serde_json::from_str(text).map_err(|e| format!("{path}: {e}"))?;
        if file.gguf_sha256 != sha256 {
            return Err(format!("{path} belongs to the model {}, not to {sha256}", file.gguf_sha256));
        }
        let p = file.perplexity;
        let text = format!("first {} bytes of the held-out part of its text", p.text_bytes);
        perplexity =
            Some(KnownPerplexity { value: p.perplexity, text, window: Some(p.window), tokens: Some(p.tokens) });
        goldens.extend(file.cases.into_iter().map(|c| Golden {
            prompt: c.prompt,
            prompt_ids: c.prompt_ids,
            token_ids: c.greedy_ids,
            margins: Some(c.margins),
            logits_last: Some(c.logits_last),
            text: Some(c.text),
        }));
    }
    Ok(KnownModel { sha256, name, source, notes, bad, stop_ids, perplexity, goldens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::testing::Builder;
    use crate::hash::sha256_hex;

    #[test]
    fn builtin_model_is_known_by_its_bytes() {
        let model = KnownModel::find(&sha256_hex(builtin::bytes())).unwrap().unwrap();
        assert_eq!(model.name, "shakespeare-ternary");
        let p = model.perplexity.unwrap();
        assert_eq!((p.window, p.tokens), (Some(128), Some(10455)));
        assert!((p.value - 23.04216).abs() < 1e-4);
        for golden in &model.goldens {
            assert_eq!((golden.token_ids.len(), golden.logits_last.as_ref().unwrap().len()), (24, 1024));
            assert_eq!(golden.margins.as_ref().unwrap().len(), 24);
        }
    }

    #[test]
    fn published_model() {
        let sha = "4221B252FDD5FD25E15847ADFEB5EE88886506BA50B8A34548374492884C2162";
        let model = KnownModel::find(sha).unwrap().unwrap();
        assert_eq!((model.goldens.len(), &model.stop_ids[..]), (3, &[128009][..]));
        assert_eq!(model.perplexity.unwrap().value, 17.109);
        assert!(model.goldens.iter().all(|g| g.prompt_ids[0] == 128000 && g.token_ids.len() == 5));
        assert_eq!(KnownModel::find("00").unwrap(), None);
    }

    #[test]
    fn unknown_fields_and_bad_hashes_are_one_line() {
        for text in ["[[model]]\nsha = 1", "[[model]]\nsha256='x'\nname='n'\nsource='s'\nnotes=[]"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("scenarios/models.toml") && !error.contains('\n'), "{error}");
        }
    }

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
        let known = KnownModel::find(&sha256_hex(builtin.file_bytes())).expect("sound");
        assert_eq!(warnings(&builtin, known.as_ref()).expect("sound"), [""; 0]);
    }
}
