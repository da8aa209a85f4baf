//! Rotary position angles.

use kernels::F32Ops;

/// Cosines and sines of the rotary angles of every position, half a head of each a position.
pub struct Rope {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// Makes the table of angles `position * theta^(-i / half)` for `positions` positions, computed in f64.
    pub fn new(head_dim: usize, theta: f32, positions: usize) -> Self {
        let half = head_dim / 2;
        let rates: Vec<f64> = (0..half).map(|i| f64::from(theta).powf(-(i as f64) / half as f64)).collect();
        let angles = |position: usize| rates.iter().map(move |rate| position as f64 * rate);
        let cos = (0..positions).flat_map(angles).map(|a| a.cos() as f32).collect();
        let sin = (0..positions).flat_map(angles).map(|a| a.sin() as f32).collect();
        Self { half, cos, sin }
    }

    /// Rotates all heads of consecutive tokens (`width` elements each), the first of which is at `position`.
    pub fn rotate(&self, ops: F32Ops, x: &mut [f32], width: usize, position: usize) {
        for (i, x) in x.chunks_exact_mut(width).enumerate() {
            let at = (position + i) * self.half;
            ops.rotate(x, &self.cos[at..at + self.half], &self.sin[at..at + self.half]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::CpuFeatures;

    #[test]
    fn angles_grow_with_the_position_and_keep_lengths() {
        let rope = Rope::new(4, 10000.0, 3);
        let mut x = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let mut pair = [x, x].concat();
        rope.rotate(F32Ops::select(CpuFeatures::detect()), &mut pair, 8, 1);
        rope.rotate(F32Ops::select(CpuFeatures::NONE), &mut x, 8, 2);
        let (angle, slow) = (2.0f32, 2.0f32 * 10000f32.powf(-0.5));
        let want = [angle.cos(), 0.0, angle.sin(), 0.0, 0.0, slow.cos(), 0.0, slow.sin()];
        assert!(x.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{x:?}");
        assert_eq!(pair[8..], x);
    }
}
