//! Folders for tests: a tiny one, and the built-in model as one.

use crate::builtin;
use crate::error::{Kind, Result};
use crate::gguf::{Gguf, i2s_codes, i2s_scale, types};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;

/// The built-in model's own tokenizer.json.
pub const TOKENIZER: &str = include_str!("../../../../scenarios/model/tokenizer.json");

/// A tensor to be written.
#[derive(Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

/// A folder in the making. Each `write` writes all of it.
pub struct Maker {
    pub dir: TempDir,
    pub config: Value,
    pub tokenizer: Value,
    pub tensors: BTreeMap<String, Tensor>,
    /// Tensors of each shard, or none for one file.
    pub shards: Vec<Vec<String>>,
}

fn bf16(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(|x| half::bf16::from_f32(x).to_le_bytes()).collect()
}

/// Codes 0 to 2 of an I2_S matrix, row after row.
pub fn i2s_rows(bytes: &[u8]) -> Vec<u8> {
    let codes = i2s_codes(bytes);
    let code = |i: usize| codes[i / 128 * 32 + i % 32] >> (6 - 2 * (i % 128 / 32)) & 3;
    (0..codes.len() * 4).map(code).collect()
}

/// What `transformers` makes of codes: rows i, i + rows/4, ... in one byte, low bits first.
pub fn pack(codes: &[u8]) -> Vec<u8> {
    let quarter = codes.len() / 4;
    (0..quarter).map(|i| (0..4).fold(0, |byte, part| byte | codes[part * quarter + i] << (2 * part))).collect()
}

/// The inverse of [`pack`].
pub fn unpack(bytes: &[u8]) -> Vec<u8> {
    (0..4).flat_map(|part| bytes.iter().map(move |byte| byte >> (2 * part) & 3)).collect()
}

impl Maker {
    fn new(config: Value) -> Self {
        let tokenizer = serde_json::from_str(TOKENIZER).unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self { dir, config, tokenizer, tensors: BTreeMap::new(), shards: Vec::new() }
    }

    /// One block of width 8, with packed codes that are multiplied by scales of 0.5.
    pub fn tiny() -> Self {
        let mut maker = Self::new(json!({
            "architectures": ["BitNetForCausalLM"], "model_type": "bitnet", "hidden_act": "relu2", "hidden_size": 8,
            "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
            "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": 64, "vocab_size": 1024,
            "tie_word_embeddings": true, "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 1,
            "quantization_config":
                {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"},
        }));
        maker.tensor("model.embed_tokens.weight", Dtype::BF16, &[1024, 8], bf16((0..8192).map(|i| i as f32)));
        maker.tensor("model.norm.weight", Dtype::BF16, &[8], bf16([1.0; 8]));
        for (name, width) in [
            ("input_layernorm", 8),
            ("post_attention_layernorm", 8),
            ("self_attn.attn_sub_norm", 8),
            ("mlp.ffn_sub_norm", 16),
        ] {
            maker.tensor(&format!("model.layers.0.{name}.weight"), Dtype::BF16, &[width], bf16(vec![1.0; width]));
        }
        for (name, rows, k) in [
            ("self_attn.q_proj", 8, 8),
            ("self_attn.k_proj", 4, 8),
            ("self_attn.v_proj", 4, 8),
            ("self_attn.o_proj", 8, 8),
            ("mlp.gate_proj", 16, 8),
            ("mlp.up_proj", 16, 8),
            ("mlp.down_proj", 8, 16),
        ] {
            maker.packed(&format!("model.layers.0.{name}"), &vec![2; rows * k], k, bf16([0.5]));
        }
        maker
    }

    /// The built-in model, whose products are multiplied by weight_scale or divided by it.
    pub fn builtin(linear_class: &str) -> Self {
        let gguf = builtin::open().unwrap();
        let mut maker = Self::tiny();
        maker.tensors.clear();
        maker.set("quantization_config", json!({"quant_method": "bitnet", "linear_class": linear_class}));
        for (key, value) in [
            ("hidden_size", 512),
            ("intermediate_size", 1024),
            ("num_hidden_layers", 3),
            ("num_attention_heads", 8),
            ("num_key_value_heads", 2),
            ("max_position_embeddings", 512),
        ] {
            maker.set(key, json!(value));
        }
        maker.set("rope_theta", json!(gguf.optional_f32("bitnet-b1.58.rope.freq_base").unwrap().unwrap()));
        for tensor in &gguf.tensors {
            let (name, bytes) = (in_folder(&tensor.name), gguf.bytes(tensor));
            let shape: Vec<usize> = tensor.dims.iter().rev().map(|&n| n as usize).collect();
            if tensor.kind == types::I2S {
                let scale = i2s_scale(bytes).unwrap();
                let scale = if linear_class == "bitlinear" { scale.recip() } else { scale };
                maker.packed(
                    name.strip_suffix(".weight").unwrap(),
                    &i2s_rows(bytes),
                    shape[1],
                    scale.to_le_bytes().into(),
                );
            } else {
                let dtype = if tensor.kind == types::F16 { Dtype::F16 } else { Dtype::F32 };
                maker.tensor(&name, dtype, &shape, bytes.to_vec());
            }
        }
        maker
    }

    /// Adds or replaces a tensor.
    pub fn tensor(&mut self, name: &str, dtype: Dtype, shape: &[usize], data: Vec<u8>) {
        self.tensors.insert(name.to_owned(), Tensor { dtype, shape: shape.to_vec(), data });
    }

    /// Adds or replaces packed codes of rows of `k`, with a scale of the type that its size says.
    pub fn packed(&mut self, module: &str, codes: &[u8], k: usize, scale: Vec<u8>) {
        self.tensor(&format!("{module}.weight"), Dtype::U8, &[codes.len() / k / 4, k], pack(codes));
        let dtype = if scale.len() == 2 { Dtype::BF16 } else { Dtype::F32 };
        self.tensor(&format!("{module}.weight_scale"), dtype, &[1], scale);
    }

    /// Sets a key of config.json; null takes it out.
    pub fn set(&mut self, key: &str, value: Value) {
        self.config[key] = value;
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Writes a file beside those that `write` makes.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    /// The tensors of these names as a safetensors file.
    pub fn serialized(&self, names: &[String]) -> Vec<u8> {
        let view = |name: &String| {
            let t = &self.tensors[name];
            (name.clone(), TensorView::new(t.dtype, t.shape.clone(), &t.data).unwrap())
        };
        safetensors::serialize(names.iter().map(view), None).unwrap()
    }

    /// Splits the tensors into so many shards.
    pub fn split(&mut self, shards: usize) {
        let names: Vec<String> = self.tensors.keys().cloned().collect();
        self.shards = (0..shards).map(|n| names.iter().skip(n).step_by(shards).cloned().collect()).collect();
    }

    pub fn shard(&self, number: usize) -> String {
        format!("model-{:05}-of-{:05}.safetensors", number + 1, self.shards.len())
    }

    /// The index of the shards.
    pub fn index(&self) -> Value {
        let names = self.shards.iter().enumerate();
        let map = names.flat_map(|(n, names)| names.iter().map(move |name| (name.clone(), json!(self.shard(n)))));
        json!({"metadata": {"total_size": 0}, "weight_map": map.collect::<serde_json::Map<_, _>>()})
    }

    /// Writes the whole folder.
    pub fn write(&self) {
        self.file("config.json", self.config.to_string());
        self.file("tokenizer.json", self.tokenizer.to_string());
        if self.shards.is_empty() {
            let names: Vec<String> = self.tensors.keys().cloned().collect();
            self.file("model.safetensors", self.serialized(&names));
            return;
        }
        self.shards.iter().enumerate().for_each(|(n, names)| self.file(&self.shard(n), self.serialized(names)));
        self.file("model.safetensors.index.json", self.index().to_string());
    }

    /// Opens what was written.
    pub fn open(&self) -> Result<Gguf> {
        Gguf::open(self.dir.path())
    }

    /// Asserts that what was written is refused in one line with all `parts`.
    pub fn refused(&self, parts: &[&str]) {
        let error = self.open().err().unwrap_or_else(|| panic!("{parts:?}: opened"));
        let text = error.to_string();
        assert!(error.kind() == Kind::Input && !text.contains('\n'), "{text}");
        assert!(text.starts_with(&self.dir.path().display().to_string()), "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} not in {text:?}"));
    }

    /// Writes the folder and asserts that it is refused.
    pub fn write_refused(&self, parts: &[&str]) {
        self.write();
        self.refused(parts);
    }
}

/// What was decided, a line each.
pub fn said(gguf: &Gguf) -> String {
    let lines = gguf.decisions.iter().map(|decision| format!("{}: {}\n", decision.what, decision.evidence));
    lines.collect()
}

/// What a folder calls a tensor of the built-in model.
pub fn in_folder(name: &str) -> String {
    let names = [
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
        ("attn_norm", "input_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
        ("attn_sub_norm", "self_attn.attn_sub_norm"),
        ("ffn_sub_norm", "mlp.ffn_sub_norm"),
    ];
    let stem = name.strip_suffix(".weight").unwrap();
    let (prefix, stem) = match stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((layer, stem)) => (format!("model.layers.{layer}."), stem),
        None => (String::new(), stem),
    };
    let (_, there) = names.iter().find(|row| row.0 == stem).unwrap();
    format!("{prefix}{there}.weight")
}
