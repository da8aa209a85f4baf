//! A model: the file, its shape, its tokenizer, the forward pass, sampling and stopping.

pub mod builtin;
pub mod config;
pub mod engine;
pub mod generate;
pub mod gguf;
pub mod ops;
pub mod perplexity;
pub mod sampler;
pub mod stop;
pub mod times;
pub mod tokenizer;
pub mod weights;

#[cfg(test)]
mod golden_tests;
