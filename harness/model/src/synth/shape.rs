//! Shapes that synthetic models can have.

use super::vocab::Vocabulary;
use crate::arch;
use crate::config::{ModelConfig, Yarn};
use crate::error::{Error, Result};
use crate::gguf::{TypeInfo, types};
use crate::graph::Role;
use std::sync::LazyLock;

/// A shape that `model synth` can write, named after the model that has it.
#[derive(Clone, Debug)]
pub struct SynthShape {
    /// Name of the shape, as `--shape` takes it, for example `tiny`.
    pub name: &'static str,
    /// One line on the model that the shape imitates.
    pub summary: &'static str,
    pub(super) config: ModelConfig,
    pub(super) vocabulary: Vocabulary,
    /// Type of the ternary matrices.
    pub(super) matrices: TypeInfo,
    /// Type of the embedding and of the output head.
    pub(super) rows: TypeInfo,
}

static SHAPES: LazyLock<Vec<SynthShape>> = LazyLock::new(|| {
    let shape = |name, summary, config, vocabulary| {
        let (matrices, rows) = (types::I2S, types::F16);
        SynthShape { name, summary, config, vocabulary, matrices, rows }
    };
    let bonsai = |name, summary, config| {
        let of_q2 = shape(name, summary, config, Vocabulary::Qwen3);
        SynthShape { matrices: types::Q2_0, rows: types::Q2_0, ..of_q2 }
    };
    vec![
        shape("2b-4t", "BitNet-b1.58-2B-4T, 1.19 GB", bitnet_2b(), Vocabulary::Llama3 { pre: None }),
        shape("tiny", "the built-in model's shape, 2.8 MB", tiny(), Vocabulary::BuiltIn),
        bonsai("bonsai-1.7b", "Ternary-Bonsai-1.7B, Q2_0 in groups of 64, 0.49 GB", bonsai_1_7b()),
        bonsai("bonsai-8b", "Ternary-Bonsai-8B, Q2_0 in groups of 64, 2.3 GB", bonsai_8b()),
        shape("llama3-8b", "Llama3-8B-1.58, I2_S, 3.9 GB", llama3_8b(), Vocabulary::Llama3 { pre: Some("llama-bpe") }),
        shape("falcon3-1b", "Falcon3-1B-Instruct-1.58bit, I2_S, 1.4 GB", falcon3_1b(), Vocabulary::Falcon3),
    ]
});

/// A shape of this architecture without sizes; heads are as wide as divides the width.
fn of(architecture: &str, name: &str) -> ModelConfig {
    let row = arch::find(architecture).map_or_else(ModelConfig::default, ModelConfig::of);
    ModelConfig { architecture: architecture.into(), name: name.into(), tied: true, rms_eps: 1e-5, ..row }
}

/// With heads as wide as they are where they divide the width among them.
fn with_heads(c: ModelConfig) -> ModelConfig {
    let head_dim = c.dim / c.heads;
    ModelConfig { head_dim, rope_dims: head_dim, ..c }
}

fn bitnet_2b() -> ModelConfig {
    let c = of("bitnet-b1.58", "synthetic-2b-4t");
    let c = ModelConfig { vocab: 128_256, context: 4096, rope_theta: 500_000.0, ..c };
    with_heads(ModelConfig { dim: 2560, layers: 30, heads: 20, kv_heads: 5, ffn: 6912, ..c })
}

fn tiny() -> ModelConfig {
    let c = ModelConfig { vocab: 1024, context: 512, rope_theta: 10_000.0, ..of("bitnet-b1.58", "synthetic-tiny") };
    with_heads(ModelConfig { dim: 512, layers: 3, heads: 8, kv_heads: 2, ffn: 1024, ..c })
}

/// Files of the Bonsai models stretch their angles to four times the context that they were trained on before.
fn bonsai(name: &str, original_context: usize) -> ModelConfig {
    let yarn = Yarn { factor: 4.0, original_context, beta_fast: 32.0, beta_slow: 1.0 };
    let c = ModelConfig { vocab: 151_936, context: 4 * original_context, rope_theta: 1e6, ..of("qwen3", name) };
    ModelConfig { rms_eps: 1e-6, yarn: Some(yarn), ..c }
}

fn bonsai_1_7b() -> ModelConfig {
    let c = bonsai("synthetic-bonsai-1.7b", 8192);
    with_heads(ModelConfig { dim: 2048, layers: 28, heads: 16, kv_heads: 8, ffn: 6144, ..c })
}

fn bonsai_8b() -> ModelConfig {
    let c = bonsai("synthetic-bonsai-8b", 16_384);
    with_heads(ModelConfig { dim: 4096, layers: 36, heads: 32, kv_heads: 8, ffn: 12_288, tied: false, ..c })
}

fn llama3_8b() -> ModelConfig {
    let c = of("llama", "synthetic-llama3-8b");
    let c = ModelConfig { vocab: 128_256, context: 8192, rope_theta: 500_000.0, tied: false, ..c };
    with_heads(ModelConfig { dim: 4096, layers: 32, heads: 32, kv_heads: 8, ffn: 14_336, ..c })
}

fn falcon3_1b() -> ModelConfig {
    let c = ModelConfig { rms_eps: 1e-6, tied: false, ..of("llama", "synthetic-falcon3-1b") };
    let c = ModelConfig { vocab: 131_072, context: 8192, rope_theta: 1_000_042.0, ..c };
    with_heads(ModelConfig { dim: 2048, layers: 18, heads: 8, kv_heads: 4, ffn: 8192, ..c })
}

impl SynthShape {
    /// All shapes that `model synth` can write.
    pub fn all() -> &'static [SynthShape] {
        &SHAPES
    }

    /// Finds a shape by its name, in upper or lower case; the error lists the names.
    pub fn by_name(name: &str) -> Result<&'static SynthShape> {
        SHAPES.iter().find(|s| s.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known = SHAPES.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
            Error::input(format!("no synthetic shape {name:?}; known: {known}"))
        })
    }

    /// The type of this shape's tensors of a role.
    pub(super) fn kind(&self, role: Role) -> TypeInfo {
        match role {
            Role::Vector => types::F32,
            Role::Matrix => self.matrices,
            Role::Rows => self.rows,
        }
    }
}
