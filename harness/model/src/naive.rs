//! The forward pass written down in f64, for tests: no caches, no batches, nothing shared with the decoder but the file
//! and its shape.

use crate::arch::{Activation, Pairing};
use crate::config::ModelConfig;
use crate::gguf::{Gguf, i2s_codes, i2s_scale};
use crate::unrounded::Inputs;
use half::f16;
use kernels::ActivationRule;

/// A file's tensors as f64.
pub struct Naive<'a> {
    pub gguf: &'a Gguf,
    /// Its shape, which a test may change to see that it matters.
    pub c: ModelConfig,
    /// Which activations share a scale, if they are rounded.
    pub inputs: Inputs,
}

fn norm(x: &[f64], gain: &[f64], eps: f64) -> Vec<f64> {
    let factor = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + eps).sqrt();
    x.iter().zip(gain).map(|(x, gain)| x * factor * gain).collect()
}

/// Activations that share a scale as int8 has them.
fn rounded(rule: ActivationRule, x: &[f64]) -> Vec<f64> {
    let largest = x.iter().fold(1e-5f64, |largest, x| largest.max(x.abs()));
    let step = largest / 127.0;
    let step = if rule == ActivationRule::Per32 { f16::from_f64(step).to_f64() } else { step };
    x.iter().map(|x| (x * 127.0 / largest).round_ties_even() * step).collect()
}

fn add(x: &mut [f64], more: &[f64]) {
    x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
}

impl Naive<'_> {
    fn vector(&self, name: &str) -> Vec<f64> {
        let tensor = self.gguf.tensor(name).unwrap();
        self.gguf.f32s(tensor).unwrap().iter().map(|&x| x.into()).collect()
    }

    fn rows(&self, name: &str) -> Vec<f64> {
        let tensor = self.gguf.tensor(name).unwrap();
        self.gguf.f16s(tensor).unwrap().iter().map(|x| x.to_f64()).collect()
    }

    /// A matrix times `x`, or its int8 form: in each 128 weights, weight j is in byte j % 32 at shift 6 - 2 (j / 32).
    fn product(&self, layer: usize, name: &str, x: &[f64]) -> Vec<f64> {
        let at = format!("blk.{layer}.{name}");
        let bytes = self.gguf.bytes(self.gguf.tensor(&format!("{at}.weight")).unwrap());
        let beside = self.gguf.find_tensor(&format!("{at}.scale")).map(|scale| self.gguf.f32s(scale).unwrap()[0]);
        let scale = f64::from(i2s_scale(bytes).unwrap()) * f64::from(beside.unwrap_or(1.0));
        let rounded: Vec<f64> = match self.inputs {
            Inputs::Rounded(rule) => {
                x.chunks(rule.block().unwrap_or(x.len())).flat_map(|block| rounded(rule, block)).collect()
            }
            Inputs::Whole => x.to_vec(),
        };
        let weight = |i: usize| {
            let j = i % 128;
            let byte = i2s_codes(bytes)[i / 128 * 32 + j % 32];
            f64::from(byte >> (6 - 2 * (j / 32)) & 3) - 1.0
        };
        let rows = i2s_codes(bytes).len() * 4 / x.len();
        let row = |r: usize| rounded.iter().enumerate().map(|(i, x)| weight(r * rounded.len() + i) * x).sum::<f64>();
        (0..rows).map(|r| row(r) * scale).collect()
    }

    /// Rotates one head at a position.
    fn rotate(&self, head: &mut [f64], position: usize) {
        let (d, half, base) = (head.len(), head.len() / 2, f64::from(self.c.rope_theta));
        let mut length = 1.0;
        for i in 0..half {
            let mut rate = base.powf(-2.0 * i as f64 / d as f64);
            if let Some(yarn) = &self.c.yarn {
                let element = |turns: f32| {
                    let wave = yarn.original_context as f64 / (2.0 * std::f64::consts::PI * f64::from(turns));
                    d as f64 * wave.ln() / (2.0 * base.ln())
                };
                let (low, high) = (element(yarn.beta_fast).floor(), element(yarn.beta_slow).ceil());
                let (low, high) = (low.max(0.0), high.min(d as f64 - 1.0));
                let ramp = 1.0 - ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                rate = rate / f64::from(yarn.factor) * (1.0 - ramp) + rate * ramp;
                length = 1.0 + 0.1 * f64::from(yarn.factor).ln();
            }
            let (sin, cos) = (position as f64 * rate).sin_cos();
            let (a, b) = match self.c.pairing {
                Pairing::Halves => (i, i + half),
                Pairing::Neighbours => (2 * i, 2 * i + 1),
            };
            (head[a], head[b]) = ((head[a] * cos - head[b] * sin) * length, (head[a] * sin + head[b] * cos) * length);
        }
    }

    /// Queries or keys of a token: each head normed where the architecture does, then rotated.
    fn heads(&self, mut x: Vec<f64>, gain: Option<Vec<f64>>, position: usize) -> Vec<f64> {
        for head in x.chunks_exact_mut(self.c.head_dim) {
            if let Some(gain) = &gain {
                head.copy_from_slice(&norm(head, gain, self.c.rms_eps.into()));
            }
            self.rotate(head, position);
        }
        x
    }

    fn attention(&self, q: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
        let (d, group) = (self.c.head_dim, self.c.heads / self.c.kv_heads);
        let head = |h: usize| -> Vec<f64> {
            let kv = h / group * d;
            let dot = |key: &[f64]| q[h * d..][..d].iter().zip(&key[kv..]).map(|(q, k)| q * k).sum::<f64>();
            let weights: Vec<f64> = keys.iter().map(|key| (dot(key) / (d as f64).sqrt()).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let element = |i: usize| weights.iter().zip(values).map(|(w, v)| w * v[kv + i]).sum::<f64>() / sum;
            (0..d).map(element).collect()
        };
        (0..self.c.heads).flat_map(head).collect()
    }

    /// The logits after the last of some tokens.
    pub fn logits(&self, tokens: &[u32]) -> Vec<f64> {
        let (c, eps) = (&self.c, f64::from(self.c.rms_eps));
        let embedding = self.rows("token_embd.weight");
        let mut stream: Vec<Vec<f64>> =
            tokens.iter().map(|&t| embedding[t as usize * c.dim..][..c.dim].to_vec()).collect();
        for layer in 0..c.layers {
            let gain = |name: &str| self.vector(&format!("blk.{layer}.{name}.weight"));
            let of_head = |name: &str| c.qk_norms.then(|| gain(name));
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            // The cache holds f16.
            let cached = |x: Vec<f64>| -> Vec<f64> { x.iter().map(|&x| f16::from_f64(x).to_f64()).collect() };
            for (position, x) in stream.iter_mut().enumerate() {
                let h = norm(x, &gain("attn_norm"), eps);
                let q = self.heads(self.product(layer, "attn_q", &h), of_head("attn_q_norm"), position);
                let k = self.heads(self.product(layer, "attn_k", &h), of_head("attn_k_norm"), position);
                keys.push(cached(k));
                values.push(cached(self.product(layer, "attn_v", &h)));
                let mut a = self.attention(&q, &keys, &values);
                if c.sub_norms {
                    a = norm(&a, &gain("attn_sub_norm"), eps);
                }
                add(x, &self.product(layer, "attn_output", &a));
                let h = norm(x, &gain("ffn_norm"), eps);
                let activated = self.product(layer, "ffn_gate", &h).into_iter().map(|g| match c.activation {
                    Activation::ReluSquared => g.max(0.0).powi(2),
                    Activation::Silu => g / (1.0 + (-g).exp()),
                });
                let mut f: Vec<f64> = activated.zip(self.product(layer, "ffn_up", &h)).map(|(g, up)| g * up).collect();
                if c.sub_norms {
                    f = norm(&f, &gain("ffn_sub_norm"), eps);
                }
                add(x, &self.product(layer, "ffn_down", &f));
            }
        }
        let last = norm(&stream[tokens.len() - 1], &self.vector("output_norm.weight"), eps);
        let head = if c.tied { embedding } else { self.rows("output.weight") };
        head.chunks_exact(c.dim).map(|row| row.iter().zip(&last).map(|(w, x)| w * x).sum()).collect()
    }
}
