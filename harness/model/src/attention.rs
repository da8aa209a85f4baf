//! Attention over cached keys and values.

use kernels::parallel::{Columns, Team};
use kernels::{ATTENTION_TOKENS, CachedHead, F32Ops, Queries};
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
    pub q_dim: usize,
    /// Position of the first token of the batch.
    pub position: usize,
    /// The layer's cache: f16 bit patterns, position x kv_dim.
    pub keys: &'a [u16],
    /// The values of the layer's cache, in the form of `keys`.
    pub values: &'a [u16],
    /// Scratch for attention scores, one buffer for each thread: of as many tokens as go together.
    pub scores: &'a [Mutex<Vec<f32>>],
}

impl Attention<'_> {
    /// Attention of `q` over the positions in the cache up to each token's own.
    pub(crate) fn run(&self, team: &mut Team, q: &[f32], out: &mut [f32]) {
        let (d, tokens) = (self.head_dim, out.len() / self.q_dim);
        let heads = |number: usize, range: Range<usize>, mut out: Columns<'_, f32>| {
            let mut scores = self.scores[number].lock().unwrap_or_else(PoisonError::into_inner);
            // Heads that share a key and value head are computed together; a thread may have only some of them.
            let mut first = range.start / d;
            while first < range.end / d {
                let last = (first / self.group + 1) * self.group;
                let heads = first..last.min(range.end / d);
                first = heads.end;
                self.together(heads, range.start, (q, &mut out), &mut scores);
            }
        };
        if tokens * (self.position + tokens) * self.q_dim < SHARED_ATTENTION {
            let stride = self.q_dim;
            return heads(0, 0..stride, Columns::all(out, tokens, stride));
        }
        team.split_columns(d, out, self.q_dim, heads);
    }

    /// Heads that share a key and value head, for every token. `out` begins at element `start` of each token.
    fn together(
        &self,
        heads: Range<usize>,
        start: usize,
        (q, out): (&[f32], &mut Columns<'_, f32>),
        scores: &mut [f32],
    ) {
        let (d, tokens, stride) = (self.head_dim, q.len() / self.q_dim, self.kv_dim);
        let at = heads.start / self.group * d;
        let cache = CachedHead { keys: &self.keys[at..], values: &self.values[at..], stride };
        let (elements, factor) = (heads.start * d..heads.end * d, 1.0 / (d as f32).sqrt());
        for first in (0..tokens).step_by(ATTENTION_TOKENS) {
            let (mut rest, mut token) = (&mut *scores, first);
            let mut queries = out.several::<ATTENTION_TOKENS>(first).map(|out| {
                // There are none behind the last one.
                let here = token < tokens;
                let positions = if here { self.position + token + 1 } else { 0 };
                let (scores, later) = std::mem::take(&mut rest).split_at_mut(heads.len() * positions);
                rest = later;
                let q = if here { &q[token * self.q_dim..][elements.clone()] } else { &[] };
                let out = if here { &mut out[elements.start - start..elements.end - start] } else { out };
                token += 1;
                Queries { q, head_dim: d, factor, scores, out }
            });
            self.ops.attend(&mut queries[..ATTENTION_TOKENS.min(tokens - first)], cache);
        }
    }
}
