//! GGUF files (versions 2 and 3, little-endian), read through a memory map and distrusted throughout.
//!
//! Opening a file checks its whole header: every count, length, type, offset and size is tested against the file before
//! anything is allocated for it. What is left to the users of a [`Gguf`] is meaning: which keys and tensors a model
//! needs.

mod cursor;
mod file;
mod files;
mod getters;
mod i2s;
mod i2s_layout;
mod metadata;
mod parts;
mod q2_groups;
mod reading;
mod readings;
mod scale;
pub(crate) mod stranger;
mod tensors;
pub(crate) mod types;
pub mod writer;

#[cfg(test)]
mod malformed;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use cursor::{left_out, quoted};
pub use file::Gguf;
pub(crate) use i2s::{CodeCounts, check_i2s_codes, check_i2s_scale, i2s_codes, i2s_scale};
pub(crate) use metadata::{Entry, Value, ValueType};
pub(crate) use parts::{Part, Parts};
pub use reading::{Decision, I2sLayout, Reading};
pub(crate) use scale::name_beside;
pub use tensors::TensorInfo;
pub(crate) use types::TypeInfo;
