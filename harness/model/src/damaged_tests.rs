//! Everything that reads a model file, on bad files and on the built-in one with damage.

use crate::error::{Error, Kind};
use crate::gguf::testing::Builder;
use crate::small_model::random;
use crate::{builtin, config, gguf, graph, inspect, tokenizer, weights};
use proptest::prelude::*;
use std::path::Path;

/// Each bad file is refused with the line that is kept beside it.
#[test]
fn the_corpus_is_refused_word_for_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/gguf");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut refused = 0;
    for path in paths.filter(|path| path.extension().is_some_and(|ending| ending == "gguf")) {
        let opened = gguf::Gguf::from_bytes("FILE", std::fs::read(&path).unwrap());
        let error = opened.and_then(|gguf| weights::Opened::new(gguf, None)).err().expect("must be refused");
        let wanted = std::fs::read_to_string(path.with_extension("snap")).unwrap();
        let wanted = wanted.lines().last().unwrap();
        assert!(error.kind() == Kind::Input && format!("error: {error}").starts_with(wanted), "{error}, not {wanted}");
        refused += 1;
    }
    assert!(refused >= 40, "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Any few bytes of the built-in model's header may be wrong: everything that reads a file must answer with a value
    /// or one line, never a panic.
    #[test]
    fn a_damaged_model_never_panics(
        damage in prop::collection::vec((0.0..1.0f64, any::<u8>()), 1..4), cut in 0.0..4.0f64,
    ) {
        let mut bytes = builtin::bytes().to_vec();
        let header = builtin::open().unwrap().data_start as f64;
        damage.iter().for_each(|(at, value)| bytes[(at * header) as usize] = *value);
        bytes.truncate((cut * bytes.len() as f64) as usize); // one in four is cut
        read(bytes);
    }

    /// So may those of the other architectures' headers.
    #[test]
    fn damaged_headers_of_every_architecture_never_panic(
        damage in prop::collection::vec((0.0..1.0f64, any::<u8>()), 1..4), which in 0..4usize,
    ) {
        let yarn = |file: Builder| {
            file.string("qwen3.rope.scaling.type", "yarn").f32("qwen3.rope.scaling.factor", 2.0)
        };
        let mut bytes = match which {
            0 => random("qwen3", true, yarn),
            n => random(["qwen3", "llama", "bitnet"][n - 1], n < 3, |file| file),
        };
        let header = gguf::Gguf::from_bytes("m", bytes.clone()).unwrap().data_start as f64;
        damage.iter().for_each(|(at, value)| bytes[(at * header) as usize] = *value);
        read(bytes);
    }
}

/// Everything that reads a file answers with a value or one line.
fn read(bytes: Vec<u8>) {
    let one_line = |e: Error| assert!(!e.to_string().contains('\n'), "{e}");
    match gguf::Gguf::from_bytes("m", bytes) {
        Ok(file) => {
            match config::ModelConfig::from_gguf(&file) {
                Ok(c) => graph::check_tensors(&file, &c).err().into_iter().for_each(one_line),
                Err(e) => one_line(e),
            }
            tokenizer::Tokenizer::from_gguf(&file, None).err().into_iter().for_each(one_line);
            inspect::inspect(&file).unwrap().to_text();
        }
        Err(e) => one_line(e),
    }
}
