//! Which instruction set computes what lies between the products: norms, activation function, attention. By a probe on
//! vectors of the model's lengths; all of them give the same bits.

use super::by_evidence;
use super::probe::probe;
use crate::error::{Error, Result};
use crate::machine::Machine;
use kernels::random::SplitMix64;
use kernels::{CachedHead, F32Ops, Norm, Queries};
use model::config::ModelConfig;
use receipt::Choice;
use std::time::Duration;

const PROBE: Duration = Duration::from_millis(6);
/// Positions that the probed attention looks at.
const POSITIONS: usize = 64;

/// The fastest f32 operations for a model of this shape.
pub fn fastest(c: &ModelConfig, machine: &Machine) -> Result<(F32Ops, Choice)> {
    // The widest first: a tie goes to it.
    let mut ways = F32Ops::all(machine.features);
    ways.reverse();
    let mut random = SplitMix64::new(1);
    let (x, gain) = (random.signed_units(c.dim), random.signed_units(c.dim));
    let (gate, wide_gain) = (random.signed_units(c.ffn), random.signed_units(c.ffn));
    let mut cached = vec![0u16; POSITIONS * c.head_dim];
    ways[0].narrow_to_f16(&random.signed_units(cached.len()), &mut cached).map_err(|e| Error::failed(e.to_string()))?;
    let queries = random.signed_units(c.head_dim * (c.heads / c.kv_heads));
    let (mut normed, mut wide) = (vec![0f32; c.dim], vec![0f32; c.ffn]);
    let (mut attended, mut scores) = (vec![0f32; queries.len()], vec![0f32; POSITIONS * (c.heads / c.kv_heads)]);
    let eps = c.rms_eps;
    let mut expected: Option<Vec<u32>> = None;
    let evidence = probe(ways.len(), PROBE, |way, first| {
        let ops = ways[way];
        ops.rms_norm(&x, Norm { gain: &gain, eps }, &mut normed);
        ops.gated_rms_norm(&gate, &wide_gain, Norm { gain: &wide_gain, eps }, &mut wide);
        let cache = CachedHead { keys: &cached, values: &cached, stride: c.head_dim };
        let (q, scores, out) = (&queries[..], &mut scores[..], &mut attended[..]);
        ops.attend(&mut [Queries { q, head_dim: c.head_dim, factor: 0.1, scores, out }], cache);
        let bits: Vec<u32> = match first {
            true => normed.iter().chain(&wide).chain(&attended).map(|v| v.to_bits()).collect(),
            false => Vec::new(),
        };
        if first && *expected.get_or_insert_with(|| bits.clone()) != bits {
            return Err(Error::failed(format!("element-wise probe: {} gives other bits", ops.id())));
        }
        Ok(())
    })?;
    let names: Vec<String> = ways.iter().map(|ops| ops.id().to_owned()).collect();
    let choice =
        by_evidence("element-wise operations", &format!("vectors of {} and {}", c.dim, c.ffn), &names, &evidence);
    Ok((ways[evidence.chosen().unwrap_or(0)], choice))
}
