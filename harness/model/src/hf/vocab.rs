//! tokenizer.json: a byte-level BPE vocabulary as the metadata keys that a converter would write.

use super::bpe::{FILE, Tokenizer};
use super::folder::Folder;
use super::header::Header;
use super::pre::{self, LLAMA};
use super::rivals;
use super::special::Specials;
use super::template;
use crate::error::{Error, Result};
use crate::gguf::{Decision, quoted};

/// Types of tokens in GGUF.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
/// Largest vocabulary; published ones have up to 262,144 tokens.
const MAX_VOCAB: u32 = 1 << 22;

/// Reads the folder's vocabulary of `vocab` tokens into the header.
pub fn read(folder: &mut Folder, vocab: u32, header: &mut Header) -> Result<()> {
    let Some(part) = folder.map(FILE)? else { return Err(rivals::no_tokenizer(folder)) };
    let (name, bytes) = (part.path.display().to_string(), &*part.bytes);
    let tokenizer = Tokenizer::parse(&name, bytes)?;
    rivals::check(folder, &tokenizer)?;
    let at = |field: &str, what: String| Error::input(format!("{name}: {}: {what}", quoted(field)));
    tokenizer.check().map_err(|(field, what)| at(field, what))?;
    let pre = pre::name(tokenizer.pre_tokenizer.as_ref()).map_err(|what| at("pre_tokenizer", what))?;
    let template = template::read(tokenizer.post_processor.as_ref()).map_err(|what| at("post_processor", what))?;
    let merges = tokenizer.merges().map_err(|what| at("model.merges", what))?;
    let table = Table::new(&tokenizer, vocab).map_err(|(field, what)| at(field, what))?;
    header.decisions.extend(decisions(&tokenizer, pre, table.unused));
    header.string("tokenizer.ggml.model", "gpt2", "tokenizer.json: model.type");
    header.string("tokenizer.ggml.pre", pre, "tokenizer.json: pre_tokenizer");
    let origin = "tokenizer.json: model.vocab and added_tokens";
    header.key("tokenizer.ggml.tokens", origin, |writer, key| writer.strings(key, &table.tokens));
    header.key("tokenizer.ggml.token_type", origin, |writer, key| writer.i32s(key, &table.types));
    header.key("tokenizer.ggml.merges", "tokenizer.json: model.merges", |writer, key| writer.strings(key, &merges));
    Specials { ids: &tokenizer.ids(), vocab, template }.read(folder, header)
}

/// What is done otherwise than the file says, and why.
fn decisions(tokenizer: &Tokenizer, pre: &str, unused: usize) -> Vec<Decision> {
    let mut said = Vec::new();
    if tokenizer.normalizer.is_some() {
        let what = "texts are not normalised, though tokenizer.json asks for NFC";
        let why = "as in existing engines; it matters for texts that spell letters with combining accents";
        said.push(Decision::new(what, why));
    }
    if (pre == LLAMA) != tokenizer.model.ignore_merges {
        let (is, rule) = match pre {
            LLAMA => ("is not set", "win over merges here, as in existing engines with this pre-tokenizer"),
            _ => ("is set", "are merged like others here"),
        };
        let what = format!("tokens that spell a whole word {rule}");
        said.push(Decision::new(what, format!("ignore_merges {is} in tokenizer.json")));
    }
    if let Some(added) = tokenizer.added_tokens.iter().find(|added| added.strips()) {
        let what = format!("the added token {} takes no space around it in a prompt", quoted(&added.content));
        said.push(Decision::new(what, "as in existing engines; tokenizer.json asks for lstrip, rstrip or single_word"));
    }
    if unused > 0 {
        let what = format!("{unused} rows of the embedding have no token");
        said.push(Decision::new(what, "they are called [PADn], as converters do"));
    }
    said
}

/// All tokens with their types, by id.
struct Table {
    tokens: Vec<String>,
    types: Vec<i32>,
    /// Ids that no token has.
    unused: usize,
}

impl Table {
    fn new(tokenizer: &Tokenizer, vocab: u32) -> std::result::Result<Self, (&'static str, String)> {
        if vocab > MAX_VOCAB {
            return Err(("model.vocab", format!("config.json has vocab_size {vocab}, above {MAX_VOCAB}")));
        }
        let mut slots: Vec<Option<(&str, i32)>> = vec![None; vocab as usize];
        let of_model = tokenizer.model.vocab.iter().map(|(token, &id)| ("model.vocab", token.as_str(), id, NORMAL));
        let of_added = tokenizer.added_tokens.iter().map(|added| {
            let kind = if added.special { CONTROL } else { USER_DEFINED };
            ("added_tokens", added.content.as_str(), added.id, kind)
        });
        for (field, token, id, kind) in of_model.chain(of_added) {
            let Some(slot) = slots.get_mut(id as usize) else {
                let what = format!("token {} has id {id}, and config.json has vocab_size {vocab}", quoted(token));
                return Err((field, what));
            };
            // An added token may stand in the model's vocabulary, too.
            if let Some((other, _)) = slot.filter(|(other, _)| *other != token) {
                return Err((field, format!("tokens {} and {} both have id {id}", quoted(other), quoted(token))));
            }
            *slot = Some((token, kind));
        }
        let unused = slots.iter().filter(|slot| slot.is_none()).count();
        let filled = slots.iter().enumerate().map(|(id, slot)| match slot {
            Some((token, kind)) => ((*token).to_owned(), *kind),
            None => (format!("[PAD{id}]"), UNUSED),
        });
        let (tokens, types) = filled.unzip();
        Ok(Self { tokens, types, unused })
    }
}
