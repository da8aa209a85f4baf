//! What the paths of each level are called with, and the sizes that they rely on.

/// Rows that one cache line of a column holds: four groups of 64.
pub(super) const LINE_ROWS: usize = 256;
pub(super) const LINE_BYTES: usize = 64;

/// Elements behind a list that listing may overwrite: a whole vector is written at every step.
pub(super) const LIST_SLACK: usize = 16;

/// One call of a column path: adds all quads to the sums of its lines, 256 rows each.
pub(super) struct Columns<'a> {
    pub codes: &'a [u8],
    /// Bytes of a column.
    pub stride: usize,
    /// Four columns each.
    pub quads: &'a [[u32; 4]],
    /// Their activations.
    pub q: &'a [[i8; 4]],
    /// First of this call's lines.
    pub first_line: usize,
    pub x_sum: i32,
    /// Zeros at first; the products in the order of the rows at last.
    pub y: &'a mut [i32],
}

/// One call of a row path: `y[i]` is the product of row `rows[i]`.
pub(super) struct Rows<'a> {
    pub codes: &'a [u8],
    pub row_bytes: usize,
    /// Below the number of rows in `codes`.
    pub rows: &'a [u32],
    pub planes: &'a [i8],
    pub x_sum: i32,
    pub y: &'a mut [i32],
}
