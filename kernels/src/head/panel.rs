//! The shape that both quantised forms share.

/// Rows of a panel of the quantised forms: one 32-bit lane of an AVX-512 register each.
pub(crate) const PANEL_ROWS: usize = 16;

/// Columns up to which the quantised heads are exact in int32; [`super::OutputHead::new`] refuses more.
pub const MAX_K_HEAD: usize = 1 << 16;
