//! Broken files: none may panic, all must give one Input line, and targeted lies must be named with their place.

use super::testing::{Builder, after};
use super::*;
use crate::error::Kind;

fn small() -> Builder {
    Builder::new()
        .string("general.architecture", "bitnet-b1.58")
        .u32("general.alignment", 32)
        .bool("tokenizer.ggml.add_bos_token", true)
        .strings("tokenizer.ggml.tokens", &["a", "b", "é"])
        .i32s("tokenizer.ggml.token_type", &[1, 1, 3])
        .zeros("norm", &[3], 0)
        .zeros("w", &[128, 2], 36)
        .zeros("e", &[128, 1], 1)
}

fn error(bytes: Vec<u8>) -> String {
    let error = Gguf::from_bytes("m.gguf", bytes).err().expect("must be refused");
    assert_eq!(error.kind(), Kind::Input);
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    assert!(text.starts_with("m.gguf"), "{text}");
    text
}

fn assert_error(bytes: Vec<u8>, parts: &[&str]) {
    let text = error(bytes);
    parts.iter().for_each(|p| assert!(text.contains(p), "{p:?} not in {text:?}"));
}

fn patched(at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = small().build();
    bytes[at..at + patch.len()].copy_from_slice(patch);
    bytes
}

#[test]
fn small_file_is_read() {
    let gguf = Gguf::from_bytes("m.gguf", small().build()).unwrap();
    assert_eq!((gguf.version, gguf.alignment, gguf.tensors.len()), (3, 32, 3));
    let (n, strings) = gguf.required_strings("tokenizer.ggml.tokens").unwrap();
    assert_eq!((n, strings.collect::<Vec<_>>()), (3, vec!["a", "b", "é"]));
    let types = gguf.optional_integers("tokenizer.ggml.token_type").unwrap().unwrap();
    assert_eq!(types.collect::<Vec<_>>(), [1, 1, 3]);
    check_i2s_codes(&gguf, gguf.tensor("w").unwrap()).unwrap();
    assert!(check_i2s_codes(&gguf, gguf.tensor("e").unwrap()).is_err());
    assert_eq!(Gguf::from_bytes("m.gguf", patched(4, &[2])).unwrap().version, 2);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = small().build();
    // Padding after the last tensor may be missing, so the last data byte is where the file must begin to fail.
    let gguf = Gguf::from_bytes("m.gguf", bytes.clone()).unwrap();
    let end = gguf.tensors.iter().map(|t| t.offset + t.n_bytes.unwrap()).max().unwrap() as usize;
    for len in 0..bytes.len() {
        match Gguf::from_bytes("m.gguf", bytes[..len].to_vec()) {
            Ok(_) => assert!(len >= end, "{len}"),
            Err(e) => assert!(e.kind() == Kind::Input && len < end, "{len}: {e}"),
        }
    }
}

#[test]
fn no_changed_byte_panics() {
    let bytes = small().build();
    let header = Gguf::from_bytes("m.gguf", bytes.clone()).unwrap().data_start as usize;
    for at in 0..header {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at] ^ 0x80, bytes[at].wrapping_add(1)] {
            let mut changed = bytes.clone();
            changed[at] = value;
            match Gguf::from_bytes("m.gguf", changed) {
                Ok(gguf) => gguf.tensors.iter().for_each(|t| drop(gguf.bytes(t).to_vec())),
                Err(e) => assert!(e.kind() == Kind::Input && !e.to_string().contains('\n'), "byte {at}: {e}"),
            }
        }
    }
}

#[test]
fn header_lies_are_named() {
    assert_error(Vec::new(), &["empty (0 bytes)"]);
    assert_error(b"PK\x03\x04rest".to_vec(), &["a zip archive, not a GGUF file; unpack it"]);
    assert_error(b"\x7fELF....".to_vec(), &["magic at byte 0", "not a GGUF file; download"]);
    assert_error(patched(4, &1u32.to_le_bytes()), &["version at byte 4", "1 is the first draft", "convert"]);
    assert_error(patched(4, &4u32.to_le_bytes()), &["version at byte 4", "4 is newer", "convert"]);
    assert_error(patched(4, &0x0102_0304u32.to_le_bytes()), &["version at byte 4", "no version of GGUF", "download"]);
    assert_error(patched(4, &3u32.to_be_bytes()), &["3 in big-endian order", "gguf_convert_endian.py"]);
    assert_error(patched(8, &u64::MAX.to_le_bytes()), &["tensor count at byte 8", "limit"]);
    assert_error(patched(8, &60_000u64.to_le_bytes()), &["tensor count at byte 8", "hold at most"]);
    assert_error(patched(16, &60_000u64.to_le_bytes()), &["metadata count at byte 16", "hold at most"]);
    assert_error(patched(24, &u64::MAX.to_le_bytes()), &["length of metadata key 0 at byte 24"]);
    assert_error(patched(32, &[0xff]), &["metadata key 0 at byte 32", "UTF-8"]);
}

#[test]
fn metadata_lies_are_named() {
    let bytes = small().build();
    let at = after(&bytes, "general.architecture");
    assert_error(patched(at, &13u32.to_le_bytes()), &["general.architecture", &format!("byte {at}"), "value type 13"]);
    assert_error(
        patched(at + 4, &(1u64 << 40).to_le_bytes()),
        &["length of metadata value", &format!("byte {}", at + 4)],
    );
    let at = after(&bytes, "add_bos_token") + 4;
    assert_error(patched(at, &[2]), &["add_bos_token", &format!("byte {at}"), "0 or 1, not 2"]);
    let at = after(&bytes, "general.alignment") + 4;
    for bad in [0u32, 1, 24, 1 << 30] {
        assert_error(patched(at, &bad.to_le_bytes()), &["general.alignment", &format!("byte {at}"), "power of two"]);
    }
    let at = after(&bytes, "ggml.tokens") + 8;
    assert_error(patched(at, &(1u64 << 60).to_le_bytes()), &["array length", "ggml.tokens", &format!("byte {at}")]);
    assert_error(patched(at, &5000u64.to_le_bytes()), &["array length", "hold at most"]);
    let at = after(&bytes, "é") - 1;
    assert_error(patched(at, &[0xff]), &["element 2 of", "ggml.tokens", &format!("byte {}", at - 1), "UTF-8"]);
    assert_error(small().u32("general.alignment", 32).build(), &["general.alignment", "appears twice"]);
    let nested: Vec<u8> = (0..40).flat_map(|_| [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat()).collect();
    assert_error(Builder::new().raw("deep", 9, &nested).build(), &["deep", "nested deeper"]);
}

#[test]
fn tensor_lies_are_named() {
    let bytes = small().build();
    // the description of "w": name, n_dims u32, dims 2 x u64, type u32, offset u64
    let w = after(&bytes, "\x01\0\0\0\0\0\0\0w");
    let name = "tensor \"w\"";
    assert_error(patched(w, &5u32.to_le_bytes()), &[name, &format!("byte {w}"), "5 dimensions"]);
    assert_error(patched(w + 4, &0u64.to_le_bytes()), &[name, &format!("byte {}", w + 4), "dimension 0 is 0"]);
    assert_error(patched(w + 4, &64u64.to_le_bytes()), &[name, &format!("byte {}", w + 4), "multiple of 128"]);
    assert_error(patched(w + 12, &u64::MAX.to_le_bytes()), &[name, "overflows"]);
    assert_error(patched(w + 20, &77u32.to_le_bytes()), &[name, &format!("byte {}", w + 20), "unknown tensor type 77"]);
    assert_error(patched(w + 24, &33u64.to_le_bytes()), &[name, &format!("byte {}", w + 24), "not a multiple"]);
    assert_error(patched(w + 24, &(1u64 << 40).to_le_bytes()), &[name, &format!("byte {}", w + 24), "past the end"]);
    assert_error(patched(w + 24, &(u64::MAX - 31).to_le_bytes()), &[name, "past the end"]);
    assert_error(patched(w + 24, &0u64.to_le_bytes()), &["overlaps tensor", &format!("byte {}", w + 24)]);
    assert_error(small().zeros("w", &[1], 0).build(), &[name, "appears twice"]);
    // Type 39 opens (for `inspect`) but has no size and no values.
    let gguf = Gguf::from_bytes("m.gguf", patched(w + 20, &39u32.to_le_bytes())).unwrap();
    let tensor = gguf.tensor("w").unwrap();
    assert_eq!((tensor.kind.name, tensor.n_bytes), ("TL2", None));
    assert!(gguf.bytes(tensor).is_empty());
    assert!(gguf.f32s(tensor).unwrap_err().to_string().contains("is TL2"));
}

/// A download that ended early lacks what the header promises, to the byte.
#[test]
fn missing_bytes_are_counted() {
    let bytes = small().build();
    let gguf = Gguf::from_bytes("m.gguf", bytes.clone()).unwrap();
    let end = gguf.tensors.iter().map(|t| t.offset + t.n_bytes.unwrap()).max().unwrap() as usize;
    for missing in [1, 100] {
        let parts = ["past the end", &format!(": {missing} bytes are missing"), "download or copy it again"];
        assert_error(bytes[..end - missing].to_vec(), &parts);
    }
    assert_error(bytes[..40].to_vec(), &["truncated or corrupt, so download it again"]);
}

#[test]
fn code_3_and_bad_scales_are_named() {
    let offset = Gguf::from_bytes("m.gguf", small().build()).unwrap().tensor("w").unwrap().offset as usize;
    let check = |bytes| {
        let gguf = Gguf::from_bytes("m.gguf", bytes).unwrap();
        check_i2s_codes(&gguf, gguf.tensor("w").unwrap()).unwrap_err().to_string()
    };
    let text = check(patched(offset + 37, &[0b01_01_11_01]));
    assert!(text.contains("\"w\"") && text.contains(&format!("at {} holds code 3", offset + 37)), "{text}");
    let text = check(patched(offset + 64, &f32::NAN.to_le_bytes()));
    assert!(text.contains(&format!("scale at byte {} is NaN", offset + 64)), "{text}");
}

#[test]
fn wrong_types_missing_keys_and_paths_are_named() {
    let gguf = Gguf::from_bytes("m.gguf", small().build()).unwrap();
    let text = gguf.optional_u32("general.architecture").unwrap_err().to_string();
    assert!(text.contains("expected an unsigned 32-bit integer, found string"), "{text}");
    assert!(gguf.required_strings("nope").err().unwrap().to_string().contains("\"nope\" is missing"));
    assert!(gguf.tensor("nope").unwrap_err().to_string().contains("\"nope\" is missing"));
    let folder = tempfile::tempdir().unwrap();
    assert!(Gguf::open(folder.path()).err().unwrap().to_string().contains("is a folder"));
    let missing = folder.path().join("none.gguf");
    assert!(Gguf::open(&missing).err().unwrap().to_string().contains("cannot open model"));
    std::fs::write(&missing, []).unwrap();
    assert!(Gguf::open(&missing).err().unwrap().to_string().contains("empty"));
    std::fs::write(&missing, small().build()).unwrap();
    assert_eq!(Gguf::open(&missing).unwrap().tensors.len(), 3);
}
