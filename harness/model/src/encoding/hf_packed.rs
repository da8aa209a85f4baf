//! Packed weights of Hugging Face checkpoints (`quant_method: bitnet`): uint8 [rows / 4, k], four quarters of the rows.
//!
//! Byte (i, c) holds column c of rows i, i + R/4, i + R/2 and i + 3R/4, the first in the lowest bits; the code is the
//! weight plus 1. The scale is a tensor of its own, by which a checkpoint multiplies or divides: whoever reads one
//! knows, the bytes do not. Bytes: the unpacking in microsoft/BitNet, utils/convert-hf-to-gguf-bitnet.py.

use super::definition::{Encoding, ScaleUnit, Tensor};
use super::planes::LOW_FIRST;

/// Hugging Face's packed uint8.
pub static HF_PACKED: Encoding = Encoding {
    name: "hf-packed",
    summary: "4 rows a byte, a quarter of all rows apart, first in the lowest bits; the scale is another tensor",
    rows: 4,
    bytes: 1,
    scales: ScaleUnit::Tensor,
    decode,
    ..Encoding::BASE
};

fn decode(tensor: Tensor<'_>, row: usize, _: f32, codes: &mut [u8], _: &mut [f32]) {
    let quarter = tensor.rows / 4;
    let shift = LOW_FIRST[row / quarter];
    for (code, byte) in codes.iter_mut().zip(tensor.row(row % quarter, tensor.k)) {
        *code = byte >> shift & 3;
    }
}
