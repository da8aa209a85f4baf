//! The operations of a block, each for all tokens of a step. A block's formula is written with them; they say where the
//! time goes.

use crate::arch::Activation;
use crate::times::{Lap, Times};
use crate::unrounded::Unrounded;
use kernels::parallel::Team;
use kernels::{F32Ops, Kernel, KernelError, LinearInput, Norm, PackedWeights, Product};
use std::ops::Range;

/// What computes a step, its scratch, and its stop watch. One token or a batch of consecutive ones, one after the other
/// in every buffer.
pub struct Step<'a> {
    /// The kernel that computes the matrix products.
    pub kernel: &'a Kernel,
    /// The threads that share the work.
    pub team: &'a mut Team,
    /// The f32 operations between the matrix products.
    pub ops: F32Ops,
    /// Number added to the mean square in every norm.
    pub eps: f32,
    /// What the gate of the feed-forward part goes through.
    pub activation: Activation,
    /// What [`Step::quantise`] prepared last: the input of the next products.
    pub input: &'a mut LinearInput,
    /// What makes the products instead of the kernel, where activations stay as they are.
    pub unrounded: Option<&'a mut Unrounded>,
    /// Scratch for the integer products.
    pub integers: &'a mut [i32],
    /// The sums to which times are added.
    pub times: &'a mut Times,
    /// Time since the last operation that was accounted for.
    pub lap: Lap,
}

/// Results of the feed-forward part of a block for the tokens of a step, from first to last.
pub(crate) struct FfnBuffers<'a> {
    pub gate: &'a mut [f32],
    pub up: &'a mut [f32],
    /// The gated product, normed where the architecture does.
    pub gated: &'a mut [f32],
    pub out: &'a mut [f32],
}

impl Step<'_> {
    /// RMS norm of every token: `y = norm(x) * gain`.
    pub fn norm(&mut self, x: &[f32], gain: &[f32], y: &mut [f32]) {
        let (ops, eps, width) = (self.ops, self.eps, gain.len());
        self.each_token(y, width, |t, y| ops.rms_norm(&x[t * width..][..width], Norm { gain, eps }, y));
        self.took(|times| &mut times.norms);
    }

    /// RMS norm of each head of every token in place, as wide as the gain; a token is `width` elements.
    pub fn head_norms(&mut self, x: &mut [f32], gain: &[f32], width: usize) {
        let (ops, eps) = (self.ops, self.eps);
        self.each_token(x, width, |_, x| ops.head_norms(x, Norm { gain, eps }));
        self.took(|times| &mut times.norms);
    }

    /// Activation function, gate and, where there are gains, norm of every token: `y = norm(f(gate) * up) * gain`, or
    /// without the norm; a token is `width` elements.
    pub fn gated(&mut self, (gate, up): (&[f32], &[f32]), gain: Option<&[f32]>, width: usize, y: &mut [f32]) {
        let (ops, eps, activation) = (self.ops, self.eps, self.activation);
        let norm = gain.map(|gain| Norm { gain, eps });
        self.each_token(y, width, |t, y| {
            let (gate, up) = (&gate[t * width..][..width], &up[t * width..][..width]);
            match (activation, norm) {
                (Activation::ReluSquared, Some(norm)) => ops.gated_rms_norm(gate, up, norm, y),
                (Activation::ReluSquared, None) => ops.gated(gate, up, y),
                (Activation::Silu, Some(norm)) => ops.silu_gated_rms_norm(gate, up, norm, y),
                (Activation::Silu, None) => ops.silu_gated(gate, up, y),
            }
        });
        self.took(|times| &mut times.norms);
    }

    /// Residual addition for tokens of `width` elements: `x += h`.
    pub fn add(&mut self, x: &mut [f32], h: &[f32], width: usize) {
        let ops = self.ops;
        self.each_token(x, width, |t, x| ops.add_scaled(x, 1.0, &h[t * width..][..width]));
        self.took(|times| &mut times.norms);
    }

    /// Makes tokens of `width` elements the input of the next products: int8, unless they are to stay as they are.
    pub fn quantise(&mut self, x: &[f32], width: usize) -> Result<(), KernelError> {
        match &mut self.unrounded {
            Some(unrounded) => unrounded.keep(x, width)?,
            None => self.input.prepare(self.team, self.kernel, width, x)?,
        }
        self.took(|times| &mut times.activation_quant);
        Ok(())
    }

    /// Products of several matrices with the input in one dispatch. The caller says which they were, by [`Step::took`].
    pub fn products<const N: usize>(&mut self, products: [Product<'_>; N]) -> Result<(), KernelError> {
        match &mut self.unrounded {
            Some(unrounded) => unrounded.products(self.team, self.ops, products),
            None => self.kernel.linear(self.team, products, self.input, self.integers),
        }
    }

    /// Product of one matrix with the input: `y = weights * input`; see [`Step::products`].
    pub fn product(&mut self, weights: &PackedWeights, y: &mut [f32]) -> Result<(), KernelError> {
        self.products([Product { weights, y }])
    }

    /// Adds the time since the last operation to one of the sums.
    pub fn took(&mut self, sum: impl FnOnce(&mut Times) -> &mut u64) {
        self.lap.add_to(sum(self.times));
    }

    /// Calls `f(token, its part of out)` for every token: a batch on all threads, one token on the calling thread.
    pub fn each_token<T: Send>(&mut self, out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        let Ok(()) = self.try_each_token(out, width, |token, out| {
            f(token, out);
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// [`Step::each_token`] for calls that can fail; returns one of the errors.
    pub fn try_each_token<T: Send, E: Send>(
        &mut self,
        out: &mut [T],
        width: usize,
        f: impl Fn(usize, &mut [T]) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        if out.len() == width {
            return f(0, out);
        }
        self.team.split_rows(width, out, |range: Range<usize>, piece: &mut [T]| {
            piece.chunks_exact_mut(width).enumerate().try_for_each(|(i, out)| f(range.start / width + i, out))
        })
    }
}
