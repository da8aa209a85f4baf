//! What can be wrong with a call.

use crate::activation::ActivationRule;
use crate::foreign::fault::Fault;
use crate::layout::Layout;

/// Why a call was refused. Nothing was computed and no output was written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant says what its fields are, its message where they stand")]
pub enum KernelError {
    /// The weights are packed in another layout than the kernel reads. Repack them: nothing is converted silently.
    #[error("kernel {kernel} reads packing {expected}, the weights are packed as {actual}; repack them")]
    LayoutMismatch { kernel: &'static str, expected: &'static Layout, actual: &'static Layout },
    /// The kernel does not implement the operation.
    #[error("kernel {kernel} has no {operation}")]
    NoSuchOperation { kernel: &'static str, operation: &'static str },
    /// An operand or a range of the wrong length, in elements needed and given.
    #[error("{what}: expected {expected}, got {actual}")]
    Shape { what: &'static str, expected: usize, actual: usize },
    /// A range of rows that does not start on a panel of the packing.
    #[error("row {row} is not on a panel boundary: packing {layout} groups {panel_rows} rows")]
    PanelBoundary { row: usize, layout: &'static Layout, panel_rows: usize },
    /// Weights other than -1, 0, +1 for a kernel that computes with these only.
    #[error("kernel {kernel} needs the ternary code table [-1, 0, 1], the weights have {table:?}")]
    CodeTable { kernel: &'static str, table: [i8; 4] },
    /// Several scales for a product that knows one a tensor.
    #[error("one scale a tensor is needed, the weights in packing {layout} have several")]
    ScalesNotPerTensor { layout: &'static Layout },
    /// Scales of groups for a layout that holds none of such groups.
    #[error("packing {layout} holds {}, the weights have one for each {group} of a row", .layout.held_scales())]
    GroupScales { layout: &'static Layout, group: usize },
    /// A scale that f16 does not hold, for a layout that holds no others.
    #[error("packing {layout} holds scales of f16, that of row {row}, group {group} is {scale:e}")]
    NoHalfScale { layout: &'static Layout, row: usize, group: usize, scale: f32 },
    /// Activations whose scales are shared in a way that the kernel does not know.
    #[error("kernel {kernel} does not take activations by the rule {rule}")]
    Activations { kernel: &'static str, rule: ActivationRule },
    /// A table with a use for code 3, for a layout that has no place for it.
    #[error("packing {layout} holds codes of the ternary table [-1, 0, 1] only, the weights have {table:?}")]
    TernaryOnly { layout: &'static Layout, table: [i8; 4] },
    /// A code outside 0..=3, or 3 where the layout forbids it.
    #[error("invalid code {code} at row {row}, column {column}")]
    InvalidCode { code: u8, row: usize, column: usize },
    /// Codes of a file with a byte that packing never writes; the index is that of the first.
    #[error("byte {at} of the codes holds a code that {layout} does not have")]
    InvalidByte { layout: &'static Layout, at: usize },
    /// NaN or infinity among the activations; the index is that of the first.
    #[error("activation {index} is not finite")]
    NonFinite { index: usize },
    /// A key or a value that the f16 cache cannot hold; the index is that of the first.
    #[error("element {index} of a key or value is {value:e}, which the f16 cache cannot hold (65504 at most)")]
    BeyondF16 { index: usize, value: f32 },
    /// NaN or infinity among weights that were to be quantised.
    #[error("the weight at row {row}, column {column} is not finite")]
    NonFiniteWeight { row: usize, column: usize },
    /// A weight that an f16 head cannot hold.
    #[error("the weight at row {row}, column {column} is {value:e}, which f16 cannot hold (65504 at most)")]
    WeightBeyondF16 { row: usize, column: usize, value: f32 },
    /// A foreign kernel that refused, or did what the header forbids.
    #[error("{call} {rows}x{k} of {kernel}: {fault}")]
    Foreign { kernel: &'static str, call: &'static str, rows: u64, k: u64, fault: Fault },
    /// A matrix whose size overflows, or whose sums could.
    #[error("a {rows} x {k} matrix is too large")]
    TooLarge { rows: usize, k: usize },
}

impl KernelError {
    /// Whether a foreign kernel said itself that it cannot, which is no fault of anybody.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Foreign { fault: Fault::Refused(_), .. })
    }
}

/// An error naming `what` if the sizes differ.
pub(crate) fn same(what: &'static str, expected: usize, actual: usize) -> Result<(), KernelError> {
    if expected == actual { Ok(()) } else { Err(KernelError::Shape { what, expected, actual }) }
}

/// An error naming `what` if there is not enough room for it.
pub(crate) fn fits(what: &'static str, room: usize, needed: usize) -> Result<(), KernelError> {
    if needed <= room { Ok(()) } else { Err(KernelError::Shape { what, expected: room, actual: needed }) }
}
