//! A model of one block, all zeros, for tests.

use crate::config::ModelConfig;
use crate::error::Result;
use crate::gguf::Gguf;
use crate::gguf::testing::Builder;
use crate::graph::{check_codes, check_tensors, required_tensors};
use crate::loading::Loading;

/// A file with the small model's metadata alone.
pub fn metadata(arch: &str) -> Builder {
    let key = |k: &str| format!("{arch}.{k}");
    Builder::new()
        .string("general.architecture", arch)
        .u32(&key("vocab_size"), 8)
        .u32(&key("context_length"), 16)
        .u32(&key("embedding_length"), 128)
        .u32(&key("block_count"), 1)
        .u32(&key("feed_forward_length"), 256)
        .u32(&key("rope.dimension_count"), 32)
        .f32(&key("rope.freq_base"), 10000.0)
        .u32(&key("attention.head_count"), 4)
        .u32(&key("attention.head_count_kv"), 2)
        .f32(&key("attention.layer_norm_rms_epsilon"), 1e-5)
}

/// A file with the small model's metadata and tensors.
pub fn whole(arch: &str) -> Builder {
    let gguf = Gguf::from_bytes("m", metadata(arch).build()).unwrap();
    let config = ModelConfig::from_gguf(&gguf).unwrap();
    required_tensors(&config).fold(metadata(arch), |b, (name, kind, dims)| {
        b.zeros(&name, &dims.iter().map(|&d| d as u64).collect::<Vec<_>>(), kind.code)
    })
}

/// Builds the file and checks its shape, tensors and codes.
pub fn check(builder: Builder) -> Result<()> {
    let gguf = Gguf::from_bytes("m", builder.build())?;
    check_tensors(&gguf, &ModelConfig::from_gguf(&gguf)?)?;
    check_codes(&gguf, &mut Loading::alone())
}

/// Asserts that the file is refused in one line that contains all `parts`.
pub fn assert_refused(builder: Builder, parts: &[&str]) {
    let text = check(builder).unwrap_err().to_string();
    assert!(!text.contains('\n'));
    parts.iter().for_each(|p| assert!(text.contains(p), "{p:?} not in {text:?}"));
}
