//! Byte-level BPE from the vocabulary and merges inside a GGUF file, or SentencePiece's from its vocabulary and scores.

use serde::Serialize;
use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::error::{Error, Result};
use crate::gguf::{Gguf, left_out, quoted};
use crate::keys;
use crate::sentence_pieces::{self, Pieces};
use crate::special_ids::SpecialIds;
use crate::texts::Texts;

/// `token_type` of special tokens: matched whole in a prompt, shown as nothing.
const CONTROL: i64 = 3;
/// `token_type` of tokens added by users: matched whole in a prompt, shown as they are spelled.
const USER_DEFINED: i64 = 4;
/// Tokens at which existing engines end a text, too, by their spelling: the ends of a turn of Llama-3 and of Qwen, with
/// which models end an answer rather than with eos, and the end of a text of Qwen and Falcon3.
const ENDS: [&str; 3] = ["<|eot_id|>", "<|im_end|>", "<|endoftext|>"];
const TOKENS: &str = "tokenizer.ggml.tokens";
const MERGES: &str = "tokenizer.ggml.merges";
const TYPES: &str = "tokenizer.ggml.token_type";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const SPACE_PREFIX: &str = "tokenizer.ggml.add_space_prefix";
/// The tokenizer of `tokenizer.ggml.model` whose merges are in the order of its tokens' scores.
const SENTENCE_PIECES: &str = "llama";
const SCORES: &str = "tokenizer.ggml.scores";
/// `token_type` of ordinary tokens.
const NORMAL: i64 = 1;

/// How text is cut into words before merging. The choice changes the tokens of some texts ("1 + 1 ="), so it is always
/// reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pre {
    /// The four regexes that existing engines use when a file does not say (`tokenizer.ggml.pre` absent).
    Default,
    /// GPT-2's regex.
    Gpt2,
    /// Llama-3's regex; whole words of the vocabulary win over merges. Existing engines take it for Falcon3, too.
    LlamaBpe,
    /// Qwen2's regex, which is Qwen3's too: Llama-3's with each digit alone, and merges as they are listed. Qwen's own
    /// tokenizer composes accents (NFC) before; existing engines do not, and neither does this program.
    Qwen2,
}

/// The default of existing engines (llama.cpp, `llama-vocab.cpp`): applied one after the other, each to the pieces of
/// the last.
const DEFAULT_REGEXES: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];
/// As in Llama-3's own tokenizer.json.
const LLAMA_BPE_REGEX: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// As in Qwen2's own tokenizer.json.
const QWEN2_REGEX: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// Names in files and on the command line; each pre-tokenizer is called by the first of its own.
const PRE_NAMES: [(&str, Pre); 8] = [
    ("default", Pre::Default),
    ("gpt-2", Pre::Gpt2),
    ("llama-bpe", Pre::LlamaBpe),
    ("llama3", Pre::LlamaBpe),
    ("llama-v3", Pre::LlamaBpe),
    ("falcon3", Pre::LlamaBpe),
    ("qwen2", Pre::Qwen2),
    ("deepseek-r1-qwen", Pre::Qwen2),
];

impl Pre {
    /// Finds a pre-tokenizer by its name in a file or on the command line: `default`, `gpt-2`, `llama-bpe` (also
    /// `llama3`, `llama-v3`, `falcon3`), `qwen2` (also `deepseek-r1-qwen`).
    pub fn parse(name: &str) -> Option<Self> {
        PRE_NAMES.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    /// Name of this pre-tokenizer, as [`Pre::parse`] takes it: `default`, `gpt-2`, `llama-bpe` or `qwen2`.
    pub fn name(self) -> &'static str {
        PRE_NAMES.iter().find(|row| row.1 == self).map_or("", |row| row.0)
    }

    /// The choice written in a file; `None` where the file does not say.
    fn of_file(gguf: &Gguf) -> Result<Option<Self>> {
        let key = "tokenizer.ggml.pre";
        let Some(name) = gguf.optional_string(key)? else { return Ok(None) };
        let known = || PRE_NAMES.map(|row| row.0).join(", ");
        let what = || format!("pre-tokenizer {} is not supported; known: {}", quoted(name), known());
        Self::parse(name).map(Some).ok_or_else(|| gguf.key_error(key, what()))
    }

    fn build(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let split = |regex: &str| -> tokenizers::Result<PreTokenizerWrapper> {
            Ok(Split::new(SplitPattern::Regex(regex.into()), SplitDelimiterBehavior::Isolated, false)?.into())
        };
        let bytes = |use_regex| PreTokenizerWrapper::from(ByteLevel::new(false, true, use_regex));
        let regexes: &[&str] = match self {
            Pre::Gpt2 => return Ok(bytes(true)),
            Pre::Default => &DEFAULT_REGEXES,
            Pre::LlamaBpe => &[LLAMA_BPE_REGEX],
            Pre::Qwen2 => &[QWEN2_REGEX],
        };
        let mut steps = regexes.iter().map(|r| split(r)).collect::<tokenizers::Result<Vec<_>>>()?;
        steps.push(bytes(false));
        Ok(Sequence::new(steps).into())
    }
}

/// Facts about a model's tokenizer: size, pre-tokenizer and special tokens.
#[derive(Clone, Debug, Serialize)]
pub struct TokenizerFacts {
    /// Number of tokens in the vocabulary.
    pub vocab: usize,
    /// Name of the pre-tokenizer in use.
    pub pre: &'static str,
    /// What the file says about its pre-tokenizer, or that it says nothing.
    pub pre_in_file: &'static str,
    /// Whether the file itself names the pre-tokenizer in use (not absent, not overridden).
    #[serde(skip)]
    pub pre_from_file: bool,
    /// Id of the begin-of-text token (bos), if the file names one.
    pub bos: Option<u32>,
    /// Id of the end-of-text token (eos), if the file names one.
    pub eos: Option<u32>,
    /// Whether the file asks for the begin-of-text token before a prompt.
    pub add_bos: bool,
    /// Tokens besides eos that end an answer: those that the file names, and those of the vocabulary that are spelled
    /// `<|eot_id|>`, `<|im_end|>` or `<|endoftext|>`.
    pub extra_stop_ids: Vec<u32>,
}

/// Turns text into token ids and back, by the vocabulary of a model file.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Bytes by token id, kept so that turning a token into text while decoding allocates nothing.
    pieces: Texts,
    /// Length in bytes of the longest token's text (for sizing buffers).
    pub longest_piece: usize,
    /// Size of the vocabulary, pre-tokenizer and special tokens.
    pub facts: TokenizerFacts,
    /// Keys that the file leaves out, each with what is assumed instead and why.
    pub assumed: Vec<String>,
}

impl Tokenizer {
    /// Builds the tokenizer of a file. `pre_override` replaces the file's pre-tokenizer (or the default, where it names
    /// none).
    pub fn from_gguf(gguf: &Gguf, pre_override: Option<Pre>) -> Result<Self> {
        let Some(model) = gguf.optional_string("tokenizer.ggml.model")? else {
            let file = gguf.path.display();
            let what = "no tokenizer in the file (metadata key \"tokenizer.ggml.model\" is missing)";
            return Err(Error::input(format!("{file}: {what}; use a GGUF that carries its vocabulary")));
        };
        if !["gpt2", SENTENCE_PIECES].contains(&model) {
            let known = "known: gpt2 (byte-level BPE), llama (SentencePiece)";
            let what = format!("tokenizer {} is not supported; {known}", quoted(model));
            return Err(gguf.key_error("tokenizer.ggml.model", what));
        }
        let by_score = model == SENTENCE_PIECES;
        if by_score && pre_override.is_some() {
            let what = "is llama (SentencePiece), which does not cut words before merging; leave --pre out";
            return Err(gguf.key_error("tokenizer.ggml.model", what));
        }
        // An unsupported name in the file does not matter to someone who overrides it.
        let of_file = if pre_override.is_some() || by_score { None } else { Pre::of_file(gguf)? };
        let pre = pre_override.or(of_file).unwrap_or(Pre::Default);
        let vocabulary = Vocabulary::read(gguf)?;
        let mut assumed = vocabulary.assumed.clone();
        if gguf.entry(MERGES).is_none() && !by_score {
            assumed.push(left_out(MERGES, "no tokens are merged"));
        }
        if pre_override.is_none() && of_file.is_none() && !by_score {
            assumed.push(left_out("tokenizer.ggml.pre", format!("{} is assumed, as in existing engines", pre.name())));
        }
        let SpecialIds { bos, eos, mut stops } = SpecialIds::read(gguf, vocabulary.tokens.len())?;
        let add_bos = match gguf.optional_bool(ADD_BOS)? {
            Some(add_bos) => add_bos,
            None => {
                // Files of Llama kin without the key still expect a bos, as existing engines assume.
                let add_bos = (by_score || pre == Pre::LlamaBpe) && bos.is_some();
                let kind = if by_score { "SentencePiece".into() } else { format!("pre-tokenizer {}", pre.name()) };
                let why = format!("{add_bos} is assumed, as with {kind} in existing engines");
                assumed.push(left_out(ADD_BOS, why));
                add_bos
            }
        };
        if add_bos && bos.is_none() {
            let what = "asks for a begin-of-text token, but \"tokenizer.ggml.bos_token_id\" is missing";
            return Err(gguf.key_error(ADD_BOS, format!("{what}; write the token's id there, or false here")));
        }
        let pieces = vocabulary.pieces(by_score);
        let longest_piece = pieces.longest();
        stops.extend(ENDS.iter().filter_map(|end| vocabulary.ids.get(end)));
        stops.sort_unstable();
        stops.dedup();
        stops.retain(|&id| Some(id) != eos);
        if eos.is_none() {
            let none = if stops.is_empty() { "no token ends a text" } else { "other tokens end a text" };
            assumed.push(left_out("tokenizer.ggml.eos_token_id", none));
        }
        let inner = match by_score {
            true => vocabulary.build_by_score(gguf, &mut assumed)?,
            false => vocabulary.build(gguf, pre)?,
        };
        keys::check_tokenizer(gguf)?;
        let facts = TokenizerFacts {
            vocab: pieces.ends.len(),
            pre: if by_score { "SentencePiece" } else { pre.name() },
            pre_in_file: if by_score { "SentencePiece" } else { of_file.map_or("absent -> default", Pre::name) },
            pre_from_file: of_file.is_some() || by_score,
            bos,
            eos,
            add_bos,
            extra_stop_ids: stops,
        };
        Ok(Self { inner, pieces, longest_piece, facts, assumed })
    }

    /// Turns `text` into token ids. Begins with bos if the file asks for it and `add_bos` is not `Some(false)`. Special
    /// tokens spelled out in the text become their ids.
    pub fn encode(&self, text: &str, add_bos: Option<bool>) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        let encoding = encoding.map_err(|e| Error::input(format!("cannot tokenize the text: {}", one_line(&e))))?;
        let bos = if add_bos.unwrap_or(self.facts.add_bos) { self.facts.bos } else { None };
        Ok(bos.into_iter().chain(encoding.get_ids().iter().copied()).collect())
    }

    /// Turns token ids into text; special tokens are left out, bytes that are not UTF-8 are replaced.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.piece(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Raw bytes of a token, perhaps part of a UTF-8 character; empty for special tokens and ids outside the
    /// vocabulary.
    pub fn piece(&self, id: u32) -> &[u8] {
        self.pieces.get(id as usize)
    }
}

fn one_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tokens as the file spells them, before the encoder sees them.
struct Vocabulary<'a> {
    tokens: Vec<&'a str>,
    types: Vec<i64>,
    ids: HashMap<&'a str, u32>,
    /// What was taken for keys that are not there.
    assumed: Vec<String>,
}

impl<'a> Vocabulary<'a> {
    fn read(gguf: &'a Gguf) -> Result<Self> {
        let Some((len, strings)) = gguf.optional_strings(TOKENS)? else {
            return Err(gguf.missing(TOKENS, "convert the model again, with its vocabulary"));
        };
        if len == 0 || len > u32::MAX as usize {
            return Err(gguf.key_error(TOKENS, format!("{len} tokens")));
        }
        let rows = gguf.find_tensor("token_embd.weight").map(|embedding| embedding.dims.get(1).copied().unwrap_or(1));
        if let Some(rows) = rows.filter(|&rows| rows != len as u64) {
            return Err(gguf.key_error(TOKENS, format!("{len} tokens, but the embedding has {rows} rows")));
        }
        let tokens: Vec<&str> = strings.collect();
        let mut ids = HashMap::with_capacity(len);
        for (id, token) in tokens.iter().enumerate() {
            if let Some(first) = ids.insert(*token, id as u32) {
                let what = format!("tokens {first} and {id} are both {}", quoted(token));
                return Err(gguf.key_error(TOKENS, what));
            }
        }
        let mut assumed = Vec::new();
        let types: Vec<i64> = match gguf.optional_integers(TYPES)? {
            Some(types) => types.collect(),
            None => {
                assumed.push(left_out(TYPES, "all tokens are taken for text, none for special"));
                vec![NORMAL; len]
            }
        };
        if types.len() != len {
            return Err(gguf.key_error(TYPES, format!("{} types for {len} tokens", types.len())));
        }
        Ok(Self { tokens, types, ids, assumed })
    }

    /// Each token's raw bytes.
    fn pieces(&self, by_score: bool) -> Texts {
        let (byte_of, mut pieces) = (byte_alphabet(), Texts::default());
        for (token, kind) in self.tokens.iter().zip(&self.types) {
            match *kind {
                kind if by_score => pieces.bytes.extend(sentence_pieces::bytes(token, kind)),
                CONTROL => {}
                USER_DEFINED => pieces.bytes.extend(token.bytes()),
                _ => {
                    let (start, mut spelled) = (pieces.bytes.len(), true);
                    let known = token.chars().map_while(|c| {
                        let byte = byte_of.get(c as usize).copied().flatten();
                        spelled = byte.is_some();
                        byte
                    });
                    pieces.bytes.extend(known);
                    // Where it is not spelled in the byte alphabet, it is an added token, which stands for itself.
                    if !spelled {
                        pieces.bytes.truncate(start);
                        pieces.bytes.extend(token.bytes());
                    }
                }
            }
            pieces.ends.push(pieces.bytes.len());
        }
        pieces
    }

    fn merges(&self, gguf: &Gguf) -> Result<Vec<(String, String)>> {
        let Some((len, strings)) = gguf.optional_strings(MERGES)? else {
            let made = |(token, kind): &(&&str, &i64)| **kind == NORMAL && token.chars().nth(1).is_some();
            let n = self.tokens.iter().zip(&self.types).filter(made).count();
            let what = format!("{n} tokens are made by merging, so convert the model again, with its merges");
            // The format's meaning of a file without merges: each byte is a token.
            return if n == 0 { Ok(Vec::new()) } else { Err(gguf.missing(MERGES, what)) };
        };
        let mut merges = Vec::with_capacity(len);
        for (i, merge) in strings.enumerate() {
            let Some((left, right)) = halves(merge) else {
                return Err(bad_merge(gguf, i, merge, "is not two tokens with a space between"));
            };
            merges.push((left.to_string(), right.to_string()));
        }
        Ok(merges)
    }

    /// The first merge that uses or makes a token that the vocabulary lacks, as an error. Whoever builds the tokenizer
    /// asks, when that failed: it looks all of them up itself, which is most of its time.
    fn lacking_merge(&self, gguf: &Gguf) -> Option<Error> {
        let (_, strings) = gguf.optional_strings(MERGES).ok()??;
        let known = |(left, right): (&str, &str)| {
            [left, right, &[left, right].concat()].iter().all(|token| self.ids.contains_key(token))
        };
        let (i, merge) = strings.enumerate().find(|(_, merge)| !halves(merge).is_some_and(known))?;
        Some(bad_merge(gguf, i, merge, "uses or makes a token that the vocabulary lacks"))
    }

    fn build(self, gguf: &Gguf, pre: Pre) -> Result<tokenizers::Tokenizer> {
        let failed =
            |e: tokenizers::Error| gguf.key_error(TOKENS, format!("cannot build the tokenizer: {}", one_line(&e)));
        let merges = self.merges(gguf)?;
        let owned: Vocab = self.tokens.iter().zip(0..).map(|(t, id)| (t.to_string(), id)).collect();
        let bpe = BPE::builder().vocab_and_merges(owned, merges).ignore_merges(pre == Pre::LlamaBpe);
        let bpe = bpe.build().map_err(|e| self.lacking_merge(gguf).unwrap_or_else(|| failed(e)))?;
        let mut inner = tokenizers::Tokenizer::new(bpe);
        inner.with_pre_tokenizer(Some(pre.build().map_err(failed)?));
        self.match_whole(&mut inner);
        Ok(inner)
    }

    /// SentencePiece's tokenizer: merges by score, spaces as the file says.
    fn build_by_score(self, gguf: &Gguf, assumed: &mut Vec<String>) -> Result<tokenizers::Tokenizer> {
        let failed =
            |e: tokenizers::Error| gguf.key_error(TOKENS, format!("cannot build the tokenizer: {}", one_line(&e)));
        let Some(scores) = gguf.optional_floats(SCORES)? else {
            return Err(gguf.missing(SCORES, "convert the model again, with its scores"));
        };
        let scores: Vec<f32> = scores.collect();
        if scores.len() != self.tokens.len() {
            let what = format!("{} scores for {} tokens", scores.len(), self.tokens.len());
            return Err(gguf.key_error(SCORES, what));
        }
        let prefix = gguf.optional_bool(SPACE_PREFIX)?;
        if prefix.is_none() {
            assumed.push(left_out(SPACE_PREFIX, "true is assumed, as with SentencePiece in existing engines"));
        }
        let Self { tokens, types, ids, .. } = &self;
        let model = Pieces { tokens, types, scores: &scores, ids }.model();
        let mut inner = tokenizers::Tokenizer::new(model.map_err(|what| gguf.key_error(SCORES, what))?);
        inner.with_normalizer(Some(sentence_pieces::normalizer(prefix.unwrap_or(true)).map_err(failed)?));
        self.match_whole(&mut inner);
        Ok(inner)
    }

    /// Lets special tokens and those that users added match whole. All are in the vocabulary already; ids stay the
    /// file's.
    fn match_whole(&self, inner: &mut tokenizers::Tokenizer) {
        let of_kind = |kind, special| {
            let tokens = self.tokens.iter().zip(&self.types).filter(move |(t, k)| **k == kind && !t.is_empty());
            // As they are spelled, not as a normalizer writes them.
            tokens.map(move |(t, _)| AddedToken::from(*t, special).normalized(false)).collect::<Vec<_>>()
        };
        inner.add_special_tokens(&of_kind(CONTROL, true));
        inner.add_tokens(&of_kind(USER_DEFINED, false));
    }
}

/// The two tokens of a merge; `None` where there are not two with a space between.
fn halves(merge: &str) -> Option<(&str, &str)> {
    merge.split_once(' ').filter(|(left, right)| !left.is_empty() && !right.is_empty())
}

fn bad_merge(gguf: &Gguf, number: usize, merge: &str, what: &str) -> Error {
    gguf.key_error(MERGES, format!("merge {number}, {}, {what}", quoted(merge)))
}

/// GPT-2's spelling of bytes as printable characters, inverted: `table[char] = byte`. Bytes that print stand for
/// themselves; the others, in order, are the characters from U+0100 on.
fn byte_alphabet() -> [Option<u8>; 0x100 + 68] {
    let mut table = [None; 0x100 + 68];
    let mut next = 0x100;
    for byte in 0..=255u8 {
        let prints = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let at = if prints { byte as usize } else { next };
        next += usize::from(!prints);
        table[at] = Some(byte); // 188 bytes print, so `next` ends at 0x100 + 68
    }
    table
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
