//! One test for each reader.

use super::fuzz;
use crate::cli::{Cli, Command, ModelCommand};
use crate::error::{Error, Result};
use crate::fixture;
use crate::gate::{Baseline, Store};
use crate::model::builtin;
use crate::model::config::{ModelConfig, check_codes, check_tensors};
use crate::model::gguf::Gguf;
use crate::model::gguf::testing::Builder;
use crate::model::inspect::inspect;
use crate::model::loading::Loading;
use crate::model::packed_file::{PackedFile, write_packed};
use crate::model::tokenizer::Tokenizer;
use crate::model::weights::Model;
use crate::scenario::Scenario;
use crate::usage::one_line;
use clap::Parser;
use kernels::Packing;
use receipt::judge::amdahl;
use receipt::judge::claims;
use reports::export::{Format, export};
use reports::{Look, run_documents, summary};
use sha2::{Digest, Sha256};

fn builtin_bytes() -> Vec<u8> {
    builtin::open().expect("sound").file_bytes().to_vec()
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
    Tokenizer::from_gguf(&gguf, None).map(|_| ())
}

#[test]
fn gguf() {
    // The built-in model, and small files with every kind of value.
    let small = Builder::new()
        .string("general.architecture", "bitnet-b1.58")
        .strings("tokenizer.ggml.tokens", &["a", "b", "ab"])
        .i32s("tokenizer.ggml.token_type", &[1, 1, 1])
        .f32("bitnet-b1.58.rope.freq_base", 1e4)
        .bool("tokenizer.ggml.add_bos_token", true)
        .zeros("token_embd.weight", &[128, 3], 1)
        .zeros("blk.0.attn_q.weight", &[128, 128], 36)
        .build();
    fuzz(&[builtin_bytes(), small.clone(), small], true, load);
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
    let borrowed = |list: &[String]| list.iter().map(String::as_str).collect::<Vec<_>>().join("\u{1}");
    let (tokens_text, merges_text) = (borrowed(&tokens), borrowed(&merges));
    let file = Builder::new()
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", "gpt-2")
        .strings("tokenizer.ggml.tokens", &tokens_text.split('\u{1}').collect::<Vec<_>>())
        .strings("tokenizer.ggml.merges", &merges_text.split('\u{1}').collect::<Vec<_>>())
        .i32s("tokenizer.ggml.token_type", &vec![1; tokens.len()])
        .u32("tokenizer.ggml.eos_token_id", 2)
        .build();
    fuzz(&[file], true, |bytes| {
        let gguf = Gguf::from_bytes("m.gguf", bytes.to_vec())?;
        let tokenizer = Tokenizer::from_gguf(&gguf, None)?;
        let ids = tokenizer.encode("ROMEO: what\n light? 12345", None)?;
        let _ = tokenizer.decode(&ids);
        Ok(())
    });
}

#[test]
fn scenario() {
    let seeds: Vec<Vec<u8>> = crate::scenario::BUILTIN.iter().map(|(_, text)| text.as_bytes().to_vec()).collect();
    fuzz(&seeds, false, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut scenario = Scenario::parse("s.toml", &text)?;
        let _ = scenario.cells(None);
        scenario.make_quick();
        let _ = (scenario.cells(None), scenario.record());
        Ok(())
    });
}

/// A receipt that is read is also rendered: the report believes nothing either.
#[test]
fn receipt() {
    let seeds: Vec<Vec<u8>> = [fixture::complete(), fixture::empty()]
        .iter()
        .flat_map(|r| [serde_json::to_vec_pretty(r).expect("JSON"), serde_json::to_vec(r).expect("JSON")])
        .collect();
    let mut rendered = 0;
    fuzz(&seeds, false, |bytes| {
        let receipt = receipt::parse("receipt.json", bytes)?;
        let _ = summary(&receipt, Look { color: true, ..Look::plain() });
        // The whole report takes 20 ms, most of them in charts: one in eight.
        rendered += 1;
        if rendered % 8 == 0 {
            run_documents(&receipt)?;
        }
        Ok(())
    });
}

/// What is rechecked, exported and judged believes nothing either, and nothing of it moves the cursor of a terminal.
#[test]
fn receipt_recheck() {
    let seeds: Vec<Vec<u8>> = [fixture::complete(), fixture::gate::receipt(0.05), fixture::empty()]
        .iter()
        .map(|receipt| receipt::sealed(receipt).expect("JSON"))
        .collect();
    let own = crate::build_info::build();
    fuzz(&seeds, false, |bytes| {
        let found = receipt::recheck::recheck("receipt.json".into(), bytes, &own)?;
        found.problems.iter().for_each(|problem| assert_plain(&problem.line()));
        // A receipt that does not hold is shown and exported all the same.
        let Ok(receipt) = receipt::parse("receipt.json", bytes) else { return Ok(()) };
        assert_plain(&summary(&receipt, Look { full: true, ..Look::plain() }));
        for format in Format::ALL {
            let _ = export(&receipt, "00", format)?;
        }
        let _ = serde_json::to_string(&(amdahl::rows(&receipt), claims::judge_all(reports::seed::claims(), &receipt)));
        Ok(())
    });
}

fn assert_plain(text: &str) {
    let moves = text.chars().find(|c| c.is_control() && *c != '\n');
    assert!(moves.is_none(), "{moves:?} in {text:?}");
}

#[test]
fn claims_toml() {
    fuzz(&[reports::seed::CLAIMS.as_bytes().to_vec()], false, |bytes| {
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
        binary_sha256: crate::build_info::sha256_hex(b"program"),
        binary_bytes: 7,
        computed: vec![check.clone(), check],
    };
    let path = store.save(&saved, b"program").expect("saved").join("baseline.json");
    let seed = std::fs::read(&path).expect("there");
    fuzz(&[seed], false, |bytes| {
        std::fs::write(&path, bytes).expect("written");
        assert_eq!(store.all().len(), 1);
        let (baseline, _) = store.load("main")?;
        Scenario::parse("its scenario", &baseline.scenario)?.require_micro()
    });
}

#[test]
fn packed_file() {
    let model = Model::load(builtin::open().expect("sound"), None, &mut Loading::alone()).expect("sound");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.trit");
    let seeds: Vec<Vec<u8>> = [Packing::Vnni16, Packing::Trit5, Packing::Lut16, Packing::Lut8]
        .into_iter()
        .map(|packing| {
            write_packed(&model, packing, &path, &mut Loading::alone()).expect("written");
            std::fs::read(&path).expect("there")
        })
        .collect();
    let mut number = 0u64;
    fuzz(&seeds, true, |bytes| {
        let mut bytes = bytes.to_vec();
        number += 1;
        // Half of the time the header's hash is made to fit again, as a stranger would.
        if number.is_multiple_of(2)
            && let Some(n) = bytes.get(12..16).map(|n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]) as usize)
            && let Some(table) = bytes.get(128..128usize.saturating_mul(n.saturating_add(1)))
        {
            let hash = Sha256::new().chain_update(&bytes[..96]).chain_update(table).finalize();
            bytes[96..128].copy_from_slice(&hash);
        }
        std::fs::write(&path, &bytes).expect("written");
        PackedFile::open(&path, &model)?.check(&mut Loading::alone()).map(|_| ())
    });
}

/// Arguments split at zero bytes. What is accepted names a packing and files; nothing is written here.
#[test]
fn convert_arguments() {
    let seeds = [
        b"model\0convert\0m.gguf\0--packing\0vnni16x16\0--out\0m.trit".to_vec(),
        b"model\0convert\0builtin\0--packing=i2s-128x32\0-o\0/tmp/x\0--force\0--json\0--threads\x002\0--pin".to_vec(),
        b"model\0convert\0synth:tiny\0--packing\0qk256\0--out\0x\0--cpu-features\0avx2".to_vec(),
    ];
    fuzz(&seeds, false, |bytes| {
        let words = bytes.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let words: Vec<String> = std::iter::once("harness".to_owned()).chain(words).collect();
        let command = Cli::try_parse_from(&words).map_err(|e| Error::input(one_line(&e, &words)))?.command;
        if let Command::Model(ModelCommand::Convert { packing, machine, .. }) = command {
            crate::cmd::model::packing_by_name(&packing)?;
            machine.check(1).map(|_| ())?;
        }
        Ok(())
    });
}
