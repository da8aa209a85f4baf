//! I2_S as x86 builds of bitnet.cpp write it with ACT_PARALLEL, and its converter: the layout of the published files.
//!
//! 128 weights in 32 bytes: weight j of a block is in byte j % 32, the first 32 in the top bits. One scale a tensor,
//! after the codes. Bytes: `quantize_i2_s` in microsoft/BitNet, src/ggml-bitnet-mad.cpp.

use super::definition::{Encoding, ScaleUnit};
use super::planes;
use super::tail;

/// I2_S in blocks of 128 weights.
pub static I2_S: Encoding = Encoding {
    name: "i2_s",
    summary: "128 weights in 32 bytes, first in the top bits; one f32 scale a tensor (x86)",
    block: 128,
    bytes: 32,
    tail: tail::BYTES,
    scales: ScaleUnit::Tensor,
    tensor_scale: Some(tail::scale),
    decode: planes::decode::<32>,
    encode: Some(planes::encode::<32>),
    ..Encoding::BASE
};
