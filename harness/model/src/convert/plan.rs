//! What a conversion will do with each tensor, found out before anything is written.

use super::halves::change;
use super::header;
use super::matrix::Matrix;
use super::part::{Part, Scales};
use super::report::Report;
use super::survey::Survey;
use crate::arch;
use crate::encoding::{self, Encoding, ScaleUnit};
use crate::error::{Error, Result};
use crate::gguf::types::{self, TypeInfo};
use crate::gguf::{Gguf, TensorInfo, name_beside};
use crate::graph::is_matrix_of_block;
use half::f16;
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

/// What matrices are to be written as.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The encoding that they get.
    pub encoding: &'static Encoding,
    /// Whether a scale that fp16 cannot hold is refused instead of rounded.
    pub exact: bool,
}

/// A conversion that is possible: what [`Self::write`] writes.
pub struct Conversion<'a> {
    pub(super) source: &'a Gguf,
    pub(super) to: &'static Encoding,
    pub(super) parts: Vec<Part<'a>>,
    /// The file up to the data of its first tensor.
    pub(super) header: Vec<u8>,
    report: Report,
}

impl<'a> Conversion<'a> {
    /// Reads all ternary matrices of `source` and finds out whether they can be written as `to`. `progress` gets the
    /// bytes read since the last call; [`super::ternary_bytes`] are all.
    ///
    /// # Errors
    /// One line that names the tensor: a code, unit of scales or shape that the encoding does not have, a scale that is
    /// not finite, one that fp16 cannot hold where that is asked for or nothing is left of it, a tensor of unknown
    /// size. Of kind [`crate::error::Kind::Interrupted`] when `stop` is set.
    pub fn new(source: &'a Gguf, to: Target, stop: &AtomicBool, progress: &dyn Fn(u64)) -> Result<Self> {
        let kind = types::of_encoding(to.encoding).filter(|_| to.encoding.encode.is_some()).ok_or_else(|| {
            Error::input(format!("nothing is written as {} here; known: {}", to.encoding.name, written_names()))
        })?;
        let found = source.tensors.iter().map(|info| Ok((info, Matrix::open(source, info)?)));
        let found: Vec<(&TensorInfo, Option<Matrix<'_>>)> = found.collect::<Result<_>>()?;
        // Scales beside matrices are read with them, and written where the new encoding needs them.
        let matrices = found.iter().filter(|(_, matrix)| matrix.is_some());
        let beside: HashSet<String> = matrices.filter_map(|(info, _)| scale_beside(source, &info.name)).collect();
        let mut plan = Plan { source, to, kind, parts: Vec::new(), report: Report::new(to.encoding.name) };
        for (info, matrix) in found {
            match matrix {
                Some(matrix) => {
                    plan.check_shape(info)?;
                    let survey = Survey::of(&matrix, to.encoding, stop, progress)?;
                    plan.convert(matrix, &survey)?;
                }
                None if beside.contains(&info.name) => {}
                None => plan.copy(info)?,
            }
        }
        let Plan { parts, mut report, .. } = plan;
        let header = header::write(source, kind, &parts, report.largest_scale_change)?;
        report.bytes = header.bytes.len() as u64 + header.data_bytes;
        Ok(Self { source, to: to.encoding, parts, header: header.bytes, report })
    }

    /// Size of the file to be written, in bytes.
    pub fn bytes(&self) -> u64 {
        self.report.bytes
    }

    /// What the conversion does.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// Name of the scale that may be written beside a matrix of a block, where engines of the file's architecture read one.
fn scale_beside(source: &Gguf, matrix: &str) -> Option<String> {
    let architecture = arch::find(source.optional_string("general.architecture").ok().flatten()?)?;
    let has_one = architecture.scales_beside && is_matrix_of_block(matrix);
    name_beside(matrix).filter(|_| has_one)
}

/// Names of the encodings that can be written.
fn written_names() -> String {
    let written = encoding::ALL.iter().filter(|encoding| encoding.encode.is_some());
    written.map(|encoding| encoding.name).collect::<Vec<_>>().join(", ")
}

/// A plan in the making.
struct Plan<'a> {
    source: &'a Gguf,
    to: Target,
    kind: TypeInfo,
    parts: Vec<Part<'a>>,
    report: Report,
}

impl<'a> Plan<'a> {
    fn copy(&mut self, info: &'a TensorInfo) -> Result<()> {
        let refused = |what: String| Err(self.source.tensor_error(info, what));
        if info.n_bytes.is_none() {
            let kind = info.kind.name;
            return refused(format!("is {kind}, whose size depends on the build that wrote it: it cannot be copied"));
        }
        // A reader takes all tensors of one code for one layout.
        if info.kind.code == self.kind.code && info.kind != self.kind {
            let (has, to) = (info.kind.layout_name(), self.kind.layout_name());
            return refused(format!("is {has} and no matrix, so it stays, and a file cannot have {to} beside it"));
        }
        self.parts.push(Part::Copy(info));
        self.report.copied += 1;
        Ok(())
    }

    fn check_shape(&self, info: &TensorInfo) -> Result<()> {
        let name = self.to.encoding.name;
        let unfit = |why: String| self.source.tensor_error(info, format!("cannot be written as {name}: {why}"));
        self.kind.n_bytes(&info.dims).map(drop).map_err(unfit)
    }

    fn convert(&mut self, matrix: Matrix<'a>, survey: &Survey) -> Result<()> {
        let (info, to) = (matrix.info, self.to.encoding);
        let (scales, beside) = if to.scales == ScaleUnit::Tensor {
            (Scales::All(tensor_scale(self.source, &matrix, survey, to)?), None)
        } else if to.half_scales {
            self.half_scales(&matrix, survey)?
        } else {
            (Scales::Own, None)
        };
        self.report.matrices += 1;
        self.report.ternary_weights += info.elements();
        self.report.scale_tensors += usize::from(beside.is_some());
        self.parts.push(Part::Matrix(matrix, scales));
        self.parts.extend(beside);
        Ok(())
    }

    /// Scales as they are where fp16 holds them, or 1 with a scale beside the matrix, or the nearest fp16.
    fn half_scales(&mut self, matrix: &Matrix<'_>, survey: &Survey) -> Result<(Scales, Option<Part<'a>>)> {
        let Some((worst, row, column)) = survey.rounding.worst else { return Ok((Scales::Own, None)) };
        let name = scale_beside(self.source, &matrix.info.name);
        if let (Some(name), None) = (name, survey.unequal) {
            return Ok((Scales::All(1.0), Some(Part::Beside(name, survey.whole.scale))));
        }
        let nearest = |scale: f32| format!("fp16 cannot hold it (the nearest is {})", f16::from_f32(scale));
        if self.to.exact {
            let what = format!("has the scale {worst}, and {}; without --exact it is rounded", nearest(worst));
            return Err(matrix.error(row, column, what));
        }
        if let Some((scale, row, column)) = survey.rounding.lost {
            let what = format!("has the scale {scale}, of which nothing is left: {}", nearest(scale));
            return Err(matrix.error(row, column, what));
        }
        self.report.rounded += 1;
        let largest = self.report.largest_scale_change.unwrap_or(0.0).max(change(worst));
        self.report.largest_scale_change = Some(largest);
        Ok((Scales::Own, None))
    }
}

/// The scale of all weights of a matrix.
fn tensor_scale(source: &Gguf, matrix: &Matrix<'_>, survey: &Survey, to: &Encoding) -> Result<f32> {
    if let Some((row, column, unequal)) = survey.unequal {
        return Err(matrix.error(row, column, unequal.refused("tensor", to.name)));
    }
    let scale = survey.whole.scale;
    if scale > 0.0 {
        return Ok(scale);
    }
    // Readers take a scale that is not above zero for damage; zeros have any.
    if !survey.whole.live {
        return Ok(1.0);
    }
    let what = format!("its scale is {scale}, and {} has scales above zero only", to.name);
    Err(source.tensor_error(matrix.info, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::testing::Builder;

    #[test]
    fn scales_are_beside_matrices_of_architectures_that_read_them() {
        let file = |architecture| {
            Gguf::from_bytes("m", Builder::new().string("general.architecture", architecture).build()).unwrap()
        };
        for architecture in ["bitnet", "bitnet-25", "bitnet-b1.58"] {
            let name = |matrix| scale_beside(&file(architecture), matrix);
            assert_eq!(name("blk.12.ffn_down.weight").as_deref(), Some("blk.12.ffn_down.scale"));
            for other in ["token_embd.weight", "blk.1.attn_norm.weight", "blk.x.ffn_up.weight", "blk.1.ffn_up.bias"] {
                assert_eq!(name(other), None, "{other}");
            }
        }
        assert_eq!(scale_beside(&file("llama"), "blk.12.ffn_down.weight"), None);
    }
}
