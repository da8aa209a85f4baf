//! What an encoding of ternary weights is: sizes, scales, and functions from bytes to codes and back, as data.

use serde::Serialize;
use std::fmt;

/// How many weights share a scale in a ternary tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ScaleUnit {
    /// All of the tensor.
    Tensor,
    /// Those of a row.
    Row,
    /// So many one after the other in a row, from its start on.
    Group(usize),
}

/// A ternary tensor as it lies in a file: `rows` rows of `k` weights.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    /// All bytes of the tensor, [`Encoding::n_bytes`] of them.
    pub bytes: &'a [u8],
    /// Number of rows (outputs).
    pub rows: usize,
    /// Number of weights in a row (inputs).
    pub k: usize,
}

/// Codes of one row, and its scales; see [`Encoding::decode`].
pub type Decode = fn(tensor: Tensor<'_>, row: usize, scale: f32, codes: &mut [u8], scales: &mut [f32]);

/// Bytes of [`Encoding::rows`] rows; see [`Encoding::encode`].
pub type Encode = fn(codes: &[u8], scales: &[f32], bytes: &mut [u8]);

/// One way to store a ternary matrix, as data: one file of this folder and one row of `gguf::types`.
///
/// A code c stands for the weight (c - 1) times its scale: 0, 1, 2 are -1, 0, +1, and 3 is +2 where there is such a
/// code. Rows lie one after the other, or in strips of [`Self::rows`] rows.
pub struct Encoding {
    /// Name on the command line, for example `tq2_0`.
    pub name: &'static str,
    /// A line about the bytes, for `model inspect`.
    pub summary: &'static str,
    /// Weights of a block: a row has a whole number of blocks.
    pub block: usize,
    /// Rows of a strip: a tensor has a whole number of strips.
    pub rows: usize,
    /// Bytes of one block of a strip.
    pub bytes: usize,
    /// Bytes before the blocks of each strip.
    pub head: usize,
    /// Bytes after all strips, which begin with the scale of the tensor as f32; 0 where there are none.
    pub tail: usize,
    /// Which weights share a scale.
    pub scales: ScaleUnit,
    /// Whether scales are fp16 in the bytes; else they are f32.
    pub half_scales: bool,
    /// Whether code 3 is +2 here; else it is invalid.
    pub four_codes: bool,
    /// The scale of the whole tensor, where the bytes hold or imply one; else `None`, and `decode` gives scales.
    pub tensor_scale: Option<fn(Tensor<'_>) -> f32>,
    /// Reads row `row`: its `k` codes, each 0 to 3, and its scales: one for [`ScaleUnit::Row`], one a group for
    /// [`ScaleUnit::Group`], none for [`ScaleUnit::Tensor`]. `scale` is what `tensor_scale` gave (latent weights need
    /// it), else 1. Codes and scales are what the bytes say and may be invalid: nothing is checked.
    ///
    /// # Panics
    /// If the tensor has other than [`Self::n_bytes`] bytes, or the buffers other lengths than said here.
    pub decode: Decode,
    /// Writes one strip: `codes` of its rows one after the other, `scales` of its rows as `decode` gives them, the
    /// tail left out. Codes are 0 to 2, or 0 to 3 with [`Self::four_codes`]: the caller has checked that. `None` where
    /// nothing is written in this encoding.
    ///
    /// # Panics
    /// If `bytes` are not [`Self::strip_bytes`] or the others do not have the lengths said here.
    pub encode: Option<Encode>,
}

impl Encoding {
    /// Weights and bytes of an encoding that has rows one by one, no head, no tail, three codes and nothing to write;
    /// the name and `decode` are to be filled in.
    pub(super) const BASE: Self = Self {
        name: "",
        summary: "",
        block: 1,
        rows: 1,
        bytes: 0,
        head: 0,
        tail: 0,
        scales: ScaleUnit::Tensor,
        half_scales: false,
        four_codes: false,
        tensor_scale: None,
        decode: |_, _, _, _, _| {},
        encode: None,
    };

    /// Bytes of one strip of rows of `k` weights.
    pub fn strip_bytes(&self, k: usize) -> usize {
        self.head + k / self.block * self.bytes
    }

    /// Bytes of a tensor, whose size was checked before (`TypeInfo::n_bytes`): `rows` a whole number of strips, `k` of
    /// blocks.
    pub fn n_bytes(&self, rows: usize, k: usize) -> usize {
        rows / self.rows * self.strip_bytes(k) + self.tail
    }

    /// Weights of a row of `k` that share a scale: all of them unless scales are by groups.
    pub fn group(&self, k: usize) -> usize {
        match self.scales {
            ScaleUnit::Tensor | ScaleUnit::Row => k,
            ScaleUnit::Group(group) => group,
        }
    }

    /// Number of scales that `decode` gives for a row of `k` weights.
    pub fn scales_in_row(&self, k: usize) -> usize {
        match self.scales {
            ScaleUnit::Tensor => 0,
            ScaleUnit::Row => 1,
            ScaleUnit::Group(group) => k / group,
        }
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<'a> Tensor<'a> {
    /// The bytes of row `row`, where rows lie one after the other with `row_bytes` bytes each.
    pub(super) fn row(&self, row: usize, row_bytes: usize) -> &'a [u8] {
        &self.bytes[row * row_bytes..][..row_bytes]
    }
}
