//! Folders with a few wrong bytes: a value or one line, never a panic.

use super::testing::Maker;
use crate::config::ModelConfig;
use crate::error::{Error, Kind};
use crate::tokenizer::Tokenizer;
use proptest::prelude::*;

const FILES: [&str; 4] =
    ["config.json", "tokenizer.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_folder_never_panics(
        file in 0..FILES.len(), damage in prop::collection::vec((0.0..1.0f64, any::<u8>()), 1..4), cut in 0.0..4.0f64,
    ) {
        let mut maker = Maker::tiny();
        maker.split(2);
        maker.write();
        let mut bytes = std::fs::read(maker.path().join(FILES[file])).unwrap();
        // Of a shard the header, which is at the beginning.
        let within = bytes.len().min(4096) as f64;
        damage.iter().for_each(|(at, value)| bytes[(at * within) as usize] = *value);
        bytes.truncate((cut * bytes.len() as f64) as usize); // one in four is cut
        maker.file(FILES[file], bytes);
        let one_line = |e: Error| assert!(!e.to_string().contains('\n') && e.kind() == Kind::Input, "{e}");
        match maker.open() {
            Ok(gguf) => {
                ModelConfig::shape(&gguf).err().into_iter().for_each(one_line);
                Tokenizer::from_gguf(&gguf, None).err().into_iter().for_each(one_line);
                for tensor in &gguf.tensors {
                    assert_eq!(gguf.bytes(tensor).len() as u64, tensor.n_bytes.unwrap());
                }
            }
            Err(e) => one_line(e),
        }
    }
}
