//! Looking at a file.

use super::rows::{Check, Inspection, KeyRow, KnownRow, TensorRow, TernaryRow, Totals};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gguf::{CodeCounts, Entry, Gguf, TensorInfo, Value, check_i2s_codes, i2s_scale, quoted, types};
use crate::graph::check_tensors;
use crate::hash::hex;
use crate::keys::{self, Use};
use crate::known::{self, KnownModel};
use crate::tokenizer::Tokenizer;
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
        if tensor.kind == types::I2S {
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
    checks.push(layout_check(gguf, &tensors));
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

/// Three incompatible layouts share I2_S's code and sizes. None uses code 3, so code 3 shows corruption or another
/// format; its absence does not tell the layouts apart, which only known hashes and goldens do.
fn layout_check(gguf: &Gguf, tensors: &[TensorRow]) -> Check {
    let name = "I2_S layout";
    let count = tensors.iter().filter(|t| t.ternary.is_some()).count();
    // Code 3, or a scale that cannot be one.
    let bad = |row: &TernaryRow| row.invalid_codes > 0 || row.scale.is_none_or(|scale| scale <= 0.0);
    let bad: Vec<_> = tensors.iter().filter(|row| row.ternary.as_ref().is_some_and(bad)).collect();
    let (ok, detail) = match bad.iter().find_map(|row| check_i2s_codes(gguf, &row.info).err()) {
        Some(first) => (false, format!("{first} ({} of {count} tensors like this)", bad.len())),
        None if count == 0 => (true, "no I2_S tensors".to_string()),
        None => {
            let read = "read as 128 weights in 32 bytes (assumed: the file cannot say)";
            (true, format!("no code 3 in {count} tensors; {read}"))
        }
    };
    Check { name, ok, detail }
}

fn tensor_row(gguf: &Gguf, tensor: &TensorInfo) -> TensorRow {
    let ternary = (tensor.kind == types::I2S).then(|| {
        let bytes = gguf.bytes(tensor);
        let counts = CodeCounts::of(bytes);
        let n = tensor.elements() as f64;
        TernaryRow {
            scale: i2s_scale(bytes).filter(|s| s.is_finite()),
            minus: counts.minus as f64 / n,
            zero: counts.zero as f64 / n,
            plus: counts.plus as f64 / n,
            invalid_codes: counts.invalid,
        }
    });
    TensorRow { info: tensor.clone(), ternary }
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
        assert_eq!(found.known.as_ref().unwrap().goldens, 3);
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
