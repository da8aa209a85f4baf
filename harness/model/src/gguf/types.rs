//! GGML tensor types: codes, names and sizes, including the ternary ones that different projects number differently.

use serde::Serialize;

/// How tensor data is stored: a row of the table of known types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TypeInfo {
    /// Name of the type as its project spells it, for example `I2_S`.
    #[serde(rename = "type")]
    pub name: &'static str,
    /// Number that stands for the type in a file.
    #[serde(rename = "type_code")]
    pub code: u32,
    /// `None` where the layout depends on the build that wrote it.
    #[serde(skip)]
    size: Option<Size>,
}

/// `bytes` for each block of `elements` along the innermost dimension, `head` more for each row, `tail` for the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    elements: u64,
    bytes: u64,
    head: u64,
    tail: u64,
}

const fn block(code: u32, name: &'static str, elements: u64, bytes: u64) -> TypeInfo {
    TypeInfo { code, name, size: Some(Size { elements, bytes, head: 0, tail: 0 }) }
}

const fn unknown(code: u32, name: &'static str) -> TypeInfo {
    TypeInfo { code, name, size: None }
}

/// The type F32, which gains of norms have: 4 bytes an element.
pub const F32: TypeInfo = block(0, "F32", 1, 4);
/// The type F16, which the embedding has: 2 bytes an element.
pub const F16: TypeInfo = block(1, "F16", 1, 2);
/// The type I2_S of ternary weights: n/4 code bytes, 128 weights a block, then [`I2S_TAIL`] bytes.
pub const I2S: TypeInfo =
    TypeInfo { code: 36, name: "I2_S", size: Some(Size { elements: 128, bytes: 32, head: 0, tail: I2S_TAIL }) };
/// Bytes after the codes of an I2_S tensor: an f32 scale and 28 unused.
pub const I2S_TAIL: u64 = 32;
/// The type Q2_0 of ternary weights: 64 a block, an f16 scale and 16 code bytes.
pub const Q2_0: TypeInfo = block(42, "Q2_0", 64, 18);
const IQ2_BN: TypeInfo =
    TypeInfo { code: 135, name: "IQ2_BN", size: Some(Size { elements: 64, bytes: 16, head: 4, tail: 0 }) };

/// Codes 36 to 39 are those of the ternary ecosystem; mainline ggml retired 36 to 38 and reuses 39 for MXFP4.
static TYPES: &[TypeInfo] = &[
    F32,
    F16,
    block(2, "Q4_0", 32, 18),
    block(3, "Q4_1", 32, 20),
    block(6, "Q5_0", 32, 22),
    block(7, "Q5_1", 32, 24),
    block(8, "Q8_0", 32, 34),
    block(9, "Q8_1", 32, 36),
    block(10, "Q2_K", 256, 84),
    block(11, "Q3_K", 256, 110),
    block(12, "Q4_K", 256, 144),
    block(13, "Q5_K", 256, 176),
    block(14, "Q6_K", 256, 210),
    block(15, "Q8_K", 256, 292),
    block(16, "IQ2_XXS", 256, 66),
    block(17, "IQ2_XS", 256, 74),
    block(18, "IQ3_XXS", 256, 98),
    block(19, "IQ1_S", 256, 50),
    block(20, "IQ4_NL", 32, 18),
    block(21, "IQ3_S", 256, 110),
    block(22, "IQ2_S", 256, 82),
    block(23, "IQ4_XS", 256, 136),
    block(24, "I8", 1, 1),
    block(25, "I16", 1, 2),
    block(26, "I32", 1, 4),
    block(27, "I64", 1, 8),
    block(28, "F64", 1, 8),
    block(29, "IQ1_M", 256, 56),
    block(30, "BF16", 1, 2),
    block(31, "Q4_0_4_4", 32, 18),
    block(32, "Q4_0_4_8", 32, 18),
    block(33, "Q4_0_8_8", 32, 18),
    block(34, "TQ1_0", 256, 54),
    block(35, "TQ2_0", 256, 66),
    I2S,
    unknown(37, "I8_S"),
    unknown(38, "TL1"),
    unknown(39, "TL2"),
    Q2_0,
    IQ2_BN,
];

/// Finds the type with this code; `None` for a code that no project in the table uses.
pub fn find(code: u32) -> Option<TypeInfo> {
    TYPES.iter().find(|t| t.code == code).copied()
}

impl TypeInfo {
    /// Bytes that a tensor of `dims` (innermost first) takes; `Ok(None)` where the layout is not fixed by the code.
    /// The error is the reason in words, without a place.
    pub fn n_bytes(&self, dims: &[u64]) -> Result<Option<u64>, String> {
        let overflow = || "the number of elements overflows 64 bits".to_string();
        let elements = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).ok_or_else(overflow)?;
        let Some(size) = &self.size else { return Ok(None) };
        let (inner, block) = (dims.first().copied().unwrap_or(1).max(1), size.elements);
        if !inner.is_multiple_of(block) {
            let what = format!("the innermost dimension {inner} is not a multiple of {block}, the block of");
            return Err(format!("{what} {}", self.name));
        }
        let (blocks, heads) = ((elements / block).checked_mul(size.bytes), (elements / inner).checked_mul(size.head));
        let total = blocks.zip(heads).and_then(|(b, h)| b.checked_add(h)?.checked_add(size.tail));
        total.map(Some).ok_or_else(overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_published_file() {
        let size = |code, dims: &[u64]| find(code).unwrap().n_bytes(dims).unwrap();
        assert_eq!(size(1, &[2560, 128256]), Some(656_670_720));
        assert_eq!(size(36, &[2560, 640]), Some(2560 * 640 / 4 + 32));
        assert_eq!(size(0, &[6912]), Some(27648));
        assert_eq!(size(135, &[128, 3]), Some(3 * (4 + 32)));
        assert_eq!(size(37, &[128]), None);
    }

    #[test]
    fn codes_are_unique_and_bad_shapes_are_refused() {
        for (i, t) in TYPES.iter().enumerate() {
            assert!(TYPES[..i].iter().all(|u| u.code != t.code), "{}", t.name);
        }
        assert!(find(36).unwrap().n_bytes(&[64, 2]).unwrap_err().contains("multiple of 128"));
        assert!(find(0).unwrap().n_bytes(&[u64::MAX, 2]).unwrap_err().contains("overflow"));
        assert!(find(0).unwrap().n_bytes(&[u64::MAX]).unwrap_err().contains("overflow"));
        assert!(find(4).is_none());
    }
}
