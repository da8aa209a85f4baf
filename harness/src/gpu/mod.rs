//! `--device gpu[:N]`: the same commands on a GPU. What is computed there is `kernels_gpu`'s; a program that was built
//! without the feature `gpu` knows the flag, and says what to build.

mod args;
#[cfg(feature = "gpu")]
mod bench;
#[cfg(feature = "gpu")]
mod cells;
#[cfg(feature = "gpu")]
mod column;
#[cfg(feature = "gpu")]
mod generate;
#[cfg(feature = "gpu")]
mod limits;
#[cfg(feature = "gpu")]
mod list;
#[cfg(not(feature = "gpu"))]
mod none;
#[cfg(not(feature = "gpu"))]
mod off;
#[cfg(feature = "gpu")]
mod open;
#[cfg(feature = "gpu")]
mod operands;
#[cfg(feature = "gpu")]
mod run;
#[cfg(all(test, feature = "gpu"))]
mod tests;
#[cfg(feature = "gpu")]
mod text;
#[cfg(feature = "gpu")]
mod verify;
#[cfg(feature = "gpu")]
mod whole;

pub use args::DeviceArgs;
#[cfg(not(feature = "gpu"))]
pub use none::Adapter;
#[cfg(not(feature = "gpu"))]
pub use off::{compare, devices, generate, kernels, limits, micro, perplexity, verify};
#[cfg(feature = "gpu")]
pub use {
    generate::{generate, perplexity},
    limits::limits,
    list::{devices, kernels},
    open::Adapter,
    run::{compare, micro},
    verify::verify,
};
