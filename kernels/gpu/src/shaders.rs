//! The shaders, as text: what is built in, and what a receipt says of it.

use sha2::{Digest, Sha256};

/// A compute shader: pieces of WGSL one after another, whose entry point is `main`.
pub struct Shader {
    /// Name in errors and receipts.
    pub name: &'static str,
    /// Its pieces.
    pub pieces: &'static [&'static str],
}

impl Shader {
    /// The whole text.
    pub fn text(&self) -> String {
        self.pieces.concat()
    }

    /// SHA-256 of the text, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        Sha256::digest(self.text()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The pieces, by their files.
macro_rules! pieces {
    ($($name:ident = $file:literal,)*) => {
        $(const $name: &str = include_str!(concat!("shaders/", $file, ".wgsl"));)*
    };
}

pieces! {
    DOT_F32 = "dot_f32",
    DOT_UNPACK = "dot_unpack",
    DOT_DP4A = "dot_dp4a",
    GEMV_PLAIN = "gemv_plain",
    GEMV_VNNI16 = "gemv_vnni16",
    GEMV_TILE32 = "gemv_tile32",
    GEMV_FUSED = "gemv_fused",
    WORDS_VNNI16 = "words_vnni16",
    WORDS_TILE32 = "words_tile32",
    GEMM = "gemm",
    ROUNDING_RULE = "rounding",
    ZERO_TEXT = "zero",
    STREAM_TEXT = "stream",
    TOKEN_TREE = "tree",
    EMBED_TEXT = "embed",
    NORM_TEXT = "norm",
    HEADS_TEXT = "heads",
    ATTENTION_TEXT = "attention",
    JOIN_TEXT = "join",
    GATED_TEXT = "gated",
    HEAD_TEXT = "head",
    ARGMAX_TEXT = "argmax",
    ADVANCE_TEXT = "advance",
}

/// The shaders, by their names, and the list of all.
macro_rules! shaders {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal [$($piece:ident),*],)*) => {
        $($(#[doc = $doc])* pub(crate) static $name: Shader = Shader { name: $text, pieces: &[$($piece),*] };)*

        /// Every shader of this crate.
        pub static ALL: &[&Shader] = &[$(&$name),*];
    };
}

shaders! {
    GEMV_OF_F32 = "gemv f32" [DOT_F32, GEMV_PLAIN],
    GEMV_OF_UNPACKED = "gemv unpack" [DOT_UNPACK, GEMV_PLAIN],
    GEMV_BY_16 = "gemv vnni16" [DOT_DP4A, GEMV_VNNI16],
    GEMV_BY_32 = "gemv tile32" [DOT_DP4A, GEMV_TILE32],
    GEMV_ROUNDING = "gemv fused" [DOT_DP4A, ROUNDING_RULE, GEMV_FUSED],
    GEMM_OF_F32 = "gemm f32" [DOT_F32, WORDS_VNNI16, GEMM],
    GEMM_OF_UNPACKED = "gemm unpack" [DOT_UNPACK, WORDS_VNNI16, GEMM],
    GEMM_BY_16 = "gemm vnni16" [DOT_DP4A, WORDS_VNNI16, GEMM],
    GEMM_BY_32 = "gemm tile32" [DOT_DP4A, WORDS_TILE32, GEMM],
    ZERO = "zero" [ZERO_TEXT],
    STREAM = "stream" [STREAM_TEXT],
    EMBED = "embed" [EMBED_TEXT],
    NORM = "norm" [ROUNDING_RULE, TOKEN_TREE, NORM_TEXT],
    HEADS = "heads" [HEADS_TEXT],
    ATTENTION = "attention" [ATTENTION_TEXT],
    JOIN = "join" [ROUNDING_RULE, TOKEN_TREE, JOIN_TEXT],
    GATED = "gated" [ROUNDING_RULE, TOKEN_TREE, GATED_TEXT],
    HEAD = "head" [HEAD_TEXT],
    ARGMAX = "argmax" [ARGMAX_TEXT],
    ADVANCE = "advance" [ADVANCE_TEXT],
}
