// A word of codes on `vnni16x16`: 16 k of a row.
override KW: u32 = 160u;       // words of a row: padded K / 16
@group(0) @binding(0) var<storage, read> weights: array<u32>;
fn code_word(row: u32, word: u32) -> u32 {
    return select(0u, weights[(row / 16u * KW + min(word, KW - 1u)) * 16u + row % 16u], word < KW);
}
fn steps() -> u32 {
    return (KW + 3u) / 4u;
}
