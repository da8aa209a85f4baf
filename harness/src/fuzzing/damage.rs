//! Damage: what disks, networks and people who mean harm do to a file.

use super::Kind;
use arbtest::arbitrary::{Result, Unstructured};

/// Numbers that break arithmetic on sizes.
const LIES: [u64; 14] = [
    0,
    1,
    7,
    0x7F,
    0xFF,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    1 << 33,
    1 << 62,
    u64::MAX / 2,
    u64::MAX - 7,
    u64::MAX,
];

/// Text that breaks readers of text.
const TOKENS: [&str; 20] = [
    "-1",
    "0",
    "1e999",
    "NaN",
    "18446744073709551616",
    "-0.0",
    "null",
    "true",
    "\"\"",
    "[[[[[[[[",
    "{\"a\":",
    "\\u0000",
    "\u{202e}",
    "''",
    "[micro]",
    "=",
    "\n\n",
    "0x1x2",
    "99999x99999",
    "\"\\ud800\"",
];

/// Where a binary file keeps its header.
const HEADER: usize = 8 << 10;

/// One of the files, a good one in three of four, with one to four kinds of damage.
pub(super) fn damaged(u: &mut Unstructured<'_>, kind: Kind, good: &[Vec<u8>], bad: &[Vec<u8>]) -> Result<Vec<u8>> {
    let binary = kind == Kind::Binary;
    let files = if bad.is_empty() || u.ratio(3, 4)? { good } else { bad };
    let mut bytes = u.choose(files)?.clone();
    // Most are damaged once: those are accepted often enough to see what follows.
    for _ in 0..*u.choose(&[1, 1, 1, 2, 4])? {
        let header = binary && u.arbitrary()?;
        let reach = if header { bytes.len().min(HEADER) } else { bytes.len() };
        let from = u.int_in_range(0..=reach)?;
        let to = bytes.len().min(from + u.int_in_range(0..=200)?);
        match u.int_in_range(0..=6)? {
            0 => bytes.truncate(from),
            1 | 2 => {
                let bit = u.int_in_range(0..=7)?;
                bytes.get_mut(from).into_iter().for_each(|byte| *byte ^= 1 << bit);
            }
            3 => drop(bytes.drain(from..to)),
            4 => {
                let piece = bytes[from..to].to_vec();
                let place = u.int_in_range(0..=bytes.len())?;
                bytes.splice(place..place, piece);
            }
            5 => {
                let other = u.choose(good)?;
                let start = u.int_in_range(0..=other.len())?;
                let piece = &other[start..other.len().min(start + (to - from))];
                bytes.splice(from..to, piece.iter().copied());
            }
            _ if binary => {
                let lie = u.choose(&LIES)?.to_le_bytes();
                let width = if u.arbitrary()? { 4 } else { 8 };
                bytes.iter_mut().skip(from).zip(&lie[..width]).for_each(|(byte, lie)| *byte = *lie);
            }
            _ => {
                let end = bytes.len().min(from + u.int_in_range(0..=12)?);
                bytes.splice(from..end, u.choose(&TOKENS)?.bytes());
            }
        }
    }
    Ok(bytes)
}
