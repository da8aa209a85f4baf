// A word of codes on `tile32x64`: 16 k of a row.
override KV: u32 = 40u;        // quads of words of a row: padded K / 64
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;
fn code_word(row: u32, word: u32) -> u32 {
    return weights[(row / 32u * KV + word / 4u) * 32u + row % 32u][word % 4u];
}
fn steps() -> u32 {
    return KV;
}
