//! Metadata values. Scalars are stored; arrays stay in the file and are walked again when asked for, so that
//! 280,000 merges cost nothing until a tokenizer wants them.

use super::cursor::Cursor;
use crate::error::Result;

/// Longest metadata key in bytes (the limit of the GGUF specification).
pub const MAX_KEY_BYTES: u64 = 65_535;
/// Longest string value: chat templates are a few KiB; no known file comes near this.
const MAX_STRING_BYTES: u64 = 16 << 20;
/// Arrays of arrays of ... : GGUF allows nesting, real files do not use it; a bound keeps the walk off the stack's end.
const MAX_NESTING: u32 = 4;
/// Elements of all arrays together, nested ones included; an empty nested array takes 12 bytes, so size alone bounds it
/// too.
const MAX_ELEMENTS: u64 = 1 << 28;

/// Types of GGUF values, in the order of their codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the types
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

use ValueType as T;

/// By code: the type, its name, and the fewest bytes that one element takes in an array.
static VALUE_TYPES: [(ValueType, &str, usize); 13] = [
    (T::U8, "u8", 1),
    (T::I8, "i8", 1),
    (T::U16, "u16", 2),
    (T::I16, "i16", 2),
    (T::U32, "u32", 4),
    (T::I32, "i32", 4),
    (T::F32, "f32", 4),
    (T::Bool, "bool", 1),
    (T::String, "string", 8),
    (T::Array, "array", 12),
    (T::U64, "u64", 8),
    (T::I64, "i64", 8),
    (T::F64, "f64", 8),
];

impl ValueType {
    /// Name of the type in errors and listings, for example `u32`.
    pub fn name(self) -> &'static str {
        VALUE_TYPES[self as usize].1
    }

    fn min_bytes(self) -> usize {
        VALUE_TYPES[self as usize].2
    }
}

/// A metadata array that stays in the file: where it is, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayRef {
    /// Type of the elements.
    pub element: ValueType,
    /// Number of elements.
    pub len: usize,
    /// Byte offset of the first element within the file.
    pub at: usize,
}

/// A metadata value. Integers keep their sign but not their width: readers ask for what they need, and are told if it
/// does not fit.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // as above
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    Array(ArrayRef),
}

impl Value {
    /// Describes the value for errors: type as stored and value, text cut short.
    pub fn summary(&self, kind: ValueType) -> String {
        match self {
            Self::String(s) => format!("string {}", super::cursor::quoted(s)),
            Self::Array(a) => format!("array of {} {}", a.len, a.element.name()),
            Self::Unsigned(n) => format!("{} {n}", kind.name()),
            Self::Signed(n) => format!("{} {n}", kind.name()),
            Self::F32(x) => format!("f32 {x}"),
            Self::F64(x) => format!("f64 {x}"),
            Self::Bool(b) => format!("bool {b}"),
        }
    }
}

/// One metadata key with its value, and where in the file that is.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Name of the key, for example `general.name`.
    pub key: String,
    /// Type of the value as stored in the file.
    pub kind: ValueType,
    /// The key's value.
    pub value: Value,
    /// Byte offset of the value within the file.
    pub at: usize,
    /// Byte offset of the end of the value.
    pub end: usize,
}

/// Reads metadata entry number `index`: a key and its value.
pub fn read_entry(cursor: &mut Cursor<'_>, index: usize) -> Result<Entry> {
    let key = cursor.string(MAX_KEY_BYTES, &|| format!("metadata key {index}"))?.to_string();
    let field = format!("metadata value {}", super::cursor::quoted(&key));
    let kind = read_type(cursor, &field)?;
    let at = cursor.at();
    let value = read_value(cursor, kind, &field)?;
    Ok(Entry { key, kind, value, at, end: cursor.at() })
}

fn read_type(cursor: &mut Cursor<'_>, field: &str) -> Result<ValueType> {
    let at = cursor.at();
    let code = cursor.u32(&format!("type of {field}"))?;
    let unknown = || cursor.error_at(at, field, format!("unknown value type {code} (GGUF has 0 to 12)"));
    VALUE_TYPES.get(code as usize).map(|t| t.0).ok_or_else(unknown)
}

fn read_value(cursor: &mut Cursor<'_>, kind: ValueType, field: &str) -> Result<Value> {
    Ok(match kind {
        T::U8 => Value::Unsigned(u8::from_le_bytes(cursor.array(field)?).into()),
        T::I8 => Value::Signed(i8::from_le_bytes(cursor.array(field)?).into()),
        T::U16 => Value::Unsigned(u16::from_le_bytes(cursor.array(field)?).into()),
        T::I16 => Value::Signed(i16::from_le_bytes(cursor.array(field)?).into()),
        T::U32 => Value::Unsigned(cursor.u32(field)?.into()),
        T::I32 => Value::Signed(i32::from_le_bytes(cursor.array(field)?).into()),
        T::U64 => Value::Unsigned(cursor.u64(field)?),
        T::I64 => Value::Signed(i64::from_le_bytes(cursor.array(field)?)),
        T::F32 => Value::F32(f32::from_le_bytes(cursor.array(field)?)),
        T::F64 => Value::F64(f64::from_le_bytes(cursor.array(field)?)),
        T::Bool => Value::Bool(read_bool(cursor, field)?),
        T::String => Value::String(cursor.string(MAX_STRING_BYTES, &|| field.to_string())?.to_string()),
        T::Array => Value::Array(read_array(cursor, field, 1)?),
    })
}

fn read_bool(cursor: &mut Cursor<'_>, field: &str) -> Result<bool> {
    let at = cursor.at();
    match cursor.array::<1>(field)?[0] {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(cursor.error_at(at, field, format!("a bool must be 0 or 1, not {other}"))),
    }
}

/// Checks every element once, so that later walks cannot fail, and remembers only where the array is.
fn read_array(cursor: &mut Cursor<'_>, field: &str, depth: u32) -> Result<ArrayRef> {
    let start = cursor.at();
    if depth > MAX_NESTING {
        return Err(cursor.error_at(start, field, format!("arrays are nested deeper than {MAX_NESTING}")));
    }
    let element = read_type(cursor, field)?;
    let len = cursor.count(element.min_bytes(), MAX_ELEMENTS, &format!("array length of {field}"))?;
    let at = cursor.at();
    let mut each = 0..len;
    match element {
        T::String => {
            each.try_for_each(|i| cursor.string(MAX_STRING_BYTES, &|| format!("element {i} of {field}")).map(drop))?;
        }
        T::Array => each.try_for_each(|_| read_array(cursor, field, depth + 1).map(drop))?,
        T::Bool => each.try_for_each(|_| read_bool(cursor, field).map(drop))?,
        // `count` has shown that this many elements fit in the file.
        fixed => drop(cursor.take(len * fixed.min_bytes(), field)?),
    }
    Ok(ArrayRef { element, len, at })
}

/// The strings of an array of the file, borrowed from it and parsed as they are asked for.
pub(super) fn strings<'a>(file: &'a str, bytes: &'a [u8], array: ArrayRef) -> impl Iterator<Item = &'a str> {
    let mut cursor = Cursor::new(file, bytes, array.at);
    // Checked when the file was opened; should the file change under the map, the walk just ends.
    (0..array.len).map_while(move |_| cursor.string(MAX_STRING_BYTES, &String::new).ok())
}

/// The numbers and bools of an array of the file, as [`strings`].
pub(super) fn values<'a>(file: &'a str, bytes: &'a [u8], array: ArrayRef) -> impl Iterator<Item = Value> {
    let mut cursor = Cursor::new(file, bytes, array.at);
    (0..array.len).map_while(move |_| read_value(&mut cursor, array.element, "").ok())
}
