//! Everything about a model except its arithmetic: the file, its shape, its tokenizer, sampling and stopping.

pub mod builtin;
pub mod config;
pub mod gguf;
pub mod sampler;
pub mod stop;
pub mod synth;
mod synth_vocab;
pub mod tokenizer;
