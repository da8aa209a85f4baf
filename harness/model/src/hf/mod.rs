//! Hugging Face folders: config.json, tokenizer.json and safetensors shards, read as if they were one GGUF file.
//!
//! A folder becomes a GGUF header in memory, with the metadata keys that a converter would write, and tensors that stay
//! where they are, in the mapped shards. Whatever works on a [`crate::gguf::Gguf`] works on a folder. What the files
//! leave open is decided by a stated rule, and the decision is kept with its evidence.

mod bpe;
mod config;
mod folder;
mod header;
mod json;
mod names;
mod open;
mod pre;
mod quantization;
mod rivals;
mod settings;
mod shards;
mod special;
mod template;
mod tensors;
mod vocab;

#[cfg(test)]
mod config_tests;
#[cfg(test)]
mod damaged_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vocab_tests;
