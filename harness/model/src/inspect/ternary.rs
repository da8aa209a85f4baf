//! The weights of a ternary tensor: how often each code occurs, and its scales.

use super::rows::TernaryRow;
use crate::gguf::{CodeCounts, Gguf, TensorInfo, i2s_scale, types};
use crate::matrix::Matrix;

/// Looks at all weights of a tensor; `None` for one that is not ternary or cannot be read.
pub fn look(gguf: &Gguf, tensor: &TensorInfo) -> Option<TernaryRow> {
    let n = tensor.elements().max(1) as f64;
    if tensor.kind == types::I2S {
        // Many at a time, and also of a tensor whose scale is none.
        let bytes = gguf.bytes(tensor);
        let counts = CodeCounts::of(bytes);
        return Some(TernaryRow {
            scale: i2s_scale(bytes).filter(|s| s.is_finite()),
            scales: None,
            minus: counts.minus as f64 / n,
            zero: counts.zero as f64 / n,
            plus: counts.plus as f64 / n,
            invalid_codes: counts.invalid,
            plus_two_codes: 0,
        });
    }
    tensor.kind.encoding?;
    let matrix = Matrix::of(gguf, tensor).ok()?;
    let (mut counts, mut range) = ([0u64; 4], None::<[f32; 2]>);
    matrix.each_row(|codes, scales| {
        // Bytes, not the four counters, so that the loop is one over vectors.
        for (code, count) in counts.iter_mut().enumerate() {
            *count += codes.iter().filter(|&&c| usize::from(c) == code).count() as u64;
        }
        for &scale in scales {
            let [least, most] = range.unwrap_or([scale; 2]);
            // Of scales that are not finite the first stays.
            range = Some([least.min(scale), most.max(scale)]);
        }
    });
    let four = matrix.stored().encoding.four_codes;
    Some(TernaryRow {
        scale: matrix.stored().tensor_scale(),
        scales: range,
        minus: counts[0] as f64 / n,
        zero: counts[1] as f64 / n,
        plus: counts[2] as f64 / n,
        invalid_codes: if four { 0 } else { counts[3] },
        plus_two_codes: if four { counts[3] } else { 0 },
    })
}

impl TernaryRow {
    /// Whether it holds a code or a scale that its encoding cannot have.
    pub(super) fn is_wrong(&self) -> bool {
        let scale = match (self.scale, self.scales) {
            (Some(scale), _) => scale.is_finite() && scale > 0.0,
            (None, Some(range)) => range.iter().all(|scale| scale.is_finite()),
            (None, None) => false,
        };
        self.invalid_codes > 0 || !scale
    }
}
