//! Tokens with a meaning: what begins a text and what ends it.

use super::folder::Folder;
use super::header::Header;
use super::json::{Object, found};
use super::template::Template;
use crate::error::Result;
use crate::gguf::Decision;
use serde_json::Value;
use std::collections::BTreeMap;

const CONFIGS: [&str; 2] = ["generation_config.json", "config.json"];
const TOKENIZER: &str = "tokenizer_config.json";
const BOS: &str = "bos_token_id";
const EOS: &str = "eos_token_id";

/// What is needed to find them.
pub struct Specials<'a> {
    /// Ids by token.
    pub ids: &'a BTreeMap<&'a str, u32>,
    /// Number of tokens, padding included.
    pub vocab: u32,
    /// What tokenizer.json puts around a text; `None` where it says nothing of it.
    pub template: Option<Template>,
}

/// An id, and the file and field that it is from.
type Found = (u32, String);

impl Specials<'_> {
    /// Reads them from the folder's configurations and writes their keys.
    pub fn read(&self, folder: &mut Folder, header: &mut Header) -> Result<()> {
        let mut objects = Vec::new();
        for file in CONFIGS {
            objects.extend(object(folder, file)?.map(|object| (file, object)));
        }
        let settings = object(folder, TOKENIZER)?;
        let (first, last) = (self.around(folder, |t| &t.before)?, self.around(folder, |t| &t.behind)?);
        let named = |key| settings.as_ref().map_or(Ok(None), |settings| self.token(settings, key));
        let mut bos: Vec<Found> = named("bos_token")?.into_iter().collect();
        let mut eos: Vec<Found> = named("eos_token")?.into_iter().collect();
        for (file, object) in &objects {
            bos.extend(self.of_config(file, object, BOS)?);
            eos.extend(self.of_config(file, object, EOS)?);
        }
        let bos = first.clone().or(bos.into_iter().next());
        if let Some((id, origin)) = &bos {
            header.u32("tokenizer.ggml.bos_token_id", *id, origin);
        }
        write_ends(eos, header);
        let (add_bos, origin) = self.adds_bos(first.is_some(), settings.as_ref(), header)?;
        header.key("tokenizer.ggml.add_bos_token", &origin, |writer, key| writer.bool(key, add_bos && bos.is_some()));
        if last.is_some() {
            let origin = "tokenizer.json: post_processor";
            header.key("tokenizer.ggml.add_eos_token", origin, |writer, key| writer.bool(key, true));
        }
        if let Some(template) = settings.as_ref().and_then(|s| s.get("chat_template")).and_then(Value::as_str) {
            header.string("tokenizer.chat_template", template, "tokenizer_config.json: chat_template");
        }
        Ok(())
    }

    /// The token before or behind a text, by the template.
    fn around(&self, folder: &Folder, side: impl Fn(&Template) -> &Vec<String>) -> Result<Option<Found>> {
        let fail = |what: String| Err(folder.error("tokenizer.json", format!("\"post_processor\": {what}")));
        match self.template.as_ref().map(|template| &side(template)[..]) {
            None | Some([]) => Ok(None),
            Some([token]) => match self.ids.get(token.as_str()) {
                Some(&id) => Ok(Some((id, "tokenizer.json: post_processor".to_owned()))),
                None => fail(format!("puts {} around a text, which is no token", found(&token.as_str().into()))),
            },
            Some(several) => fail(format!("puts {} tokens on one side of a text; one runs here", several.len())),
        }
    }

    /// Whether a text begins with bos: tokenizer.json decides, and where it says nothing, tokenizer_config.json.
    fn adds_bos(&self, by_template: bool, settings: Option<&Object>, header: &mut Header) -> Result<(bool, String)> {
        let set = settings.map_or(Ok(None), |settings| settings.bool("add_bos_token"))?;
        match (&self.template, set) {
            (Some(_), Some(set)) if set != by_template => {
                let what = format!("add_bos_token is {set} in {TOKENIZER}, and the post_processor says {by_template}");
                header
                    .decisions
                    .push(Decision::new(format!("a prompt begins with bos: {by_template}, by tokenizer.json"), what));
                Ok((by_template, "tokenizer.json: post_processor".to_owned()))
            }
            (Some(_), _) => Ok((by_template, "tokenizer.json: post_processor".to_owned())),
            (None, Some(set)) => Ok((set, format!("{TOKENIZER}: add_bos_token"))),
            (None, None) => Ok((false, "tokenizer.json: no post_processor adds one".to_owned())),
        }
    }

    /// A token that tokenizer_config.json spells: a text, or an object with its content.
    fn token(&self, settings: &Object, key: &str) -> Result<Option<Found>> {
        let Some(value) = settings.get(key) else { return Ok(None) };
        let text = value.as_str().or_else(|| value.get("content").and_then(Value::as_str));
        let id = text.and_then(|text| self.ids.get(text));
        let what =
            || format!("{} is no token of tokenizer.json", text.map_or(found(value), |text| found(&text.into())));
        let id = id.ok_or_else(|| settings.error(key, what()))?;
        Ok(Some((*id, format!("{TOKENIZER}: {key}"))))
    }

    fn of_config(&self, file: &str, config: &Object, key: &str) -> Result<Vec<Found>> {
        let ids = config.counts(key)?;
        if let Some(id) = ids.iter().find(|&&id| id >= self.vocab) {
            return Err(config.error(key, format!("token {id} is outside the vocabulary of {}", self.vocab)));
        }
        Ok(ids.into_iter().map(|id| (id, format!("{file}: {key}"))).collect())
    }
}

fn object(folder: &mut Folder, file: &str) -> Result<Option<Object>> {
    let name = folder.name_of(file);
    // config.json was read before.
    let known =
        folder.files.iter().find(|part| part.path.ends_with(file)).map(|part| Object::parse(&name, &part.bytes));
    match known {
        Some(object) => object.map(Some),
        None => folder.map(file)?.map(|part| Object::parse(&name, &part.bytes)).transpose(),
    }
}

/// All tokens that some file takes for an end, each once; the first is the end of a text, the others end one, too.
fn write_ends(ends: Vec<Found>, header: &mut Header) {
    let mut ids: Vec<u32> = Vec::new();
    for (id, origin) in ends {
        if ids.is_empty() {
            header.u32("tokenizer.ggml.eos_token_id", id, &origin);
        }
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.len() > 1 {
        let origin = "eos_token and eos_token_id of the folder's configurations";
        // Below the size of the vocabulary, so they fit.
        let ids: Vec<i32> = ids.into_iter().filter_map(|id| id.try_into().ok()).collect();
        header.key("tokenizer.ggml.eos_token_ids", origin, |writer, key| writer.i32s(key, &ids));
    }
}
