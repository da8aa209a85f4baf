//! Looking at a file.

use super::facts;
use super::rows::{Check, Inspection, KeyRow, KnownRow, TensorRow, TernaryRow, Totals};
use super::ternary;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::{Entry, Gguf, TensorInfo, Value, quoted};
use crate::graph::check_tensors;
use crate::hash::hex;
use crate::keys::{self, Use};
use crate::known::{self, KnownModel};
use crate::matrix::Matrix;
use crate::tokenizer::Tokenizer;
use kernels::parallel::Team;
use sha2::{Digest, Sha256};

/// Longest string value that is shown whole.
const SHOWN_CHARS: usize = 120;

/// Collects what `model inspect` shows of a file. Reads all of it (hash, codes). What the model lacks shows as a failed
/// check, not an error.
pub fn inspect(gguf: &Gguf) -> Result<Inspection> {
    let mut hash = Sha256::new();
    gguf.for_each_chunk(|chunk| hash.update(chunk));
    let sha256 = hex(&hash.finalize());
    let known = KnownModel::find(&sha256)?;
    let tensors: Vec<TensorRow> = gguf.tensors.iter().map(|t| tensor_row(gguf, t)).collect();
    let mut totals = Totals { tensors: tensors.len(), ..Totals::default() };
    for tensor in &gguf.tensors {
        // Saturating: each fits in 64 bits, their sum need not when types of unknown size lie about their shape.
        totals.parameters = totals.parameters.saturating_add(tensor.elements());
        if tensor.kind.encoding.is_some() {
            totals.ternary_weights += tensor.elements();
        }
        *totals.bytes_by_type.entry(tensor.kind.name).or_default() += tensor.n_bytes.unwrap_or(0);
    }
    // Keys are judged by the shape, which may be sound where one of them is refused.
    let shape = ModelConfig::shape(gguf).ok();
    let config = ModelConfig::from_gguf(gguf);
    let tokenizer = Tokenizer::from_gguf(gguf, None);
    let mut checks = Vec::new();
    checks.push(check("shape", config.as_ref().map(|c| format!("{} blocks of {}", c.layers, c.dim))));
    if let Ok(config) = &config {
        let found = check_tensors(gguf, config);
        checks.push(check("tensors", found.as_ref().map(|()| format!("all {} fit the shape", totals.tensors))));
    }
    // After the shape: a lie about the shape makes nonsense of codes and scale.
    checks.push(codes_check(gguf, &tensors));
    checks.push(check("tokenizer", tokenizer.as_ref().map(|t| format!("{} tokens", t.facts.vocab))));
    let of_tokenizer = tokenizer.iter().flat_map(|t| &t.assumed);
    Ok(Inspection {
        path: gguf.path.display().to_string(),
        bytes: gguf.n_bytes(),
        sha256,
        gguf_version: gguf.version,
        alignment: gguf.alignment,
        data_start: gguf.data_start,
        synthetic: gguf.synthetic(),
        metadata: gguf.metadata.iter().map(|e| key_row(gguf, e, keys::judge(gguf, e, shape.as_ref()))).collect(),
        assumed: config.iter().flat_map(|c| &c.assumed).chain(of_tokenizer).cloned().collect(),
        facts: facts::facts(gguf, config.as_ref().ok(), tokenizer.as_ref().ok()),
        traps: facts::traps(gguf, &tensors, tokenizer.as_ref().ok()),
        tensors,
        totals,
        config: config.ok(),
        checks,
        tokenizer: tokenizer.ok().map(|t| t.facts),
        warnings: known::warnings(gguf, known.as_ref())?,
        known: known.map(|k| KnownRow { name: k.name, source: k.source, notes: k.notes, goldens: k.goldens.len() }),
    })
}

fn check(name: &'static str, found: std::result::Result<String, &Error>) -> Check {
    match found {
        Ok(detail) => Check { name, ok: true, detail },
        Err(error) => Check { name, ok: false, detail: error.to_string() },
    }
}

/// Whether every ternary tensor has only codes and scales that its encoding can have. That says little about the layout
/// of I2_S: code 3 is one in all three; known hashes, goldens and scores tell them apart.
fn codes_check(gguf: &Gguf, tensors: &[TensorRow]) -> Check {
    let name = "codes and scales";
    let ternary: Vec<&TensorRow> = tensors.iter().filter(|row| row.info.kind.encoding.is_some()).collect();
    let bad = |row: &&&TensorRow| row.ternary.as_ref().is_none_or(TernaryRow::is_wrong);
    let count = ternary.len();
    let found: Vec<_> = ternary.iter().filter(bad).collect();
    // What is wrong is said by whoever would read it.
    let first = found
        .iter()
        .find_map(|row| Matrix::of(gguf, &row.info).and_then(|m| m.check(&mut Team::single(), &|_| {})).err());
    let (ok, detail) = match first {
        Some(first) => (false, format!("{first} ({} of {count} tensors like this)", found.len())),
        None if count == 0 => (true, "no ternary tensors".to_string()),
        None => (true, format!("all that {count} ternary tensors hold are possible")),
    };
    Check { name, ok, detail }
}

fn tensor_row(gguf: &Gguf, tensor: &TensorInfo) -> TensorRow {
    TensorRow { info: tensor.clone(), ternary: ternary::look(gguf, tensor) }
}

fn key_row(gguf: &Gguf, entry: &Entry, judged: Option<Use>) -> KeyRow {
    let mut kind = entry.kind.name().to_string();
    let value = match &entry.value {
        Value::Unsigned(n) => n.to_string(),
        Value::Signed(n) => n.to_string(),
        Value::F32(x) => x.to_string(),
        Value::F64(x) => x.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::String(s) if s.chars().nth(SHOWN_CHARS).is_none() => s.clone(),
        Value::String(s) => {
            let cut: String = s.chars().take(SHOWN_CHARS).collect();
            format!("{cut}... ({} bytes)", s.len())
        }
        Value::Array(array) => {
            kind = format!("array of {}", array.element.name());
            let first = gguf.optional_strings(&entry.key).ok().flatten();
            let first: Vec<String> = first.into_iter().flat_map(|(_, strings)| strings.take(3)).map(quoted).collect();
            let (colon, dots) = match first.len() {
                0 => ("", ""),
                n => (": ", if array.len > n { ", ..." } else { "" }),
            };
            format!("{} elements{colon}{}{dots}", array.len, first.join(", "))
        }
    };
    KeyRow { key: entry.key.clone(), kind, value, judged }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::gguf::testing::Builder;

    #[test]
    fn builtin_model() {
        let found = inspect(&builtin::open().unwrap()).unwrap();
        assert!(found.checks.len() == 4 && found.checks.iter().all(|c| c.ok), "{:?}", found.checks);
        assert_eq!(found.totals.ternary_weights, 3 * (2 * 512 * 512 + 2 * 512 * 128 + 3 * 512 * 1024));
        assert_eq!(found.known.as_ref().unwrap().goldens, 9);
        let tensor = found.tensors.iter().find(|t| t.info.name == "blk.0.ffn_up.weight").unwrap();
        let ternary = tensor.ternary.as_ref().unwrap();
        assert!((ternary.minus + ternary.zero + ternary.plus - 1.0).abs() < 1e-9 && ternary.scale.unwrap() > 0.0);
        assert!(serde_json::to_string(&found).unwrap().contains("\"invalid_codes\":0"));
        let text = found.to_text();
        for part in
            ["sha256 15340f8b", "1024 elements: ", "blk.2.ffn_down.weight", "ok     tensors", "known model: shake"]
        {
            assert!(text.contains(part), "{part:?} not in:\n{text}");
        }
    }

    #[test]
    fn a_model_that_cannot_run_is_still_shown() {
        let builder = Builder::new()
            .string("general.architecture", "llama\x1b[31m")
            .with_tensor("a", &[256], 12, vec![0; 144])
            .with_tensor("b", &[1 << 40, 1 << 20], 39, vec![])
            .with_tensor("c", &[128], 36, vec![0xff; 64]);
        let found = inspect(&Gguf::from_bytes("m", builder.build()).unwrap()).unwrap();
        assert!(found.config.is_none() && found.tokenizer.is_none() && found.known.is_none());
        assert!(found.checks.iter().all(|c| !c.ok), "{:?}", found.checks);
        assert_eq!(found.tensors[2].ternary.as_ref().unwrap().invalid_codes, 128);
        let text = found.to_text();
        assert!(text.contains("Q4_K") && text.contains("TL2") && text.contains("not finite"), "{text}");
        assert!(!text.contains('\x1b'));
        assert!(serde_json::to_string(&found).is_ok());
    }
}
