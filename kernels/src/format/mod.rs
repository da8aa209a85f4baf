//! Packed layouts. Each layout is one file that says how codes become bytes; nothing here knows what a code means.

mod from_i2s;
mod i2s;
mod interleave;
mod lut16;
mod lut8;
mod qk256;
mod tile8;
mod trit5;
mod vnni16;

pub(crate) use lut8::PAIRS as LUT8_PAIRS;
use std::fmt;

/// Runs `$body` for each 256-weight block of a `Dequantize` in the QK256 layout, with `$codes: &[u8; 64]`,
/// `$scale: f32` and `$out: &mut [f32; 256]`. A macro and not a function, so that the body is compiled with the
/// features of the function around it.
macro_rules! for_each_block {
    ($args:ident, |$codes:ident, $scale:ident, $out:ident| $body:block) => {{
        let blocks = $args.row_bytes / 64;
        let rows = $args.codes.chunks_exact($args.row_bytes).zip($args.scales.chunks_exact(blocks));
        for (weights, (codes, scales)) in $args.weights.chunks_exact_mut($args.k).zip(rows) {
            let (full, rest) = weights.as_chunks_mut::<256>();
            let codes = codes.as_chunks::<64>().0;
            for ((&$scale, $codes), $out) in scales.iter().zip(codes).zip(full) $body
            // A row that is not a multiple of the block: the last block goes through a buffer.
            if let (false, [.., $codes], &[.., $scale]) = (rest.is_empty(), codes, scales) {
                let mut buffer = [0f32; 256];
                let $out = &mut buffer;
                $body
                rest.copy_from_slice(&buffer[..rest.len()]);
            }
        }
    }};
}
pub(crate) use for_each_block;

/// Columns beyond which no size is computed.
const MOST_K: usize = 1 << (usize::BITS - 16);
/// Most bytes of codes: four times as many, for codes that are not packed, still fit a size.
const MOST_BYTES: usize = 1 << (usize::BITS - 4);

/// A layout of 2-bit codes in memory. Kernels name the one they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Packing {
    /// 256 codes in 64 bytes, in order, low bits first; an f32 scale for each block in an array of its own.
    Qk256,
    /// The published file's I2_S: 128 codes in 32 bytes, element j in byte j % 32, first 32 elements in the top bits;
    /// one scale.
    I2s,
    /// 8 rows interleaved: 32 bytes hold 8 rows x 16 k, one row a dword; one scale.
    I8Tile8,
    /// 16 rows interleaved: 64 bytes hold 16 rows x 16 k, one row a dword; one scale.
    Vnni16,
    /// 16 rows interleaved, five ternary codes a byte: 64 bytes hold 16 rows x 20 k; one scale.
    Trit5,
    /// 128 rows interleaved, three indices of three ternary codes in 16 bits: 256 bytes hold 128 rows x 9 k; one scale.
    Lut16,
    /// 64 rows interleaved, two indices of two ternary codes in a byte: 64 bytes hold 64 rows x 4 k; one scale.
    Lut8,
}

impl Packing {
    /// Every layout.
    pub const ALL: &'static [Self] =
        &[Self::Qk256, Self::I2s, Self::I8Tile8, Self::Vnni16, Self::Trit5, Self::Lut16, Self::Lut8];

    /// Name used in listings and receipts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qk256 => "qk256",
            Self::I2s => "i2s-128x32",
            Self::I8Tile8 => "tile8x16",
            Self::Vnni16 => "vnni16x16",
            Self::Trit5 => "trit5x16x20",
            Self::Lut16 => "lut16x128",
            Self::Lut8 => "lut8x64",
        }
    }

    /// Weights along k that are packed together; rows are padded to whole blocks.
    pub const fn block_k(self) -> usize {
        match self {
            Self::Qk256 => qk256::BLOCK_K,
            Self::I2s => i2s::BLOCK_K,
            Self::I8Tile8 => tile8::BLOCK_K,
            Self::Vnni16 => vnni16::BLOCK_K,
            Self::Trit5 => trit5::BLOCK_K,
            Self::Lut16 => lut16::BLOCK_K,
            Self::Lut8 => lut8::BLOCK_K,
        }
    }

    /// Rows that are packed together.
    pub const fn panel_rows(self) -> usize {
        match self {
            Self::Qk256 | Self::I2s => 1,
            Self::I8Tile8 => tile8::ROWS,
            Self::Vnni16 => vnni16::ROWS,
            Self::Trit5 => trit5::ROWS,
            Self::Lut16 => lut16::ROWS,
            Self::Lut8 => lut8::ROWS,
        }
    }

    /// Whether the layout has no place for code 3: it holds codes 0, 1, 2 with the ternary table and refuses everything
    /// else.
    pub const fn ternary_only(self) -> bool {
        matches!(self, Self::Trit5 | Self::Lut16 | Self::Lut8)
    }

    /// Whether each block of each row carries a scale (else there is one for the tensor).
    pub const fn has_block_scales(self) -> bool {
        matches!(self, Self::Qk256)
    }

    /// Bytes of one block: [`Self::block_k`] codes of each of [`Self::panel_rows`] rows.
    const fn block_bytes(self) -> usize {
        match self {
            Self::Qk256 => qk256::BLOCK_BYTES,
            Self::I2s => i2s::BLOCK_BYTES,
            Self::I8Tile8 => tile8::BLOCK_BYTES,
            Self::Vnni16 => vnni16::BLOCK_BYTES,
            Self::Trit5 => trit5::BLOCK_BYTES,
            Self::Lut16 => lut16::BLOCK_BYTES,
            Self::Lut8 => lut8::BLOCK_BYTES,
        }
    }

    /// Bytes of codes that one panel (all of k) takes.
    pub const fn panel_bytes(self, k: usize) -> usize {
        k.div_ceil(self.block_k()) * self.block_bytes()
    }

    /// Bits one weight takes in a full block, scales included.
    pub fn bits_per_weight(self) -> f64 {
        let scale_bytes = if self.has_block_scales() { size_of::<f32>() } else { 0 };
        (self.block_bytes() + scale_bytes) as f64 * 8.0 / (self.block_k() * self.panel_rows()) as f64
    }

    /// Bytes of codes that `rows` x `k` take, None if that is more than [`MOST_BYTES`].
    pub fn code_bytes(self, rows: usize, k: usize) -> Option<usize> {
        // `panel_bytes` overflows only for k that no memory holds a row of.
        let panel_bytes = if k > MOST_K { return None } else { self.panel_bytes(k) };
        rows.div_ceil(self.panel_rows()).checked_mul(panel_bytes).filter(|&bytes| bytes <= MOST_BYTES)
    }

    /// Packs one panel from its rows in the I2_S layout, `row_bytes` each; rows that are missing become padding, as
    /// [`Self::pack_panel`] would be given it. `scratch` is for the layouts that go by way of single codes.
    pub(crate) fn pack_panel_of_i2s(self, rows: &[u8], row_bytes: usize, scratch: &mut Vec<u8>, packed: &mut [u8]) {
        match self {
            Self::I2s => packed.copy_from_slice(rows),
            Self::Qk256 => from_i2s::qk256(rows, packed),
            Self::I8Tile8 => from_i2s::interleaved::<{ tile8::ROWS }>(rows, row_bytes, packed),
            Self::Vnni16 => from_i2s::interleaved::<{ vnni16::ROWS }>(rows, row_bytes, packed),
            Self::Trit5 | Self::Lut16 | Self::Lut8 => {
                let k = row_bytes / i2s::BLOCK_BYTES * i2s::BLOCK_K;
                let stride = k.next_multiple_of(self.block_k());
                // Padding is 1 from here on: the codes are overwritten, the columns beyond never.
                scratch.resize(self.panel_rows() * stride, 1);
                let mut sources = rows.chunks_exact(row_bytes);
                for codes in scratch.chunks_exact_mut(stride) {
                    match sources.next() {
                        Some(row) => i2s::unpack(row, &mut codes[..k]),
                        None => codes.fill(1),
                    }
                }
                self.pack_panel(scratch, packed);
            }
        }
    }

    /// Packs one panel: `codes` holds `panel_rows` rows of `padded_k` codes (a multiple of `block_k`), `packed` one
    /// panel.
    pub(crate) fn pack_panel(self, codes: &[u8], packed: &mut [u8]) {
        match self {
            Self::Qk256 => qk256::pack(codes, packed),
            Self::I2s => i2s::pack(codes, packed),
            Self::I8Tile8 => tile8::pack(codes, packed),
            Self::Vnni16 => vnni16::pack(codes, packed),
            Self::Trit5 => trit5::pack(codes, packed),
            Self::Lut16 => lut16::pack(codes, packed),
            Self::Lut8 => lut8::pack(codes, packed),
        }
    }

    /// The inverse of [`Self::pack_panel`].
    pub(crate) fn unpack_panel(self, packed: &[u8], codes: &mut [u8]) {
        match self {
            Self::Qk256 => qk256::unpack(packed, codes),
            Self::I2s => i2s::unpack(packed, codes),
            Self::I8Tile8 => tile8::unpack(packed, codes),
            Self::Vnni16 => vnni16::unpack(packed, codes),
            Self::Trit5 => trit5::unpack(packed, codes),
            Self::Lut16 => lut16::unpack(packed, codes),
            Self::Lut8 => lut8::unpack(packed, codes),
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_layout_round_trips(blocks in 1usize..5, seed in any::<u64>()) {
            for &packing in Packing::ALL {
                let k = blocks * packing.block_k();
                let mut state = seed | 1;
                let codes: Vec<u8> = (0..k * packing.panel_rows()).map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let code = (state >> 62) as u8;
                    if packing.ternary_only() { code % 3 } else { code }
                }).collect();
                let mut packed = vec![0; packing.panel_bytes(k)];
                packing.pack_panel(&codes, &mut packed);
                let mut unpacked = vec![9; codes.len()];
                packing.unpack_panel(&packed, &mut unpacked);
                prop_assert_eq!(&codes, &unpacked);
            }
        }
    }

    #[test]
    fn sizes_end_where_memory_does() {
        for &packing in Packing::ALL {
            let a_panel = packing.panel_bytes(packing.block_k());
            assert_eq!(packing.code_bytes(packing.panel_rows() + 1, packing.block_k()), Some(2 * a_panel));
            let panels = MOST_BYTES / a_panel;
            let most = packing.code_bytes(panels * packing.panel_rows(), packing.block_k());
            assert_eq!(most, Some(panels * a_panel), "{packing}");
            assert_eq!(packing.code_bytes((panels + 1) * packing.panel_rows(), packing.block_k()), None, "{packing}");
            assert_eq!(packing.code_bytes(1, MOST_K), Some(packing.panel_bytes(MOST_K)), "{packing}");
            assert_eq!(packing.code_bytes(1, MOST_K + 1), None, "{packing}");
            assert_eq!(packing.code_bytes(usize::MAX, MOST_K), None, "{packing}");
        }
        assert_eq!(Packing::Qk256.code_bytes(MOST_BYTES / 64, 256), Some(MOST_BYTES), "exactly as many");
    }

    #[test]
    fn a_layout_is_known_by_its_name_alone() {
        for &packing in Packing::ALL {
            let named: Vec<Packing> = Packing::ALL.iter().copied().filter(|p| p.name() == packing.name()).collect();
            assert_eq!(named, [packing]);
            assert_eq!(packing.to_string(), packing.name());
        }
    }

    #[test]
    fn bits_per_weight_are_the_published_ones() {
        let bits = Packing::ALL.iter().map(|p| (p.name(), p.bits_per_weight())).collect::<Vec<_>>();
        let expected = [
            ("qk256", 2.125),
            ("i2s-128x32", 2.0),
            ("tile8x16", 2.0),
            ("vnni16x16", 2.0),
            ("trit5x16x20", 1.6),
            ("lut16x128", 16.0 / 9.0),
            ("lut8x64", 2.0),
        ];
        assert_eq!(bits, expected);
    }
}
