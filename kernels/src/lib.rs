//! Ternary (1.58-bit) weight kernels: packed formats whose code table and scales are data, swappable implementations
//! behind one registry, a naive oracle, and the conformance suite that every implementation must pass before anyone
//! times it.
//!
//! It knows numbers in memory, threads, and what this CPU can do. It must never know models, receipts, reports, files
//! or clocks: whoever calls it reads the weights, takes the time and says what came out.
//!
//! A kernel is a file of its family's folder (`w2a32`, `w2a8`, `w2ga8`) with a [`KernelDescriptor`] in it, and a line
//! in the list of that folder's `mod.rs`; it names the [`Layout`] that it reads. A layout is a file of [`layouts`] and
//! a line in the list there. Everything else asks [`registry::KERNELS`] and [`layouts::ALL`]: tests, the suite, and who
//! times them.
//!
//! Three families are kept apart everywhere:
//! - **W2A32**: 2-bit weights, f32 activations. The optimisation ladder of the analysis that this project answers.
//! - **W2A8**: 2-bit weights, int8 activations, exact int32 dot products. What BitNet b1.58 models are defined with.
//! - **W2gA8**: 2-bit weights whose groups of 64, 128 or 256 have a scale each, int8 activations: exact int32 sums of
//!   groups, added up in f32 in one order, so that every kernel and every number of threads gives the same bits.
//!
//! ```
//! use kernels::{Codes, CpuFeatures, F32Ops, Kernel, PackedWeights, QuantizedActivations, registry};
//!
//! // Two rows of 128 ternary weights as codes (0, 1, 2 mean -1, 0, +1), one scale for the tensor.
//! let codes: Vec<u8> = (0..256).map(|i| (i % 3) as u8).collect();
//! let kernel = Kernel::new(registry::find("scalar-i8").unwrap(), CpuFeatures::detect()).unwrap();
//! let weights = PackedWeights::pack(kernel.descriptor().layout, Codes::ternary(2, 128, &codes, 0.5)).unwrap();
//! let mut x = QuantizedActivations::new(128);
//! x.quantize(F32Ops::select(CpuFeatures::detect()), &[1.0; 128]).unwrap();
//! let mut y = [0i32; 2];
//! kernel.gemv_i8(&weights, 0..2, &x, &mut y).unwrap();
//! assert_eq!(y, [-127, 0]); // 128 weights of a row: 43 or 42 of each kind
//! ```
//!
//! # In an engine
//!
//! Pack a matrix for each exact kernel that this CPU has, let a probe by the caller's own clock pick one, and multiply.
//! All candidates compute the same bits, so that the probe decides speed alone:
//!
//! ```
//! use kernels::{Codes, CpuFeatures, F32Ops, Family, Kernel, PackedWeights, QuantizedActivations, registry};
//!
//! let (rows, k, cpu) = (64, 1024, CpuFeatures::detect());
//! let codes: Vec<u8> = (0..rows * k).map(|i| (i % 3) as u8).collect();
//! let mut x = QuantizedActivations::new(k);
//! x.quantize(F32Ops::select(cpu), &vec![1.0; k])?;
//! let mut y = vec![0i32; rows];
//! let exact = registry::KERNELS.iter().filter(|d| d.family() == Family::W2A8);
//! let mut best: Option<(std::time::Duration, Kernel, PackedWeights)> = None;
//! for kernel in exact.filter_map(|d| Kernel::new(d, cpu).ok()) {
//!     let weights = PackedWeights::pack(kernel.descriptor().layout, Codes::ternary(rows, k, &codes, 0.5))?;
//!     let start = std::time::Instant::now();
//!     (0..8).try_for_each(|_| kernel.gemv_i8(&weights, 0..rows, &x, &mut y))?;
//!     if best.as_ref().is_none_or(|(least, ..)| start.elapsed() < *least) {
//!         best = Some((start.elapsed(), kernel, weights));
//!     }
//! }
//! let (_, kernel, weights) = best.expect("scalar-i8 runs everywhere");
//! kernel.gemv_i8(&weights, 0..rows, &x, &mut y)?;
//! let scale = weights.tensor_scale().unwrap() / x.scale(); // activations are about values / scale
//! let product: Vec<f32> = y.iter().map(|&sum| sum as f32 * scale).collect();
//! assert!((product[0] + 0.5).abs() < 1e-6, "{} weights: one -1 more than +1", kernel.id());
//! # Ok::<(), kernels::KernelError>(())
//! ```
//!
//! [`parallel::Team`] shares the rows of a product among threads. Batches go through [`Kernel::gemm_i8`], scales of
//! groups through [`Kernel::gemv_groups`].
//!
//! **What comes with it**: `half` (f16 scales; it brings `bytemuck`, `zerocopy` and `cfg-if`), `thiserror`, and on
//! Linux `rustix` (huge pages; it brings `bitflags` and `linux-raw-sys`). That is all. No allocator, no logger, no
//! runtime, no thread that the caller did not start, no file, no clock, no environment variable but the mask of
//! [`CpuFeatures::detect`].
//!
//! **Versions** follow semver from the first published one on. A minor version may add kernels and layouts, change
//! which one is fastest, and change the bytes of a packed matrix, which are for the process that packed them and not
//! for a file. It may not change the results of a kernel of int8 activations, which are exact, nor an id.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod activation;
mod attention;
mod buffer;
pub mod conformance;
mod cpu;
mod descriptor;
mod error;
mod f32_ops;
pub mod foreign;
pub mod guarded;
mod head;
mod huge_pages;
mod i2s_tensor;
mod kernel;
mod layout;
pub mod layouts;
mod linear;
mod operation;
mod packed;
pub mod parallel;
pub mod peak;
mod placement;
mod prefetch;
mod quantize;
pub mod random;
pub mod reference;
pub mod registry;
pub mod sparse;
pub mod stream;
#[cfg(test)]
mod testing;
mod w2a32;
mod w2a8;
mod w2ga8;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use activation::{ActivationRule, FloatActivations, QuantizedActivations};
pub use attention::{ATTENTION_TOKENS, CachedHead, Queries};
pub use buffer::AlignedBuffer;
pub use cpu::{CpuFeatures, MASK_VARIABLE, UnknownFeature};
pub use descriptor::{
    Dequantize, Gemm, GemmGroups, GemmI8, GemmTile, Gemv, GemvF32, GemvGroups, GemvI8, KernelDescriptor,
};
pub use error::KernelError;
pub use f32_ops::{F32Ops, Norm};
pub use head::{
    HEADS, HalfRows, HeadDescriptor, HeadFormat, HeadInput, HeadRows, MAX_K_HEAD, OutputHead,
    implementations as head_implementations,
};
pub use i2s_tensor::I2sTensor;
pub use kernel::{Kernel, Tuning, Unsupported};
pub use layout::{FromI2s, Layout};
pub use layouts::i2s_rows::I2sRows;
pub use linear::{LinearInput, Product};
pub use operation::{Family, Operation};
pub use packed::{CodeTable, Codes, DecodeRow, MappedBytes, Needs, PackedWeights, RowSource, ScaleUnit, Scales};
pub use prefetch::Prefetch;

/// Activations are stored padded with zeros to a multiple of this many elements, the longest block of any packing,
/// so that kernels never need a scalar tail in k: a padded weight, whatever its code, meets a zero.
pub const K_PADDING: usize = 256;

/// Zeros that follow the padding of int8 activations, for layouts whose step along k does not divide [`K_PADDING`].
pub const K_SLACK: usize = 64;

/// Columns up to which every int8 kernel is exact: beyond it, sums of planes that are left unshifted could pass int32.
/// Each kernel's file proves its bound; [`Kernel::gemv_i8`] refuses more.
pub const MAX_K_I8: usize = 1 << 18;

/// `k` rounded up to [`K_PADDING`].
pub const fn padded_k(k: usize) -> usize {
    k.div_ceil(K_PADDING) * K_PADDING
}
