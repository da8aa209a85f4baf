//! Everything that reads a model file, on the built-in one with damage.

use crate::error::Error;
use crate::{builtin, config, gguf, graph, inspect, tokenizer};
use proptest::prelude::*;

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
}
