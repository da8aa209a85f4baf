//! Shapes that synthetic models can have.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use std::sync::LazyLock;

/// A shape that `model synth` can write, named after the model that has it.
#[derive(Clone, Debug)]
pub struct SynthShape {
    /// Name of the shape, as `--shape` takes it, for example `tiny`.
    pub name: &'static str,
    /// One line on the model that the shape imitates.
    pub summary: &'static str,
    pub(super) config: ModelConfig,
    /// Whether the vocabulary ends in Llama-3's special tokens; otherwise it is the built-in model's own.
    pub(super) llama_specials: bool,
}

static SHAPES: LazyLock<[SynthShape; 2]> = LazyLock::new(|| {
    let bitnet = |name: &str| ModelConfig {
        architecture: "bitnet-b1.58".into(),
        name: name.into(),
        rms_eps: 1e-5,
        ..ModelConfig::default()
    };
    let (large, small) = (bitnet("synthetic-2b-4t"), bitnet("synthetic-tiny"));
    let large = ModelConfig { vocab: 128_256, context: 4096, rope_theta: 500_000.0, ..large };
    let large = ModelConfig { dim: 2560, layers: 30, heads: 20, kv_heads: 5, ffn: 6912, ..large };
    let small = ModelConfig { vocab: 1024, context: 512, rope_theta: 10_000.0, ..small };
    let small = ModelConfig { dim: 512, layers: 3, heads: 8, kv_heads: 2, ffn: 1024, ..small };
    let [large, small] = [large, small].map(|c| {
        let head_dim = c.dim / c.heads;
        ModelConfig { head_dim, rope_dims: head_dim, ..c }
    });
    [
        SynthShape { name: "2b-4t", summary: "BitNet-b1.58-2B-4T, 1.19 GB", config: large, llama_specials: true },
        SynthShape {
            name: "tiny",
            summary: "the built-in model's shape, 2.8 MB",
            config: small,
            llama_specials: false,
        },
    ]
});

impl SynthShape {
    /// All shapes that `model synth` can write.
    pub fn all() -> &'static [SynthShape] {
        &*SHAPES
    }

    /// Finds a shape by its name, in upper or lower case; the error lists the names.
    pub fn by_name(name: &str) -> Result<&'static SynthShape> {
        SHAPES.iter().find(|s| s.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known = SHAPES.each_ref().map(|s| s.name).join(", ");
            Error::input(format!("no synthetic shape {name:?}; known: {known}"))
        })
    }
}
