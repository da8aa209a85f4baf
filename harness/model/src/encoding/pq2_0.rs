//! PQ2_0 of PrismML's fork of llama.cpp: legacy Q2_0, 128 weights in 34 bytes, with a type number of its own.
//!
//! Bytes: `block_pq2_0` and `dequantize_row_pq2_0` of that fork (PrismML-Eng/llama.cpp).

use super::definition::Encoding;
use super::q2_0_g128::Q2_0_G128;

/// PQ2_0.
pub static PQ2_0: Encoding = Encoding {
    name: "pq2_0",
    summary: "128 weights in 34 bytes: an fp16 scale, then 2 bits each in order; code 3 is +2",
    ..Q2_0_G128
};
