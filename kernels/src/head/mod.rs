//! The output head: f16 rows as the file has them, or those rows quantised at load to 8 or 4 bits.
//!
//! One token reads the whole head once, so its time is its bytes over the memory's bandwidth: at 128256 x 2560, 657 MB
//! in f16, 329 MB in q8, 169 MB in q4. A quantised head changes the logits, so it is never the default; the program
//! that offers it measures the perplexity; within one format every implementation gives the same bits (q8 and q4 for
//! any instruction set, all formats for any number of threads).

mod anew;
mod f16;
mod format;
mod panel;
mod q4;
mod q8;
pub(crate) mod reference;
mod registry;

use anew::Scratch;
pub use format::HeadFormat;
pub use panel::MAX_K_HEAD;
#[cfg(target_arch = "x86_64")]
pub(crate) use q4::GROUP_LINES;
pub(crate) use q4::{GROUP, PanelQ4};
pub(crate) use q8::PanelQ8;
pub use registry::{HEADS, HeadDescriptor, implementations};

use crate::activation::QuantizedActivations;
use crate::buffer::AlignedBuffer;
use crate::cpu::CpuFeatures;
use crate::error::{KernelError, same};
use crate::f32_ops::F32Ops;
use crate::padded_k;
use crate::parallel::Team;
use crate::prefetch::Prefetch;
use panel::PANEL_ROWS;
use registry::HeadProduct;
use std::ops::Range;
use std::sync::Arc;

/// f16 bit patterns that a head reads where they are: a buffer, or a mapped file that stays mapped as long as this.
pub type HalfRows = Arc<dyn AsRef<[u16]> + Send + Sync>;

/// Rows that a head is made of and that are decoded one by one, because a file has them in another form than f16.
#[derive(Clone, Copy)]
pub struct HeadRows<'a> {
    /// Number of rows: entries of the vocabulary.
    pub rows: usize,
    /// Elements of a row.
    pub k: usize,
    /// Writes the `k` elements of a row; called for each row once, from any thread.
    pub decode: &'a (dyn Fn(usize, &mut [f32]) + Sync),
}

/// Gives the logits: a vocabulary's rows in one format, and the way to multiply with them. Copies share the rows.
#[derive(Clone)]
pub struct OutputHead {
    rows: usize,
    k: usize,
    /// Quantise the input.
    ops: F32Ops,
    weights: Weights,
    implementation: &'static HeadDescriptor,
    prefetch: Prefetch,
}

#[derive(Clone)]
enum Weights {
    /// The file's, for [`HeadFormat::F16`].
    F16(HalfRows),
    /// Panels of a quantised form.
    Panels(Arc<AlignedBuffer<u8>>),
    /// f16 rows that become such panels in every product.
    Anew(HalfRows),
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
        half_rows: &HalfRows,
        k: usize,
        allowed: CpuFeatures,
        team: &mut Team,
    ) -> Result<Self, KernelError> {
        let halves: &[u16] = (**half_rows).as_ref();
        let rows = halves.len().checked_div(k).unwrap_or(0);
        same("f16 weights of whole rows", rows * k, halves.len())?;
        let ops = F32Ops::select(allowed);
        if format == HeadFormat::F16 {
            return Ok(Self::of(format, (rows, k), Weights::F16(Arc::clone(half_rows)), allowed));
        }
        let widened = |row: usize, out: &mut [f32]| anew::widened(halves, (row, k), ops, out);
        Self::quantised(format, (rows, k), &widened, allowed, team)
    }

    /// A head of the same bits as [`Self::new`] makes in a quantised format, whose rows are quantised in every product
    /// and kept in none: for one product it takes less time than making the other and multiplying with it.
    ///
    /// # Errors
    /// Rows that are not whole, `k` above [`MAX_K_HEAD`]. Weights that are not finite are found by the product.
    pub fn anew(format: HeadFormat, half_rows: &HalfRows, k: usize, allowed: CpuFeatures) -> Result<Self, KernelError> {
        let halves: &[u16] = (**half_rows).as_ref();
        let rows = halves.len().checked_div(k).unwrap_or(0);
        same("f16 weights of whole rows", rows * k, halves.len())?;
        if k > MAX_K_HEAD {
            return Err(KernelError::TooLarge { rows, k });
        }
        let of = if format == HeadFormat::F16 { Weights::F16 } else { Weights::Anew };
        Ok(Self::of(format, (rows, k), of(Arc::clone(half_rows)), allowed))
    }

    /// The head in `format` from rows that are decoded while it is made; the result is the only copy of them. An f16
    /// head rounds each element to nearest, ties to even: by at most 2^-11 of it, or 2^-25 where it is below 2^-14.
    ///
    /// # Errors
    /// Weights that are not finite, or that f16 cannot hold where it should; for the quantised forms `k` above
    /// [`MAX_K_HEAD`]; sizes that overflow.
    pub fn from_rows(
        format: HeadFormat,
        source: HeadRows<'_>,
        allowed: CpuFeatures,
        team: &mut Team,
    ) -> Result<Self, KernelError> {
        let HeadRows { rows, k, decode } = source;
        let decoded = |row: usize, out: &mut [f32]| {
            decode(row, out);
            match out.iter().position(|x| !x.is_finite()) {
                Some(column) => Err(KernelError::NonFiniteWeight { row, column }),
                None => Ok(()),
            }
        };
        if format != HeadFormat::F16 {
            return Self::quantised(format, (rows, k), &decoded, allowed, team);
        }
        let elements = rows.checked_mul(k).filter(|n| *n < isize::MAX as usize / 2);
        let mut halves = AlignedBuffer::zeroed(elements.ok_or(KernelError::TooLarge { rows, k })?);
        let ops = F32Ops::select(allowed);
        team.split_rows(k.max(1), &mut halves, |range: Range<usize>, halves| {
            let mut row = vec![0f32; k];
            for (i, halves) in halves.chunks_exact_mut(k.max(1)).enumerate() {
                let number = range.start / k.max(1) + i;
                decoded(number, &mut row)?;
                ops.narrow_to_f16(&row, halves).map_err(|error| match error {
                    KernelError::BeyondF16 { index, value } => {
                        KernelError::WeightBeyondF16 { row: number, column: index, value }
                    }
                    error => error,
                })?;
            }
            Ok(())
        })?;
        Ok(Self::of(format, (rows, k), Weights::F16(Arc::new(halves)), allowed))
    }

    fn quantised(
        format: HeadFormat,
        (rows, k): (usize, usize),
        row: &RowOf<'_>,
        allowed: CpuFeatures,
        team: &mut Team,
    ) -> Result<Self, KernelError> {
        if k > MAX_K_HEAD {
            return Err(KernelError::TooLarge { rows, k });
        }
        let (source, ops) = (Source { rows, k, row }, F32Ops::select(allowed));
        let panels = pack_rows(team, ops, source, anew::packing(format, k))?;
        Ok(Self::of(format, (rows, k), Weights::Panels(panels.into()), allowed))
    }

    fn of(format: HeadFormat, (rows, k): (usize, usize), weights: Weights, allowed: CpuFeatures) -> Self {
        let widest = implementations(format, allowed).pop();
        let Some(implementation) = widest else { unreachable!("every format has a portable implementation") };
        Self { rows, k, ops: F32Ops::select(allowed), weights, implementation, prefetch: Prefetch::OneLevel }
    }

    /// The format that this head's weights are held in.
    pub fn format(&self) -> HeadFormat {
        self.implementation.format
    }

    /// Name of the implementation that runs, for receipts.
    pub fn id(&self) -> &'static str {
        self.implementation.id
    }

    /// The implementation that runs.
    pub fn implementation(&self) -> &'static HeadDescriptor {
        self.implementation
    }

    /// How the weights are asked for ahead of their loads.
    pub fn prefetch(&self) -> Prefetch {
        self.prefetch
    }

    /// The same rows, multiplied in another way.
    ///
    /// # Errors
    /// An implementation of another format, or one that this CPU lacks.
    pub fn tuned(&self, implementation: &'static HeadDescriptor, prefetch: Prefetch) -> Result<Self, KernelError> {
        let (kernel, format) = (implementation.id, self.format());
        if implementation.format != format || implementation.check(CpuFeatures::detect()).is_err() {
            return Err(KernelError::NoSuchOperation { kernel, operation: format.name() });
        }
        Ok(Self { implementation, prefetch, ..self.clone() })
    }

    /// Bytes of weights and scales that one product with this head reads.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::F16(_) | Weights::Anew(_) => 2 * self.rows * self.k,
            Weights::Panels(_) => self.rows.div_ceil(PANEL_ROWS) * self.panel_bytes(),
        }
    }

    fn panel_bytes(&self) -> usize {
        anew::packing(self.format(), self.k).0
    }

    /// The head of the first rows alone, at most all of them: what a probe multiplies with. It shares the rows.
    pub fn first_rows(&self, rows: usize) -> Self {
        Self { rows: rows.min(self.rows), ..self.clone() }
    }

    /// Takes what one product reads out of the caches; see [`crate::stream::evict`].
    pub fn evict(&self, team: &mut Team) -> bool {
        match &self.weights {
            Weights::F16(rows) | Weights::Anew(rows) => {
                crate::stream::evict(team, &(**rows).as_ref()[..self.rows * self.k])
            }
            Weights::Panels(panels) => crate::stream::evict(team, &panels[..self.bytes()]),
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
        let prefetch = self.prefetch;
        let panels = match (&self.weights, self.implementation.product) {
            (Weights::F16(rows), HeadProduct::F16(product)) => {
                let product = |rows: &[u16], y: &mut [f32]| {
                    // SAFETY: `implementations` and `tuned` checked that the CPU has the features.
                    unsafe { product(rows, x, y, prefetch) }
                };
                return f16::gemv(team, &(**rows).as_ref()[..self.rows * self.k], self.k, y, product);
            }
            (Weights::Panels(panels), _) => Panels::Made(&panels[..self.bytes()]),
            (Weights::Anew(rows), _) => Panels::Anew(self.format(), rows, self.k, self.ops),
            (Weights::F16(_), _) => unreachable!("an implementation is of the format of its weights"),
        };
        input.prepare(self.ops, x)?;
        let factor = 1.0 / input.x.scale();
        let (x, x_sum, group_sums) = (input.x.padded(), input.x.sum(), &input.group_sums[..]);
        match self.implementation.product {
            HeadProduct::Q8(product) => {
                let product = |panel: &[u8]| {
                    let panel = PanelQ8::new(panel, x, x_sum);
                    // SAFETY: as above.
                    panel.scaled(&unsafe { product(&panel, prefetch) })
                };
                each_panel(team, panels, y, product, factor)
            }
            HeadProduct::Q4(product) => {
                // SAFETY: as above.
                let product = |panel: &[u8]| unsafe { product(&PanelQ4::new(panel, self.k, x, group_sums), prefetch) };
                each_panel(team, panels, y, product, factor)
            }
            HeadProduct::F16(_) => unreachable!("an implementation is of the format of its weights"),
        }
    }
}

impl std::fmt::Debug for OutputHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutputHead({} {}x{})", self.id(), self.rows, self.k)
    }
}

/// Panels of a quantised form: all of them, or what each is made of.
#[derive(Clone, Copy)]
enum Panels<'a> {
    Made(&'a [u8]),
    Anew(HeadFormat, &'a HalfRows, usize, F32Ops),
}

/// `y = products of each panel * factor`, panels shared among the team: each thread reads one contiguous range of
/// bytes.
fn each_panel(
    team: &mut Team,
    panels: Panels<'_>,
    y: &mut [f32],
    products: impl Fn(&[u8]) -> [f32; PANEL_ROWS] + Sync,
    factor: f32,
) -> Result<(), KernelError> {
    let all = y.len().div_ceil(PANEL_ROWS).max(1);
    team.split_rows(PANEL_ROWS, y, |range: Range<usize>, y| {
        let mut scratch = match panels {
            Panels::Made(_) => None,
            Panels::Anew(format, rows, k, ops) => Some(Scratch::new(format, (**rows).as_ref(), k, ops)),
        };
        for (i, y) in y.chunks_mut(PANEL_ROWS).enumerate() {
            let panel = match (panels, &mut scratch) {
                (_, Some(scratch)) => scratch.panel(range.start + i * PANEL_ROWS, y.len())?,
                (Panels::Made(panels), None) => {
                    let panel_bytes = panels.len() / all;
                    &panels[(range.start / PANEL_ROWS + i) * panel_bytes..][..panel_bytes]
                }
                (Panels::Anew(..), None) => unreachable!("scratch was made for them"),
            };
            let products = products(panel);
            y.iter_mut().zip(products).for_each(|(y, product)| *y = product * factor);
        }
        Ok(())
    })
}

/// Writes the elements of a row, or says what is wrong with it.
type RowOf<'a> = dyn Fn(usize, &mut [f32]) -> Result<(), KernelError> + Sync + 'a;

/// Rows of `k` elements that are to be packed.
#[derive(Clone, Copy)]
struct Source<'a> {
    rows: usize,
    k: usize,
    row: &'a RowOf<'a>,
}

/// Packs all rows into panels.
fn pack_rows(
    team: &mut Team,
    ops: F32Ops,
    Source { rows, k, row }: Source<'_>,
    (panel_bytes, pack): (usize, anew::PackRow),
) -> Result<AlignedBuffer<u8>, KernelError> {
    let bytes = rows.div_ceil(PANEL_ROWS).checked_mul(panel_bytes).ok_or(KernelError::TooLarge { rows, k })?;
    let mut panels = AlignedBuffer::zeroed(bytes);
    team.split_rows(panel_bytes, &mut panels, |range: Range<usize>, panels| {
        let mut elements = vec![0f32; k];
        let first = range.start / panel_bytes * PANEL_ROWS;
        for (i, panel) in panels.chunks_exact_mut(panel_bytes).enumerate() {
            let first = first + i * PANEL_ROWS;
            for r in first..rows.min(first + PANEL_ROWS) {
                row(r, &mut elements)?;
                pack(ops, r - first, &elements, panel);
            }
        }
        Ok(())
    })?;
    Ok(panels)
}

#[cfg(test)]
mod tests;
