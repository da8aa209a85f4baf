//! Products in a long series, as a text has: some hundred a token. What the suite looks at after each call (canaries,
//! poison, what was left behind) whoever runs the series looks at after it, tokens are prepared once for all products
//! of one shape, and sums are written where they are wanted.

use super::abi::Shape;
use super::kernel::ForeignKernel;
use super::prepared::{Prepared, shape_of};
use super::products::Work;
use super::watch::Call;
use crate::activation::QuantizedActivations;
use crate::error::KernelError;
use crate::packed::PackedWeights;
use crate::parallel::Columns;
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    /// Prepared tokens of this thread, one for each shape: a model has a handful.
    static PREPARED: RefCell<Vec<Prepared>> = const { RefCell::new(Vec::new()) };
}

/// Runs `use_it` with these tokens prepared for this shape.
fn prepared<R>(
    kernel: &'static ForeignKernel,
    shape: Shape,
    x: &[QuantizedActivations],
    use_it: impl FnOnce(&Prepared) -> Result<R, KernelError>,
) -> Result<R, KernelError> {
    PREPARED.with_borrow_mut(|all| {
        let found = all.iter().position(|one| one.is_for(kernel, shape));
        let at = match found {
            Some(at) if all[at].has_room(x.len()) => at,
            _ => {
                let one = Prepared::for_shape(kernel, shape, x.len())?;
                if let Some(too_small) = found {
                    all.swap_remove(too_small);
                }
                all.push(one);
                all.len() - 1
            }
        };
        // SAFETY: the products that read them are those of `use_it`; later ones compare version and address.
        unsafe { all[at].set_unless_same(x)? };
        use_it(&all[at])
    })
}

impl ForeignKernel {
    /// As [`Self::gemv_i8`]; none where the rows are no whole number of the library's.
    pub(super) fn gemv_in_series(
        &'static self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &QuantizedActivations,
        y: &mut [i32],
    ) -> Option<Result<(), KernelError>> {
        if !self.is_whole(&rows) {
            return None;
        }
        Some(prepared(self, shape_of(weights), std::slice::from_ref(x), |prepared| {
            self.gemv_words(&Work { weights, prepared }, rows, y)?;
            self.integers_in_place(weights, Call::Gemv, y)
        }))
    }

    /// As [`Self::gemm_i8`]; none where the rows are no whole number of the library's, or it wants results at a stride
    /// of its own.
    pub(super) fn gemm_in_series(
        &'static self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &[QuantizedActivations],
        y: &mut Columns<'_, i32>,
    ) -> Option<Result<(), KernelError>> {
        let (tokens, len) = (x.len(), rows.len());
        let (start, stride) = y.start_and_stride();
        if !self.is_whole(&rows) || tokens != y.tokens() || len != y.len() || (self.tight_results() && stride != len) {
            return None;
        }
        let made = prepared(self, shape_of(weights), x, |prepared| {
            // SAFETY: `y` has these rows of every token, `stride` apart, for this call alone.
            unsafe { self.gemm_to(&Work { weights, prepared }, rows, start, stride) }
        });
        Some(made.and_then(|()| (0..tokens).try_for_each(|t| self.integers_in_place(weights, Call::Gemm, y.token(t)))))
    }

    fn is_whole(&self, rows: &Range<usize>) -> bool {
        let multiple = self.rows_multiple();
        rows.start.is_multiple_of(multiple) && rows.end.is_multiple_of(multiple)
    }
}
