//! Whole BitLinear products: one batch of activations times one or several matrices, rows shared among the threads of a
//! team.

use crate::activation::{ActivationRule, FloatActivations, QuantizedActivations};
use crate::error::{KernelError, fits, same};
use crate::f32_ops::F32Ops;
use crate::kernel::Kernel;
use crate::operation::{Family, Operation};
use crate::packed::PackedWeights;
use crate::parallel::{Columns, StridedStart, Team, row_range};
use std::ops::Range;

/// Activations of a batch of tokens in the forms that the families take; both stand for the same numbers.
#[derive(Clone, Debug)]
pub struct LinearInput {
    /// Each token's activations as int8, for W2A8 and W2gA8 kernels.
    pub quantized: Vec<QuantizedActivations>,
    /// The same int8 values as f32, token after token, for W2A32 kernels.
    pub float: Vec<FloatActivations>,
    tokens: usize,
    /// Prepare it and scale its products.
    ops: F32Ops,
}

impl LinearInput {
    /// An input with room for `tokens` vectors of up to `k` elements. No result depends on `ops`, which do its f32
    /// arithmetic.
    pub fn new(tokens: usize, k: usize, ops: F32Ops) -> Self {
        Self::by_rule(tokens, k, ActivationRule::Token, ops)
    }

    /// The same, quantised by another rule.
    pub fn by_rule(tokens: usize, k: usize, rule: ActivationRule, ops: F32Ops) -> Self {
        Self {
            quantized: vec![QuantizedActivations::by_rule(k, rule); tokens],
            float: vec![FloatActivations::new(k); tokens],
            tokens: 0,
            ops,
        }
    }

    /// Which activations share a scale.
    pub fn rule(&self) -> ActivationRule {
        self.quantized.first().map(QuantizedActivations::rule).unwrap_or_default()
    }

    /// Number of tokens that the last [`Self::prepare`] took.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Quantises the vectors of `k` elements in `x`, one token after the other, and prepares the f32 form if `kernel`
    /// takes it. Tokens are shared among the team. Allocates nothing.
    ///
    /// # Errors
    /// Too many or too long vectors, or values that are not finite.
    pub fn prepare(&mut self, team: &mut Team, kernel: &Kernel, k: usize, x: &[f32]) -> Result<(), KernelError> {
        let tokens = x.len().checked_div(k).unwrap_or(0);
        same("activations of whole tokens", tokens * k, x.len())?;
        fits("tokens", self.quantized.len(), tokens)?;
        self.tokens = tokens;
        let (quantized, ops) = (&mut self.quantized[..tokens], self.ops);
        let quantize = |range: Range<usize>, own: &mut [QuantizedActivations]| {
            range.zip(own).try_for_each(|(t, own)| own.quantize(ops, &x[t * k..(t + 1) * k]))
        };
        // One token is not worth waking the others for.
        if tokens == 1 {
            quantize(0..1, quantized)?
        } else {
            team.split_rows(1, quantized, quantize)?
        }
        if kernel.descriptor().family() == Family::W2A32 {
            self.float.iter_mut().zip(&self.quantized[..tokens]).try_for_each(|(own, q)| own.set_dequantized(q))?;
        }
        Ok(())
    }
}

/// One matrix of a group and where its products go: tokens x rows, token after token.
pub struct Product<'a> {
    /// The matrix of packed weights, in the kernel's layout.
    pub weights: &'a PackedWeights,
    /// Output: f32 products, tokens x rows, scales applied.
    pub y: &'a mut [f32],
}

/// A product as the threads of a team see it.
struct Task<'a> {
    weights: &'a PackedWeights,
    y: StridedStart<f32>,
    integers: StridedStart<i32>,
}

impl Kernel {
    /// `y = weights * x` for one matrix or several of the same input, in one dispatch, so that the threads meet once.
    /// All scales are applied. `integers` is scratch with room for all outputs. Allocates nothing for a single token;
    /// the result does not depend on the number of threads, nor on how many tokens are in the batch.
    ///
    /// # Errors
    /// As [`Self::gemv_f32`] and [`Self::gemv_i8`], or scratch that is too short.
    pub fn linear<const N: usize>(
        &self,
        team: &mut Team,
        products: [Product<'_>; N],
        x: &LinearInput,
        integers: &mut [i32],
    ) -> Result<(), KernelError> {
        let tokens = x.tokens;
        let integer = self.descriptor().family() == Family::W2A8;
        let mut needed = 0;
        for Product { weights, y } in &products {
            let rows = weights.rows();
            self.check(weights, &(0..rows))?;
            same("output", tokens * rows, y.len())?;
            needed += if integer { tokens * rows } else { 0 };
        }
        same("integer scratch", needed.max(integers.len()), integers.len())?;
        let mut rest = integers;
        let tasks = products.map(|Product { weights, y }| {
            let own = if integer { tokens * weights.rows() } else { 0 };
            let (integers, later) = std::mem::take(&mut rest).split_at_mut(own);
            rest = later;
            let (y, integers) = (StridedStart::new(y, weights.rows()), StridedStart::new(integers, own));
            Task { weights, y, integers }
        });
        let threads = team.threads();
        team.try_run(|number| tasks.iter().try_for_each(|task| self.piece(task, x, threads, number)))
    }

    /// The rows of thread `number`, all tokens.
    fn piece(&self, task: &Task<'_>, x: &LinearInput, threads: usize, number: usize) -> Result<(), KernelError> {
        let weights = task.weights;
        let rows = row_range(weights.rows(), weights.layout().rows, threads, number);
        if rows.is_empty() {
            return Ok(());
        }
        // SAFETY: `row_range` gives every number of a team of `threads` its own rows, and each number runs once, so no
        // other thread has these rows of this output; the borrow of the whole output lasts until `Team::run` returns.
        let mut y = unsafe { task.y.columns(rows.clone(), x.tokens) };
        let (tokens, inputs) = (x.tokens, &x.quantized[..x.tokens]);
        match self.descriptor().family() {
            Family::W2A32 => {
                return (0..tokens).try_for_each(|t| self.gemv_f32(weights, rows.clone(), &x.float[t], y.token(t)));
            }
            Family::W2gA8 => return self.grouped_piece(weights, rows, x, y),
            Family::W2A8 => {}
        }
        let batched = tokens > 1 && tokens >= self.tuning().gemm_from && self.descriptor().has(Operation::Gemm);
        // Token by token too: a part's weights come from memory for the first one and stay in the cache for the others.
        let in_parts = tokens > 1 && !self.descriptor().tables_per_call;
        let chunk = if in_parts { rows_at_once(weights).min(rows.len()) } else { rows.len() };
        // SAFETY: as above, for the scratch: it has `tokens` elements a row, so each thread has its own rows' worth of
        // it.
        let mut scratch = unsafe { task.integers.columns(tokens * rows.start..tokens * (rows.start + chunk), 1) };
        for first in rows.clone().step_by(chunk) {
            let here = first..(first + chunk).min(rows.end);
            let integers = &mut scratch.token(0)[..tokens * here.len()];
            if batched {
                self.gemm_i8(weights, here.clone(), inputs, &mut Columns::all(integers, tokens, here.len()))?;
            } else {
                for (input, integers) in inputs.iter().zip(integers.chunks_exact_mut(here.len())) {
                    self.gemv_i8(weights, here.clone(), input, integers)?;
                }
            }
            let part = here.start - rows.start..here.end - rows.start;
            for (t, (input, integers)) in inputs.iter().zip(integers.chunks_exact(here.len())).enumerate() {
                let (y, divisor) = (&mut y.token(t)[part.clone()], input.scale());
                match weights.row_scales() {
                    Some(scales) => x.ops.scale_rows(integers, &scales[here.clone()], divisor, y),
                    None => x.ops.scale_integers(integers, weights.tensor_scale().unwrap_or(1.0) / divisor, y),
                }
            }
        }
        Ok(())
    }

    /// The same of a kernel that applies scales of groups.
    fn grouped_piece(
        &self,
        weights: &PackedWeights,
        rows: Range<usize>,
        x: &LinearInput,
        mut y: Columns<'_, f32>,
    ) -> Result<(), KernelError> {
        let (inputs, tokens) = (&x.quantized[..x.tokens], x.tokens);
        // Scales of blocks are in the products, that of a token is not.
        let finish = |input: &QuantizedActivations, y: &mut [f32]| {
            if input.rule() == ActivationRule::Token {
                x.ops.multiply(y, input.factor(0));
            }
        };
        let batched = tokens > 1 && tokens >= self.tuning().gemm_from && self.descriptor().gemm.is_some();
        if batched {
            self.gemm_groups(weights, rows.clone(), inputs, &mut y)?;
            inputs.iter().enumerate().for_each(|(t, input)| finish(input, y.token(t)));
            return Ok(());
        }
        // Token by token, while a part's weights stay in the cache.
        let chunk = if tokens > 1 { rows_at_once(weights).min(rows.len()) } else { rows.len() };
        for first in rows.clone().step_by(chunk) {
            let here = first..(first + chunk).min(rows.end);
            let part = here.start - rows.start..here.end - rows.start;
            for (t, input) in inputs.iter().enumerate() {
                let y = &mut y.token(t)[part.clone()];
                self.gemv_groups(weights, here.clone(), input, y)?;
                finish(input, y);
            }
        }
        Ok(())
    }
}

/// Rows of a batch's product that are scaled as soon as they are there: as many as the gemm kernels take from memory at
/// once, so that the integers stay in the second-level cache and their place is used again. (A kernel that makes tables
/// for every call gets all rows in one.) Follows the chunks of `x86_64::tiles`; not swept apart.
fn rows_at_once(weights: &PackedWeights) -> usize {
    const CHUNK_BYTES: usize = 256 << 10;
    let panel_rows = weights.layout().rows;
    (CHUNK_BYTES / weights.layout().panel_bytes(weights.k()).max(1)).max(1) * panel_rows
}
