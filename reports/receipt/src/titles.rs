//! What cells and places are called, in words.

use crate::record::{Activations, GenerationRecord, MicroCell, Operation, Residency, Scaling};

/// What a cell is called: `gemv 6912×2560, from L2`; of a batch the shape names the tokens too. One of groups has what
/// shares a scale behind it in a word, as a scenario has it: `gemv 6912×2560, from L2, g64x32`.
pub fn cell_title(cell: &MicroCell) -> String {
    let scaling = cell.scaling().map_or_else(String::new, |scaling| format!(", {}", scaling.word()));
    placed(cell) + &scaling
}

/// What a cell is called where cells of other runs may stand beside it: what shares a scale is in words.
pub fn cell_of_a_run(cell: &MicroCell) -> String {
    scaled(placed(cell), cell.scaling())
}

fn placed(cell: &MicroCell) -> String {
    format!("{} {}, {}", cell.op, shape(cell), residency(cell.residency))
}

/// A title with what shares a scale behind it, where that is a choice: `gemv 256x2560 (groups of 128, one scale a
/// token)`.
pub fn scaled(title: String, scaling: Option<Scaling>) -> String {
    scaling.map_or_else(|| title.clone(), |scaling| format!("{title} ({scaling})"))
}

/// What is put behind the name of a text by another rule than one scale a token: `, activations by 128`.
pub fn other_rule(generation: &GenerationRecord) -> String {
    match generation.activations {
        Activations::Token => String::new(),
        rule => format!(", activations by {rule}"),
    }
}

/// A cell's shape in words: `6912×2560`, or `6912×2560×128` for a batch of 128 tokens.
pub fn shape(cell: &MicroCell) -> String {
    let tokens = if cell.tokens > 1 { format!("×{}", cell.tokens) } else { String::new() };
    format!("{}×{}{tokens}", cell.m, cell.k)
}

/// A product as it is typed on a command line: `gemv 6912x2560`, or `gemm 2560x2560x32` of a batch of 32 tokens.
pub fn product(op: Operation, m: usize, k: usize, tokens: usize) -> String {
    let tokens = if tokens > 1 { format!("x{tokens}") } else { String::new() };
    format!("{op} {m}x{k}{tokens}")
}

/// Where the weights were, in words: `from L2`, `from LLC`, `from DRAM`.
pub fn residency(r: Residency) -> &'static str {
    ["from L2", "from LLC", "from DRAM", "in cache"][r as usize]
}

/// What a gate's cell of a whole model is called: `decode, built-in model`, `prefill of 32 tokens, synth:2b-4t`.
pub fn gated_text(op: Operation, tokens: usize, model: &str) -> String {
    let tokens = if tokens > 1 { format!(" of {tokens} tokens") } else { String::new() };
    let model = if model == "builtin" { "built-in model" } else { model };
    format!("{op}{tokens}, {model}")
}
