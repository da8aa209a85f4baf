//! Files that are often taken for a GGUF: what they are, and what to do.

use super::cursor::quoted;

/// Bytes that are looked at.
const SHOWN: usize = 4096;

/// Longest JSON header of a safetensors file, by its own rules.
const MAX_HEADER: u64 = 100_000_000;

/// First bytes, what they mean, and the next step.
const MAGICS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"PK\x05\x06", "an empty zip archive", AGAIN),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a rar archive", UNPACK),
    (b"\x04\x22\x4d\x18", "an lz4 archive", UNPACK),
    (b"\x89HDF", "an HDF5 file", CONVERT),
    // The magic is a number, so a little-endian file has it backwards.
    (b"lmgg", "a GGML file from before GGUF", OLD),
    (b"fmgg", "a GGMF file from before GGUF", OLD),
    (b"tjgg", "a GGJT file from before GGUF", OLD),
    (b"algg", "a GGLA adapter from before GGUF", OLD),
    (b"ggml", "a GGML file from before GGUF", OLD),
    (b"ggmf", "a GGMF file from before GGUF", OLD),
    (b"ggjt", "a GGJT file from before GGUF", OLD),
    (b"\x80\x02", PICKLE, CONVERT),
    (b"\x80\x03", PICKLE, CONVERT),
    (b"\x80\x04", PICKLE, CONVERT),
    (b"\x80\x05", PICKLE, CONVERT),
];

const PICKLE: &str = "a Python pickle, perhaps a PyTorch checkpoint";
const UNPACK: &str = "unpack it and name the GGUF file inside";
const CONVERT: &str = "convert the model to GGUF (convert_hf_to_gguf.py), or download its GGUF file";
const FOLDER: &str = "download the whole folder (config.json, tokenizer.json, all shards) and name that";
const OLD: &str = "download the model as GGUF, or convert it (convert_llama_ggml_to_gguf.py)";
const AGAIN: &str = "download the model again";
/// What to do with a big-endian file.
pub(super) const LITTLE: &str = "convert it with gguf_convert_endian.py FILE little";

/// What a file without GGUF's magic is and what to do with it, in one line; `None` for bytes of no known kind.
pub(super) fn recognise(bytes: &[u8]) -> Option<String> {
    let start = &bytes[..bytes.len().min(SHOWN)];
    if b"GGUF".starts_with(start) {
        return None;
    }
    if start.starts_with(b"FUGG") {
        return Some(format!("a big-endian GGUF, which is not read here; {LITTLE}"));
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some(format!("a tar archive, not a GGUF file; {UNPACK}"));
    }
    // PyTorch saves a zip archive with a pickle in it.
    if start.starts_with(b"PK\x03\x04") && start.windows(8).any(|w| w == b"data.pkl") {
        return Some(format!("a PyTorch checkpoint, not a GGUF file; {CONVERT}"));
    }
    if let Some((_, what, next)) = MAGICS.iter().find(|(magic, ..)| start.starts_with(magic)) {
        return Some(format!("{what}, not a GGUF file; {next}"));
    }
    // The length of a JSON header, then the header.
    if let Some((length, rest)) = start.split_first_chunk::<8>()
        && rest.first() == Some(&b'{')
        && (2..=MAX_HEADER).contains(&u64::from_le_bytes(*length))
    {
        return Some(format!("a safetensors file without a config.json beside it; {FOLDER}"));
    }
    if start.len() >= 4 && start.iter().all(|&byte| byte == 0) {
        return Some(format!("begins with zeros, as a download that was never filled; {AGAIN}"));
    }
    text(start)
}

/// What a Git LFS pointer is that stands where a file should be; `None` for anything else.
pub fn lfs_pointer(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    if !text.starts_with("version http") || !text.contains("git-lfs") {
        return None;
    }
    let size = text.lines().find_map(|line| line.strip_prefix("size ")).map(str::trim);
    let size = size.filter(|bytes| bytes.bytes().all(|byte| byte.is_ascii_digit()));
    let size = size.map_or(String::new(), |bytes| format!(" to a file of {bytes} bytes"));
    Some(format!("a Git LFS pointer{size}, not the file itself; run git lfs pull in its repository"))
}

/// What a text says that stands where the model should be.
fn text(start: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim();
    let printable = |c: char| !c.is_control() || c.is_whitespace();
    // The last character may be cut.
    if text.is_empty() || !text.chars().all(|c| printable(c) && (c != '\u{fffd}' || start.len() == SHOWN)) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let first_line = text.lines().next().unwrap_or(text);
    if let Some(pointer) = lfs_pointer(start) {
        return Some(pointer);
    }
    let what = if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| lower.starts_with(tag)) {
        "a web page".to_string()
    } else if lower.starts_with("<?xml") || lower.starts_with('<') {
        format!("XML, perhaps a server's error ({})", quoted(text))
    } else if lower.starts_with(['{', '[']) {
        format!("JSON, perhaps a server's error ({})", quoted(text))
    } else {
        format!("text ({})", quoted(first_line))
    };
    Some(format!("{what}, not a GGUF file; {AGAIN}, by the link to the file itself"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8], parts: &[&str]) {
        let line = recognise(bytes).unwrap_or_else(|| panic!("{parts:?}: not recognised"));
        assert!(!line.contains('\n'), "{line}");
        parts.iter().for_each(|part| assert!(line.contains(part), "{part:?} not in {line:?}"));
    }

    /// What the corpus of bad files does not have.
    #[test]
    fn files_that_are_no_gguf_are_named_with_the_next_step() {
        said(b"PK\x03\x04 and more", &["a zip archive", "unpack"]);
        said(b"\x28\xb5\x2f\xfd....", &["zstd"]);
        said(b"\xfd7zXZ\0...", &["xz"]);
        said(&[&[b'n'; 257][..], b"ustar  "].concat(), &["tar archive"]);
        said(b"lmgg\0\x7d\0\0", &["GGML", "convert_llama_ggml_to_gguf.py"]);
        said(b"\xef\xbb\xbf\n<!DOCTYPE html><html>404</html>", &["a web page", "download"]);
        said(b"<HTML><HEAD>", &["a web page"]);
        said(b"<?xml version=\"1.0\"?><Error><Code>AccessDenied", &["XML", "AccessDenied"]);
        said(&"<html>\u{e9}".repeat(2000).as_bytes()[..SHOWN + 1], &["a web page"]);
    }

    #[test]
    fn other_bytes_are_not_guessed_at() {
        for bytes in [&b"GG"[..], b"\x7fELF\x02\x01", b"\0\x01\x02\x03\x04", b"\xff\xfe\xfd"] {
            assert_eq!(recognise(bytes), None);
        }
    }
}
