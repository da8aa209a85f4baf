//! What the paths of each level are called with, and the sizes that they rely on.

/// Rows that one cache line of a column holds: four groups of 64.
pub(super) const LINE_ROWS: usize = 256;
pub(super) const LINE_BYTES: usize = 64;

/// Elements behind a list that listing may overwrite: a whole vector is written at every step.
pub(super) const LIST_SLACK: usize = 16;

/// One call of a column path: adds all quads to the sums of its lines, 256 rows each.
pub(super) struct Columns<'a> {
    /// Packed codes of all columns.
    pub codes: &'a [u8],
    /// Bytes from one column to the next.
    pub stride: usize,
    /// Numbers of the columns to add, four at a time.
    pub quads: &'a [[u32; 4]],
    /// int8 activations of the columns in `quads`.
    pub q: &'a [[i8; 4]],
    /// Number of the first line (of 256 rows) that this call computes.
    pub first_line: usize,
    /// Sum of all activations, subtracted from sums over codes.
    pub x_sum: i32,
    /// Zeros at first; the products in the order of the rows at last.
    pub y: &'a mut [i32],
}

/// One call of a row path: `y[i]` is the product of row `rows[i]`.
pub(super) struct Rows<'a> {
    /// Packed I2_S codes of all rows.
    pub codes: &'a [u8],
    /// Bytes of one row.
    pub row_bytes: usize,
    /// Numbers of the rows to multiply, each below the number of rows in `codes`.
    pub rows: &'a [u32],
    /// int8 activations in plane order, which paths with vectors read.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub planes: &'a [i8],
    /// Sum of all activations, subtracted from sums over codes.
    pub x_sum: i32,
    /// Output: one product for each listed row.
    pub y: &'a mut [i32],
}
