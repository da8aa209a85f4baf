//! Typed access to metadata, with errors that name key, type and place.

use super::cursor::quoted;
use super::file::Gguf;
use super::metadata::{self, ArrayRef, Entry, Value, ValueType};
use crate::error::{Error, Result};

/// Longest array of numbers that settings may have: a value for each block, and models have fewer blocks.
const MAX_NUMBERS: usize = 4096;

fn number(value: &Value) -> Option<f64> {
    match *value {
        Value::Unsigned(n) => Some(n as f64),
        Value::Signed(n) => Some(n as f64),
        Value::F32(x) => Some(x.into()),
        Value::F64(x) => Some(x),
        Value::Bool(b) => Some(f64::from(u8::from(b))),
        Value::String(_) | Value::Array(_) => None,
    }
}

impl Gguf {
    /// Finds the metadata entry of this key, if the file has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.keys.get(key).map(|&i| &self.metadata[i])
    }

    /// Makes an input error about a key: where its value is and what is wrong with it, or that the file lacks the key.
    /// A folder's keys have no byte; it is said which of its files they follow from.
    pub fn key_error(&self, key: &str, what: impl std::fmt::Display) -> Error {
        let (name, quoted) = (&self.name, quoted(key));
        match (self.entry(key), self.parts.origins.get(key)) {
            (Some(_), Some(origin)) => Error::input(format!("{name}: {quoted} ({origin}): {what}")),
            (Some(entry), None) => Error::input(format!("{name}: {quoted} at byte {}: {what}", entry.at)),
            (None, _) => self.missing(key, "`model inspect` lists what is there"),
        }
    }

    /// Makes an input error about a key that the file lacks, with what to do.
    pub fn missing(&self, key: &str, next: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: metadata key {} is missing; {next}", self.name, quoted(key)))
    }

    /// The numbers of an entry: one number, a bool as 0 or 1, or those of a short array; `None` for anything else.
    pub fn numbers(&self, entry: &Entry) -> Option<Vec<f64>> {
        let Value::Array(array) = &entry.value else { return number(&entry.value).map(|x| vec![x]) };
        if array.len > MAX_NUMBERS || matches!(array.element, ValueType::String | ValueType::Array) {
            return None;
        }
        metadata::values(&self.name, &self.bytes, *array).map(|value| number(&value)).collect()
    }

    fn typed<'a, T>(&'a self, key: &str, want: &str, get: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        let found = || entry.value.summary(entry.kind);
        let refused = || self.key_error(key, format!("expected {want}, found {}", found()));
        get(&entry.value).map(Some).ok_or_else(refused)
    }

    /// Value of a key as u32, from an unsigned integer of any stored width; `None` if the file lacks the key.
    pub fn optional_u32(&self, key: &str) -> Result<Option<u32>> {
        self.typed(key, "an unsigned 32-bit integer", |v| match v {
            Value::Unsigned(n) => u32::try_from(*n).ok(),
            Value::Signed(n) => u32::try_from(*n).ok(),
            _ => None,
        })
    }

    /// Value of a key as f32; `None` if the file lacks the key.
    pub fn optional_f32(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a float", |v| match v {
            Value::F32(x) => Some(*x),
            Value::F64(x) => Some(*x as f32),
            _ => None,
        })
    }

    /// Value of a key as bool; `None` if the file lacks the key.
    pub fn optional_bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "a bool", |v| if let Value::Bool(b) = v { Some(*b) } else { None })
    }

    /// Whether the file says that it was made by `model synth`.
    pub fn synthetic(&self) -> bool {
        self.optional_bool("tritbench.synthetic").is_ok_and(|made| made == Some(true))
    }

    /// Value of a key as a string; `None` if the file lacks the key.
    pub fn optional_string(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", |v| if let Value::String(s) = v { Some(s.as_str()) } else { None })
    }

    fn array(&self, key: &str, want: &str, fits: impl Fn(ValueType) -> bool) -> Result<Option<ArrayRef>> {
        self.typed(key, want, |v| match v {
            Value::Array(a) if fits(a.element) => Some(*a),
            _ => None,
        })
    }

    /// Number of strings in a key's array, and the strings; `None` without the key. They are borrowed from the file and
    /// parsed as they are asked for.
    pub fn optional_strings(&self, key: &str) -> Result<Option<(usize, impl Iterator<Item = &str>)>> {
        let array = self.array(key, "an array of strings", |t| t == ValueType::String)?;
        Ok(array.map(|a| (a.len, metadata::strings(&self.name, &self.bytes, a))))
    }

    /// Number of strings in a key's array, and the strings; the file must have the key.
    pub fn required_strings(&self, key: &str) -> Result<(usize, impl Iterator<Item = &str>)> {
        self.optional_strings(key)?.ok_or_else(|| self.key_error(key, ""))
    }

    /// Numbers of a key's array of f32; `None` if the file lacks the key.
    pub fn optional_floats(&self, key: &str) -> Result<Option<impl Iterator<Item = f32>>> {
        let array = self.array(key, "an array of f32", |t| t == ValueType::F32)?;
        let float = |value| number(&value).unwrap_or_default() as f32;
        Ok(array.map(|a| metadata::values(&self.name, &self.bytes, a).map(float)))
    }

    /// Integers (as i64) of a key's array of i32 or u32; `None` if the file lacks the key.
    pub fn optional_integers(&self, key: &str) -> Result<Option<impl Iterator<Item = i64>>> {
        let fits = |t| matches!(t, ValueType::I32 | ValueType::U32);
        let array = self.array(key, "an array of 32-bit integers", fits)?;
        // Each fits an f64.
        let integer = |value| number(&value).unwrap_or_default() as i64;
        Ok(array.map(|a| metadata::values(&self.name, &self.bytes, a).map(integer)))
    }
}
