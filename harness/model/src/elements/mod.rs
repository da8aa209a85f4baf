//! Types of dense tensors (embeddings, output heads, gains of norms) that can be widened to f32, one file each. A row
//! of `gguf::types` makes one known.

mod bf16;
mod definition;
mod f16;
mod f32;
mod q4_0;
mod q6_k;
mod q8_0;
#[cfg(test)]
mod tests;

pub use bf16::BF16;
pub use definition::Elements;
pub use f16::F16;
pub use f32::F32;
pub use q4_0::Q4_0;
pub use q6_k::Q6_K;
pub use q8_0::Q8_0;
