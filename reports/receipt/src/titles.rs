//! What cells and places are called, in words.

use crate::record::{MicroCell, Operation, Residency};

/// `gemv 6912×2560, in cache`; a batch says of how many tokens.
pub fn cell_title(cell: &MicroCell) -> String {
    format!("{} {}, {}", cell.op, shape(cell), residency(cell.residency))
}

/// `6912×2560`, or `6912×2560×128` for a batch of 128 tokens.
pub fn shape(cell: &MicroCell) -> String {
    let tokens = if cell.tokens > 1 { format!("×{}", cell.tokens) } else { String::new() };
    format!("{}×{}{tokens}", cell.m, cell.k)
}

/// `gemv 6912x2560`, or `gemm 2560x2560x32` of a batch: what is typed for it too.
pub fn product(op: Operation, m: usize, k: usize, tokens: usize) -> String {
    let tokens = if tokens > 1 { format!("x{tokens}") } else { String::new() };
    format!("{op} {m}x{k}{tokens}")
}

/// Where the weights were, in words.
pub fn residency(r: Residency) -> &'static str {
    ["from L2", "from LLC", "from DRAM", "in cache"][r as usize]
}

/// `decode, built-in model`, `prefill of 32 tokens, synth:2b-4t`.
pub fn gated_text(op: Operation, tokens: usize, model: &str) -> String {
    let tokens = if tokens > 1 { format!(" of {tokens} tokens") } else { String::new() };
    let model = if model == "builtin" { "built-in model" } else { model };
    format!("{op}{tokens}, {model}")
}
