//! Models known by the hash of their file: expected answers, expected perplexity, and warnings.

use serde::{Deserialize, Serialize};

use crate::builtin;
use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value};

const MODELS_TOML: &str = include_str!("../../../scenarios/models.toml");
/// The goldens files that are built into the program, by the path that `models.toml` uses.
static GOLDEN_FILES: [(&str, &str); 1] = [("model/golden.json", builtin::GOLDEN_JSON)];

/// What a model should answer to one prompt when it always takes the likeliest token.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Text of the prompt.
    pub prompt: String,
    /// Token ids of the prompt, with a begin-of-text token where the model wants one.
    pub prompt_ids: Vec<u32>,
    /// Token ids that the model should generate, in order.
    #[serde(alias = "greedy_ids")]
    pub token_ids: Vec<u32>,
    /// Difference of the two best logits at each generated token. Where it is small, rounding may decide, and correct
    /// programs may differ.
    pub margins: Option<Vec<f32>>,
    /// Logits after the last token of the prompt; one for each token of the vocabulary.
    pub logits_last: Option<Vec<f32>>,
    /// Prompt and continuation as text.
    pub text: Option<String>,
}

impl Golden {
    /// How many tokens go through the model: all but the last one that is generated.
    pub fn positions(&self) -> usize {
        self.prompt_ids.len() + self.token_ids.len().saturating_sub(1)
    }
}

/// The perplexity that a model should have on a text.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KnownPerplexity {
    /// The expected perplexity: exp of the mean nats per token.
    pub value: f64,
    /// Which text the perplexity is of, in words.
    pub text: String,
    /// Tokens in a window; every window starts from an empty cache. `None` where the publisher's rule differs or is not
    /// known.
    pub window: Option<usize>,
    /// Number of tokens of the text.
    pub tokens: Option<usize>,
}

/// What is known about one model file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Name of the model.
    pub name: String,
    /// What the file calls itself: its `general.name`.
    #[serde(default, skip_serializing)]
    pub general_name: Option<String>,
    /// Where the model comes from, in words.
    pub source: String,
    /// Notes on the model that a user should know.
    pub notes: Vec<String>,
    /// Why this very file should not be used, if so.
    pub bad: Option<String>,
    /// Ids of the tokens, besides the end-of-text token, that end an answer.
    #[serde(default)]
    pub stop_ids: Vec<u32>,
    /// The perplexity that the model should have, if it is known.
    pub perplexity: Option<KnownPerplexity>,
    /// Prompts with the answers that the model should give.
    #[serde(default, rename(deserialize = "golden"))]
    pub goldens: Vec<Golden>,
    /// Where more of that is, and the perplexity.
    #[serde(skip_serializing)]
    goldens_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelsFile {
    model: Vec<KnownModel>,
    #[serde(default)]
    rule: Vec<Rule>,
}

/// Whom to warn of what: one `[[rule]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Metadata key.
    key: String,
    /// Applies to files of these architectures alone, if there is such a list.
    architectures: Option<Vec<String>>,
    /// Applies where the value's text is this.
    equals: Option<String>,
    /// Applies where the value's text does not contain this.
    lacks: Option<String>,
    /// Only for files whose hash is not known.
    #[serde(default)]
    unknown: bool,
    warning: String,
}

/// golden.json as `scenarios/model/golden.py` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenFile {
    gguf_sha256: String,
    perplexity: FilePerplexity,
    cases: Vec<Golden>,
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

impl KnownModel {
    /// All known models, in the file's order.
    pub fn all() -> Result<Vec<KnownModel>> {
        Ok(parse(MODELS_TOML)?.model)
    }

    /// The model whose file has this SHA-256 (hex, either case), if it is known.
    pub fn find(sha256: &str) -> Result<Option<KnownModel>> {
        Ok(Self::all()?.into_iter().find(|m| m.sha256.eq_ignore_ascii_case(sha256)))
    }

    /// The known model that this file says it is (`general.name`), synthetic models apart. Its hash has the last word.
    pub fn named(gguf: &Gguf) -> Result<Option<KnownModel>> {
        let Some(Value::String(name)) = gguf.entry("general.name").map(|entry| &entry.value) else { return Ok(None) };
        let mut all = Self::all()?.into_iter();
        Ok(all.find(|known| known.general_name.as_ref() == Some(name)).filter(|_| !gguf.synthetic()))
    }

    /// Takes what the goldens file has; the error is the reason in words.
    fn read_goldens(&mut self) -> std::result::Result<(), String> {
        let Self { sha256, name, .. } = self;
        if sha256.len() != 64 || !sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(format!("sha256 of {name} is not 64 lower-case hex digits"));
        }
        let Some(path) = self.goldens_file.take() else { return Ok(()) };
        let text = GOLDEN_FILES.iter().find(|(p, _)| *p == path).ok_or_else(|| format!("no goldens file {path}"))?.1;
        let file: GoldenFile = serde_json::from_str(text).map_err(|e| format!("{path}: {e}"))?;
        if file.gguf_sha256 != *sha256 {
            return Err(format!("{path} belongs to the model {}, not to {sha256}", file.gguf_sha256));
        }
        let FilePerplexity { text_bytes, tokens, window, perplexity: value, .. } = file.perplexity;
        let text = format!("first {text_bytes} bytes of the held-out part of its text");
        self.perplexity = Some(KnownPerplexity { value, text, window: Some(window), tokens: Some(tokens) });
        self.goldens.extend(file.cases);
        Ok(())
    }
}

fn parse(text: &str) -> Result<ModelsFile> {
    let bad = |what: String| Error::input(format!("scenarios/models.toml: {}", what.trim().replace('\n', " ")));
    let mut file: ModelsFile = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
    file.model.iter_mut().try_for_each(KnownModel::read_goldens).map_err(bad)?;
    Ok(file)
}

/// Warnings to print before the file is run, the gravest first. `known` is what is known about its hash.
pub fn warnings(gguf: &Gguf, known: Option<&KnownModel>) -> Result<Vec<String>> {
    let bad = known.and_then(|known| known.bad.as_ref()).map(|why| format!("this file is known to be bad: {why}"));
    let applies = |rule: &Rule| {
        let text = match gguf.entry(&rule.key).map(|entry| &entry.value) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Unsigned(n)) => n.to_string(),
            Some(Value::Signed(n)) => n.to_string(),
            _ => return false,
        };
        let said = rule.equals.as_ref().is_some_and(|wanted| text == *wanted)
            || rule.lacks.as_ref().is_some_and(|wanted| !text.contains(wanted.as_str()));
        let architecture = gguf.optional_string("general.architecture").ok().flatten().unwrap_or_default();
        let of_its = rule.architectures.as_ref().is_none_or(|list| list.iter().any(|name| name == architecture));
        said && of_its && !(rule.unknown && known.is_some()) && !gguf.synthetic()
    };
    let rules = parse(MODELS_TOML)?.rule.into_iter().filter(applies);
    let unsure = (known.is_none() && !gguf.synthetic()).then(|| gguf.assumed_decisions());
    Ok(bad.into_iter().chain(rules.map(|rule| rule.warning)).chain(unsure.into_iter().flatten()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::known;
    use crate::gguf::testing::Builder;

    fn published() -> KnownModel {
        let sha256 = "4221B252FDD5FD25E15847ADFEB5EE88886506BA50B8A34548374492884C2162";
        KnownModel::find(sha256).unwrap().unwrap()
    }

    #[test]
    fn models_are_known_by_their_bytes() {
        let model = known();
        assert_eq!(model.name, "shakespeare-ternary");
        let p = model.perplexity.unwrap();
        assert_eq!((p.window, p.tokens), (Some(128), Some(10455)));
        assert!((p.value - 23.04216).abs() < 1e-4);
        for golden in &model.goldens {
            let lengths = [golden.margins.as_ref().unwrap().len(), golden.logits_last.as_ref().unwrap().len()];
            // As many ids as the context of 512 has room for.
            let ids = 24.min(512 - golden.prompt_ids.len() + 1);
            assert_eq!((golden.token_ids.len(), lengths), (ids, [ids, 1024]));
            assert!(golden.positions() <= 512);
        }
        let lengths: Vec<usize> = model.goldens.iter().map(|golden| golden.prompt_ids.len()).collect();
        assert_eq!(lengths, [2, 11, 7, 1, 63, 64, 65, 128, 512]);
        assert!(model.goldens[4..].iter().all(|golden| builtin::held_out_text().starts_with(&golden.prompt)));
        let model = published();
        assert_eq!((model.goldens.len(), &model.stop_ids[..]), (3, &[128009][..]));
        assert_eq!(model.perplexity.unwrap().value, 17.109);
        assert!(model.goldens.iter().all(|g| g.prompt_ids[0] == 128000 && g.token_ids.len() == 5));
        assert_eq!(KnownModel::find("00").unwrap(), None);
    }

    #[test]
    fn unknown_fields_and_bad_hashes_are_one_line() {
        for (text, part) in [
            ("[[model]]\nsha = 1", "unknown field"),
            ("[[model]]\nsha256='x'\nname='n'\nsource='s'\nnotes=[]", "64 lower-case hex digits"),
        ] {
            let error = parse(text).err().unwrap().to_string();
            assert!(error.starts_with("scenarios/models.toml") && error.contains(part), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    fn said(builder: Builder, known: Option<&KnownModel>) -> Vec<String> {
        warnings(&Gguf::from_bytes("m", builder.build()).unwrap(), known).unwrap()
    }

    /// A file of the 2B model's architecture with this chat template.
    fn bitnet(template: &str) -> Builder {
        let builder = Builder::new().string("general.architecture", "bitnet-b1.58");
        builder.string("tokenizer.chat_template", template)
    }

    #[test]
    fn each_rule_has_a_file_that_it_is_for() {
        let file = Builder::new;
        for (file, part) in [
            (file().string("general.architecture", "bitnet"), "SiLU"),
            (file().string("general.name", "bitnet2b"), "not its bytes"),
            (file().zeros("w", &[128, 4], 36), "I2_S layout: x86 (assumed"),
            (bitnet("{{ x }}"), "chat_template"),
        ] {
            let said = said(file, None);
            assert!(said.len() == 1 && said[0].contains(part), "{said:?}");
        }
        let right = "User: {{ x }}<|eot_id|>Assistant: ";
        assert_eq!(said(bitnet(right), None), [""; 0]);
        let llama = file().string("general.architecture", "llama").string("tokenizer.chat_template", "{{ x }}");
        assert_eq!(said(llama, None), [""; 0]);
    }

    #[test]
    fn known_and_synthetic_files_are_spared_what_is_about_strangers() {
        let file = || Builder::new().string("general.name", "bitnet2b").zeros("w", &[128, 4], 36);
        let published = published();
        assert_eq!(said(file(), None).len(), 2);
        assert_eq!(said(file(), Some(&published)), [""; 0]);
        assert_eq!(said(file().bool("tritbench.synthetic", true), None), [""; 0]);
        let wrong_template = bitnet("x");
        assert_eq!(said(wrong_template, Some(&published)).len(), 1, "true of a known file too");
        let bad = KnownModel { bad: Some("half of it is missing".into()), ..published };
        assert_eq!(said(file(), Some(&bad)), ["this file is known to be bad: half of it is missing"]);
        assert_eq!(warnings(&builtin::open().unwrap(), Some(&known())).unwrap(), [""; 0]);
    }
}
