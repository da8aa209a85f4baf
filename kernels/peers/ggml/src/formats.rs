//! Where ggml keeps weights and activations: blocks of one scale and codes.

use llama_cpp_sys_2::{GGML_TYPE_Q2_0, GGML_TYPE_TQ1_0, GGML_TYPE_TQ2_0, ggml_type};

/// Weights of one format.
pub trait Weights {
    const TYPE: ggml_type;
    const ID: &'static str;
    const SUMMARY: &'static str;
    /// Largest code that it holds.
    const MAX_CODE: u8;
    /// Weights of a block, which share a scale, and its bytes.
    const WEIGHTS: usize;
    const BYTES: usize;
    type Activations: Activations;

    /// Writes a block that is zero so far; `d` is the scale as f16.
    fn pack(codes: &[u8], d: [u8; 2], block: &mut [u8]);
}

/// Activations of one format.
pub trait Activations {
    const VALUES: usize;
    const BYTES: usize;

    /// Writes a block; `false` if it cannot hold the scale.
    fn write(values: &[i8], scale: f32, block: &mut [u8]) -> bool;
}

/// The f16 that is this number, if one is.
pub fn half(scale: f32) -> Option<[u8; 2]> {
    // SAFETY: both take and return a number, and read a table at most, which `tb_kernels` had made.
    let (half, back) = unsafe {
        let half = llama_cpp_sys_2::ggml_fp32_to_fp16(scale);
        (half, llama_cpp_sys_2::ggml_fp16_to_fp32(half))
    };
    (back == scale).then(|| half.to_ne_bytes())
}

/// 2 bits a weight: 64 bytes, then the scale. Of 128 weights, number 32 l + m has bits 2 l and 2 l + 1 of byte m.
pub struct Tq2;

impl Weights for Tq2 {
    const TYPE: ggml_type = GGML_TYPE_TQ2_0;
    const ID: &'static str = "ggml-tq2_0";
    const SUMMARY: &'static str = "TQ2_0 by Q8_K: vec_dot of 256-bit maddubs, row by row, a scale for 256 weights";
    const MAX_CODE: u8 = 2;
    const WEIGHTS: usize = 256;
    const BYTES: usize = 66;
    type Activations = Q8K;

    fn pack(codes: &[u8], d: [u8; 2], block: &mut [u8]) {
        let (bytes, scale) = block.split_at_mut(64);
        for (bytes, codes) in bytes.chunks_exact_mut(32).zip(codes.chunks_exact(128)) {
            for (j, code) in codes.iter().enumerate() {
                bytes[j % 32] |= code << (2 * (j / 32));
            }
        }
        scale.copy_from_slice(&d);
    }
}

/// 1.69 bits a weight: 52 bytes of up to five trits, then the scale. A byte is a fraction of 256, rounded up, whose
/// digits to base 3 are the trits, the first right behind the point.
pub struct Tq1;

impl Weights for Tq1 {
    const TYPE: ggml_type = GGML_TYPE_TQ1_0;
    const ID: &'static str = "ggml-tq1_0";
    const SUMMARY: &'static str =
        "TQ1_0 by Q8_K: vec_dot of maddubs on five trits a byte, row by row, a scale for 256 weights";
    const MAX_CODE: u8 = 2;
    const WEIGHTS: usize = 256;
    const BYTES: usize = 54;
    type Activations = Q8K;

    fn pack(codes: &[u8], d: [u8; 2], block: &mut [u8]) {
        // First weight, first byte, and how many bytes lie side by side: 5 * 32, 5 * 16 and 4 * 4 weights.
        for (weight, byte, bytes, trits) in [(0, 0, 32, 5), (160, 32, 16, 5), (240, 48, 4, 4)] {
            for i in 0..bytes {
                let trit = |n| if n < trits { u32::from(codes[weight + n * bytes + i]) } else { 0 };
                let number = (0..5).fold(0, |number, n| 3 * number + trit(n));
                block[byte + i] = (number * 256).div_ceil(243) as u8;
            }
        }
        block[52..].copy_from_slice(&d);
    }
}

/// 2 bits a weight: the scale, then 16 bytes of four weights that follow each other.
pub struct Q2;

impl Weights for Q2 {
    const TYPE: ggml_type = GGML_TYPE_Q2_0;
    const ID: &'static str = "ggml-q2_0";
    const SUMMARY: &'static str = "Q2_0 by Q8_0: vec_dot, plain C on x86, row by row, a scale for 64 weights";
    const MAX_CODE: u8 = 3;
    const WEIGHTS: usize = 64;
    const BYTES: usize = 18;
    type Activations = Q80;

    fn pack(codes: &[u8], d: [u8; 2], block: &mut [u8]) {
        let (scale, bytes) = block.split_at_mut(2);
        scale.copy_from_slice(&d);
        for (byte, codes) in bytes.iter_mut().zip(codes.chunks_exact(4)) {
            *byte = codes.iter().rev().fold(0, |byte, code| byte << 2 | code);
        }
    }
}

/// f32 scale, 256 values, 16 sums of 16 values each. 292 bytes here; a block of this name elsewhere has 296.
pub struct Q8K;

impl Activations for Q8K {
    const VALUES: usize = 256;
    const BYTES: usize = 292;

    fn write(values: &[i8], scale: f32, block: &mut [u8]) -> bool {
        let (d, block) = block.split_at_mut(4);
        let (bytes, sums) = block.split_at_mut(256);
        d.copy_from_slice(&scale.to_ne_bytes());
        for ((bytes, sum), values) in
            bytes.chunks_exact_mut(16).zip(sums.chunks_exact_mut(2)).zip(values.chunks_exact(16))
        {
            for (byte, value) in bytes.iter_mut().zip(values) {
                *byte = value.cast_unsigned();
            }
            sum.copy_from_slice(&values.iter().map(|&value| i16::from(value)).sum::<i16>().to_ne_bytes());
        }
        true
    }
}

/// f16 scale, 32 values.
pub struct Q80;

impl Activations for Q80 {
    const VALUES: usize = 32;
    const BYTES: usize = 34;

    fn write(values: &[i8], scale: f32, block: &mut [u8]) -> bool {
        let Some(scale) = half(scale) else { return false };
        let (d, bytes) = block.split_at_mut(2);
        d.copy_from_slice(&scale);
        for (byte, value) in bytes.iter_mut().zip(values) {
            *byte = value.cast_unsigned();
        }
        true
    }
}
