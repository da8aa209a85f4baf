//! Rows of an embedding or an output head, whatever a file stores them as.

use crate::elements::Elements;
use crate::error::{Error, Result};
use crate::gguf::{Gguf, TensorInfo, types};
use crate::matrix::Matrix;
use crate::stored::{Scale, Stored};
use kernels::parallel::{Team, row_range};
use kernels::{CpuFeatures, HalfRows, HeadFormat, HeadRows, KernelError, OutputHead};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

/// A tensor with a row for each entry of the vocabulary, where the file is mapped.
#[derive(Clone)]
pub struct Rows {
    gguf: Arc<Gguf>,
    /// Number of the tensor in the file, whose type and shape were checked.
    tensor: usize,
    rows: usize,
    k: usize,
    /// What multiplies a ternary one; found once, not for every row.
    scale: Option<Scale>,
}

impl AsRef<[u16]> for Rows {
    /// The f16 bit patterns of a tensor of type F16; nothing of another.
    fn as_ref(&self) -> &[u16] {
        if self.info().kind == types::F16 { bytemuck::cast_slice(self.gguf.bytes(self.info())) } else { &[] }
    }
}

/// All exponent bits set: infinity or NaN.
const INFINITE: u32 = 0x7F80_0000;
const INFINITE_F16: u16 = 0x7C00;

/// Index of the first element that `is` one. Most slices have none: all are looked at without a way out of the loop,
/// which would keep it from being vectorised.
fn first<T: Copy>(elements: &[T], is: impl Fn(T) -> bool) -> Option<usize> {
    if !elements.iter().fold(false, |seen, &x| seen | is(x)) {
        return None;
    }
    elements.iter().position(|&x| is(x))
}

thread_local! {
    /// Codes of a ternary row, and its scales.
    static SCRATCH: RefCell<(Vec<u8>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl Rows {
    /// The rows of tensor `name`.
    ///
    /// # Errors
    /// A tensor that is not there, has another number of dimensions, or is of a type that nothing here decodes.
    pub fn of(gguf: &Arc<Gguf>, name: &str) -> Result<Self> {
        let tensor = gguf.tensor_number(name)?;
        let info = &gguf.tensors[tensor];
        let [k, rows] = info.dims[..] else {
            return Err(gguf.tensor_error(info, format!("has {} dimensions, not 2", info.dims.len())));
        };
        let mut scale = None;
        if info.kind == types::F16 {
            // That the bytes can be read in place.
            gguf.f16s(info)?;
        } else if info.kind.encoding.is_some() {
            scale = Some(Matrix::of(gguf, info)?.stored().scale);
        } else if info.kind.elements.is_none() {
            let what = format!("type {} is not read for an embedding or an output head", info.kind.name);
            return Err(gguf.tensor_error(info, what));
        }
        Ok(Self { gguf: Arc::clone(gguf), tensor, rows: rows as usize, k: k as usize, scale })
    }

    fn info(&self) -> &TensorInfo {
        &self.gguf.tensors[self.tensor]
    }

    /// Number of rows: entries of the vocabulary.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Whether they are stored as a ternary matrix.
    pub fn ternary(&self) -> bool {
        self.info().kind.elements.is_none() && self.scale.is_some()
    }

    /// Name of the tensor.
    pub fn name(&self) -> &str {
        &self.info().name
    }

    /// Name of the type that the file stores them as.
    pub fn kind(&self) -> &'static str {
        self.info().kind.name
    }

    /// Bytes that the file has of them.
    pub fn bytes(&self) -> u64 {
        self.gguf.bytes(self.info()).len() as u64
    }

    /// Writes row `row`, below [`Self::rows`], as [`Self::k`] elements of f32.
    pub fn decode(&self, row: usize, out: &mut [f32]) {
        let info = self.info();
        if let Some(elements) = info.kind.elements {
            let bytes = self.gguf.bytes(info);
            let row_bytes = bytes.len() / self.rows;
            return (elements.decode)(&bytes[row * row_bytes..(row + 1) * row_bytes], out);
        }
        let stored = self.scale.and_then(|scale| Stored::with(&self.gguf, info, scale));
        let Some(stored) = stored else { unreachable!("`of` made sure that one of the two reads it") };
        SCRATCH.with_borrow_mut(|(codes, scales)| stored.weights_of_row(row, (codes, scales), out));
    }

    /// Refuses rows with an element that is not finite, which would make every logit NaN. Bytes done are the read ones.
    pub fn check(&self, team: &mut Team, progress: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let (threads, row_bytes) = (team.threads(), self.bytes() / self.rows.max(1) as u64);
        let halves: &[u16] = self.as_ref();
        // The smallest row with one, and its column.
        let found: Mutex<Option<(usize, usize)>> = Mutex::new(None);
        team.run(&|number| {
            let mut out = vec![0f32; self.k];
            for row in row_range(self.rows, 1, threads, number) {
                let column = if halves.is_empty() {
                    self.decode(row, &mut out);
                    first(&out, |x| x.to_bits() & INFINITE == INFINITE)
                } else {
                    first(&halves[row * self.k..][..self.k], |bits| bits & INFINITE_F16 == INFINITE_F16)
                };
                if let Some(column) = column {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    *found = Some(found.map_or((row, column), |least| least.min((row, column))));
                    return;
                }
                progress(row_bytes);
            }
        });
        match found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((row, column)) => Err(self.not_finite(row, column)),
            None => Ok(()),
        }
    }

    fn not_finite(&self, row: usize, column: usize) -> Error {
        let (i, info) = (row * self.k + column, self.info());
        let place = match info.kind.elements {
            Some(Elements { block: 1, bytes, .. }) => {
                format!("element {i} at byte {}", info.offset + (bytes * i) as u64)
            }
            _ => format!("row {row}, element {column}"),
        };
        self.gguf.tensor_error(info, format!("{place} is not a finite number"))
    }

    /// The rows as a ternary matrix; none where they are stored as other numbers.
    ///
    /// # Errors
    /// Those of [`Matrix::of`].
    pub fn matrix(&self) -> Result<Option<Matrix<'_>>> {
        self.ternary().then(|| Matrix::of(&self.gguf, self.info())).transpose()
    }

    /// An output head in a quantised `format` whose rows are quantised in every product ([`OutputHead::anew`]): there
    /// is nothing to make before the first one. None where rows are not of type F16.
    ///
    /// # Errors
    /// Rows that are too long.
    pub fn head_anew(&self, format: HeadFormat, features: CpuFeatures) -> Result<Option<OutputHead>> {
        if self.info().kind != types::F16 || format == HeadFormat::F16 {
            return Ok(None);
        }
        let halves: HalfRows = Arc::new(self.clone());
        let made = OutputHead::anew(format, &halves, self.k, features);
        made.map(Some).map_err(|error| self.no_head(format, &error))
    }

    /// Makes an output head in `format`; rows are decoded and quantised in parallel. Rows of type F16 stay where they
    /// are for an f16 head.
    pub fn head(&self, format: HeadFormat, features: CpuFeatures, team: &mut Team) -> Result<OutputHead> {
        let made = if self.info().kind == types::F16 {
            // Quantising looks at each element anyway.
            if format == HeadFormat::F16 {
                self.check(team, &|_| {})?;
            }
            let halves: HalfRows = Arc::new(self.clone());
            OutputHead::new(format, &halves, self.k, features, team)
        } else {
            let source = HeadRows { rows: self.rows, k: self.k, decode: &|row, out| self.decode(row, out) };
            OutputHead::from_rows(format, source, features, team)
        };
        made.map_err(|error| match error {
            KernelError::NonFiniteWeight { row, column } => self.not_finite(row, column),
            error => self.no_head(format, &error),
        })
    }

    fn no_head(&self, format: HeadFormat, error: &KernelError) -> Error {
        let (path, name, format) = (self.gguf.path().display(), self.name(), format.name());
        Error::input(format!("{path}: tensor \"{name}\" as a {format} head: {error}"))
    }
}
