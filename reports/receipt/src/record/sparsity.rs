//! The record of a sparsity sweep: one feed-forward block, dense and sparse, over shares of live elements.

use super::micro::Ratio;
use super::round::Round;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole sweep.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct SparsityRecord {
    /// Width of the block's input and output.
    pub dim: usize,
    /// Rows of gate and up.
    pub ffn: usize,
    /// Kernel of the dense products, also of the gate of the sparse block.
    pub kernel: String,
    /// Why this kernel.
    pub reason: String,
    /// Implementation of the sparse products.
    pub operations: String,
    /// Threads.
    pub threads: usize,
    /// Copies of the block's weights that are gone through in turn, so that they come from memory.
    pub copies: usize,
    /// Bytes of all copies, dense form.
    pub dense_bytes: u64,
    /// One entry a share, ascending.
    pub points: Vec<SparsityPoint>,
    #[doc = "Live share at which both take the same time, between two measured ones; absent when one is faster at \
             every share."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossover: Option<f64>,
}

/// One live share. Outputs of both forms are equal, bit for bit: else there is no record.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
pub struct SparsityPoint {
    /// Share of rows of up whose gate is positive.
    pub live_share: f64,
    /// Share of columns of down whose int8 activation is not 0.
    pub live_columns_share: f64,
    /// Blocks computed in each epoch.
    pub calls_per_epoch: u32,
    /// Raw rounds; the entries are dense, sparse, and dense again.
    pub rounds: Vec<Round>,
    /// Median microseconds of a dense block.
    pub dense_us: f64,
    /// Median microseconds of a sparse block.
    pub sparse_us: f64,
    /// Sparse over dense, paired by round; above 1 is faster.
    pub vs_dense: Ratio,
    /// 95th percentile of how far the dense pair's rounds were from 1.
    pub noise_floor: f64,
}
