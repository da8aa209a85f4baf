//! Products that skip zeros: of one matrix only the listed rows, of another only the columns whose activation is not 0.
//! Exact.
//!
//! In BitNet b1.58 a feed-forward block is `down * rms_norm(relu(gate)^2 * up)`. Where the gate is not positive, that
//! element is 0 whatever its row of `up` gives, so the row need not be read. After the norm (which divides by the full
//! width) and quantisation to int8, a column of `down` that meets a 0 adds nothing, so it need not be read either. What
//! is left are the very integer sums of the dense product, in another order: results are bit-identical.
//!
//! `up` is read row by row ([`crate::layouts::I2S`]; rows are contiguous), `down` column by column ([`ColumnWeights`]).
//! That ReLU's zeros save weights is the idea of "Deja Vu" (Liu et al. 2023) and "PowerInfer" (Song et al. 2023), which
//! predict them; here nothing is predicted, as in "ReLU Strikes Back" (Mirzadeh et al. 2023): the gate has been
//! computed.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
mod call;
mod columns;
mod rows;
mod scalar;
#[cfg(test)]
mod tests;

pub use columns::{ColumnWeights, LiveColumns};
pub use rows::{LiveRows, RowsProduct};

use crate::cpu::{CpuFeatures, Level};

/// The sparse products at the widest level of a CPU's features, chosen once; results are the same at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparseOps {
    level: Level,
}

impl SparseOps {
    /// The sparse products at the widest level that both this CPU and `allowed` have.
    pub fn select(allowed: CpuFeatures) -> Self {
        Self { level: Level::select(allowed) }
    }

    /// The sparse products in each form that both this CPU and `allowed` have, the narrowest first: the same results.
    pub fn all(allowed: CpuFeatures) -> Vec<Self> {
        let sets = [CpuFeatures::NONE, CpuFeatures::X86_64_V3, CpuFeatures::X86_64_V4_VNNI];
        let mut all: Vec<Self> = sets.into_iter().map(|set| Self::select(set.intersect(allowed))).collect();
        all.dedup_by_key(|ops| ops.id());
        all
    }

    /// Name of the level that runs, as receipts hold it, for example `sparse-avx2`.
    pub fn id(self) -> &'static str {
        self.level.name(["sparse-scalar", "sparse-avx2", "sparse-avx2", "sparse-avx512-vnni"])
    }
}
