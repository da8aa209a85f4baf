//! Q2_0 of ggml: 64 weights in 18 bytes, an fp16 scale and two bits each in order.
//!
//! Codes 0 to 3 are -1 to +2. Bytes: `block_q2_0` in ggml-org/ggml, src/ggml-common.h, and `dequantize_row_q2_0` in
//! src/ggml-quants.c. Older files have groups of 128 under the same type number, see [`super::Q2_0_G128`].

use super::definition::{Encoding, ScaleUnit};
use super::sequence;

const BYTES: usize = 18;

/// Q2_0 in groups of 64.
pub static Q2_0: Encoding = Encoding {
    name: "q2_0",
    summary: "64 weights in 18 bytes: an fp16 scale, then 2 bits each in order; code 3 is +2",
    block: 64,
    bytes: BYTES,
    scales: ScaleUnit::Group(64),
    half_scales: true,
    four_codes: true,
    decode: sequence::decode::<BYTES>,
    encode: Some(sequence::encode::<BYTES>),
    ..Encoding::BASE
};
