//! Which pre-tokenizer of GGUF a `pre_tokenizer` of tokenizer.json is.

use super::json::found;
use crate::gguf::quoted;
use serde_json::Value;

/// Regexes of `Split`, and what GGUF calls the pre-tokenizer. Falcon3's is Llama-3's; existing engines run both names
/// alike.
const REGEXES: [(&str, &str); 2] = [
    (
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        LLAMA,
    ),
    (
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        "qwen2",
    ),
];

/// The pre-tokenizer with which whole words of the vocabulary win over merges.
pub const LLAMA: &str = "llama-bpe";
const KNOWN: &str = "known are those of gpt-2, llama-bpe (Llama-3, Falcon3) and qwen2";

/// The name in GGUF; the error is what is wrong, without the place.
pub fn name(pre_tokenizer: Option<&Value>) -> Result<&'static str, String> {
    let Some(whole) = pre_tokenizer else { return Err(format!("is missing; {KNOWN}")) };
    let steps = match kind(whole) {
        "Sequence" => {
            whole.get("pretokenizers").and_then(Value::as_array).map_or(Vec::new(), |all| all.iter().collect())
        }
        _ => vec![whole],
    };
    match steps[..] {
        [bytes] if kind(bytes) == "ByteLevel" => {
            check_bytes(bytes, true)?;
            Ok("gpt-2")
        }
        [split, bytes] if kind(split) == "Split" && kind(bytes) == "ByteLevel" => {
            check_bytes(bytes, false)?;
            of_split(split)
        }
        _ => {
            let kinds: Vec<&str> = steps.iter().map(|step| kind(step)).collect();
            let no_bytes = !kinds.contains(&"ByteLevel");
            let what = if no_bytes { ", without ByteLevel, so it is no byte-level BPE" } else { "" };
            Err(format!("the steps {} do not run here{what}; {KNOWN}", quoted(&kinds.join(", "))))
        }
    }
}

fn kind(step: &Value) -> &str {
    step.get("type").and_then(Value::as_str).unwrap_or("?")
}

/// A flag of a step; `default` is what the `tokenizers` library takes where it is absent.
fn flag(step: &Value, key: &str, default: bool) -> bool {
    step.get(key).and_then(Value::as_bool).unwrap_or(default)
}

fn check_bytes(bytes: &Value, by_regex: bool) -> Result<(), String> {
    if flag(bytes, "add_prefix_space", true) {
        return Err("ByteLevel with add_prefix_space puts a space before each text, which is not done here".into());
    }
    let wanted = if by_regex { "true alone" } else { "false behind a Split" };
    let met = flag(bytes, "use_regex", true) == by_regex;
    if met { Ok(()) } else { Err(format!("use_regex of ByteLevel must be {wanted}; {KNOWN}")) }
}

fn of_split(split: &Value) -> Result<&'static str, String> {
    let behavior = split.get("behavior").and_then(Value::as_str).unwrap_or("?");
    if behavior != "Isolated" || flag(split, "invert", false) {
        return Err(format!("Split with behavior {} or inverted does not run here; {KNOWN}", quoted(behavior)));
    }
    let pattern = split.get("pattern").unwrap_or(&Value::Null);
    let regex = pattern.get("Regex").and_then(Value::as_str);
    let row = REGEXES.iter().find(|row| regex == Some(row.0));
    let unknown = || regex.map_or(found(pattern), |regex| format!("the regex {}", quoted(regex)));
    row.map(|row| row.1).ok_or_else(|| format!("{} does not run here; {KNOWN}", unknown()))
}
