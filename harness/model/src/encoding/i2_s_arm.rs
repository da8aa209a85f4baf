//! I2_S as Arm builds of bitnet.cpp write it: 64 weights in 16 bytes.
//!
//! As on x86, with a block half as wide: weight j of a block is in byte j % 16, the first 16 in the top bits. Bytes:
//! `quantize_i2_s` in microsoft/BitNet, src/ggml-bitnet-mad.cpp, the branch for NEON.

use super::definition::{Encoding, ScaleUnit};
use super::planes;
use super::tail;

/// I2_S in blocks of 64 weights.
pub static I2_S_ARM: Encoding = Encoding {
    name: "i2_s-arm",
    summary: "64 weights in 16 bytes, first in the top bits; one f32 scale a tensor (Arm)",
    block: 64,
    bytes: 16,
    tail: tail::BYTES,
    scales: ScaleUnit::Tensor,
    tensor_scale: Some(tail::scale),
    decode: planes::decode::<16>,
    encode: Some(planes::encode::<16>),
    ..Encoding::BASE
};
