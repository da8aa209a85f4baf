//! Model files that are damaged or lie: every command says so in one line that names file, field and place, and exits
//! with 2.

mod common;

use common::gguf::{File, write};
use common::{assert_refused, run, stderr};
use tempfile::TempDir;

/// Exit 2 and one line with `parts` from every command that opens a model.
fn assert_all_refuse(path: &str, parts: &[&str]) {
    let parts: Vec<&str> = parts.iter().copied().chain([path]).collect();
    assert_refused(&["generate", "--model", path, "--prompt", "a", "--max-tokens", "2"], 2, &parts);
    assert_refused(&["perplexity", "--model", path, "--quick"], 2, &parts);
    let out = format!("{path}.run");
    assert_refused(&["compare", "--quick", "--model", path, "--out", &out, "--kernels", "scalar-i8"], 2, &parts);
    assert!(!std::path::Path::new(&out).exists(), "a run that measured nothing leaves nothing");
    // `inspect` may still describe what can be read, on stdout; its verdict is the same.
    let output = run(&["model", "inspect", path]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    common::error_line(&stderr(&output), &parts);
}

fn each(cases: Vec<(&str, Vec<u8>, Vec<String>)>) {
    let dir = TempDir::new().expect("a folder");
    for (name, bytes, parts) in cases {
        let path = write(dir.path(), &format!("{name}.gguf"), &bytes);
        assert_all_refuse(&path, &parts.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Parts of a message: a field and a byte offset.
fn at(what: &str, byte: usize) -> Vec<String> {
    vec![what.to_owned(), format!("byte {byte}")]
}

/// Bytes of a tensor's data by its type: F32, F16 or I2_S.
fn bytes_of(file: &File, t: &common::gguf::Tensor) -> usize {
    match file.bytes[t.kind] {
        0 => 4 * t.elements,
        1 => 2 * t.elements,
        _ => t.elements / 4 + 32,
    }
}

fn le32(n: u32) -> [u8; 4] {
    n.to_le_bytes()
}

fn le64(n: u64) -> [u8; 8] {
    n.to_le_bytes()
}

#[test]
fn the_file_taken_apart_is_sound() {
    let file = File::builtin();
    let dir = TempDir::new().expect("a folder");
    let same = write(dir.path(), "same.gguf", &file.spliced(0..0, &[]));
    assert_eq!(run(&["generate", "--model", &same, "--prompt", "a", "--max-tokens", "2"]).status.code(), Some(0));
    assert_eq!(file.bytes, std::fs::read(same).expect("read"));
}

#[test]
fn not_a_model_at_all() {
    let dir = TempDir::new().expect("a folder");
    let folder = dir.path().display().to_string();
    let missing = format!("{folder}/none.gguf");
    for args in [vec!["generate", "--prompt", "a", "--model"], vec!["perplexity", "--model"], vec!["model", "inspect"]]
    {
        let refused = |path: &str, parts: &[&str]| {
            assert_refused(&[&args[..], &[path]].concat(), 2, parts);
        };
        refused(&folder, &[&folder, "is a folder"]);
        refused(&missing, &[&missing, "no such file"]);
        refused("", &["model \"\""]);
    }
    assert_refused(&["compare", "--model", &missing, "--quick", "--out", &format!("{folder}/run")], 2, &[&missing]);
    assert!(!dir.path().join("run").exists());
    each(vec![
        ("empty", Vec::new(), vec!["empty".into(), "0 bytes".into()]),
        ("zip", b"PK\x03\x04 and more bytes than a magic".to_vec(), vec!["a zip archive".into(), "unpack".into()]),
        ("random", b"\x01\x02\x03\x04 and more bytes than a magic".to_vec(), at("magic", 0)),
        ("version", File::builtin().patched(4, &le32(1)), at("version", 4)),
    ]);
}

/// What stands where a model should be, and the next step.
#[test]
fn well_known_files_that_are_no_model() {
    let text = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{:064}\nsize 1187801280\n", 7);
    let (short, value) = (2u16.to_le_bytes(), File::builtin().with_key("split.no", 2, &[0, 0]));
    each(vec![
        ("pointer", pointer.into_bytes(), text(&["Git LFS pointer", "1187801280 bytes", "git lfs pull"])),
        ("page", b"<!DOCTYPE html><html>404</html>".to_vec(), text(&["a web page", "download"])),
        ("error", b"{\"error\":\"gated\"}".to_vec(), text(&["JSON", "gated", "download"])),
        ("old", b"tjgg\x03\0\0\0\0\0".to_vec(), text(&["GGJT", "before GGUF", "convert"])),
        ("m-00001-of-00002", File::parse(value).with_key("split.count", 2, &short), {
            text(&["shard 1 of 2", "llama-gguf-split --merge m-00001-of-00002.gguf m.gguf"])
        }),
        (
            "adapter",
            File::builtin().with_key("general.type", 8, &string("adapter")),
            text(&["general.type", "adapter"]),
        ),
    ]);
    // A file with the name of a shard that is the only one is whole.
    let dir = TempDir::new().expect("a folder");
    let path = write(dir.path(), "m-00001-of-00001.gguf", &File::builtin().with_key("split.count", 2, &[1, 0]));
    assert_eq!(run(&["generate", "--model", &path, "--prompt", "a", "--max-tokens", "2"]).status.code(), Some(0));
}

fn string(text: &str) -> Vec<u8> {
    [&le64(text.len() as u64)[..], text.as_bytes()].concat()
}

/// A key that changes the model or its tokens is refused by every command, and `inspect` says which it is.
#[test]
fn keys_that_make_another_model() {
    let with = |key: &str, kind: u32, value: &[u8]| File::builtin().with_key(key, kind, value);
    let number = |key: &str, x: f32| with(&format!("bitnet-b1.58.{key}"), 6, &x.to_le_bytes());
    let text = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    each(vec![
        ("factor", number("rope.scaling.factor", 4.0), text(&["rope.scaling.factor", "\"linear\" by 4"])),
        ("old-key", number("rope.scale_linear", 4.0), text(&["rope.scale_linear", "\"linear\" by 4"])),
        ("scale", number("attention.scale", 0.5), text(&["attention.scale", "found f32 0.5"])),
        ("unknown", number("magic", 1.0), text(&["bitnet-b1.58.magic", "does not know the key"])),
        ("suffix", with("tokenizer.ggml.add_eos_token", 7, &[1]), text(&["add_eos_token", "expected false"])),
    ]);
    let dir = TempDir::new().expect("a folder");
    let path = write(dir.path(), "m.gguf", &number("logit_scale", 0.5));
    let listed = common::parsed(&run(&["model", "inspect", &path, "--json"]));
    let usage = |key: &str| {
        let rows = listed["metadata"].as_array().expect("keys");
        rows.iter().find(|row| row["key"] == key).expect("listed")["use"].clone()
    };
    assert_eq!(usage("bitnet-b1.58.logit_scale"), "refused");
    assert_eq!(usage("bitnet-b1.58.context_length"), "used");
    assert_eq!(usage("general.file_type"), "harmless");
}

/// Logits with a default are those with the key, bit for bit; what was assumed is said.
#[test]
fn optional_keys_are_not_demanded() {
    let dir = TempDir::new().expect("a folder");
    let file = File::builtin();
    let logits = |path: &str| {
        let output =
            run(&["generate", "--model", path, "--prompt", "ROMEO:", "--max-tokens", "2", "--json", "--logits"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (common::parsed(&output)["logits_last"].clone(), stderr(&output))
    };
    let (whole, said) = logits("builtin");
    assert!(!said.contains("assumed"), "{said}");
    for (key, value) in [("vocab_size", "1024"), ("rope.freq_base", "10000"), ("rope.dimension_count", "64")] {
        let key = format!("bitnet-b1.58.{key}");
        let path = write(dir.path(), &format!("{key}.gguf"), &file.without_key(&key));
        let (found, said) = logits(&path);
        assert_eq!(found, whole, "{key}");
        let note = format!("note: \"{key}\" is not in the file: {value} is assumed");
        assert!(said.lines().any(|line| line.starts_with(&note)), "{note} not in {said}");
        let listed = common::parsed(&run(&["model", "inspect", &path, "--json"]));
        assert!(listed["assumed"][0].as_str().expect("a text").contains(&key));
    }
    let path = write(dir.path(), "no-heads.gguf", &file.without_key("bitnet-b1.58.attention.head_count"));
    assert_all_refuse(&path, &["attention.head_count", "is missing; write"]);
}

#[test]
fn truncated_files() {
    let file = File::builtin();
    let (first, last) = (file.keys.values().map(|k| k.value).min(), file.tensors.values().map(|t| t.data).max());
    let (first, last) = (first.expect("keys"), last.expect("tensors"));
    let whole = file.bytes.len();
    // The last tensor, without the padding behind it.
    let ends = file.tensors.values().map(|t| t.data + bytes_of(&file, t));
    let end = ends.max().expect("tensors");
    each(vec![
        ("magic", file.bytes[..3].to_vec(), at("magic", 0)),
        ("counts", file.bytes[..12].to_vec(), at("tensor count", 8)),
        // Fewer bytes than the keys that are promised could take.
        ("value", file.bytes[..first + 2].to_vec(), vec!["byte".into()]),
        ("keys", file.bytes[..file.header_end / 2].to_vec(), vec!["byte".into()]),
        ("tensors", file.bytes[..file.header_end - 5].to_vec(), vec!["tensor".into(), "byte".into()]),
        ("no-data", file.bytes[..file.data_start].to_vec(), vec!["tensor".into(), "past the end".into()]),
        ("last", file.bytes[..last + 16].to_vec(), vec!["tensor".into(), "past the end".into()]),
        (
            "half",
            file.bytes[..whole / 2].to_vec(),
            vec!["tensor".into(), "past the end".into(), format!("{} bytes are missing", end - whole / 2)],
        ),
    ]);
}

#[test]
fn lying_counts_lengths_and_alignment() {
    let file = File::builtin();
    let architecture = file.key("general.architecture").value;
    let name = file.key("general.name").clone();
    let tokens = file.key("tokenizer.ggml.tokens").value;
    let alignment = file.key("general.alignment").value;
    each(vec![
        ("tensor-count", file.patched(8, &le64(u64::MAX)), at("tensor count", 8)),
        ("more-tensors", file.patched(8, &le64(60_000)), at("tensor", 0)[..1].to_vec()),
        ("key-count", file.patched(16, &le64(1 << 50)), at("metadata count", 16)),
        ("string-length", file.patched(architecture, &le64(1 << 40)), at("general.architecture", architecture)),
        ("key-length", file.patched(name.name.start - 8, &le64(u64::MAX)), at("metadata key", name.name.start - 8)),
        ("value-type", file.patched(name.kind, &le32(99)), at("general.name", name.kind)),
        ("array-length", file.patched(tokens + 4, &le64(1 << 60)), at("tokenizer.ggml.tokens", tokens + 4)),
        ("not-utf-8", file.patched(name.value + 8, &[0xff]), vec!["UTF-8".into(), "byte".into()]),
        ("alignment-0", file.patched(alignment, &le32(0)), at("general.alignment", alignment)),
        ("alignment-24", file.patched(alignment, &le32(24)), at("general.alignment", alignment)),
        ("alignment-huge", file.patched(alignment, &le32(1 << 31)), at("general.alignment", alignment)),
    ]);
}

#[test]
fn lying_tensors() {
    let file = File::builtin();
    let name = "blk.1.ffn_up.weight";
    let t = file.tensor(name).clone();
    let with = |what: &str| vec![format!("\"{name}\""), "byte".into(), what.to_owned()];
    each(vec![
        ("offset-far", file.patched(t.offset, &le64(1 << 40)), with("past the end")),
        ("offset-odd", file.patched(t.offset, &le64(33)), with("multiple")),
        ("offset-overflow", file.patched(t.offset, &le64(u64::MAX - 31)), with("past the end")),
        ("type-unknown", file.patched(t.kind, &le32(77)), with("77")),
        ("type-retired", file.patched(t.kind, &le32(4)), with("4")),
        ("type-tl2", file.patched(t.kind, &le32(39)), with("TL2")),
        (
            "type-f16",
            file.patched(file.tensor("output_norm.weight").kind, &le32(1)),
            vec!["output_norm".into(), "F16".into()],
        ),
        ("dims-0", file.patched(t.dims, &le64(0)), with("dimension 0")),
        ("dims-odd", file.patched(t.dims, &le64(64)), with("128")),
        ("dims-other", file.patched(t.dims, &le64(256)), with("256")),
        ("dims-huge", file.patched(t.dims, &le64(u64::MAX)), with("")),
        ("n-dims", file.patched(t.n_dims, &le32(9)), with("9 dimensions")),
    ]);
}

#[test]
fn tq_types_are_named_with_what_to_do() {
    let file = File::builtin();
    // TQ2_0 needs 66 bytes for 256 weights, I2_S 64: the last tensor that has room behind it takes the change.
    let (name, t) = file.tensors.iter().find(|(name, _)| name.ends_with("attn_k.weight")).expect("there");
    let dir = TempDir::new().expect("a folder");
    let path = write(dir.path(), "tq2.gguf", &file.patched(t.kind, &le32(35)));
    let line = assert_refused(&["generate", "--model", &path, "--prompt", "a"], 2, &[&path, name, "byte"]);
    assert!(line.contains("TQ2_0") || line.contains("overlaps"), "{line}");
}

#[test]
fn code_3_and_bad_scales() {
    let file = File::builtin();
    let t = file.tensor("blk.2.ffn_down.weight").clone();
    let codes = t.elements / 4;
    let name = "\"blk.2.ffn_down.weight\"".to_owned();
    each(vec![
        (
            "code-3",
            file.patched(t.data + 1000, &[0b01_11_01_01]),
            vec![name.clone(), format!("{}", t.data + 1000), "code 3".into()],
        ),
        (
            "scale-nan",
            file.patched(t.data + codes, &f32::NAN.to_le_bytes()),
            vec![name.clone(), format!("byte {}", t.data + codes), "scale".into()],
        ),
        (
            "scale-inf",
            file.patched(t.data + codes, &f32::INFINITY.to_le_bytes()),
            vec![name, format!("byte {}", t.data + codes), "scale".into()],
        ),
    ]);
}

#[test]
fn other_architectures_and_missing_parts() {
    let file = File::builtin();
    let value = file.key("general.architecture").value;
    let old = value..value + 8 + "bitnet-b1.58".len();
    let bitnet = file.spliced(old.clone(), &[&le64(6)[..], b"bitnet"].concat());
    let llama = file.spliced(old, &[&le64(5)[..], b"llama"].concat());
    let text = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    let context = file.key("bitnet-b1.58.context_length").value;
    let layers = file.key("bitnet-b1.58.block_count").value;
    let vocab = file.key("bitnet-b1.58.vocab_size").value;
    each(vec![
        ("llama", llama, text(&["general.architecture", "llama", "byte"])),
        ("bitnet", bitnet, text(&["general.architecture", "\"bitnet\"", "SiLU", "byte"])),
        ("no-tokenizer", file.renamed("tokenizer.ggml.", "tokenizer.none."), text(&["tokenizer.ggml."])),
        ("no-merges", file.renamed("tokenizer.ggml.merges", "tokenizer.ggml.mergez"), text(&["tokenizer.ggml.merges"])),
        ("no-heads", file.renamed("attention.head_count_kv", "attention.head_count_xx"), text(&["head_count"])),
        (
            "no-tensor",
            file.renamed("blk.1.attn_q.weight", "blk.1.attn_X.weight"),
            text(&["blk.1.attn_q.weight", "missing"]),
        ),
        ("no-norm", file.renamed("output_norm.weight", "output_norn.weight"), text(&["output_norm.weight", "missing"])),
        ("no-embedding", file.renamed("token_embd.weight", "token_embx.weight"), text(&["token_embd.weight"])),
        ("context-0", file.patched(context, &le32(0)), text(&["context_length", "byte"])),
        ("layers", file.patched(layers, &le32(4)), text(&["blk.3."])),
        ("layers-huge", file.patched(layers, &le32(u32::MAX)), text(&["block_count", "byte"])),
        ("vocab", file.patched(vocab, &le32(1000)), text(&["vocab"])),
    ]);
}
