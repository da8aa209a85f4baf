//! How receipts are laid out as text: objects one field a line, arrays of plain values on one line. A gate holds tens
//! of thousands of rounds, which would take a line for each number otherwise.

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};
use std::io::{Result, Write};

const INDENT: &[u8] = b"  ";

/// `value` as JSON, with a newline at its end.
pub fn to_vec(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Layout::default()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// What is open: objects always take lines, arrays only from the first element on that is an array or object itself.
#[derive(Default)]
struct Layout {
    open: Vec<Open>,
    /// An array element is about to be written, and whether it is the first.
    element: Option<bool>,
}

#[derive(Clone, Copy)]
struct Open {
    lines: bool,
    empty: bool,
}

impl Layout {
    fn line(&self, out: &mut (impl Write + ?Sized)) -> Result<()> {
        out.write_all(b"\n")?;
        self.open.iter().try_for_each(|_| out.write_all(INDENT))
    }

    /// A plain value follows on the same line.
    fn plain(&mut self, out: &mut (impl Write + ?Sized)) -> Result<()> {
        match self.element.take() {
            Some(false) => out.write_all(b" "),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8], lines: bool) -> Result<()> {
        if self.element.take().is_some() {
            if let Some(array) = self.open.last_mut() {
                array.lines = true;
            }
            self.line(out)?;
        }
        self.open.push(Open { lines, empty: true });
        out.write_all(bracket)
    }

    fn end(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8]) -> Result<()> {
        if self.open.pop().is_some_and(|open| open.lines && !open.empty) {
            self.line(out)?;
        }
        out.write_all(bracket)
    }

    fn filled(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.empty = false;
        }
    }
}

macro_rules! plain {
    ($($name:ident: $type:ty),*) => {
        $(fn $name<W: ?Sized + Write>(&mut self, out: &mut W, value: $type) -> Result<()> {
            self.plain(out)?;
            serde_json::ser::CompactFormatter.$name(out, value)
        })*
    };
}

impl Formatter for Layout {
    plain!(write_bool: bool, write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64, write_i128: i128,
        write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128, write_f32: f32, write_f64: f64,
        write_number_str: &str, write_raw_fragment: &str);

    fn write_null<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.plain(out)?;
        out.write_all(b"null")
    }

    fn begin_string<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.plain(out)?;
        out.write_all(b"\"")
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, out: &mut W, escape: CharEscape) -> Result<()> {
        serde_json::ser::CompactFormatter.write_char_escape(out, escape)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.begin(out, b"[", false)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.end(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> Result<()> {
        self.filled();
        self.element = Some(first);
        if first { Ok(()) } else { out.write_all(b",") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.begin(out, b"{", true)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.end(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> Result<()> {
        self.filled();
        if !first {
            out.write_all(b",")?;
        }
        self.line(out)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn arrays_of_plain_values_take_one_line() {
        let value = json!({"a": [1, -2.5, "x\"y", null, true], "b": [], "c": {}, "d": [{"e": [[1, 2], []]}, 3]});
        let text = String::from_utf8(to_vec(&value).unwrap()).unwrap();
        let want = "{\n  \"a\": [1, -2.5, \"x\\\"y\", null, true],\n  \"b\": [],\n  \"c\": {},\n  \
                    \"d\": [\n    {\n      \"e\": [\n        [1, 2],\n        []\n      ]\n    }, 3\n  ]\n}\n";
        assert_eq!(text, want);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(value in any_json()) {
            let back: Value = serde_json::from_slice(&to_vec(&value).unwrap()).unwrap();
            prop_assert_eq!(back, value);
        }
    }
}
