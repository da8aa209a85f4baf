//! The model that ships inside the program: a small trained ternary language model, its text and its goldens.
//! It is found from any working directory, with no download.

use crate::error::Result;
use crate::gguf::Gguf;

/// Forces alignment on included bytes, so that f32 and f16 tensors can be cast in place.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../scenarios/model/shakespeare-ternary.gguf"));

/// Name of the built-in model in reports and errors.
pub const NAME: &str = "builtin:shakespeare-ternary";
/// The built-in model's text: Shakespeare, public domain, 1.1 MB; the last 5% was held out of training.
pub static TEXT: &str = include_str!("../../../scenarios/model/shakespeare.txt");
/// The built-in model's expected answers (goldens) as JSON, written by an independent float64 implementation.
pub static GOLDEN_JSON: &str = include_str!("../../../scenarios/model/golden.json");

/// The bytes of the built-in GGUF file, aligned to 64.
pub fn bytes() -> &'static [u8] {
    &MODEL.0
}

/// Opens the built-in model's GGUF file from memory and checks its header.
pub fn open() -> Result<Gguf> {
    Gguf::from_bytes(NAME, bytes())
}

/// The held-out part of the text that the golden perplexity is measured on: 24,000 bytes at 95% of the text.
pub fn held_out_text() -> &'static str {
    // The text is ASCII (tested), so bytes are characters and this is how the oracle cut it.
    let start = TEXT.len() / 100 * 95 + TEXT.len() % 100 * 95 / 100;
    TEXT.get(start..start + 24_000).unwrap_or(TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_and_casts_in_place() {
        let gguf = open().unwrap();
        assert_eq!(bytes().as_ptr() as usize % 64, 0);
        assert_eq!(gguf.f16s(gguf.tensor("token_embd.weight").unwrap()).unwrap().len(), 512 * 1024);
        assert_eq!(gguf.f32s(gguf.tensor("output_norm.weight").unwrap()).unwrap().len(), 512);
    }

    #[test]
    fn held_out_text_is_what_the_oracle_used() {
        assert!(TEXT.is_ascii());
        assert_eq!(held_out_text().len(), 24_000);
        assert_eq!(held_out_text().as_ptr() as usize - TEXT.as_ptr() as usize, (TEXT.len() as f64 * 0.95) as usize);
    }
}
