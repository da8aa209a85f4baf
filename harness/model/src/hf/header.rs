//! The GGUF header that a folder becomes, with the origin of each key.

use crate::gguf::Decision;
use crate::gguf::writer::HeaderWriter;
use std::collections::HashMap;

/// A header in the making.
#[derive(Default)]
pub struct Header {
    writer: HeaderWriter,
    /// By key: the file and the field it comes from.
    pub origins: HashMap<String, String>,
    /// What the files leave open, and why they are read as they are.
    pub decisions: Vec<Decision>,
}

impl Header {
    /// Adds a key by one of the writer's methods; `origin` says which file and field its value is from.
    pub fn key(&mut self, key: &str, origin: &str, add: impl FnOnce(HeaderWriter, &str) -> HeaderWriter) {
        self.writer = add(std::mem::take(&mut self.writer), key);
        self.origins.insert(key.to_owned(), origin.to_owned());
    }

    /// Adds a count.
    pub fn u32(&mut self, key: &str, value: u32, origin: &str) {
        self.key(key, origin, |writer, key| writer.u32(key, value));
    }

    /// Adds a number.
    pub fn f32(&mut self, key: &str, value: f32, origin: &str) {
        self.key(key, origin, |writer, key| writer.f32(key, value));
    }

    /// Adds a text.
    pub fn string(&mut self, key: &str, value: &str, origin: &str) {
        self.key(key, origin, |writer, key| writer.string(key, value));
    }

    /// The header's bytes.
    pub fn finish(&self) -> Vec<u8> {
        self.writer.finish()
    }
}
