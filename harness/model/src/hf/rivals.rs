//! A second vocabulary in the folder: it must be the one of tokenizer.json, or nobody can say which the model means.

use super::bpe::{FILE, Tokenizer};
use super::folder::Folder;
use super::json;
use crate::error::{Error, Result};
use crate::gguf::quoted;
use crate::mapped;
use std::collections::BTreeMap;

const VOCAB: &str = "vocab.json";
const MERGES: &str = "merges.txt";
const ADDED: &str = "added_tokens.json";
const MODEL: &str = "tokenizer.model";

/// What is there where tokenizer.json is not.
pub fn no_tokenizer(folder: &Folder) -> Error {
    let next = if folder.has(MODEL) {
        "tokenizer.model alone is SentencePiece (or ranks), and only byte-level BPE in a tokenizer.json runs here"
    } else if folder.has(VOCAB) {
        "vocab.json and merges.txt do not say how a text is split; save the tokenizer with use_fast=True"
    } else {
        "download it, too"
    };
    folder.error(FILE, format!("is missing; {next}"))
}

/// Refuses a folder whose other vocabularies differ from tokenizer.json's.
pub fn check(folder: &Folder, tokenizer: &Tokenizer) -> Result<()> {
    let ids = tokenizer.ids();
    for file in [VOCAB, ADDED] {
        let Some(bytes) = other(folder, file)? else { continue };
        let rival: BTreeMap<String, u32> = json::parse(&folder.name_of(file), &bytes)?;
        if let Some((token, id)) = rival.iter().find(|(token, id)| ids.get(token.as_str()) != Some(id)) {
            let there = ids.get(token.as_str()).map_or("not there".to_owned(), |id| format!("id {id}"));
            return Err(differs(
                folder,
                file,
                &format!("token {} has id {id}, and there it is {there}", quoted(token)),
            ));
        }
        let left_out = |token: &&String| !rival.contains_key(*token) && !tokenizer.is_added(token);
        if file == VOCAB
            && let Some(token) = tokenizer.model.vocab.keys().find(left_out)
        {
            return Err(differs(folder, file, &format!("it lacks token {}", quoted(token))));
        }
    }
    check_merges(folder, tokenizer)?;
    check_model(folder, tokenizer)
}

/// A file that is looked at and no part of the model.
fn other(folder: &Folder, file: &str) -> Result<Option<mapped::Mapped>> {
    folder.has(file).then(|| mapped::map(&folder.path().join(file), "vocabulary")).transpose()
}

fn differs(folder: &Folder, file: &str, how: &str) -> Error {
    let next = "two tokenizers; remove the one that the model was not trained with";
    folder.error(file, format!("differs from tokenizer.json: {how}: {next}"))
}

fn check_merges(folder: &Folder, tokenizer: &Tokenizer) -> Result<()> {
    let (Some(bytes), Ok(merges)) = (other(folder, MERGES)?, tokenizer.merges()) else { return Ok(()) };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(folder.error(MERGES, "is not valid UTF-8; download it again"));
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with("#version") && !line.trim().is_empty());
    let mut lines = lines.map(|(number, line)| (number + 1, line));
    for (i, merge) in merges.iter().enumerate() {
        match lines.next() {
            Some((_, line)) if line == merge => {}
            Some((number, line)) => {
                let what = format!("line {number} is {}, and merge {i} there is {}", quoted(line), quoted(merge));
                return Err(differs(folder, MERGES, &what));
            }
            None => return Err(differs(folder, MERGES, &format!("it has {i} merges, and there are {}", merges.len()))),
        }
    }
    match lines.next() {
        None => Ok(()),
        Some((number, line)) => {
            let what = format!("line {number}, {}, is one more than the {} merges there", quoted(line), merges.len());
            Err(differs(folder, MERGES, &what))
        }
    }
}

/// tokenizer.model is a list of ranks, a line each, or else a SentencePiece model, which no byte-level BPE is.
fn check_model(folder: &Folder, tokenizer: &Tokenizer) -> Result<()> {
    let Some(bytes) = other(folder, MODEL)? else { return Ok(()) };
    let Some(ranks) = ranks(&bytes) else {
        return Err(differs(folder, MODEL, "it is a SentencePiece model, and there is byte-level BPE"));
    };
    let tokens = tokenizer.model.vocab.keys().filter(|token| !tokenizer.is_added(token)).count();
    if ranks == tokens {
        Ok(())
    } else {
        Err(differs(folder, MODEL, &format!("it has {ranks} tokens, and there are {tokens}")))
    }
}

/// Number of lines, if each is a token in base64 and its rank.
fn ranks(bytes: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_base64 = |token: &str| token.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    let is_rank =
        |line: &str| line.split_once(' ').is_some_and(|(token, rank)| is_base64(token) && rank.parse::<u32>().is_ok());
    let lines = || text.lines().filter(|line| !line.is_empty());
    lines().all(is_rank).then(|| lines().count())
}
