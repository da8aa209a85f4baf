//! How random bytes become the data of a tensor.

use crate::gguf::{TypeInfo, types};
use half::f16;
use std::sync::LazyLock;

/// Standard deviation of the embedding, and of an output head of its own.
pub(super) const ROWS_STD: f32 = 0.02;

/// How each 16 random bits become 16 bits of a tensor.
type Table = Box<[[u8; 2]]>;

/// How random bytes become those of a tensor, a unit of them at a time.
pub(super) enum Fill {
    /// F16, uniform around 0.
    Half(Table),
    /// Ternary codes.
    Codes,
    /// Blocks of Q2_0: an f16 scale by this table, then ternary codes.
    Blocks(Table),
}

impl Fill {
    /// How a tensor of this type is filled so that its weights have this root mean square; `None` for types that are
    /// not random.
    pub(super) fn of(kind: TypeInfo, rms: f32) -> Option<Self> {
        if kind == types::F16 {
            Some(Fill::Half(halves(rms)))
        } else if kind == types::I2S {
            Some(Fill::Codes)
        } else if kind == types::Q2_0 {
            Some(Fill::Blocks(scales(rms)))
        } else {
            None
        }
    }

    /// Bytes that are made together; a piece has a whole number of them.
    pub(super) fn unit(&self) -> usize {
        match self {
            Fill::Half(_) | Fill::Codes => 2,
            Fill::Blocks(_) => Q2_0_BYTES,
        }
    }

    /// Turns random bytes, whole units of them, into a piece of the tensor.
    pub(super) fn apply(&self, random: &mut [u8]) {
        match self {
            Fill::Half(table) => look_up(table, random),
            Fill::Codes => look_up(&CODES, random),
            Fill::Blocks(scales) => {
                for block in random.as_chunks_mut::<Q2_0_BYTES>().0 {
                    let (scale, rest) = block.split_at_mut(2);
                    look_up(scales, scale);
                    look_up(&CODES, rest);
                }
            }
        }
    }
}

/// An f16 scale and 64 codes of two bits.
const Q2_0_BYTES: usize = 18;

fn look_up(table: &Table, bytes: &mut [u8]) {
    let pairs = bytes.as_chunks_mut::<2>().0;
    pairs.iter_mut().for_each(|pair| *pair = table[u16::from_le_bytes(*pair) as usize]);
}

/// 16 random bits -> 8 ternary codes. 65,536 / 6,561 is not whole, so a few combinations are 1 in 10 rarer: harmless
/// here.
static CODES: LazyLock<Table> = LazyLock::new(|| {
    let byte = |n: u32| [1, 3, 9, 27].iter().fold(0u8, |byte, place| byte << 2 | (n / place % 3) as u8);
    let all = (0..=u16::MAX).map(|r| (u32::from(r) * 6561) >> 16);
    all.map(|n| [byte(n / 81), byte(n % 81)]).collect()
});

/// 16 random bits -> an f16 uniform in +-sqrt(3) * rms. Uniform rather than normal because it needs no logarithm,
/// whose last bit differs between platforms.
fn halves(rms: f32) -> Table {
    let half_width = 3f32.sqrt() * rms;
    let value = |r: u16| f16::from_f32(((f32::from(r) + 0.5) / 32768.0 - 1.0) * half_width);
    (0..=u16::MAX).map(|r| value(r).to_le_bytes()).collect()
}

/// 16 random bits -> the f16 scale of a group, uniform from half to one and a half times a middle one. Its mean square
/// is 13/12 of the middle's square, and a ternary weight has mean square 2/3.
fn scales(rms: f32) -> Table {
    let middle = rms * (1.5f32 * 12.0 / 13.0).sqrt();
    let value = |r: u16| f16::from_f32(((f32::from(r) + 0.5) / 65536.0 + 0.5) * middle);
    (0..=u16::MAX).map(|r| value(r).to_le_bytes()).collect()
}
