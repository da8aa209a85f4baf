//! Rotary position angles.

use crate::arch::Pairing;
use crate::config::{ModelConfig, Yarn};
use kernels::F32Ops;

/// Cosines and sines of the rotary angles of every position, half a head of each a position.
pub struct Rope {
    half: usize,
    pairing: Pairing,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// Makes the table of a model's angles, `position * theta^(-i / half)` before any stretching, for `positions`
    /// positions, computed in f64.
    pub fn new(c: &ModelConfig, positions: usize) -> Self {
        let half = c.head_dim / 2;
        let rates = (0..half).map(|i| f64::from(c.rope_theta).powf(-(i as f64) / half as f64));
        let rates: Vec<f64> = match &c.yarn {
            None => rates.collect(),
            Some(yarn) => rates.zip(kept(yarn, c)).map(|(rate, kept)| stretched(rate, kept, yarn)).collect(),
        };
        let length = c.yarn.map_or(1.0, |yarn| 1.0 + 0.1 * f64::from(yarn.factor).ln());
        let angles = |position: usize| rates.iter().map(move |rate| position as f64 * rate);
        let cos = (0..positions).flat_map(angles).map(|a| (a.cos() * length) as f32).collect();
        let sin = (0..positions).flat_map(angles).map(|a| (a.sin() * length) as f32).collect();
        Self { half, pairing: c.pairing, cos, sin }
    }

    /// For each position the cosines of half a head, then as many sines: what whoever rotates elsewhere needs.
    pub fn table(&self) -> Vec<f32> {
        let half = self.half.max(1);
        let positions = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        positions.flat_map(|(cos, sin)| cos.iter().chain(sin)).copied().collect()
    }

    /// Rotates all heads of consecutive tokens (`width` elements each), the first of which is at `position`.
    pub fn rotate(&self, ops: F32Ops, x: &mut [f32], width: usize, position: usize) {
        for (i, x) in x.chunks_exact_mut(width).enumerate() {
            let at = (position + i) * self.half;
            let (cos, sin) = (&self.cos[at..at + self.half], &self.sin[at..at + self.half]);
            match self.pairing {
                Pairing::Halves => ops.rotate(x, cos, sin),
                Pairing::Neighbours => ops.rotate_neighbours(x, cos, sin),
            }
        }
    }
}

/// How much of each angle stays as it is, from 0 to 1: YaRN's ramp between the elements that turn `beta_fast` and
/// `beta_slow` times over the original context, which are rounded away from each other.
fn kept(yarn: &Yarn, c: &ModelConfig) -> impl Iterator<Item = f64> {
    let (width, base) = (c.head_dim as f64, f64::from(c.rope_theta));
    let element = |turns: f32| {
        let wave = yarn.original_context as f64 / (f64::from(turns) * std::f64::consts::TAU);
        width * wave.ln() / (2.0 * base.ln())
    };
    let first = element(yarn.beta_fast).floor().max(0.0);
    let last = element(yarn.beta_slow).ceil().min(width - 1.0);
    let span = (last - first).max(1e-3);
    (0..c.head_dim / 2).map(move |i| 1.0 - ((i as f64 - first) / span).clamp(0.0, 1.0))
}

fn stretched(rate: f64, kept: f64, yarn: &Yarn) -> f64 {
    rate / f64::from(yarn.factor) * (1.0 - kept) + rate * kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::CpuFeatures;

    fn config(head_dim: usize) -> ModelConfig {
        ModelConfig { head_dim, rope_theta: 10000.0, ..ModelConfig::default() }
    }

    #[test]
    fn angles_grow_with_the_position_and_keep_lengths() {
        let rope = Rope::new(&config(4), 3);
        let mut x = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let mut pair = [x, x].concat();
        rope.rotate(F32Ops::select(CpuFeatures::detect()), &mut pair, 8, 1);
        rope.rotate(F32Ops::select(CpuFeatures::NONE), &mut x, 8, 2);
        let (angle, slow) = (2.0f32, 2.0f32 * 10000f32.powf(-0.5));
        let want = [angle.cos(), 0.0, angle.sin(), 0.0, 0.0, slow.cos(), 0.0, slow.sin()];
        assert!(x.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{x:?}");
        assert_eq!(pair[8..], x);
        // Neighbours: the same angles, for elements 0 and 1, then 2 and 3.
        let neighbours = Rope::new(&ModelConfig { pairing: Pairing::Neighbours, ..config(4) }, 3);
        let mut x = [1.0, 0.0, 0.0, 1.0];
        neighbours.rotate(F32Ops::select(CpuFeatures::NONE), &mut x, 4, 2);
        let want = [angle.cos(), angle.sin(), -slow.sin(), slow.cos()];
        assert!(x.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{x:?}");
    }

    /// The angles of a head of 128 with base 1e6 and four times 8192 tokens, by hand: 128 ln(8192 / (32 * 2 pi)) / (2
    /// ln 1e6) = 17.2 and, for one turn, 33.2, so elements up to 17 stay, from 34 on all is a quarter.
    #[test]
    fn yarn_stretches_slow_angles_alone() {
        let yarn = Yarn { factor: 4.0, original_context: 8192, beta_fast: 32.0, beta_slow: 1.0 };
        let plain = ModelConfig { rope_theta: 1e6, ..config(128) };
        let c = ModelConfig { yarn: Some(yarn), ..plain.clone() };
        let (rope, plain) = (Rope::new(&c, 2), Rope::new(&plain, 2));
        let length = 1.0 + 0.1 * 4f64.ln();
        assert_eq!(rope.cos[..64], [length as f32; 64], "at position 0 only the length changes");
        let angle = |rope: &Rope, i: usize| f64::from(rope.sin[64 + i]).atan2(rope.cos[64 + i].into());
        for i in 0..64 {
            let kept = 1.0 - ((i as f64 - 17.0) / 17.0).clamp(0.0, 1.0);
            let want = angle(&plain, i) * (kept + (1.0 - kept) / 4.0);
            assert!((angle(&rope, i) / want - 1.0).abs() < 1e-5, "{i}");
            let found = f64::from(rope.sin[64 + i]).hypot(rope.cos[64 + i].into());
            assert!((found - length).abs() < 1e-6, "{i}: {found}");
        }
    }
}
