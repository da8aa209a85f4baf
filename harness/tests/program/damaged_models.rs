//! The built-in model's file, damaged where only a whole model can be, and files that stand where a model should: every
//! command says so in one line that names file, field and place, and exits with 2. What a small file can show is in
//! `tests/corpus`.

use crate::common::*;
use model::gguf::{Gguf, TensorInfo};

/// A model's file and where its parts are.
struct File {
    bytes: Vec<u8>,
    gguf: Gguf,
}

impl File {
    fn builtin() -> Self {
        Self::parse(std::fs::read(scenarios().join("model/shakespeare-ternary.gguf")).expect("it is there"))
    }

    fn parse(bytes: Vec<u8>) -> Self {
        Self { gguf: Gguf::from_bytes("m.gguf", bytes.clone()).expect("sound"), bytes }
    }

    /// First byte behind a name in the header: the type of a key, the number of dimensions of a tensor.
    fn behind(&self, name: &str) -> usize {
        let name = string(name);
        self.bytes.windows(name.len()).position(|window| window == name).expect("it has the name") + name.len()
    }

    /// Where a key's value is; a string's length, an array's element type.
    fn value(&self, key: &str) -> usize {
        self.behind(key) + 4
    }

    fn tensor(&self, name: &str) -> &TensorInfo {
        self.gguf.find_tensor(name).expect("it has the tensor")
    }

    /// Where a tensor's type is: behind its dimensions.
    fn kind(&self, name: &str) -> usize {
        self.behind(name) + 4 + 8 * self.tensor(name).dims.len()
    }

    /// First byte of a tensor's data, and of its I2_S scale.
    fn data(&self, name: &str) -> (usize, usize) {
        let start = self.tensor(name).offset as usize;
        (start, start + self.tensor(name).elements() as usize / 4)
    }

    /// First byte behind the header.
    fn header_end(&self) -> usize {
        self.gguf.tensors.iter().map(|tensor| self.kind(&tensor.name) + 4 + 8).max().expect("tensors")
    }

    /// A copy with `patch` at `at`.
    fn patched(&self, at: usize, patch: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        bytes
    }

    /// A copy whose header has `with` instead of `range` and `more` keys, the data section moved to where it must be.
    fn spliced(&self, range: std::ops::Range<usize>, with: &[u8], more: i64) -> Vec<u8> {
        let mut bytes = self.bytes[..self.header_end()].to_vec();
        bytes.splice(range, with.iter().copied());
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend_from_slice(&self.bytes[self.gguf.data_start as usize..]);
        let keys = i64::from_le_bytes(bytes[16..24].try_into().expect("8 bytes")) + more;
        bytes[16..24].copy_from_slice(&keys.to_le_bytes());
        bytes
    }

    /// A copy with one more metadata key of value type `kind`.
    fn with_key(&self, key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        self.spliced(24..24, &[&string(key)[..], &kind.to_le_bytes(), value].concat(), 1)
    }

    /// A copy that lacks a metadata key whose value has 4 bytes.
    fn without_key(&self, key: &str) -> Vec<u8> {
        let value = self.value(key);
        self.spliced(value - 4 - string(key).len()..value + 4, &[], -1)
    }

    /// A copy in which a name of the header has other letters, everywhere.
    fn renamed(&self, from: &str, to: &str) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for at in 0..self.header_end() - from.len() {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
        bytes
    }
}

/// A string as GGUF has it.
fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// One line with `parts`, from every command that opens a model; parts are separated by `|`.
fn all_refuse(cases: &[(&str, Vec<u8>, &str)]) {
    let folder = Folder::new();
    for (name, bytes, parts) in cases {
        let path = folder.write(&format!("{name}.gguf"), bytes);
        let parts: Vec<&str> = parts.split('|').chain([path.as_str()]).collect();
        refused(&format!("generate --model {path} --prompt a --max-tokens 2"), 2, &parts);
        refused(&format!("perplexity --model {path} --quick"), 2, &parts);
        refused(&format!("compare --quick --model {path} --kernels scalar-i8 --out {path}.run"), 2, &parts);
        assert!(!folder.has(&format!("{name}.gguf.run")), "a run that measured nothing leaves nothing");
        ends_with_error(&run(&format!("model inspect {path}")), 2, &parts);
    }
}

#[test]
fn the_file_taken_apart_is_sound() {
    let (file, folder) = (File::builtin(), Folder::new());
    assert_eq!(file.bytes, file.spliced(0..0, &[], 0));
    // A file with the name of a shard that is the only one is whole.
    let path = folder.write("m-00001-of-00001.gguf", file.with_key("split.count", 2, &[1, 0]));
    succeeds(run(&format!("generate --model {path} --prompt a --max-tokens 2")));
}

#[test]
fn not_a_model_at_all() {
    let folder = Folder::new();
    let (any, missing, out) = (folder.path().display().to_string(), folder.at("none.gguf"), folder.at("run"));
    for command in ["generate --prompt a --model", "perplexity --model", "model inspect"] {
        refused(&format!("{command} {any}"), 2, &[&any, "is a folder"]);
        refused(&format!("{command} {missing}"), 2, &[&missing, "no such file"]);
        refused(&[&command.words()[..], &[String::new()]].concat()[..], 2, &["model \"\""]);
    }
    refused(&format!("compare --model {missing} --quick --out {out}"), 2, &[&missing]);
    assert!(!folder.has("run"));
    let shard = File::parse(File::builtin().with_key("split.no", 2, &[0, 0])).with_key("split.count", 2, &[2, 0]);
    all_refuse(&[
        ("zip", b"PK\x03\x04 and more bytes than a magic".to_vec(), "a zip archive|unpack"),
        ("m-00001-of-00002", shard, "shard 1 of 2|llama-gguf-split --merge m-00001-of-00002.gguf m.gguf"),
        ("adapter", File::builtin().with_key("general.type", 8, &string("adapter")), "general.type|adapter"),
    ]);
}

/// A key that changes the model or its tokens is refused by every command, and `inspect` says which it is.
#[test]
fn keys_that_make_another_model() {
    let file = File::builtin();
    let number = |key: &str, x: f32| file.with_key(&format!("bitnet-b1.58.{key}"), 6, &x.to_le_bytes());
    all_refuse(&[
        ("factor", number("rope.scaling.factor", 4.0), "rope.scaling.factor|\"linear\" by 4"),
        ("old-key", number("rope.scale_linear", 4.0), "rope.scale_linear|\"linear\" by 4"),
        ("scale", number("attention.scale", 0.5), "attention.scale|found f32 0.5"),
        ("unknown", number("magic", 1.0), "bitnet-b1.58.magic|does not know the key"),
        ("suffix", file.with_key("tokenizer.ggml.add_eos_token", 7, &[1]), "add_eos_token|expected false"),
    ]);
    let folder = Folder::new();
    let path = folder.write("m.gguf", number("logit_scale", 0.5));
    let listed = parsed(&run(&format!("model inspect {path} --json")));
    for (key, used) in [
        ("bitnet-b1.58.logit_scale", "refused"),
        ("bitnet-b1.58.context_length", "used"),
        ("general.file_type", "harmless"),
    ] {
        let row = list(&listed, "metadata").iter().find(|row| row["key"] == key).expect("listed");
        assert_eq!(row["use"], used, "{key}");
    }
}

/// Logits with a default are those with the key, bit for bit; what was assumed is said.
#[test]
fn optional_keys_are_not_demanded() {
    let (file, folder) = (File::builtin(), Folder::new());
    let logits = |path: &str| {
        let args = format!("generate --model {path} --prompt ROMEO: --max-tokens 2 --json --logits");
        let output = succeeds(run(&args));
        (parsed(&output)["logits_last"].clone(), stderr(&output))
    };
    let (whole, said) = logits("builtin");
    assert!(!said.contains("assumed"), "{said}");
    for (key, value) in [("vocab_size", "1024"), ("rope.freq_base", "10000"), ("rope.dimension_count", "64")] {
        let key = format!("bitnet-b1.58.{key}");
        let path = folder.write(&format!("{key}.gguf"), file.without_key(&key));
        let (found, said) = logits(&path);
        assert_eq!(found, whole, "{key}");
        let note = format!("note: \"{key}\" is not in the file: {value} is assumed");
        assert!(said.lines().any(|line| line.starts_with(&note)), "{note} not in {said}");
        let listed = parsed(&run(&format!("model inspect {path} --json")));
        assert!(listed["assumed"][0].as_str().expect("a text").contains(&key), "{key}");
    }
    let headless = file.without_key("bitnet-b1.58.attention.head_count");
    all_refuse(&[("no-heads", headless, "attention.head_count|is missing; write")]);
}

#[test]
fn truncated_files() {
    let file = File::builtin();
    let (bytes, header, data) = (&file.bytes, file.header_end(), file.gguf.data_start as usize);
    let last = file.gguf.tensors.iter().max_by_key(|tensor| tensor.offset).expect("tensors");
    let start = last.offset as usize;
    // The last tensor, without the padding behind it.
    let missing = start + last.n_bytes.expect("known") as usize - bytes.len() / 2;
    all_refuse(&[
        ("keys", bytes[..header / 2].to_vec(), "byte"),
        ("tensors", bytes[..header - 5].to_vec(), "tensor|byte"),
        ("no-data", bytes[..data].to_vec(), "tensor|past the end"),
        ("last", bytes[..start + 16].to_vec(), "tensor|past the end"),
        ("half", bytes[..bytes.len() / 2].to_vec(), &format!("tensor|past the end|{missing} bytes are missing")),
    ]);
}

#[test]
fn lying_fields() {
    let file = File::builtin();
    let name = "blk.1.ffn_up.weight";
    let (kind, dims) = (file.kind(name), file.behind(name) + 4);
    let patched = |at: usize, value: u32| file.patched(at, &value.to_le_bytes());
    let said = |what: &str| format!("\"{name}\"|byte|{what}");
    let key = |key: &str, value: u32| patched(file.value(key), value);
    let alignment = file.value("general.alignment");
    let old = file.value("general.architecture")..file.value("general.architecture") + string("bitnet-b1.58").len();
    // TQ2_0 needs 66 bytes for 256 weights, I2_S 64: the last tensor that has room behind it takes the change.
    let key_weight = "blk.0.attn_k.weight";
    all_refuse(&[
        ("alignment-huge", patched(alignment, 1 << 31), &format!("general.alignment|byte {alignment}")),
        ("type-retired", patched(kind, 4), &said("4")),
        ("type-tl2", patched(kind, 39), &said("TL2")),
        ("type-i8", patched(file.kind("output_norm.weight"), 24), "output_norm|I8"),
        ("dims-other", patched(dims, 256), &said("256")),
        ("tq2", patched(file.kind(key_weight), 35), &format!("{key_weight}|byte")),
        ("gemma", file.spliced(old, &string("gemma3"), 0), "general.architecture|gemma3|GELU|byte"),
        ("no-tokenizer", file.renamed("tokenizer.ggml.", "tokenizer.none."), "tokenizer.ggml."),
        ("no-merges", file.renamed("tokenizer.ggml.merges", "tokenizer.ggml.mergez"), "tokenizer.ggml.merges"),
        ("no-heads", file.renamed("attention.head_count_kv", "attention.head_count_xx"), "head_count"),
        ("no-tensor", file.renamed("blk.1.attn_q.weight", "blk.1.attn_X.weight"), "blk.1.attn_q.weight|missing"),
        ("no-norm", file.renamed("output_norm.weight", "output_norn.weight"), "output_norm.weight|missing"),
        ("no-embedding", file.renamed("token_embd.weight", "token_embx.weight"), "token_embd.weight"),
        ("context-0", key("bitnet-b1.58.context_length", 0), "context_length|byte"),
        ("layers", key("bitnet-b1.58.block_count", 4), "blk.3."),
        ("layers-huge", key("bitnet-b1.58.block_count", u32::MAX), "block_count|byte"),
        ("vocab", key("bitnet-b1.58.vocab_size", 1000), "vocab"),
    ]);
}

#[test]
fn code_3_and_bad_scales() {
    let file = File::builtin();
    let name = "blk.2.ffn_down.weight";
    let (codes, scale) = file.data(name);
    let at = codes + 1000;
    all_refuse(&[
        ("code-3", file.patched(at, &[0b01_11_01_01]), &format!("\"{name}\"|{at}|code 3")),
        ("nan", file.patched(scale, &f32::NAN.to_le_bytes()), &format!("\"{name}\"|byte {scale}|scale")),
        ("inf", file.patched(scale, &f32::INFINITY.to_le_bytes()), &format!("\"{name}\"|byte {scale}|scale")),
    ]);
}

/// A scale of a group that is no number, also where a text begins without reading all weights: named with its tensor
/// and its place, also where all groups of the file agree otherwise.
#[test]
fn bad_scales_of_groups() {
    let folder = Folder::new();
    let tiny = File::parse(std::fs::read(scenarios().join("model/tiny/qwen3.gguf")).expect("it is there"));
    let tq2 = folder.at("tq2.gguf");
    succeeds(run(&format!("model convert builtin --to tq2_0 --out {tq2}")));
    let tq2 = File::parse(std::fs::read(tq2).expect("it was written"));
    // The scale is the first two of 18 bytes, and the last two of 66.
    let scale = |file: &File, name: &str, row: usize, (weights, bytes, behind): (usize, usize, usize)| {
        let tensor = file.tensor(name);
        tensor.offset as usize + (row * tensor.dims[0] as usize / weights + 1) * bytes + behind
    };
    let (last, middle) = ("blk.1.ffn_down.weight", "blk.1.ffn_up.weight");
    let (inf, nan) = (0x7C00u16.to_le_bytes(), 0x7E00u16.to_le_bytes());
    let of_tiny = |patch: &[u8]| tiny.patched(scale(&tiny, last, 3, (64, 18, 0)), patch);
    let of_tq2 = tq2.patched(scale(&tq2, middle, 7, (256, 66, 64)), &nan);
    let said = |name: &str, what: &str| format!("\"{name}\"|{what}, not a finite number");
    for (file, bytes, parts) in [
        ("inf", of_tiny(&inf), said(last, "the scale of row 3, group 1 is inf")),
        ("nan", of_tiny(&nan), said(last, "the scale of row 3, group 1 is NaN")),
        ("tq2", of_tq2, said(middle, "the scale of row 7, group 1 is NaN")),
    ] {
        let path = folder.write(&format!("{file}.gguf"), bytes);
        let parts: Vec<&str> = parts.split('|').chain([path.as_str()]).collect();
        refused(&format!("generate --model {path} --prompt a --max-tokens 2"), 2, &parts);
        refused(&format!("generate --model {path} --prompt a --max-tokens 2 --kernel scalar-groups"), 2, &parts);
        refused(&format!("perplexity --model {path} --quick --window 8"), 2, &parts);
        refused(&format!("compare --quick --model {path} --kernels scalar-groups --out {path}.run"), 2, &parts);
    }
}
