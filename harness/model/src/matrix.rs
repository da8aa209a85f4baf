//! A ternary matrix of a file, whatever it is stored as: checked, and packed for kernels.

use crate::encoding::{self, Encoding, Tensor};
use crate::error::Result;
use crate::gguf::{Gguf, TensorInfo, check_i2s_codes, check_i2s_scale, i2s_codes, types};
use crate::stored::Stored;
use kernels::parallel::{Team, row_range};
use kernels::{CodeTable, I2sTensor, KernelError, Layout, Needs, PackedWeights, RowSource, ScaleUnit};
use std::sync::{Arc, Mutex, PoisonError};

/// A ternary matrix of a file whose scale was found possible.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    gguf: &'a Gguf,
    tensor: &'a TensorInfo,
    stored: Stored<'a>,
}

/// Codes of an I2_S tensor where the file is mapped.
struct Codes {
    gguf: Arc<Gguf>,
    /// Number of the tensor in the file.
    number: usize,
}

impl AsRef<[u8]> for Codes {
    fn as_ref(&self) -> &[u8] {
        i2s_codes(self.gguf.bytes(&self.gguf.tensors[self.number]))
    }
}

/// Whether a matrix in this encoding adds nothing to these needs: one with one scale and three codes asks nothing, and
/// a kernel for groups takes all codes.
pub fn settled(needs: Needs, encoding: &Encoding) -> bool {
    let asks_nothing = encoding.scales == encoding::ScaleUnit::Tensor && !encoding.four_codes;
    asks_nothing || matches!(needs.scales, ScaleUnit::Group(_))
}

/// What a thread that looked at rows found.
#[derive(Default)]
struct Seen {
    /// The first row that is wrong, and what is wrong with it.
    wrong: Option<(usize, String)>,
    /// Whether scales differ from the tensor's first, and within a row.
    rows_differ: bool,
    groups_differ: bool,
    four_codes: bool,
}

impl<'a> Matrix<'a> {
    /// The matrix in `tensor`, none of whose codes was looked at yet.
    ///
    /// # Errors
    /// A type without ternary weights, a shape that the encoding cannot have, a scale of the tensor that is not a
    /// finite number above zero.
    pub fn of(gguf: &'a Gguf, tensor: &'a TensorInfo) -> Result<Self> {
        check_shape(gguf, tensor)?;
        if tensor.kind.code == types::I2S.code {
            check_i2s_scale(gguf, tensor)?;
        }
        let Some(stored) = Stored::of(gguf, tensor)? else {
            unreachable!("its shape is that of a ternary matrix");
        };
        match stored.tensor_scale() {
            Some(scale) if !(scale.is_finite() && scale > 0.0) => {
                let what = format!("its scale is {scale}; it must be a finite number above zero");
                Err(gguf.tensor_error(tensor, format!("{what}, so convert or download the model again")))
            }
            _ => Ok(Self { gguf, tensor, stored }),
        }
    }

    /// How it is stored, with all that multiplies it.
    pub fn stored(&self) -> &Stored<'a> {
        &self.stored
    }

    /// Weights of a row that share a scale; 0 where the tensor has one.
    fn group(&self) -> usize {
        let encoding = self.stored.encoding;
        if encoding.scales == encoding::ScaleUnit::Tensor { 0 } else { encoding.group(self.stored.tensor.k) }
    }

    /// Room for the codes and the scales of a row.
    fn room(&self) -> (Vec<u8>, Vec<f32>) {
        (vec![0; self.stored.tensor.k], vec![0.0; self.stored.scales_in_row()])
    }

    /// Calls `look` with the codes and scales of every row, one after the other.
    pub fn each_row(&self, mut look: impl FnMut(&[u8], &[f32])) {
        let (mut codes, mut scales) = self.room();
        for row in 0..self.stored.tensor.rows {
            self.stored.decode(row, &mut codes, &mut scales);
            look(&codes, &scales);
        }
    }

    /// Looks at every code and scale, on all threads, and says what they ask of a kernel.
    ///
    /// # Errors
    /// The first code that the encoding does not have, by row and column; a scale that is not finite.
    pub fn check(&self, team: &mut Team, progress: &(dyn Fn(u64) + Sync)) -> Result<Needs> {
        let Tensor { bytes, rows, .. } = self.stored.tensor;
        if self.tensor.kind == types::I2S {
            // Faster than by single codes.
            check_i2s_codes(self.gguf, self.tensor)?;
            progress(bytes.len() as u64);
            return Ok(Needs::TERNARY);
        }
        let (threads, row_bytes) = (team.threads(), (bytes.len() / rows.max(1)) as u64);
        let first = self.first_scale();
        let all = Mutex::new(Seen::default());
        team.run(&|number| {
            let (mut codes, mut scales) = self.room();
            let mut own = Seen::default();
            for row in row_range(rows, 1, threads, number) {
                self.stored.decode(row, &mut codes, &mut scales);
                own.look(self.stored.encoding, (first, &scales), &codes, row);
                if own.wrong.is_some() {
                    break;
                }
                progress(row_bytes);
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).join(own);
        });
        let seen = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, what)) = seen.wrong {
            return Err(self.gguf.tensor_error(self.tensor, what));
        }
        let scales = match self.stored.encoding.scales {
            encoding::ScaleUnit::Group(n) if seen.groups_differ => ScaleUnit::Group(n),
            encoding::ScaleUnit::Tensor => ScaleUnit::Tensor,
            _ if seen.rows_differ => ScaleUnit::Row,
            _ => ScaleUnit::Tensor,
        };
        let half_scales = self.stored.half_scales();
        Ok(Needs { scales, half_scales, four_codes: seen.four_codes, ..Needs::NONE })
    }

    /// The most that it can ask of a kernel: what its encoding allows, without a look at its weights.
    pub fn needs_at_most(&self) -> Needs {
        let Encoding { scales, four_codes, .. } = self.stored.encoding;
        let scales = match scales {
            encoding::ScaleUnit::Tensor => ScaleUnit::Tensor,
            encoding::ScaleUnit::Row => ScaleUnit::Row,
            encoding::ScaleUnit::Group(n) => ScaleUnit::Group(*n),
        };
        Needs { scales, half_scales: self.half_scales(), four_codes: *four_codes, ..Needs::NONE }
    }

    /// Whether every scale is an f16.
    pub fn half_scales(&self) -> bool {
        self.stored.half_scales()
    }

    /// The first scale of the first row.
    fn first_scale(&self) -> f32 {
        let (mut codes, mut scales) = self.room();
        if self.stored.tensor.rows > 0 {
            self.stored.decode(0, &mut codes, &mut scales);
        }
        scales.first().copied().unwrap_or(1.0)
    }

    /// Packs it in a layout; the table is what the codes are taken for, `needs` what the model's matrices ask together.
    /// All scales equal become one.
    ///
    /// # Errors
    /// Codes or scales that the layout does not hold, and scales that are not finite, each by its place.
    pub fn packed(
        &self,
        (layout, table): (&'static Layout, CodeTable),
        needs: Needs,
        team: &mut Team,
    ) -> Result<PackedWeights> {
        let scale = self.stored.tensor_scale().unwrap_or(1.0);
        let refused = |e: KernelError| self.gguf.tensor_error(self.tensor, &e).caused_by(&e);
        let Tensor { bytes, rows, k } = self.stored.tensor;
        let weights = if self.tensor.kind == types::I2S {
            let codes = i2s_codes(bytes);
            self.find_code_3(codes, team)?;
            let source = I2sTensor::assume_valid(rows, k, codes).map_err(refused)?;
            PackedWeights::from_i2s(layout, source, scale, team).map_err(refused)?
        } else {
            // Of a model with groups nobody has looked at all codes. A layout without a place for code 3 refuses the
            // code, by its place, and not the table.
            let unknown = matches!(needs.scales, ScaleUnit::Group(_));
            let four = self.stored.encoding.four_codes && (needs.four_codes || unknown) && !layout.ternary_only;
            // Nor at all scales. The lowest row counts, whichever thread finds it.
            let found = Mutex::new(None::<(usize, String)>);
            let decode = |row: usize, codes: &mut [u8], scales: &mut [f32]| {
                self.stored.decode(row, codes, scales);
                if let Some(group) = not_finite(scales) {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    if found.as_ref().is_none_or(|(first, _)| row < *first) {
                        *found = Some((row, no_number(row, group, scales[group])));
                    }
                }
            };
            let source = RowSource {
                rows,
                k,
                table: if four { CodeTable::FOUR } else { CodeTable::TERNARY },
                group: self.group(),
                tensor_scale: scale,
                decode: &decode,
            };
            let packed = PackedWeights::from_rows(layout, source, team);
            if let Some((_, what)) = found.into_inner().unwrap_or_else(PoisonError::into_inner) {
                return Err(self.gguf.tensor_error(self.tensor, what));
            }
            packed.map_err(refused)?
        };
        // Packed weights are a copy; from here on the file may change.
        self.gguf.check_unchanged()?;
        if table == CodeTable::TERNARY {
            return Ok(weights);
        }
        if layout.ternary_only {
            return Err(refused(KernelError::TernaryOnly { layout, table: table.0 }));
        }
        Ok(weights.with_table(table))
    }

    /// Whether it lies in the file as this layout has it, so that a copy is all that packing would make.
    pub fn lies_as(&self, layout: &Layout) -> bool {
        *layout == kernels::layouts::I2S && self.tensor.kind == types::I2S
    }

    /// The matrix in the layout [`kernels::layouts::I2S`], where the file is mapped; all threads look for a code 3.
    ///
    /// # Errors
    /// As [`Self::packed`]; a matrix that is stored otherwise.
    pub fn in_place(&self, gguf: &Arc<Gguf>, team: &mut Team) -> Result<PackedWeights> {
        let Tensor { bytes, rows, k } = self.stored.tensor;
        if !self.lies_as(&kernels::layouts::I2S) {
            return Err(gguf.tensor_error(self.tensor, "is not stored as kernels read it"));
        }
        self.find_code_3(i2s_codes(bytes), team)?;
        let number = gguf.tensor_number(&self.tensor.name)?;
        let codes = Arc::new(Codes { gguf: Arc::clone(gguf), number });
        let scale = self.stored.tensor_scale().unwrap_or(1.0);
        PackedWeights::in_place([rows, k], codes, scale).map_err(|e| gguf.tensor_error(self.tensor, &e).caused_by(&e))
    }

    /// Refuses a code 3 of an I2_S tensor, which all threads look for.
    fn find_code_3(&self, codes: &[u8], team: &mut Team) -> Result<()> {
        let (threads, found) = (team.threads(), std::sync::atomic::AtomicBool::new(false));
        team.run(&|number| {
            let own = &codes[row_range(codes.len(), CHECKED_AT_ONCE, threads, number)];
            found.fetch_or(I2sTensor::find_code_3(own).is_some(), std::sync::atomic::Ordering::Relaxed);
        });
        if found.into_inner() { check_i2s_codes(self.gguf, self.tensor) } else { Ok(()) }
    }
}

/// Refuses a tensor that cannot be a ternary matrix, by its type and its shape alone.
pub fn check_shape(gguf: &Gguf, tensor: &TensorInfo) -> Result<()> {
    let refused = |what: String| Err(gguf.tensor_error(tensor, what));
    let Some(encoding) = tensor.kind.encoding else {
        return refused(format!("type {} holds no ternary weights", tensor.kind.name));
    };
    let [k, rows] = tensor.dims[..] else {
        return refused(format!("has {} dimensions, not 2", tensor.dims.len()));
    };
    let Encoding { block, rows: strip, name, .. } = encoding;
    if !k.is_multiple_of(*block as u64) {
        return refused(format!("its rows of {k} are no multiple of {block}, the block of {name}"));
    }
    if !rows.is_multiple_of(*strip as u64) {
        return refused(format!("its {rows} rows are no multiple of {strip}, which {name} packs together"));
    }
    Ok(())
}

/// The first of a row's scales that is not finite.
fn not_finite(scales: &[f32]) -> Option<usize> {
    scales.iter().position(|scale| !scale.is_finite())
}

fn no_number(row: usize, group: usize, scale: f32) -> String {
    let what = format!("the scale of row {row}, group {group} is {scale}, not a finite number");
    format!("{what}; convert or download the model again")
}

impl Seen {
    /// Looks at a row.
    fn look(&mut self, encoding: &Encoding, (first, scales): (f32, &[f32]), codes: &[u8], row: usize) {
        // A maximum is a vector loop, a search is not.
        let largest = codes.iter().fold(0, |max, &code| code.max(max));
        self.four_codes |= largest == 3;
        if largest > if encoding.four_codes { 3 } else { 2 } {
            let column = codes.iter().position(|&code| code == largest).unwrap_or(0);
            let what =
                format!("row {row}, column {column} holds code {largest}, which {} does not have", encoding.name);
            self.wrong = Some((row, format!("{what}: the file is corrupt or stored in another layout")));
        }
        if let Some(group) = not_finite(scales) {
            self.wrong = Some((row, no_number(row, group, scales[group])));
        }
        let own = scales.first().copied().unwrap_or(first);
        self.rows_differ |= own != first;
        self.groups_differ |= scales.iter().any(|&scale| scale != own);
    }

    /// Adds what another thread found; of two wrong rows the first counts.
    fn join(&mut self, other: Self) {
        let earlier = |at: &(usize, String)| self.wrong.as_ref().is_none_or(|own| at.0 < own.0);
        if other.wrong.as_ref().is_some_and(earlier) {
            self.wrong = other.wrong;
        }
        self.rows_differ |= other.rows_differ;
        self.groups_differ |= other.groups_differ;
        self.four_codes |= other.four_codes;
    }
}

/// Bytes of codes that a thread's part is a multiple of when they are checked.
const CHECKED_AT_ONCE: usize = 4096;
