//! A model file, and what comes out of it: GGUF -> tokenizer -> forward pass -> text.
//!
//! This crate knows files, vocabularies, the graphs of BitNet, Llama and Qwen3, sampling, when a text ends, and what
//! known models should answer. It reads weights with whichever kernel it is given and is told what to do with what it
//! makes: whoever loads a model says how many threads, who is told of progress and what stops it.
//!
//! It must never know receipts, statistics or verdicts, the command line, or a terminal: it prints nothing and shows no
//! progress bar. `kernels` is the only crate of this workspace below it. `examples/complete.rs` turns a prompt into
//! text in a few lines.

pub mod arch;
pub mod builtin;
pub mod config;
pub mod convert;
pub mod decoder;
pub mod elements;
pub mod encoding;
pub mod error;
pub mod generate;
pub mod gguf;
pub mod graph;
pub mod hash;
pub mod head;
pub mod hf;
pub mod inspect;
pub mod kernel_weights;
pub mod known;
pub mod loading;
pub mod mapped_faults;
pub mod matrix;
pub mod next_token;
pub mod perplexity;
pub mod rope;
pub mod rows;
pub mod sampler;
pub mod sequence;
pub mod sparse_ffn;
pub mod stop;
pub mod synth;
mod texts;
pub mod times;
pub mod tokenizer;
pub mod unrounded;
pub mod weights;

mod attention;
mod ffn;
mod keys;
mod mapped;
mod sentence_pieces;
mod shape;
mod sparse_probe;
mod special_ids;
mod step;
mod stored;

#[cfg(test)]
mod arch_tests;
#[cfg(test)]
mod damaged_tests;
#[cfg(test)]
mod encoding_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod small_model;
#[cfg(test)]
mod sparse_tests;
#[cfg(test)]
mod tiny_tests;

pub use error::{Error, Result};
