//! Writing the new file, a strip of rows at a time.

use super::matrix::{Matrix, Row};
use super::part::{Part, Scales};
use super::plan::Conversion;
use super::units::{Unit, of_row};
use crate::encoding::ScaleUnit;
use crate::gguf::writer::padding;
use half::f16;
use std::io::{BufWriter, ErrorKind, Result, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes written between two reports of progress.
const CHUNK: usize = 1 << 20;

/// Where bytes go, counted.
struct Out<'a, W: Write> {
    file: BufWriter<W>,
    stop: &'a AtomicBool,
    progress: &'a dyn Fn(u64),
}

impl<W: Write> Out<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(CHUNK) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(ErrorKind::Interrupted.into());
            }
            self.file.write_all(piece)?;
            (self.progress)(piece.len() as u64);
        }
        Ok(())
    }
}

impl Conversion<'_> {
    /// Writes the new file. `progress` gets the bytes done since the last call. Whoever keeps the file asks
    /// [`crate::gguf::Gguf::check_unchanged`] of the source afterwards.
    ///
    /// # Errors
    /// Those of `out`, and [`ErrorKind::Interrupted`] when `stop` is set.
    pub fn write(&self, out: impl Write, stop: &AtomicBool, progress: &dyn Fn(u64)) -> Result<()> {
        let mut out = Out { file: BufWriter::with_capacity(CHUNK, out), stop, progress };
        out.write(&self.header)?;
        for part in &self.parts {
            let written = match part {
                Part::Copy(info) => {
                    let bytes = self.source.bytes(info);
                    out.write(bytes)?;
                    bytes.len()
                }
                Part::Matrix(matrix, scales) => self.write_matrix(matrix, *scales, &mut out)?,
                Part::Beside(_, scale) => {
                    out.write(&scale.to_le_bytes())?;
                    size_of::<f32>()
                }
            };
            out.write(padding(written as u64))?;
        }
        out.file.flush()
    }

    /// Writes a matrix; returns its bytes.
    fn write_matrix<W: Write>(&self, matrix: &Matrix<'_>, scales: Scales, out: &mut Out<'_, W>) -> Result<usize> {
        let (to, k) = (self.to, matrix.k());
        let mut bytes = vec![0; to.strip_bytes(k)];
        let (mut row, mut units) = (Row::default(), Vec::new());
        let (mut codes, mut strip_scales) = (Vec::new(), Vec::new());
        for first in (0..matrix.rows()).step_by(to.rows) {
            codes.clear();
            strip_scales.clear();
            for r in first..first + to.rows {
                // The survey has read every row. What it would not have passed is a file that changed since.
                let changed = |why: String| std::io::Error::new(ErrorKind::InvalidData, why);
                matrix.read(r, &mut row).map_err(|e| changed(e.to_string()))?;
                codes.extend_from_slice(&row.codes);
                if to.scales != ScaleUnit::Tensor {
                    let unit = of_row(&row, to.group(k), &mut units);
                    unit.map_err(|_| changed(format!("row {r} has other scales than before")))?;
                    strip_scales.extend(units.iter().map(|unit| scale_to_write(scales, unit, to.half_scales)));
                }
            }
            if let Some(encode) = to.encode {
                encode(&codes, &strip_scales, &mut bytes);
            }
            out.write(&bytes)?;
        }
        let mut tail = vec![0; to.tail];
        if let (Some(place), Scales::All(scale)) = (tail.first_chunk_mut(), scales) {
            *place = scale.to_le_bytes();
        }
        out.write(&tail)?;
        Ok(to.n_bytes(matrix.rows(), k))
    }
}

/// The scale of a group or row in the new file. That of zeros may be one that fp16 does not have, and counts for
/// nothing.
fn scale_to_write(scales: Scales, unit: &Unit, half: bool) -> f32 {
    match scales {
        Scales::All(scale) => scale,
        Scales::Own if half && !unit.live && !f16::from_f32(unit.scale).is_finite() => 0.0,
        Scales::Own => unit.scale,
    }
}
