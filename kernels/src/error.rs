//! What can be wrong with a call.

use crate::layout::Layout;

/// A call that was refused. Nothing was computed and no output was written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// Weights packed for another kernel. Repack them; nothing is converted silently.
    #[error("kernel {kernel} reads packing {expected}, the weights are packed as {actual}; repack them")]
    LayoutMismatch {
        /// Kernel id.
        kernel: &'static str,
        /// What the kernel reads.
        expected: &'static Layout,
        /// What the weights are.
        actual: &'static Layout,
    },
    /// The kernel does not implement the operation.
    #[error("kernel {kernel} has no {operation}")]
    NoSuchOperation {
        /// Kernel id.
        kernel: &'static str,
        /// Operation asked for.
        operation: &'static str,
    },
    /// A buffer or range of the wrong length.
    #[error("{what}: expected {expected}, got {actual}")]
    Shape {
        /// Which operand.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        actual: usize,
    },
    /// Row ranges must start on a panel of the packing.
    #[error("row {row} is not on a panel boundary: packing {layout} groups {panel_rows} rows")]
    PanelBoundary {
        /// First row of the range.
        row: usize,
        /// Packing of the weights.
        layout: &'static Layout,
        /// Rows in a panel.
        panel_rows: usize,
    },
    /// Integer kernels compute with -1, 0, +1 only.
    #[error("kernel {kernel} needs the ternary code table [-1, 0, 1], the weights have {table:?}")]
    CodeTable {
        /// Kernel id.
        kernel: &'static str,
        /// Table of the weights.
        table: [i8; 4],
    },
    /// The target layout has one scale a tensor and the weights have several.
    #[error("packing {layout} holds one scale a tensor, the weights have differing block scales")]
    ScalesNotPerTensor {
        /// Layout asked for.
        layout: &'static Layout,
    },
    /// The target layout has no place for code 3.
    #[error("packing {layout} holds codes of the ternary table [-1, 0, 1] only, the weights have {table:?}")]
    TernaryOnly {
        /// Layout asked for.
        layout: &'static Layout,
        /// Table of the weights.
        table: [i8; 4],
    },
    /// A code outside 0..=3, or 3 where the layout forbids it.
    #[error("invalid code {code} at row {row}, column {column}")]
    InvalidCode {
        /// The code.
        code: u8,
        /// Row.
        row: usize,
        /// Column.
        column: usize,
    },
    /// Codes of a file with a byte that packing never writes.
    #[error("byte {at} of the codes holds a code that {layout} does not have")]
    InvalidByte {
        /// Layout.
        layout: &'static Layout,
        /// Index of the first one.
        at: usize,
    },
    /// NaN or infinity among the activations.
    #[error("activation {index} is not finite")]
    NonFinite {
        /// Index of the first one.
        index: usize,
    },
    /// A key or a value that the f16 cache cannot hold.
    #[error("element {index} of a key or value is {value:e}, which the f16 cache cannot hold (65504 at most)")]
    BeyondF16 {
        /// Index of the first one.
        index: usize,
        /// The element.
        value: f32,
    },
    /// NaN or infinity among weights that were to be quantised.
    #[error("the weight at row {row}, column {column} is not finite")]
    NonFiniteWeight {
        /// Row.
        row: usize,
        /// Column.
        column: usize,
    },
    /// rows x k or its packed size does not fit in memory arithmetic.
    #[error("a {rows} x {k} matrix is too large")]
    TooLarge {
        /// Rows.
        rows: usize,
        /// Columns.
        k: usize,
    },
}

/// An error naming `what` if the sizes differ.
pub(crate) fn same(what: &'static str, expected: usize, actual: usize) -> Result<(), KernelError> {
    if expected == actual { Ok(()) } else { Err(KernelError::Shape { what, expected, actual }) }
}
