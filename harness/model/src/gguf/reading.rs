//! What a file does not say itself: how the user wants it read, and what was decided on what evidence.

use super::types::{self, TypeInfo};
use serde::Serialize;
use std::fmt;

/// A byte layout of I2_S. Three share one type number, and all hold the same two-bit fields in other orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum I2sLayout {
    /// 128 weights in 32 bytes: the published files, and x86 builds with ACT_PARALLEL.
    X86,
    /// 4 rows a byte: x86 builds without ACT_PARALLEL.
    X86Rows,
    /// 64 weights in 16 bytes: Arm builds.
    Arm,
}

impl I2sLayout {
    /// All layouts, the one that is assumed first.
    pub const ALL: [Self; 3] = [Self::X86, Self::X86Rows, Self::Arm];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::X86Rows => "x86-rows",
            Self::Arm => "arm",
        }
    }

    /// Finds a layout by its name on the command line.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    /// The type of tensors that lie in this layout.
    pub(super) fn kind(self) -> TypeInfo {
        match self {
            Self::X86 => types::I2S,
            Self::X86Rows => types::I2S_ROWS,
            Self::Arm => types::I2S_ARM,
        }
    }
}

/// How a file is to be read, where the user says more than the file.
///
/// It is spelled behind the name of a file, `FILE?i2s-layout=arm`, so that whoever opens the file again, another
/// process too, reads it the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Layout of I2_S tensors; `None` to take the published one unless shapes rule it out.
    pub i2s: Option<I2sLayout>,
    /// Whether each scale of a ternary matrix is taken for its reciprocal: converters have written both.
    pub reciprocal: bool,
}

impl fmt::Display for Reading {
    /// As it stands behind a `?`; nothing for the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = self.i2s.map(|layout| format!("i2s-layout={}", layout.name()));
        let scale = self.reciprocal.then(|| "scale=reciprocal".to_owned());
        f.write_str(&layout.into_iter().chain(scale).collect::<Vec<_>>().join("&"))
    }
}

impl Reading {
    /// The reading that is spelled behind a file's `?`; `None` for words that are none.
    pub fn parse(words: &str) -> Option<Self> {
        words.split('&').try_fold(Self::default(), |reading, word| match word.split_once('=')? {
            ("i2s-layout", name) => Some(Self { i2s: Some(I2sLayout::by_name(name)?), ..reading }),
            ("scale", "reciprocal") => Some(Self { reciprocal: true, ..reading }),
            _ => None,
        })
    }
}

/// Something that a file's type numbers leave open, and why it is read as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// What was decided, for example `I2_S layout: x86`.
    pub what: String,
    /// Why, in words.
    pub evidence: String,
}

impl Decision {
    /// A decision with its evidence.
    pub fn new(what: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { what: what.into(), evidence: evidence.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_spelled_and_read_back() {
        for i2s in I2sLayout::ALL.map(Some).into_iter().chain([None]) {
            for reciprocal in [false, true] {
                let reading = Reading { i2s, reciprocal };
                let spelled = reading.to_string();
                let read = if spelled.is_empty() { Some(Reading::default()) } else { Reading::parse(&spelled) };
                assert_eq!(read, Some(reading), "{spelled}");
            }
        }
        for wrong in ["", "i2s-layout", "i2s-layout=", "i2s-layout=x87", "scale=1", "live=0.2", "i2s-layout=arm&x"] {
            assert_eq!(Reading::parse(wrong), None, "{wrong}");
        }
    }
}
