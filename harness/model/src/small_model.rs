//! Small models for tests: of one block, all zeros, and of two blocks with random weights.

use crate::config::ModelConfig;
use crate::error::Result;
use crate::gguf::Gguf;
use crate::gguf::testing::Builder;
use crate::gguf::types;
use crate::graph::{Role, check_codes, check_tensors, required_tensors};
use crate::loading::Loading;
use kernels::random::SplitMix64;

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
    required_tensors(&config).fold(metadata(arch), |b, (name, role, dims)| {
        b.zeros(&name, &dims.iter().map(|&d| d as u64).collect::<Vec<_>>(), kind(role).code)
    })
}

/// The type of a role's tensors in files made here.
pub fn kind(role: Role) -> types::TypeInfo {
    match role {
        Role::Vector => types::F32,
        Role::Matrix => types::I2S,
        Role::Rows => types::F16,
    }
}

/// Tokens of [`random`] models.
pub const TOKENS: usize = 40;

/// A model of two blocks with random weights, whose queries are wider than its residual stream. Weights keep the size
/// of what they multiply, gains are from 0.5 to 1.5, and each matrix has a scale of its own. `more` adds keys.
pub fn random(arch: &str, own_head: bool, more: impl Fn(Builder) -> Builder) -> Vec<u8> {
    let key = |k: &str| format!("{arch}.{k}");
    let tokens: Vec<String> = (0..TOKENS).map(|i| format!("t{i}")).collect();
    let builder = Builder::new().string("general.architecture", arch);
    let builder = builder.u32(&key("context_length"), 32).u32(&key("embedding_length"), 256);
    let builder = builder.u32(&key("block_count"), 2).u32(&key("feed_forward_length"), 512);
    let builder = builder.u32(&key("attention.head_count"), 4).u32(&key("attention.head_count_kv"), 2);
    let builder = builder.u32(&key("attention.key_length"), 128).u32(&key("attention.value_length"), 128);
    let builder = builder.f32(&key("attention.layer_norm_rms_epsilon"), 1e-5).f32(&key("rope.freq_base"), 100.0);
    let builder = builder.string("tokenizer.ggml.model", "gpt2").strings("tokenizer.ggml.tokens", &tokens);
    let builder = more(builder.strings::<&str>("tokenizer.ggml.merges", &[]));
    let gguf = Gguf::from_bytes("m", builder.build()).unwrap();
    let config = ModelConfig { tied: !own_head, ..ModelConfig::from_gguf(&gguf).unwrap() };
    let mut random = SplitMix64::new(5);
    let with_tensors = required_tensors(&config).fold(builder, |builder, (name, role, dims)| {
        let n: usize = dims.iter().product();
        let data = match role {
            Role::Vector => random.signed_units(n).iter().flat_map(|x| (1.0 + x / 2.0).to_le_bytes()).collect(),
            Role::Rows => random.signed_units(n).iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
            Role::Matrix => {
                let mut byte = || (0..4).fold(0u8, |byte, _| byte << 2 | random.below(3) as u8);
                let codes: Vec<u8> = (0..n / 4).map(|_| byte()).collect();
                let scale = (1.5 / dims[0] as f32).sqrt() * (1.0 + random.signed_unit() / 4.0);
                [&codes[..], &scale.to_le_bytes(), &[0; 28]].concat()
            }
        };
        builder.with_tensor(&name, &dims.iter().map(|&d| d as u64).collect::<Vec<_>>(), kind(role).code, data)
    });
    with_tensors.build()
}

/// Builds the file and checks its shape, tensors and codes.
pub fn check(builder: Builder) -> Result<()> {
    let gguf = Gguf::from_bytes("m", builder.build())?;
    check_tensors(&gguf, &ModelConfig::from_gguf(&gguf)?)?;
    check_codes(&gguf, &mut Loading::alone()).map(|_| ())
}

/// Asserts that the file is refused in one line that contains all `parts`.
pub fn assert_refused(builder: Builder, parts: &[&str]) {
    let text = check(builder).unwrap_err().to_string();
    assert!(!text.contains('\n'));
    parts.iter().for_each(|p| assert!(text.contains(p), "{p:?} not in {text:?}"));
}
