//! Attention over cached keys and values.

use kernels::parallel::{Columns, Team};
use kernels::{CachedHead, F32Ops, Queries};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// With fewer multiplications attention runs on one thread, because waking the others takes longer.
const SHARED_ATTENTION: usize = 1 << 16;

/// Causal grouped-query attention over the cache.
pub(crate) struct Attention<'a> {
    /// The f32 operations that compute attention.
    pub ops: F32Ops,
    /// Number of elements of a head.
    pub head_dim: usize,
    /// Query heads that share a key and value head.
    pub group: usize,
    /// Elements of the keys (or values) of one position, all heads together.
    pub kv_dim: usize,
    /// Elements of a token's queries, all heads together.
    pub dim: usize,
    /// Position of the first token of the batch.
    pub position: usize,
    /// The layer's cache: f16 bit patterns, position x kv_dim.
    pub keys: &'a [u16],
    /// The values of the layer's cache, in the form of `keys`.
    pub values: &'a [u16],
    /// Scratch for attention scores, one buffer for each thread.
    pub scores: &'a [Mutex<Vec<f32>>],
}

impl Attention<'_> {
    /// Attention of `q` over the positions in the cache up to each token's own.
    pub(crate) fn run(&self, team: &mut Team, q: &[f32], out: &mut [f32]) {
        let (d, tokens, keys, values) = (self.head_dim, out.len() / self.dim, self.keys, self.values);
        let heads = |number: usize, range: Range<usize>, mut out: Columns<'_, f32>| {
            let mut scores = self.scores[number].lock().unwrap_or_else(PoisonError::into_inner);
            for t in 0..tokens {
                let positions = self.position + t + 1;
                let (columns, q) = (out.token(t), &q[t * self.dim..][range.clone()]);
                // Heads that share a key and value head are computed together; a thread may have only some of them.
                let mut first = 0;
                while first < q.len() {
                    let head = (range.start + first) / d;
                    let count = (self.group - head % self.group).min((q.len() - first) / d);
                    let at = head / self.group * d;
                    let cache = CachedHead { keys: &keys[at..], values: &values[at..], stride: self.kv_dim };
                    let group = first..first + count * d;
                    let queries = Queries {
                        q: &q[group.clone()],
                        head_dim: d,
                        factor: 1.0 / (d as f32).sqrt(),
                        scores: &mut scores[..count * positions],
                        out: &mut columns[group],
                    };
                    self.ops.attend(queries, cache);
                    first += count * d;
                }
            }
        };
        if tokens * (self.position + tokens) * self.dim < SHARED_ATTENTION {
            let stride = self.dim;
            return heads(0, 0..stride, Columns::all(out, tokens, stride));
        }
        team.split_columns(d, out, self.dim, heads);
    }
}
