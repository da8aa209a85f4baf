//! Encodings of ternary weights, one file each. A row of [`ALL`] makes one known by name, a row of `gguf::types` by the
//! number that files have.

mod definition;
mod hf_packed;
mod i2_s;
mod i2_s_arm;
mod i2_s_rows;
mod iq2_bn;
mod master;
mod planes;
mod pq2_0;
mod ptq1_0;
mod q2_0;
mod q2_0_g128;
mod sequence;
mod tail;
#[cfg(test)]
mod tests;
mod tq1_0;
mod tq2_0;
mod trits;

pub use definition::{Decode, Encode, Encoding, ScaleUnit, Tensor};
pub use hf_packed::HF_PACKED;
pub use i2_s::I2_S;
pub use i2_s_arm::I2_S_ARM;
pub use i2_s_rows::I2_S_ROWS;
pub use iq2_bn::IQ2_BN;
pub use master::{BF16_MASTER, F16_MASTER, F32_MASTER};
pub use pq2_0::PQ2_0;
pub use ptq1_0::PTQ1_0;
pub use q2_0::Q2_0;
pub use q2_0_g128::Q2_0_G128;
pub use tq1_0::TQ1_0;
pub use tq2_0::TQ2_0;

/// Every encoding that is known, those of GGUF files first.
pub static ALL: &[&Encoding] = &[
    &I2_S,
    &I2_S_ROWS,
    &I2_S_ARM,
    &TQ1_0,
    &TQ2_0,
    &Q2_0,
    &Q2_0_G128,
    &PQ2_0,
    &PTQ1_0,
    &IQ2_BN,
    &HF_PACKED,
    &BF16_MASTER,
    &F16_MASTER,
    &F32_MASTER,
];

/// Finds an encoding by its name, for example `tq2_0`.
pub fn find(name: &str) -> Option<&'static Encoding> {
    ALL.iter().copied().find(|encoding| encoding.name == name)
}
