//! Synthetic models with a given share of positive gates, to measure how much faster skipping the others is.
//!
//! With random weights half of the gates are positive. To change that share, some dimensions of the residual stream
//! carry the same signal for every token: the first 32 of every 128 in the first fifth or so (5 blocks of 20 at the 2B
//! shape, 1 of 4 at the small one; one plane of a packed block, so that the weights of these dimensions are whole bit
//! pairs of known bytes). Their embedding is 1, no block adds to them (their rows of `attn_output` and `ffn_down` are
//! zero weights), attention and output head do not see them (gain 0), and the norm before the feed-forward block scales
//! them to about [`SIGNAL`]. A row of `gate` then gets weight +1 there if its element is to live and -1 if not: its sum
//! is moved by the number of these dimensions times [`SIGNAL`], several standard deviations of the rest.
//!
//! The residual stream grows by 1 in mean square at each addition (see `ternary_scale`), so the norm in block l divides
//! by about sqrt(2 l + 1), and the gain multiplies by as much. This need not be exact, as long as the signal stays well
//! above the rest.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use kernels::random::SplitMix64;

/// What the dimensions of the signal are after the norm before the feed-forward block; the others are about 1 in mean
/// square. Not larger, so that int8 still resolves the others.
const SIGNAL: f32 = 2.5;

/// How gates are moved.
pub(super) struct LiveShare {
    pub(super) share: f64,
    seed: u64,
    /// Blocks of 128 dimensions whose first 32 carry the signal.
    blocks: usize,
}

impl LiveShare {
    pub(super) fn new(share: f64, config: &ModelConfig, seed: u64) -> Result<Self> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::input(format!("--live-share {share} is not above 0 and at most 1")));
        }
        Ok(Self { share, seed, blocks: (config.dim / 512).max(1) })
    }

    fn carries(&self, dimension: usize) -> bool {
        dimension / 128 < self.blocks && dimension % 128 < 32
    }

    /// An element of a norm's gains.
    pub(super) fn gain(&self, (layer, name): (u32, &str), dimension: usize) -> f32 {
        match name {
            "attn_norm.weight" | "output_norm.weight" if self.carries(dimension) => 0.0,
            "ffn_norm.weight" if self.carries(dimension) => SIGNAL * ((2 * layer + 1) as f32).sqrt(),
            _ => 1.0,
        }
    }

    /// Changes a piece of a tensor, which starts at byte `offset` of it.
    pub(super) fn edit(&self, (layer, name): (u32, &str), dims: &[usize], offset: usize, piece: &mut [u8]) {
        let width = match name {
            "token_embd.weight" => 2 * dims[0],
            "ffn_gate.weight" | "attn_output.weight" | "ffn_down.weight" => dims[0] / 4,
            _ => return,
        };
        let mut at = 0;
        while at < piece.len() {
            let (row, start) = ((offset + at) / width, (offset + at) % width);
            let end = (at + width - start).min(piece.len());
            let bytes = (start..).zip(&mut piece[at..end]);
            match name {
                "token_embd.weight" => {
                    let one = half::f16::ONE.to_le_bytes();
                    bytes.filter(|(i, _)| self.carries(i / 2)).for_each(|(i, byte)| *byte = one[i % 2]);
                }
                "ffn_gate.weight" => {
                    // The first 32 of 128 are the top bits of 32 bytes.
                    let code = if self.lives(layer, row) { 0b10_00_00_00 } else { 0 };
                    bytes.take_while(|(i, _)| i / 32 < self.blocks).for_each(|(_, byte)| *byte = *byte & 0x3F | code);
                }
                _ if self.carries(row) => bytes.for_each(|(_, byte)| *byte = 0b01_01_01_01),
                _ => {}
            }
            at = end;
        }
    }

    fn lives(&self, layer: u32, row: usize) -> bool {
        let mut random = SplitMix64::new(self.seed ^ u64::from(layer) << 40 ^ (row as u64) << 8 ^ 0x5A);
        f64::from(random.below(1 << 24)) < self.share * f64::from(1 << 24)
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{NEVER, builder, kernel};
    use crate::gguf::Gguf;
    use crate::loading::Loading;
    use crate::sparse_ffn::{SparseFfn, Sparsity};
    use crate::synth::{SynthShape, SyntheticModel};
    use crate::weights::Model;
    use kernels::{CodeTable, CpuFeatures};

    /// The share of positive gates over some decoded tokens is the one asked for, within a few percent.
    #[test]
    fn gates_are_positive_as_often_as_asked() {
        let shape = SynthShape::by_name("tiny").expect("known");
        for share in [0.05, 0.2, 0.5, 1.0] {
            let synthetic = SyntheticModel::new(shape, Some(8), Some(share), 1).expect("valid");
            let mut bytes = Vec::new();
            synthetic.write(&mut bytes, &NEVER, &|_| {}).expect("written");
            let gguf = Gguf::from_bytes("m", bytes).expect("opens");
            assert!(gguf.synthetic());
            let model = Model::load(gguf, None, &mut Loading::alone()).expect("a valid model");
            let decoder = builder(&model, kernel("scalar-i8"), CodeTable::TERNARY, CpuFeatures::detect()).context(32);
            let mut decoder = decoder.sparse(Sparsity::Always).build().expect("fits");
            (0..16u32).for_each(|token| decoder.forward(&[token * 61 % 1000]).expect("runs"));
            let record = decoder.sparse().map(SparseFfn::summary).expect("on");
            for (layer, live) in record.live_share.iter().enumerate() {
                assert!((live - share).abs() < 0.05, "asked for {share}, block {layer} has {live}");
            }
            assert!(record.sparse_steps_share == 1.0);
        }
        let refused = |share| SyntheticModel::new(shape, None, Some(share), 1).is_err();
        assert!(refused(0.0) && refused(1.01) && refused(f64::NAN));
    }
}
