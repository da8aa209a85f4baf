//! Exact products of ternary weights on a GPU, through wgpu (Vulkan, Metal, DirectX 12), and whole texts there.
//!
//! A kernel of [`LADDER`] is listed as one of the CPU is, passes the same suite against the same oracle ([`verify`]),
//! and gives the same integers. Floats of a text are within what `text` says of the CPU's. A software adapter computes
//! the same; whoever times things refuses it.
//!
//! It knows numbers in memory and a device. It must never know models' files, receipts, reports or the command line.

mod adapter;
mod device;
mod error;
mod ladder;
mod matrix;
mod measure;
mod product;
pub mod shaders;
#[cfg(test)]
mod tests;
pub mod text;

pub use adapter::{AdapterFacts, Found, WGPU_VERSION, adapters, find as find_adapter};
pub use device::{Device, Settings};
pub use error::GpuError;
pub use ladder::{GpuKernel, LADDER, find as find_kernel};
pub use matrix::Matrix;
pub use measure::{Copies, Rotation, Spent, Stream};
pub use product::{Inputs, MOST_TOKENS, Product, verify};
