//! Whole texts on a device: everything from a token's id to the id of the next one is a pass of one submission, and
//! nothing is made after the first token.
//!
//! Products are exact, and so is the rounding of activations. What lies between is f32: norms, rotations, attention,
//! the gate, the head. Their sums have one order, so that a device gives the same bits twice; another device, or the
//! CPU, gives others in the last places ([`crate`]'s users say how many): logits within 1e-5 of the CPU's where every
//! activation is rounded the same way. One that lies between two integers may be rounded the other way; that moves the
//! logits of a trained model by hundredths, those of random weights by tenths.
//!
//! A layer has ten dispatches: norm and rounding, queries with keys and values, heads, attention by parts, their join
//! with norm and rounding, output, residual with norm and rounding, gate with up, gated product with norm and rounding,
//! down.

mod decoder;
mod plan;
mod shape;
mod state;
mod weights;

pub use decoder::TextDecoder;
pub use shape::{Activation, LayerWeights, Rows, TextShape, TextWeights};

/// Tokens of a prompt that are computed at once: as many as a workgroup of a gemm makes.
pub const BATCH: usize = 64;
/// Positions of the cache that a workgroup attends to.
const PART: usize = 128;
