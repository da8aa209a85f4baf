//! Types of tensors that lie in a folder and in no GGUF file. Their codes are above all that files use.

use crate::gguf::TypeInfo;

/// Codes of a ternary matrix in a uint8 tensor of rows/4 x k: byte (i, j) holds rows i, i + rows/4, i + rows/2 and
/// i + 3 rows/4 of column j, low bits first, as weight + 1. Dimensions are those of the matrix, k and rows.
pub const HF_PACKED: TypeInfo = TypeInfo::outside(0x8000_0000, "HF packed U8", 4, 1);
/// Latent bf16 weights of a ternary matrix, which the model card's rule quantises.
pub const MASTER_BF16: TypeInfo = TypeInfo::outside(0x8000_0001, "master BF16", 1, 2);
/// Latent f16 weights of a ternary matrix, likewise.
pub const MASTER_F16: TypeInfo = TypeInfo::outside(0x8000_0002, "master F16", 1, 2);
/// Latent f32 weights of a ternary matrix, likewise.
pub const MASTER_F32: TypeInfo = TypeInfo::outside(0x8000_0003, "master F32", 1, 4);
