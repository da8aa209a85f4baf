//! Q2_0 before ggml took it up, in groups of 128: 128 weights in 34 bytes.
//!
//! The first Ternary-Bonsai files have it under the type number that Q2_0 with groups of 64 has now. The bytes are
//! those of PQ2_0, as which its authors went on (`block_pq2_0` in their fork of llama.cpp).

use super::definition::{Encoding, ScaleUnit};
use super::sequence;

const BYTES: usize = 34;

/// Q2_0 in groups of 128.
pub static Q2_0_G128: Encoding = Encoding {
    name: "q2_0-g128",
    summary: "128 weights in 34 bytes: an fp16 scale, then 2 bits each in order; code 3 is +2 (legacy Q2_0)",
    block: 128,
    bytes: BYTES,
    scales: ScaleUnit::Group(128),
    half_scales: true,
    four_codes: true,
    decode: sequence::decode::<BYTES>,
    encode: Some(sequence::encode::<BYTES>),
    ..Encoding::BASE
};
