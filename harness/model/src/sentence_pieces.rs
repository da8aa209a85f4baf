//! SentencePiece's BPE (`tokenizer.ggml.model` = llama), built from the scores of a file's tokens.
//!
//! SentencePiece merges the pair whose token has the highest score, leftmost first, and spells characters that no token
//! has by their bytes. That is byte-level BPE's rule with merges in the order of scores, so the same library does it.
//! Two tokens of the same score would be merged leftmost first, whatever their order, which a list of merges cannot
//! say: such a file is refused. (Several ways to make one token are in a fixed order; it matters in no vocabulary whose
//! runs of one character are made from the left.)

use std::collections::HashMap;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence};

/// Longest token that is made by merging, in bytes. Vocabularies have tokens of a few dozen; looking for the parts of a
/// token takes time in the square of its length.
const LONGEST: usize = 256;
/// What a space is in a token.
const SPACE: &str = "\u{2581}";
/// `token_type` of ordinary tokens.
const NORMAL: i64 = 1;
/// `token_type` of the token for what has none.
const UNKNOWN: i64 = 2;
/// `token_type` of special tokens.
const CONTROL: i64 = 3;
/// `token_type` of tokens that stand for a byte, spelled `<0x0A>`.
const BYTE: i64 = 6;

/// The tokens of a file: spelling, type and score of each, in the order of their ids.
pub struct Pieces<'a> {
    /// How each token is spelled, with U+2581 for a space.
    pub tokens: &'a [&'a str],
    /// Each token's `token_type`.
    pub types: &'a [i64],
    /// Each token's score: the higher, the sooner it is made.
    pub scores: &'a [f32],
    /// Ids by spelling.
    pub ids: &'a HashMap<&'a str, u32>,
}

impl Pieces<'_> {
    /// The model that merges by score. The error is what is wrong with the vocabulary, without the place.
    pub fn model(&self) -> Result<BPE, String> {
        let absent = (0..=255u8).find(|byte| self.byte_of(&spelled(*byte)) != Some(*byte));
        if let Some(byte) = absent {
            return Err(format!("no token stands for the byte {}, so some texts have no tokens", spelled(byte)));
        }
        let vocab: Vocab = self.ids.iter().map(|(token, &id)| (token.to_string(), id)).collect();
        let bpe = BPE::builder().vocab_and_merges(vocab, self.merges()?).byte_fallback(true);
        bpe.build().map_err(|e| e.to_string())
    }

    /// Every pair of tokens that makes a token, the highest score first.
    fn merges(&self) -> Result<Vec<(String, String)>, String> {
        let mut made: Vec<(u32, Vec<(u32, u32)>)> = Vec::new();
        for (id, token) in self.tokens.iter().enumerate().filter(|(id, _)| self.types[*id] == NORMAL) {
            if token.len() > LONGEST {
                return Err(format!("token {id} has {} bytes, more than the {LONGEST} of any vocabulary", token.len()));
            }
            let cuts = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
            let of_tokens = |(left, right)| Some((*self.ids.get(left)?, *self.ids.get(right)?));
            let mut pairs: Vec<(u32, u32)> = cuts.filter_map(of_tokens).collect();
            pairs.sort_unstable();
            if !pairs.is_empty() {
                made.push((id as u32, pairs));
            }
        }
        let score = |id: u32| self.scores[id as usize];
        if let Some((id, _)) = made.iter().find(|(id, _)| !score(*id).is_finite()) {
            return Err(format!("the score of token {id} is {}, not a finite number", score(*id)));
        }
        made.sort_by(|(a, _), (b, _)| score(*b).total_cmp(&score(*a)));
        let tied = made.windows(2).find(|pair| score(pair[0].0) == score(pair[1].0));
        if let Some([(a, _), (b, _)]) = tied {
            let what = format!("tokens {a} and {b} have the same score, {}", score(*a));
            return Err(format!("{what}, so the order in which they are made is not known here"));
        }
        let spell = |id: u32| self.tokens[id as usize].to_string();
        Ok(made.into_iter().flat_map(|(_, pairs)| pairs).map(|(left, right)| (spell(left), spell(right))).collect())
    }

    /// The byte that a token stands for.
    fn byte_of(&self, token: &str) -> Option<u8> {
        let id = *self.ids.get(token)? as usize;
        byte_of(token, self.types[id])
    }
}

/// How a token of a byte is spelled.
fn spelled(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

fn byte_of(token: &str, kind: i64) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>').filter(|hex| kind == BYTE && hex.len() == 2)?;
    u8::from_str_radix(hex, 16).ok()
}

/// Raw bytes of a token; empty for special ones and the unknown one.
pub fn bytes(token: &str, kind: i64) -> Vec<u8> {
    match kind {
        CONTROL | UNKNOWN => Vec::new(),
        NORMAL => token.replace(SPACE, " ").into_bytes(),
        _ => byte_of(token, kind).map_or_else(|| token.as_bytes().to_vec(), |byte| vec![byte]),
    }
}

/// Writes spaces as tokens have them, and with `prefix` one before each text: at the start, and behind a special token.
pub fn normalizer(prefix: bool) -> tokenizers::Result<NormalizerWrapper> {
    let spaces = NormalizerWrapper::from(Replace::new(" ", SPACE)?);
    let prefix = prefix.then(|| NormalizerWrapper::from(Prepend::new(SPACE.into())));
    Ok(Sequence::new(prefix.into_iter().chain([spaces]).collect()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(tokens: &[&str], types: &[i64], scores: &[f32]) -> Result<BPE, String> {
        let ids = tokens.iter().enumerate().map(|(id, token)| (*token, id as u32)).collect();
        Pieces { tokens, types, scores, ids: &ids }.model()
    }

    #[test]
    fn vocabularies_that_have_no_one_meaning_are_refused() {
        let bytes: Vec<String> = (0..=255).map(spelled).collect();
        let with = |more: &[&'static str], scores: &[f32]| {
            let tokens: Vec<&str> = bytes.iter().map(String::as_str).chain(more.iter().copied()).collect();
            let types = [[BYTE; 256].to_vec(), vec![NORMAL; more.len()]].concat();
            model(&tokens, &types, &[&[0.0; 256], scores].concat())
        };
        assert!(with(&["a", "b", "ab", "ba"], &[-3.0, -4.0, -1.0, -2.0]).is_ok());
        let tied = with(&["a", "b", "ab", "ba"], &[-3.0, -4.0, -1.0, -1.0]).unwrap_err();
        assert!(tied.contains("tokens 258 and 259 have the same score, -1"), "{tied}");
        let no_score = with(&["a", "b", "ab"], &[0.0, 0.0, f32::NAN]).unwrap_err();
        assert!(no_score.contains("the score of token 258 is NaN"), "{no_score}");
        let long = "a".repeat(257).leak();
        let long = with(&[long], &[0.0]).unwrap_err();
        assert!(long.contains("token 256 has 257 bytes, more than the 256"), "{long}");
        let no_byte = model(&["a"], &[NORMAL], &[0.0]).unwrap_err();
        assert!(no_byte.contains("no token stands for the byte <0x00>"), "{no_byte}");
    }

    #[test]
    fn bytes_of_tokens() {
        assert_eq!(bytes("\u{2581}the\u{2581}", NORMAL), b" the ");
        assert_eq!((bytes("<0x0A>", BYTE), bytes("<0x0A>", NORMAL)), (vec![10], b"<0x0A>".to_vec()));
        assert!(bytes("<s>", CONTROL).is_empty() && bytes("<unk>", UNKNOWN).is_empty());
        assert_eq!(bytes("<mine>", 4), b"<mine>");
    }
}
