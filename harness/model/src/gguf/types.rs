//! GGML tensor types: codes, names and sizes, including the ternary ones that different projects number differently.

use crate::elements::{self, Elements};
use crate::encoding::{self, Encoding};
use serde::Serialize;

/// How tensor data is stored: a row of the table of known types.
#[derive(Clone, Copy, Debug, Serialize)]
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
    /// How codes and scales are read from it; `None` for a type that is not ternary.
    #[serde(skip)]
    pub encoding: Option<&'static Encoding>,
    /// How numbers are read from it; `None` for ternary types and for those that are not read here.
    #[serde(skip)]
    pub elements: Option<&'static Elements>,
}

/// `bytes` for each block of `elements` along the innermost dimension of `rows` rows, `head` more for each strip of so
/// many rows, `tail` for the tensor.
#[derive(Clone, Copy, Debug)]
struct Size {
    elements: u64,
    rows: u64,
    bytes: u64,
    head: u64,
    tail: u64,
}

const fn block(code: u32, name: &'static str, elements: u64, bytes: u64) -> TypeInfo {
    let size = Some(Size { elements, rows: 1, bytes, head: 0, tail: 0 });
    TypeInfo { code, name, size, encoding: None, elements: None }
}

const fn unknown(code: u32, name: &'static str) -> TypeInfo {
    TypeInfo { code, name, size: None, encoding: None, elements: None }
}

const fn dense(code: u32, name: &'static str, elements: &'static Elements) -> TypeInfo {
    TypeInfo { elements: Some(elements), ..block(code, name, elements.block as u64, elements.bytes as u64) }
}

const fn ternary(code: u32, name: &'static str, encoding: &'static Encoding) -> TypeInfo {
    let Encoding { block, rows, bytes, head, tail, .. } = *encoding;
    let (elements, rows) = (block as u64, rows as u64);
    let size = Some(Size { elements, rows, bytes: bytes as u64, head: head as u64, tail: tail as u64 });
    TypeInfo { code, name, size, encoding: Some(encoding), elements: None }
}

/// The type F32, which gains of norms have: 4 bytes an element.
pub const F32: TypeInfo = dense(0, "F32", &elements::F32);
/// The type F16, which the embedding has: 2 bytes an element.
pub const F16: TypeInfo = dense(1, "F16", &elements::F16);
/// The type BF16: 2 bytes an element, the upper half of an f32.
pub const BF16: TypeInfo = dense(30, "BF16", &elements::BF16);
/// The type I2_S of ternary weights: n/4 code bytes, 128 weights a block, then [`I2S_TAIL`] bytes.
pub const I2S: TypeInfo = ternary(36, "I2_S", &encoding::I2_S);
/// I2_S with four rows a byte.
pub const I2S_ROWS: TypeInfo = ternary(36, "I2_S", &encoding::I2_S_ROWS);
/// I2_S with 64 weights a block.
pub const I2S_ARM: TypeInfo = ternary(36, "I2_S", &encoding::I2_S_ARM);
/// Bytes after the codes of an I2_S tensor: an f32 scale and 28 unused.
pub const I2S_TAIL: u64 = encoding::I2_S.tail as u64;
/// TQ1_0 of llama.cpp.
pub const TQ1_0: TypeInfo = ternary(34, "TQ1_0", &encoding::TQ1_0);
/// TQ2_0 of llama.cpp.
pub const TQ2_0: TypeInfo = ternary(35, "TQ2_0", &encoding::TQ2_0);
/// IQ2_BN of ik_llama.cpp.
pub const IQ2_BN: TypeInfo = ternary(135, "IQ2_BN", &encoding::IQ2_BN);
/// PQ2_0 of PrismML's fork of llama.cpp.
pub const PQ2_0: TypeInfo = ternary(142, "PQ2_0", &encoding::PQ2_0);
/// PTQ1_0 of PrismML's fork of llama.cpp.
pub const PTQ1_0: TypeInfo = ternary(143, "PTQ1_0", &encoding::PTQ1_0);
/// Q2_0 with groups of 64.
pub const Q2_0: TypeInfo = ternary(42, "Q2_0", &encoding::Q2_0);
/// Q2_0 with groups of 128, as files had it before the type was ggml's.
pub const Q2_0_G128: TypeInfo = ternary(42, "Q2_0", &encoding::Q2_0_G128);

/// Packed uint8 weights of a Hugging Face checkpoint. Like all types of checkpoints it has a code that no GGUF file
/// has.
pub const HF_PACKED: TypeInfo = ternary(0x8000_0000, "U8", &encoding::HF_PACKED);
/// Latent bf16 weights of a checkpoint, which are made ternary when they are read.
pub const BF16_MASTER: TypeInfo = ternary(0x8000_0001, "BF16", &encoding::BF16_MASTER);
/// Latent f16 weights of a checkpoint.
pub const F16_MASTER: TypeInfo = ternary(0x8000_0002, "F16", &encoding::F16_MASTER);
/// Latent f32 weights of a checkpoint.
pub const F32_MASTER: TypeInfo = ternary(0x8000_0003, "F32", &encoding::F32_MASTER);

/// Codes 36 to 39 are those of the ternary ecosystem; mainline ggml retired 36 to 38 and reuses 39 for MXFP4. Codes
/// from 133 on are those of forks: ik_llama.cpp once had types under 142 and 143 that are not PrismML's.
static TYPES: &[TypeInfo] = &[
    F32,
    F16,
    dense(2, "Q4_0", &elements::Q4_0),
    block(3, "Q4_1", 32, 20),
    block(6, "Q5_0", 32, 22),
    block(7, "Q5_1", 32, 24),
    dense(8, "Q8_0", &elements::Q8_0),
    block(9, "Q8_1", 32, 36),
    block(10, "Q2_K", 256, 84),
    block(11, "Q3_K", 256, 110),
    dense(12, "Q4_K", &elements::Q4_K),
    block(13, "Q5_K", 256, 176),
    dense(14, "Q6_K", &elements::Q6_K),
    block(15, "Q8_K", 256, 292),
    block(16, "IQ2_XXS", 256, 66),
    block(17, "IQ2_XS", 256, 74),
    block(18, "IQ3_XXS", 256, 98),
    block(19, "IQ1_S", 256, 50),
    dense(20, "IQ4_NL", &elements::IQ4_NL),
    block(21, "IQ3_S", 256, 110),
    block(22, "IQ2_S", 256, 82),
    block(23, "IQ4_XS", 256, 136),
    block(24, "I8", 1, 1),
    block(25, "I16", 1, 2),
    block(26, "I32", 1, 4),
    block(27, "I64", 1, 8),
    block(28, "F64", 1, 8),
    block(29, "IQ1_M", 256, 56),
    BF16,
    block(31, "Q4_0_4_4", 32, 18),
    block(32, "Q4_0_4_8", 32, 18),
    block(33, "Q4_0_8_8", 32, 18),
    TQ1_0,
    TQ2_0,
    I2S,
    unknown(37, "I8_S"),
    unknown(38, "TL1"),
    unknown(39, "TL2"),
    Q2_0,
    unknown(134, "IQ1_BN"),
    IQ2_BN,
    PQ2_0,
    PTQ1_0,
];

/// Layouts beside that of `TYPES` which share its code, and types of checkpoints.
static OTHERS: &[TypeInfo] = &[I2S_ROWS, I2S_ARM, Q2_0_G128, HF_PACKED, BF16_MASTER, F16_MASTER, F32_MASTER];

/// Finds the type with this code, the first of its layouts; `None` for a code that no project in the table uses.
pub fn find(code: u32) -> Option<TypeInfo> {
    TYPES.iter().find(|t| t.code == code).copied()
}

/// Names of the types of GGUF files that are so, in words.
pub fn names(are_so: impl Fn(&TypeInfo) -> bool) -> String {
    let all: Vec<&str> = TYPES.iter().filter(|t| are_so(t)).map(|t| t.name).collect();
    match all.split_last() {
        Some((last, [])) => last.to_string(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Whether tensors of this code lie in one of several layouts, which the code alone does not tell.
pub fn has_layouts(code: u32) -> bool {
    TYPES.iter().chain(OTHERS).filter(|t| t.code == code).count() > 1
}

/// The type that tensors of this encoding have.
pub fn of_encoding(encoding: &Encoding) -> Option<TypeInfo> {
    let has = |t: &&TypeInfo| t.encoding.is_some_and(|found| found.name == encoding.name);
    TYPES.iter().chain(OTHERS).find(has).copied()
}

/// One row of the table is one type: a code and, where layouts share a code, an encoding.
impl PartialEq for TypeInfo {
    fn eq(&self, other: &Self) -> bool {
        let layout = |kind: &Self| kind.encoding.map(|encoding| encoding.name);
        self.code == other.code && layout(self) == layout(other)
    }
}

impl Eq for TypeInfo {}

impl TypeInfo {
    /// The type's name, and behind it the encoding of a layout that is not the code's first.
    pub fn layout_name(&self) -> String {
        match self.encoding {
            Some(encoding) if find(self.code) != Some(*self) => format!("{} ({})", self.name, encoding.name),
            _ => self.name.to_string(),
        }
    }

    /// Bytes that a tensor of `dims` (innermost first) takes; `Ok(None)` where the layout is not fixed by the code.
    /// The error is the reason in words, without a place.
    pub fn n_bytes(&self, dims: &[u64]) -> Result<Option<u64>, String> {
        let overflow = || "the number of elements overflows 64 bits".to_string();
        let elements = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).ok_or_else(overflow)?;
        let Some(size) = &self.size else { return Ok(None) };
        let (inner, block) = (dims.first().copied().unwrap_or(1).max(1), size.elements);
        if !inner.is_multiple_of(block) {
            let what = format!("the innermost dimension {inner} is not a multiple of {block}, the block of");
            return Err(format!("{what} {}", self.layout_name()));
        }
        let rows = elements / inner;
        if !rows.is_multiple_of(size.rows) {
            let what = format!("{rows} rows are not a multiple of {}, which share bytes in", size.rows);
            return Err(format!("{what} {}", self.layout_name()));
        }
        let strips = rows / size.rows;
        let row = (inner / block).checked_mul(size.bytes).and_then(|bytes| bytes.checked_add(size.head));
        let total = row.and_then(|row| row.checked_mul(strips)?.checked_add(size.tail));
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
        // Ternary-Bonsai 1.7B: an embedding of 151,936 rows, by 18 and by 34 bytes.
        assert_eq!(size(42, &[2048, 151_936]), Some(151_936 * 32 * 18));
        assert_eq!(Q2_0_G128.n_bytes(&[2048, 151_936]).unwrap(), Some(151_936 * 16 * 34));
        assert_eq!((size(142, &[128, 2]), size(143, &[256, 3])), (Some(68), Some(3 * 2 * 28)));
        assert_eq!(HF_PACKED.n_bytes(&[5, 8]).unwrap(), Some(10));
        assert_eq!(F32_MASTER.n_bytes(&[5, 8]).unwrap(), Some(160));
    }

    /// A size by the type is a size by the encoding, whatever the layout.
    #[test]
    fn layouts_of_one_code_are_told_apart() {
        for kind in TYPES.iter().chain(OTHERS).filter(|kind| kind.encoding.is_some()) {
            let encoding = kind.encoding.unwrap();
            assert_eq!(of_encoding(encoding), Some(*kind), "{}", encoding.name);
            assert_eq!(kind.n_bytes(&[768, 8]).unwrap(), Some(encoding.n_bytes(8, 768) as u64), "{}", encoding.name);
        }
        assert_eq!((find(36), find(42)), (Some(I2S), Some(Q2_0)));
        assert!(has_layouts(36) && has_layouts(42) && !has_layouts(34) && !has_layouts(1));
        assert!(I2S != I2S_ARM && I2S != I2S_ROWS && I2S_ARM != I2S_ROWS && Q2_0 != Q2_0_G128);
        assert_eq!((I2S.layout_name().as_str(), I2S_ARM.layout_name().as_str()), ("I2_S", "I2_S (i2_s-arm)"));
        assert!(I2S_ROWS.n_bytes(&[128, 6]).unwrap_err().contains("6 rows are not a multiple of 4"));
        assert!(OTHERS.iter().all(|kind| kind.code >= 0x8000_0000 || find(kind.code).is_some()));
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
