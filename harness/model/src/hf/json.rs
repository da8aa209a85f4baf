//! JSON files of a folder, whose errors name the file and the field.

use crate::error::{Error, Result};
use crate::gguf::{quoted, stranger};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Largest JSON file that is read: vocabularies have 20 MB.
const MAX_BYTES: usize = 256 << 20;
/// Longest part of a parser's message that is repeated.
const SAID_CHARS: usize = 160;

/// Parses a whole JSON file; `file` is its name in errors.
pub fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::input(format!(
            "{file}: {} bytes; no file of a model has more than {MAX_BYTES}",
            bytes.len()
        )));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let what = match stranger::lfs_pointer(bytes) {
            Some(pointer) => pointer,
            None => format!("is not the JSON that it should be: {}; download it again", one_line(&error)),
        };
        Error::input(format!("{file}: {what}"))
    })
}

/// A parser's message on one line, cut short.
pub fn one_line(error: &dyn std::fmt::Display) -> String {
    let safe = |c: char| if c.is_control() { ' ' } else { c };
    error.to_string().chars().take(SAID_CHARS).map(safe).collect()
}

/// An object of a JSON file: the file's own, or one inside it.
pub struct Object {
    /// Path of the file, for errors.
    pub file: String,
    /// Where the object is in the file: names with dots behind them.
    prefix: String,
    map: Map<String, Value>,
}

impl Object {
    /// Parses a file that must hold an object.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        Ok(Self { file: file.to_owned(), prefix: String::new(), map: parse(file, bytes)? })
    }

    /// Names and values, without those that are null: null means absent.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.map.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.as_str(), value))
    }

    /// Makes an input error about a field.
    pub fn error(&self, key: &str, what: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: {}: {what}", self.file, quoted(&format!("{}{key}", self.prefix))))
    }

    /// Makes the error that a field is missing, with what to do.
    pub fn missing(&self, key: &str, next: impl std::fmt::Display) -> Error {
        self.error(key, format!("is missing; write {next}"))
    }

    /// The value of a field; `None` where it is absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn typed<'a, T>(&'a self, key: &str, want: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let refused = || self.error(key, format!("expected {want}, found {}", found(value)));
        read(value).map(Some).ok_or_else(refused)
    }

    /// A count of a field.
    pub fn count(&self, key: &str) -> Result<Option<u32>> {
        self.typed(key, "a count", |value| value.as_u64()?.try_into().ok())
    }

    /// A count that must be there; `next` says what to write.
    pub fn required_count(&self, key: &str, next: &str) -> Result<u32> {
        self.count(key)?.ok_or_else(|| self.missing(key, next))
    }

    /// A number of a field.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// A truth of a field.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A text of a field.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a text", Value::as_str)
    }

    /// The texts of a field: one, or a list.
    pub fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let all = self.typed(key, "a list of texts", |value| match value {
            Value::Array(list) => list.iter().map(Value::as_str).collect(),
            one => Some(vec![one.as_str()?]),
        })?;
        Ok(all.unwrap_or_default())
    }

    /// The counts of a field: one, or a list.
    pub fn counts(&self, key: &str) -> Result<Vec<u32>> {
        let count = |value: &Value| -> Option<u32> { value.as_u64()?.try_into().ok() };
        let all = self.typed(key, "a count, or a list of counts", |value| match value {
            Value::Array(list) => list.iter().map(count).collect(),
            one => Some(vec![count(one)?]),
        })?;
        Ok(all.unwrap_or_default())
    }

    /// An object of a field.
    pub fn object(&self, key: &str) -> Result<Option<Object>> {
        let map = self.typed(key, "an object", Value::as_object)?;
        let prefix = format!("{}{key}.", self.prefix);
        Ok(map.map(|map| Self { file: self.file.clone(), prefix, map: map.clone() }))
    }
}

/// A value in words, cut short.
pub fn found(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(map) => format!("an object of {}", map.len()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_type_and_errors_name_file_and_field() {
        let text = br#"{"n": 3, "none": null, "list": [1, 2], "in": {"x": "y"}, "half": 0.5, "yes": true}"#;
        let object = Object::parse("d/config.json", text).unwrap();
        assert_eq!((object.count("n").unwrap(), object.count("none").unwrap()), (Some(3), None));
        assert_eq!((object.counts("list").unwrap(), object.counts("n").unwrap()), (vec![1, 2], vec![3]));
        assert_eq!((object.number("half").unwrap(), object.bool("yes").unwrap()), (Some(0.5), Some(true)));
        let inner = object.object("in").unwrap().unwrap();
        assert_eq!((inner.text("x").unwrap(), inner.texts("x").unwrap()), (Some("y"), vec!["y"]));
        let said = |error: Error| error.to_string();
        assert_eq!(said(inner.count("x").unwrap_err()), "d/config.json: \"in.x\": expected a count, found \"y\"");
        assert!(said(object.count("half").unwrap_err()).contains("\"half\": expected a count, found 0.5"));
        assert!(said(object.counts("yes").unwrap_err()).contains("found true"));
        assert!(said(object.text("list").unwrap_err()).contains("expected a text, found a list of 2"));
        assert!(
            said(object.required_count("m", "the width").unwrap_err()).ends_with("\"m\": is missing; write the width")
        );
        for (bytes, part) in [
            (&b"[1]"[..], "expected a map at line 1"),
            (b"{\"a\": ", "EOF"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:7\nsize 12\n", "Git LFS pointer to a file of 12"),
        ] {
            let error = said(Object::parse("config.json", bytes).err().unwrap());
            assert!(error.starts_with("config.json: ") && error.contains(part), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
