//! The output head: f16 rows as the file has them, or those rows quantised at load to 8 or 4 bits.
//!
//! One token reads the whole head once, so its time is its bytes over the memory's bandwidth: at 128256 x 2560, 657 MB
//! in f16, 329 MB in q8, 169 MB in q4. A quantised head changes the logits, so it is never the default; the program
//! that offers it measures the perplexity; within one format every implementation gives the same bits (q8 and q4 for
//! any instruction set, all formats for any number of threads).

mod f16;
mod panel;
mod q4;
mod q8;
pub(crate) mod reference;

pub use panel::MAX_K_HEAD;
pub(crate) use q4::{GROUP, GROUP_LINES, PanelQ4};
pub(crate) use q8::PanelQ8;

use crate::activation::QuantizedActivations;
use crate::buffer::AlignedBuffer;
use crate::cpu::{CpuFeatures, Level};
use crate::error::{KernelError, same};
use crate::f32_ops::F32Ops;
use crate::padded_k;
use crate::parallel::Team;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use panel::PANEL_ROWS;
use std::ops::Range;
use std::sync::Arc;

/// How many bits the head's weights are held in: fewer are faster to read and change the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadFormat {
    /// Weights are f16 as in the file: 16 bits a weight.
    F16,
    /// Weights are int8 with one f32 scale a row: 8 bits a weight and 32 a row.
    Q8,
    /// Weights are 4-bit codes with one f16 scale for each 128 weights of a row: 4.125 bits a weight.
    Q4,
}

impl HeadFormat {
    /// All head formats, from the most to the fewest bits a weight.
    pub const ALL: [Self; 3] = [Self::F16, Self::Q8, Self::Q4];

    /// Name on the command line and in receipts: `f16`, `q8` or `q4`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }
}

/// Gives the logits: a vocabulary's rows in one format, and the way to multiply with them that CPU features allow.
#[derive(Clone, Debug)]
pub struct OutputHead {
    format: HeadFormat,
    rows: usize,
    k: usize,
    ops: F32Ops,
    weights: Weights,
}

#[derive(Clone, Debug)]
enum Weights {
    /// The file's, for [`HeadFormat::F16`].
    F16(Arc<AlignedBuffer<u16>>),
    /// Panels of a quantised form.
    Panels(AlignedBuffer<u8>),
}

/// The head's input as the quantised forms take it. Made once; [`OutputHead::gemv`] fills it and allocates nothing.
#[derive(Clone, Debug)]
pub struct HeadInput {
    x: QuantizedActivations,
    /// Sum of each group of [`GROUP`] activations.
    group_sums: Vec<i32>,
}

impl HeadInput {
    /// An input buffer with room for vectors of up to `k` elements.
    pub fn new(k: usize) -> Self {
        Self { x: QuantizedActivations::new(k), group_sums: vec![0; padded_k(k) / GROUP] }
    }

    fn prepare(&mut self, ops: F32Ops, x: &[f32]) -> Result<(), KernelError> {
        self.x.quantize(ops, x)?;
        for (sum, group) in self.group_sums.iter_mut().zip(self.x.padded().as_chunks::<GROUP>().0) {
            *sum = group.iter().map(|&x| i32::from(x)).sum();
        }
        Ok(())
    }
}

impl OutputHead {
    /// The head in `format` from f16 bit patterns, row after row of `k`. The quantised forms are made here, rows shared
    /// among the team, with a buffer of one row a thread besides the result; the f16 form keeps the given buffer.
    ///
    /// # Errors
    /// Rows that are not whole; for the quantised forms also weights that are not finite and `k` above [`MAX_K_HEAD`].
    pub fn new(
        format: HeadFormat,
        weights: &Arc<AlignedBuffer<u16>>,
        k: usize,
        allowed: CpuFeatures,
        team: &mut Team,
    ) -> Result<Self, KernelError> {
        let rows = weights.len().checked_div(k).unwrap_or(0);
        same("f16 weights of whole rows", rows * k, weights.len())?;
        if format != HeadFormat::F16 && k > MAX_K_HEAD {
            return Err(KernelError::TooLarge { rows, k });
        }
        let ops = F32Ops::select(allowed);
        let source = F16Rows { weights, k };
        let weights = match format {
            HeadFormat::F16 => Weights::F16(Arc::clone(weights)),
            HeadFormat::Q8 => Weights::Panels(pack_rows(team, ops, source, q8::panel_bytes(k), q8::pack_row)?),
            HeadFormat::Q4 => Weights::Panels(pack_rows(team, ops, source, q4::panel_bytes(k), q4::pack_row)?),
        };
        Ok(Self { format, rows, k, ops, weights })
    }

    /// The format that this head's weights are held in.
    pub fn format(&self) -> HeadFormat {
        self.format
    }

    /// Name of the implementation that runs, for receipts.
    pub fn id(&self) -> &'static str {
        let level = self.ops.level;
        match self.format {
            HeadFormat::F16 => level.name(["f16-scalar", "f16-avx2-f16c", "f16-avx512", "f16-avx512"]),
            HeadFormat::Q8 => level.name(["q8-scalar", "q8-avx2", "q8-avx2", "q8-avx512-vnni"]),
            HeadFormat::Q4 => level.name(["q4-scalar", "q4-avx2", "q4-avx2", "q4-avx512-vnni"]),
        }
    }

    /// Bytes of weights and scales that one product with this head reads.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::F16(rows) => size_of_val(&rows[..]),
            Weights::Panels(panels) => panels.len(),
        }
    }

    /// Number of rows of the head: entries of the vocabulary.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns of the head: elements of the input.
    pub fn k(&self) -> usize {
        self.k
    }

    /// `y = weights * x`, rows shared among the team. The quantised forms take `x` as int8 by the rule of
    /// [`QuantizedActivations`]; `input` is their scratch. Allocates nothing.
    ///
    /// # Errors
    /// Wrong lengths; for the quantised forms also an `x` that is not finite or longer than `input` has room for.
    pub fn gemv(&self, team: &mut Team, x: &[f32], input: &mut HeadInput, y: &mut [f32]) -> Result<(), KernelError> {
        same("activations", self.k, x.len())?;
        same("output", self.rows, y.len())?;
        let level = self.ops.level;
        let panels = match &self.weights {
            Weights::F16(rows) => return f16::gemv(level, team, rows, x, y),
            Weights::Panels(panels) => panels,
        };
        input.prepare(self.ops, x)?;
        let factor = 1.0 / input.x.scale();
        let (x, x_sum, group_sums) = (input.x.padded(), input.x.sum(), &input.group_sums[..]);
        if self.format == HeadFormat::Q8 {
            each_panel(team, panels, y, |panel| panel_q8(level, &PanelQ8::new(panel, x, x_sum)), factor)
        } else {
            let product = |panel: &[u8]| panel_q4(level, &PanelQ4::new(panel, self.k, x, group_sums));
            each_panel(team, panels, y, product, factor)
        }
    }
}

fn panel_q8(level: Level, panel: &PanelQ8<'_>) -> [f32; PANEL_ROWS] {
    let sums = match level {
        Level::Portable => q8::scalar(panel),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::select` found AVX2 on this CPU.
        Level::Avx2 | Level::Avx512 => unsafe { crate::x86_64::head_q8::avx2(panel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::select` found AVX-512 F, BW and VNNI on this CPU.
        Level::Avx512Vnni => unsafe { crate::x86_64::head_q8::avx512_vnni(panel) },
    };
    panel.scaled(&sums)
}

fn panel_q4(level: Level, panel: &PanelQ4<'_>) -> [f32; PANEL_ROWS] {
    match level {
        Level::Portable => q4::scalar(panel),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::select` found AVX2, FMA and F16C on this CPU.
        Level::Avx2 | Level::Avx512 => unsafe { crate::x86_64::head_q4::avx2(panel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::select` found AVX-512 F, BW and VNNI on this CPU.
        Level::Avx512Vnni => unsafe { crate::x86_64::head_q4::avx512_vnni(panel) },
    }
}

/// `y = products of each panel * factor`, panels shared among the team: each thread reads one contiguous range of
/// bytes.
fn each_panel(
    team: &mut Team,
    panels: &[u8],
    y: &mut [f32],
    products: impl Fn(&[u8]) -> [f32; PANEL_ROWS] + Sync,
    factor: f32,
) -> Result<(), KernelError> {
    let panel_bytes = panels.len() / y.len().div_ceil(PANEL_ROWS).max(1);
    team.split_rows(PANEL_ROWS, y, |range: Range<usize>, y| {
        let panels = &panels[range.start / PANEL_ROWS * panel_bytes..];
        for (i, y) in y.chunks_mut(PANEL_ROWS).enumerate() {
            let products = products(&panels[i * panel_bytes..(i + 1) * panel_bytes]);
            y.iter_mut().zip(products).for_each(|(y, product)| *y = product * factor);
        }
        Ok(())
    })
}

/// Rows of `k` f16 bit patterns, one after the other.
#[derive(Clone, Copy)]
struct F16Rows<'a> {
    weights: &'a [u16],
    k: usize,
}

/// Packs all rows into panels of `panel_bytes`. `pack` gets a row's number in its panel, the row, and the panel.
fn pack_rows(
    team: &mut Team,
    ops: F32Ops,
    F16Rows { weights, k }: F16Rows<'_>,
    panel_bytes: usize,
    pack: impl Fn(F32Ops, usize, &[f32], &mut [u8]) + Sync,
) -> Result<AlignedBuffer<u8>, KernelError> {
    let rows = weights.len().checked_div(k).unwrap_or(0);
    let bytes = rows.div_ceil(PANEL_ROWS).checked_mul(panel_bytes).ok_or(KernelError::TooLarge { rows, k })?;
    let mut panels = AlignedBuffer::zeroed(bytes);
    team.split_rows(panel_bytes, &mut panels, |range: Range<usize>, panels| {
        let mut row = vec![0f32; k];
        let first = range.start / panel_bytes * PANEL_ROWS;
        for (i, panel) in panels.chunks_exact_mut(panel_bytes).enumerate() {
            let first = first + i * PANEL_ROWS;
            for r in first..rows.min(first + PANEL_ROWS) {
                weights[r * k..(r + 1) * k].reinterpret_cast::<half::f16>().convert_to_f32_slice(&mut row);
                if !ops.largest_magnitude(&row).is_finite() {
                    let column = row.iter().position(|w| !w.is_finite()).unwrap_or(0);
                    return Err(KernelError::NonFiniteWeight { row: r, column });
                }
                pack(ops, r - first, &row, panel);
            }
        }
        Ok(())
    })?;
    Ok(panels)
}

#[cfg(test)]
mod tests;
