//! How a file is read, and why: each decision with its evidence, and the mistakes that files like it invite.

use super::rows::{Fact, TensorRow, Trap};
use crate::arch::{self, Architecture, Head, Pairing};
use crate::config::ModelConfig;
use crate::encoding::{Encoding, ScaleUnit};
use crate::gguf::{Gguf, I2sLayout, types};
use crate::tokenizer::Tokenizer;

/// What decides how the file is read: encoding, layout, groups, architecture, activation, tokenizer.
pub fn facts(gguf: &Gguf, config: Option<&ModelConfig>, tokenizer: Option<&Tokenizer>) -> Vec<Fact> {
    let fact = |what, value: String, evidence: &str| Fact { what, value, evidence: evidence.to_owned() };
    let mut facts = Vec::new();
    for encoding in encodings(gguf) {
        let tensors = gguf.tensors.iter().filter(|t| t.kind.encoding.is_some_and(|e| e.name == encoding.name));
        let (first, count) = (tensors.clone().next().map_or("", |t| t.kind.name), tensors.count());
        let evidence = format!("type {first} of {count} tensors");
        facts.push(fact("encoding", format!("{}: {}", encoding.name, encoding.summary), &evidence));
        let unit = match encoding.scales {
            ScaleUnit::Tensor => "one a tensor".to_owned(),
            ScaleUnit::Row => "one a row".to_owned(),
            ScaleUnit::Group(n) => format!("one for each {n} weights of a row"),
        };
        facts.push(fact("scales", unit, &format!("the encoding {}", encoding.name)));
    }
    facts.extend(gguf.decisions.iter().map(|decision| fact("decided", decision.what.clone(), &decision.evidence)));
    let name = gguf.optional_string("general.architecture").ok().flatten();
    if let Some((name, architecture)) = name.and_then(|name| Some((name, arch::find(name)?))) {
        facts.push(fact("architecture", format!("{name}: {}", graph(architecture)), "general.architecture"));
        facts.push(fact("activation", architecture.activation.names()[0].to_owned(), activation(gguf).1));
    }
    if let Some(config) = config {
        let head = if config.tied { "the embedding" } else { "output.weight" };
        facts.push(fact("output head", head.to_owned(), "tensors of the file"));
    }
    if let Some(tokenizer) = tokenizer {
        let found = &tokenizer.facts;
        let evidence = format!("in the file: {}", found.pre_in_file);
        facts.push(fact("tokenizer", format!("{} tokens, pre-tokenizer {}", found.vocab, found.pre), &evidence));
    }
    facts
}

/// Encodings of the file's matrices, each once.
fn encodings(gguf: &Gguf) -> Vec<&'static Encoding> {
    let mut found: Vec<&'static Encoding> = Vec::new();
    for encoding in gguf.tensors.iter().filter_map(|t| t.kind.encoding) {
        if found.iter().all(|known| known.name != encoding.name) {
            found.push(encoding);
        }
    }
    found
}

/// What sets a forward pass apart, in words.
fn graph(architecture: &Architecture) -> String {
    let norms = match (architecture.sub_norms, architecture.qk_norms) {
        (true, _) => "norms before attn_output and ffn_down",
        (_, true) => "norms of each head of q and k",
        _ => "no norms inside attention and feed-forward",
    };
    let pairs = match architecture.pairing {
        Pairing::Halves => "halves of a head rotate (NeoX)",
        Pairing::Neighbours => "neighbouring elements rotate",
    };
    let head = match architecture.head {
        Head::Tied => "the embedding is the head",
        Head::OwnOrTied => "a head of its own or the embedding",
    };
    format!("{norms}, {pairs}, {head}")
}

/// Whether the file names its activation function, and the evidence in words.
fn activation(gguf: &Gguf) -> (bool, &'static str) {
    let named = gguf.metadata.iter().any(|e| e.key.ends_with(".hidden_act") || e.key.ends_with(".hidden_activation"));
    if named {
        (true, "the file names it, and it is the architecture's")
    } else {
        (false, "by architecture: the file does not name it, as converters rarely do")
    }
}

/// Mistakes that engines make with files like this one, each with what of it applies here.
pub fn traps(gguf: &Gguf, tensors: &[TensorRow], tokenizer: Option<&Tokenizer>) -> Vec<Trap> {
    let mut traps = Vec::new();
    let mut trap = |name: &'static str, evidence: String| traps.push(Trap { trap: name, evidence });
    if gguf.tensors.iter().any(|t| t.kind.code == types::I2S.code) {
        let names = I2sLayout::ALL.map(I2sLayout::name).join(", ");
        trap("three byte layouts share I2_S", format!("{names}: no byte tells them apart, --score does"));
    }
    if gguf.tensors.iter().any(|t| t.kind.encoding.is_some_and(|e| !e.latent())) {
        let what = "converters have written scales and their reciprocals for one checkpoint: --score tells";
        trap("reciprocal scale", what.to_owned());
    }
    if gguf.tensors.iter().any(|t| t.kind.code == types::Q2_0.code) {
        trap("id 42 is two formats", "groups of 64, and of 128 in older files; see what was decided above".to_owned());
    }
    let codes = |of: fn(&super::TernaryRow) -> u64| tensors.iter().filter_map(|t| t.ternary.as_ref()).map(of).sum();
    let (invalid, plus_two): (u64, u64) = (codes(|t| t.invalid_codes), codes(|t| t.plus_two_codes));
    if invalid > 0 {
        trap("code 3 where there is none", format!("{invalid} codes: the file is corrupt or in another layout"));
    }
    if plus_two > 0 {
        trap("code 3 is +2", format!("{plus_two} weights: a kernel for three codes would misread them"));
    }
    if let Some(name) = gguf.optional_string("general.architecture").ok().flatten()
        && arch::find(name).is_some_and(|a| a.sub_norms)
        && !activation(gguf).0
    {
        let what = "relu squared and SiLU are told apart by the architecture's name alone";
        trap("activation function", format!("{what} ({name}); an engine that takes the other one runs another model"));
    }
    if tokenizer.is_some_and(|t| !t.facts.pre_from_file) {
        trap("tokenizer.ggml.pre is missing", "texts may be cut into other tokens than in training: --pre".to_owned());
    }
    if let Some(entry) = gguf.metadata.iter().find(|e| e.key.contains("hadamard")) {
        trap("Hadamard rotation", format!("{} is there; without the rotation the model gives garbage", entry.key));
    }
    traps
}
