//! One property for each reader. Seeds are good files and the bad ones of `tests/corpus`.

use super::Kind::{Binary, Text};
use super::fuzz;
use crate::error::Result;
use crate::fixture;
use crate::gate::{Baseline, Store};
use crate::scenario::Scenario;
use model::builtin;
use model::config::ModelConfig;
use model::convert::{Conversion, Target};
use model::encoding::ALL;
use model::gguf::Gguf;
use model::gguf::writer::{HeaderWriter, padding};
use model::graph::{check_codes, check_tensors};
use model::inspect::inspect;
use model::loading::Loading;
use model::tokenizer::Tokenizer;
use receipt::judge::{amdahl, claims};
use reports::export::{Format, export};
use reports::{Look, run_documents, summary};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The files of a folder of the corpus: those that somebody once choked on, or could.
fn corpus(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let entries = std::fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("readable").path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    files.sort();
    assert!(files.len() > 10, "{} files", files.len());
    files.into_iter().map(|file| std::fs::read(file).expect("readable")).collect()
}

fn builtin_bytes() -> Vec<u8> {
    builtin::bytes().to_vec()
}

/// All that is done to a file before its weights are used.
fn load(bytes: &[u8]) -> Result<()> {
    let gguf = Gguf::from_bytes("m.gguf", bytes.to_vec())?;
    // Listing must work for every file whose header is sound, whatever it means.
    let listed = inspect(&gguf)?;
    let _ = (listed.to_text(), serde_json::to_string(&listed));
    let config = ModelConfig::from_gguf(&gguf)?;
    check_tensors(&gguf, &config)?;
    check_codes(&gguf, &mut Loading::alone())?;
    Tokenizer::from_gguf(&gguf, None)?;
    Ok(())
}

#[test]
fn gguf() {
    // The built-in model, and small files with every kind of value.
    let mut header = HeaderWriter::new()
        .string("general.architecture", "bitnet-b1.58")
        .strings("tokenizer.ggml.tokens", &["a", "b", "ab"])
        .i32s("tokenizer.ggml.token_type", &[1, 1, 1])
        .f32("bitnet-b1.58.rope.freq_base", 1e4)
        .bool("tokenizer.ggml.add_bos_token", true);
    let embedding = header.tensor("token_embd.weight", &[128, 3], 1).expect("valid");
    let ternary = header.tensor("blk.0.attn_q.weight", &[128, 128], 36).expect("valid");
    // Every weight 0, scale 1.
    let codes = [vec![0x55; 128 * 128 / 4], 1f32.to_le_bytes().to_vec(), vec![0; 28]].concat();
    assert_eq!(codes.len() as u64, ternary);
    let small = [header.finish(), vec![0; embedding as usize], padding(embedding).to_vec(), codes].concat();
    let good = vec![builtin_bytes(), small.clone(), small];
    fuzz(Binary, &good, &corpus("gguf", "gguf"), load);
}

/// Files in every encoding that is written: read row by row, and written in others.
#[test]
fn conversions() {
    let mut header = HeaderWriter::new().string("general.architecture", "bitnet");
    let ternary = header.tensor("blk.0.attn_q.weight", &[256, 4], 36).expect("valid");
    let norm = header.tensor("blk.0.attn_norm.weight", &[256], 0).expect("valid");
    let codes: Vec<u8> = (0..256).map(|i: u32| [0x55, 0x86, 0x29, 0x14][i as usize % 4]).collect();
    let tail = [0.1f32.to_le_bytes().to_vec(), vec![0; 28]].concat();
    assert_eq!((codes.len() + tail.len()) as u64, ternary);
    let file = [header.finish(), codes, tail, vec![0; norm as usize]].concat();
    let never = AtomicBool::new(false);
    let written = || ALL.iter().copied().filter(|encoding| encoding.encode.is_some());
    let convert = |bytes: Vec<u8>, encoding| -> Result<Vec<u8>> {
        let gguf = Gguf::from_bytes("m.gguf", bytes)?;
        let conversion = Conversion::new(&gguf, Target { encoding, exact: false }, &never, &|_| {})?;
        let mut out = Vec::new();
        conversion.write(&mut out, &never, &|_| {}).expect("memory takes all");
        assert_eq!(out.len() as u64, conversion.bytes());
        Ok(out)
    };
    let good: Vec<Vec<u8>> = written().map(|encoding| convert(file.clone(), encoding).expect("sound")).collect();
    fuzz(Binary, &good, &corpus("gguf", "gguf"), |bytes| {
        // One after the other: what one refuses another takes, or it is no sound file.
        let results: Vec<_> = written().map(|encoding| convert(bytes.to_vec(), encoding)).collect();
        results.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    });
}

/// Vocabulary and merges, without the model around them: many more inputs a second.
#[test]
fn tokenizer_metadata() {
    let whole = builtin::open().expect("sound");
    let list = |key: &str| -> Vec<String> {
        let (_, strings) = whole.required_strings(key).expect("there");
        strings.take(300).map(|s| s.to_owned()).collect()
    };
    let tokens = list("tokenizer.ggml.tokens");
    let known = |merge: &String| {
        let (left, right) = merge.split_once(' ').unwrap_or(("", ""));
        [left.to_owned(), right.to_owned(), format!("{left}{right}")].iter().all(|part| tokens.contains(part))
    };
    let merges: Vec<String> = list("tokenizer.ggml.merges").into_iter().filter(known).collect();
    let header = HeaderWriter::new()
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", "gpt-2")
        .strings("tokenizer.ggml.tokens", &tokens)
        .strings("tokenizer.ggml.merges", &merges)
        .i32s("tokenizer.ggml.token_type", &vec![1; tokens.len()])
        .u32("tokenizer.ggml.eos_token_id", 2);
    fuzz(Binary, &[header.finish()], &[], |bytes| {
        let gguf = Gguf::from_bytes("m.gguf", bytes.to_vec())?;
        let tokenizer = Tokenizer::from_gguf(&gguf, None)?;
        let ids = tokenizer.encode("ROMEO: what\n light? 12345", None)?;
        let _ = tokenizer.decode(&ids);
        Ok(())
    });
}

#[test]
fn scenario() {
    let good: Vec<Vec<u8>> = crate::scenario::BUILTIN.iter().map(|(_, text)| text.as_bytes().to_vec()).collect();
    fuzz(Text, &good, &corpus("scenario", "toml"), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut scenario = Scenario::parse("s.toml", &text)?;
        let _ = scenario.cells(None);
        scenario.make_quick();
        let _ = (scenario.cells(None), scenario.record());
        Ok(())
    });
}

/// A receipt that is read is also rechecked, rendered, exported and judged: none of them believes anything, and nothing
/// that they say moves the cursor of a terminal.
#[test]
fn receipt() {
    let receipts = [fixture::complete(), fixture::gate::receipt(0.05), fixture::engines(), fixture::empty()];
    let sealed = receipts.iter().map(|receipt| receipt::sealed(receipt).expect("JSON"));
    let readable = receipts.iter().map(|receipt| serde_json::to_vec_pretty(receipt).expect("JSON"));
    let good: Vec<Vec<u8>> = sealed.chain(readable).collect();
    let own = crate::build_info::build();
    fuzz(Text, &good, &corpus("receipt", "json"), |bytes| {
        let found = receipt::recheck::recheck("receipt.json".into(), bytes, Some(&own))?;
        found.problems.iter().for_each(|problem| assert_plain(&problem.line()));
        // A receipt that does not hold is shown and exported all the same.
        let receipt = receipt::parse("receipt.json", bytes)?;
        assert_plain(&summary(&receipt, Look { full: true, ..Look::plain() }));
        let _ = summary(&receipt, Look { color: true, ..Look::plain() });
        for format in Format::ALL {
            // What a format cannot hold it says.
            if let Err(refused) = export(&receipt, format) {
                assert_plain(&refused.to_string());
            }
        }
        let _ = serde_json::to_string(&(amdahl::rows(&receipt), claims::judge_all(reports::seed::claims(), &receipt)));
        // The whole report takes 20 ms, most of them in charts: one in eight.
        if bytes.len().is_multiple_of(8) {
            run_documents(&receipt)?;
        }
        Ok(())
    });
}

fn assert_plain(text: &str) {
    let moves = text.chars().find(|c| c.is_control() && *c != '\n');
    assert!(moves.is_none(), "{moves:?} in {text:?}");
}

#[test]
fn claims_toml() {
    fuzz(Text, &[reports::seed::CLAIMS.into()], &[], |bytes| {
        let claims = claims::parse("c.toml", &String::from_utf8_lossy(bytes), &crate::kernel_ids::known_kernel)?;
        let _ = serde_json::to_string(&claims);
        Ok(())
    });
}

/// The facts of a saved baseline. Its program is no input: whoever can change that can run programs anyway.
#[test]
fn baseline() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(Some(folder.path()));
    let check = fixture::gate::check("output", "scalar-i8", true);
    let saved = Baseline {
        version: Baseline::version(),
        name: "main".into(),
        created: "2026-01-01T00:00:00Z".into(),
        build: crate::build_info::build(),
        cpu: "a CPU".into(),
        scenario: crate::scenario::BUILTIN[0].1.into(),
        quick: true,
        kernels: Some(vec!["scalar-i8".into()]),
        threads: 1,
        cpu_features: Some("avx2".into()),
        seed: 1,
        binary_sha256: model::hash::sha256_hex(b"program"),
        binary_bytes: 7,
        computed: vec![check.clone(), check],
    };
    let path = store.save(&saved, b"program").expect("saved").join("baseline.json");
    fuzz(Text, &[std::fs::read(&path).expect("there")], &[], |bytes| {
        std::fs::write(&path, bytes).expect("written");
        assert_eq!(store.all().len(), 1);
        let (baseline, _) = store.load("main")?;
        Scenario::parse("its scenario", &baseline.scenario)?.require_micro()
    });
}
