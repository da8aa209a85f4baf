//! Rows of I2_S and activations, 64 bytes at a time.

use crate::layouts::i2s_rows::runs;
use std::arch::x86_64::*;

/// How far ahead of the loads codes are asked for with one level: that of the gemm of `avx512-vnni`.
pub(super) const PREFETCH_BYTES: usize = 8192;

/// What meets one plane of a line of codes: 32 activations of its first block of 128, then 32 of its second.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line([i8; 64]);

impl Line {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn load(&self) -> __m512i {
        // SAFETY: the array has 64 bytes and begins at a cache line.
        unsafe { _mm512_load_si512(self.0.as_ptr().cast()) }
    }
}

/// Appends what meets `lines` lines of codes, four planes each, the plane of the first 32 weights first. `x` is padded
/// with zeros to whole lines of 256.
pub(super) fn x_lines(x: &[i8], lines: usize, out: &mut Vec<Line>) {
    for x in x.as_chunks::<256>().0.iter().take(lines) {
        out.extend((0..4).map(|plane| Line(runs(x, plane))));
    }
}

/// Of 256 activations those that meet plane `plane`.
pub(super) fn line_of(x: &[i8; 256], plane: usize) -> Line {
    Line(runs(x, plane))
}

/// `R` rows of codes, one behind the other.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, const R: usize> {
    codes: &'a [u8],
    row_bytes: usize,
}

impl<'a, const R: usize> Rows<'a, R> {
    pub(super) fn new(codes: &'a [u8], row_bytes: usize) -> Self {
        assert!(codes.len() == R * row_bytes, "{R} rows");
        Self { codes, row_bytes }
    }

    /// Lines of a row that are whole: two blocks of 128 weights.
    pub(super) fn whole_lines(&self) -> usize {
        self.row_bytes / 64
    }

    /// The number of the line that is a single block, where a row ends with one.
    pub(super) fn half_line(&self) -> Option<usize> {
        (!self.row_bytes.is_multiple_of(64)).then_some(self.row_bytes / 64)
    }

    /// Where a line of a row begins.
    #[inline(always)]
    pub(super) fn line(&self, row: usize, line: usize) -> *const u8 {
        self.codes.as_ptr().wrapping_add(row * self.row_bytes + 64 * line)
    }
}
