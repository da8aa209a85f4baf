//! The f32 operations between the matrix products. Sums run in eight lanes, which keeps chains short and lets the compiler use vectors.

const LANES: usize = 8;

fn sum_of(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Inner product; the shorter length counts.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_tail) = a.as_chunks::<LANES>();
    let (b, b_tail) = b.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    sum_of(lanes) + a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum::<f32>()
}

/// `y += factor * x`.
pub fn add_scaled(y: &mut [f32], factor: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// RMS norm: `out = x / sqrt(mean(x^2) + eps) * gain`.
pub fn rms_norm(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    let factor = 1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt();
    for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
        *out = x * factor * gain;
    }
}

/// `gate = relu(gate)^2 * up`. Squared, not SiLU: see FORMATS on what the other one does to this model.
pub fn relu_squared_gate(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        let positive = gate.max(0.0);
        *gate = positive * positive * up;
    }
}

/// Cosines and sines of the rotary angles of every position, `half` of each a position.
pub struct Rope {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// Angles `position * theta^(-i / half)` for `positions` positions, computed in f64.
    pub fn new(head_dim: usize, theta: f32, positions: usize) -> Self {
        let half = head_dim / 2;
        let rates: Vec<f64> = (0..half).map(|i| f64::from(theta).powf(-(i as f64) / half as f64)).collect();
        let angles = |position: usize| rates.iter().map(move |rate| position as f64 * rate);
        let cos = (0..positions).flat_map(angles).map(|a| a.cos() as f32).collect();
        let sin = (0..positions).flat_map(angles).map(|a| a.sin() as f32).collect();
        Self { half, cos, sin }
    }

    /// Rotates each head of `x` in place: element i with element i + half (the NEOX pairing).
    pub fn rotate(&self, x: &mut [f32], position: usize) {
        let at = position * self.half;
        let (cos, sin) = (&self.cos[at..at + self.half], &self.sin[at..at + self.half]);
        for head in x.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}

/// Softmax in place.
pub fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    let factor = 1.0 / sum;
    scores.iter_mut().for_each(|score| *score *= factor);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_takes_every_element() {
        for n in [0, 1, 7, 8, 9, 64, 100] {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let want: f32 = (0..n).map(|i| (i * i) as f32).sum();
            assert_eq!(dot(&a, &a), want);
        }
    }

    #[test]
    fn norm_has_unit_mean_square() {
        let x: Vec<f32> = (0..50).map(|i| i as f32 - 20.0).collect();
        let mut out = vec![0.0; 50];
        rms_norm(&x, &[2.0; 50], 0.0, &mut out);
        assert!((dot(&out, &out) / 50.0 - 4.0).abs() < 1e-5);
    }

    #[test]
    fn rope_pairs_halves_and_keeps_lengths() {
        let rope = Rope::new(4, 10000.0, 3);
        let mut x = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        rope.rotate(&mut x, 2);
        let (angle, slow) = (2.0f32, 2.0f32 * 10000f32.powf(-0.5));
        let want = [angle.cos(), 0.0, angle.sin(), 0.0, 0.0, slow.cos(), 0.0, slow.sin()];
        assert!(x.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{x:?}");
    }

    #[test]
    fn relu_squared_is_zero_below_zero() {
        let mut gate = [-3.0, 0.0, 2.0];
        relu_squared_gate(&mut gate, &[5.0, 5.0, -1.0]);
        assert_eq!(gate, [0.0, 0.0, -4.0]);
    }

    #[test]
    fn softmax_sums_to_one() {
        let mut scores = [1000.0, 1001.0, 999.0];
        softmax(&mut scores);
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6 && scores[1] > scores[0]);
    }
}
