//! I2_S as x86 builds of bitnet.cpp write it without ACT_PARALLEL: four rows a byte.
//!
//! Byte c of a strip of four rows holds column c of all four, the first row in the top bits. Bytes: `quantize_i2_s` in
//! microsoft/BitNet, src/ggml-bitnet-mad.cpp, the branch without ACT_PARALLEL; its kernels drop what is beyond the
//! last whole 128 columns, so other widths do not occur.

use super::definition::{Encoding, ScaleUnit, Tensor};
use super::planes::HIGH_FIRST;
use super::tail;

/// I2_S with four rows in a byte.
pub static I2_S_ROWS: Encoding = Encoding {
    name: "i2_s-x86-rows",
    summary: "4 rows a byte, first in the top bits; one f32 scale a tensor (x86 without ACT_PARALLEL)",
    block: 128,
    rows: 4,
    bytes: 128,
    tail: tail::BYTES,
    scales: ScaleUnit::Tensor,
    tensor_scale: Some(tail::scale),
    decode,
    encode: Some(encode),
    ..Encoding::BASE
};

fn decode(tensor: Tensor<'_>, row: usize, _: f32, codes: &mut [u8], _: &mut [f32]) {
    let shift = HIGH_FIRST[row % 4];
    for (code, byte) in codes.iter_mut().zip(tensor.row(row / 4, tensor.k)) {
        *code = byte >> shift & 3;
    }
}

fn encode(codes: &[u8], _: &[f32], bytes: &mut [u8]) {
    bytes.fill(0);
    for (row, shift) in codes.chunks_exact(bytes.len()).zip(HIGH_FIRST) {
        for (byte, code) in bytes.iter_mut().zip(row) {
            *byte |= code << shift;
        }
    }
}
