//! `--device gpu[:N]`: the same commands on a GPU. What is computed there is `kernels_gpu`'s; a program that was built
//! without the feature `gpu` knows the flag, and says what to build.

mod args;
#[cfg(feature = "gpu")]
mod generate;
#[cfg(feature = "gpu")]
mod list;
#[cfg(not(feature = "gpu"))]
mod off;
#[cfg(feature = "gpu")]
mod open;
#[cfg(feature = "gpu")]
mod text;
#[cfg(feature = "gpu")]
mod verify;

pub use args::DeviceArgs;
#[cfg(not(feature = "gpu"))]
pub use off::{Adapter, devices, generate, kernels, perplexity, verify};
#[cfg(feature = "gpu")]
pub use {
    generate::{generate, perplexity},
    list::{devices, kernels},
    open::Adapter,
    verify::verify,
};
