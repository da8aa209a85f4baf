//! Shapes that synthetic models can have.

use crate::config::ModelConfig;
use crate::error::{Error, Result};

/// Shape of a synthetic model.
#[derive(Clone, Debug)]
pub struct SynthShape {
    /// What `--shape` takes.
    pub name: &'static str,
    /// One line on what it imitates.
    pub summary: &'static str,
    config: fn() -> ModelConfig,
    /// Whether the vocabulary ends in Llama-3's special tokens; otherwise it is the built-in model's own.
    pub(super) llama_specials: bool,
}

static SHAPES: [SynthShape; 2] = [
    SynthShape { name: "2b-4t", summary: "BitNet-b1.58-2B-4T, 1.19 GB", config: shape_2b_4t, llama_specials: true },
    SynthShape {
        name: "tiny",
        summary: "the built-in model's shape, 2.8 MB",
        config: shape_tiny,
        llama_specials: false,
    },
];

fn shape_2b_4t() -> ModelConfig {
    ModelConfig {
        architecture: "bitnet-b1.58".into(),
        name: "synthetic-2b-4t".into(),
        vocab: 128_256,
        context: 4096,
        dim: 2560,
        layers: 30,
        heads: 20,
        kv_heads: 5,
        head_dim: 128,
        ffn: 6912,
        rms_eps: 1e-5,
        rope_theta: 500_000.0,
        rope_dims: 128,
        assumed: Vec::new(),
    }
}

fn shape_tiny() -> ModelConfig {
    ModelConfig {
        architecture: "bitnet-b1.58".into(),
        name: "synthetic-tiny".into(),
        vocab: 1024,
        context: 512,
        dim: 512,
        layers: 3,
        heads: 8,
        kv_heads: 2,
        head_dim: 64,
        ffn: 1024,
        rms_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_dims: 64,
        assumed: Vec::new(),
    }
}

impl SynthShape {
    /// All shapes.
    pub fn all() -> &'static [SynthShape] {
        &SHAPES
    }

    /// The shape of this name; the error lists the names.
    pub fn by_name(name: &str) -> Result<&'static SynthShape> {
        SHAPES.iter().find(|s| s.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known = SHAPES.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
            Error::input(format!("no synthetic shape {name:?}; known: {known}"))
        })
    }

    /// The shape with another number of blocks, if given (1 to 1024).
    pub(super) fn with_layers(&self, layers: Option<usize>) -> Result<ModelConfig> {
        let mut config = (self.config)();
        if let Some(layers) = layers {
            if !(1..=1024).contains(&layers) {
                return Err(Error::input(format!("--layers {layers} is not between 1 and 1024")));
            }
            config.layers = layers;
        }
        Ok(config)
    }
}
