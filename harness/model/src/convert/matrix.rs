//! A ternary matrix of a file, read row by row as what it stands for.

use super::order::Order;
use crate::encoding::Encoding;
use crate::error::{Error, Result};
use crate::gguf::{Gguf, TensorInfo};
use crate::stored::Stored;

/// A ternary matrix of a file.
pub struct Matrix<'a> {
    gguf: &'a Gguf,
    /// Its description in the file.
    pub info: &'a TensorInfo,
    stored: Stored<'a>,
    /// The order that rows are read in, where it is not their own.
    order: Option<Order>,
}

/// One row: codes, and scales for every `group` of them.
#[derive(Default)]
pub struct Row {
    /// The code of each weight, 0 to 3.
    pub codes: Vec<u8>,
    /// The scale of each group of weights: all that the file says together, finite.
    pub scales: Vec<f32>,
    /// Weights that share a scale: the whole row where it has one.
    pub group: usize,
}

impl<'a> Matrix<'a> {
    /// Opens a tensor; `None` for one that is no ternary matrix.
    ///
    /// # Errors
    /// A scale of the whole tensor, or beside it, that is not a finite number.
    pub fn open(gguf: &'a Gguf, info: &'a TensorInfo) -> Result<Option<Self>> {
        let Some(stored) = Stored::of(gguf, info)? else { return Ok(None) };
        if let Some(scale) = stored.tensor_scale().filter(|scale| !scale.is_finite()) {
            let what = format!("its scale is {scale}, which is not a finite number; download or convert it again");
            return Err(gguf.tensor_error(info, what));
        }
        Ok(Some(Self { gguf, info, stored, order: Order::of(gguf, info)? }))
    }

    /// How it lies in the file.
    pub fn encoding(&self) -> &'static Encoding {
        self.stored.encoding
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.stored.tensor.rows
    }

    /// Weights of a row.
    pub fn k(&self) -> usize {
        self.stored.tensor.k
    }

    /// Reads row `row` into `out`, whose memory is used again. Rows are numbered as in a GGUF file.
    ///
    /// # Errors
    /// A scale that is not finite; a code 3 where the encoding has none.
    pub fn read(&self, row: usize, out: &mut Row) -> Result<()> {
        let (encoding, k) = (self.encoding(), self.k());
        let row = self.order.map_or(row, |order| order.from(row));
        out.codes.resize(k, 0);
        out.scales.resize(self.stored.scales_in_row(), 0.0);
        out.group = encoding.group(k);
        self.stored.decode(row, &mut out.codes, &mut out.scales);
        out.scales.extend(self.stored.tensor_scale());
        if !encoding.four_codes
            && let Some(column) = out.code_3()
        {
            let what = format!("holds code 3, which {} does not have: the file is corrupt or has", encoding.name);
            return Err(self.error(row, column, format!("{what} another layout")));
        }
        if let Some(i) = out.scales.iter().position(|scale| !scale.is_finite()) {
            return Err(self.error(
                row,
                i * out.group,
                format!("has the scale {}, which is not finite", out.scales[i]),
            ));
        }
        // Zero times any code: ik_llama.cpp writes rows of zeros so. From here on a weight of zero is code 1.
        for (codes, scale) in out.codes.chunks_mut(out.group).zip(&out.scales) {
            if *scale == 0.0 {
                codes.fill(1);
            }
        }
        Ok(())
    }

    /// An error about one weight.
    pub fn error(&self, row: usize, column: usize, what: impl std::fmt::Display) -> Error {
        self.gguf.tensor_error(self.info, format!("row {row}, column {column} {what}"))
    }
}

impl Row {
    /// The first column with a code 3.
    pub fn code_3(&self) -> Option<usize> {
        // Without a way out of the loop, which would keep it from being vectorised.
        let any = self.codes.iter().fold(false, |any, &code| any | (code == 3));
        if any { self.codes.iter().position(|&code| code == 3) } else { None }
    }
}
