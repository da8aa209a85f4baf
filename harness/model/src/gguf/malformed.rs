//! Broken files: none may panic, all must give one Input line, and targeted lies must be named with their place.

use super::testing::{Builder, after};
use super::*;
use crate::error::{Kind, Result};

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

fn open(bytes: Vec<u8>) -> Result<Gguf> {
    Gguf::from_bytes("m.gguf", bytes)
}

fn assert_error(bytes: Vec<u8>, parts: &[&str]) {
    let error = open(bytes).err().expect("must be refused");
    let text = error.to_string();
    assert!(error.kind() == Kind::Input && text.starts_with("m.gguf") && !text.contains('\n'), "{text}");
    parts.iter().for_each(|p| assert!(text.contains(p), "{p:?} not in {text:?}"));
}

fn patched(at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = small().build();
    bytes[at..at + patch.len()].copy_from_slice(patch);
    bytes
}

/// Where the data of the last tensor ends; padding after it may be missing.
fn data_end(gguf: &Gguf) -> usize {
    gguf.tensors.iter().map(|t| t.offset + t.n_bytes.unwrap()).max().unwrap() as usize
}

#[test]
fn small_file_is_read() {
    let gguf = open(small().build()).unwrap();
    assert_eq!((gguf.version, gguf.alignment, gguf.tensors.len()), (3, 32, 3));
    let (n, strings) = gguf.required_strings("tokenizer.ggml.tokens").unwrap();
    assert_eq!((n, strings.collect::<Vec<_>>()), (3, vec!["a", "b", "é"]));
    let types = gguf.optional_integers("tokenizer.ggml.token_type").unwrap().unwrap();
    assert_eq!(types.collect::<Vec<_>>(), [1, 1, 3]);
    check_i2s_codes(&gguf, gguf.tensor("w").unwrap()).unwrap();
    assert!(check_i2s_codes(&gguf, gguf.tensor("e").unwrap()).is_err());
    assert_eq!(open(patched(4, &[2])).unwrap().version, 2);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = small().build();
    let end = data_end(&open(bytes.clone()).unwrap());
    for len in 0..bytes.len() {
        match open(bytes[..len].to_vec()) {
            Ok(_) => assert!(len >= end, "{len}"),
            Err(e) => assert!(e.kind() == Kind::Input && len < end, "{len}: {e}"),
        }
    }
}

#[test]
fn no_changed_byte_panics() {
    let bytes = small().build();
    let header = open(bytes.clone()).unwrap().data_start as usize;
    for at in 0..header {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at] ^ 0x80, bytes[at].wrapping_add(1)] {
            let mut changed = bytes.clone();
            changed[at] = value;
            match open(changed) {
                Ok(gguf) => gguf.tensors.iter().for_each(|t| drop(gguf.bytes(t).to_vec())),
                Err(e) => assert!(e.kind() == Kind::Input && !e.to_string().contains('\n'), "byte {at}: {e}"),
            }
        }
    }
}

/// What the corpus of bad files does not have.
#[test]
fn lies_are_named_with_their_place() {
    assert_error(b"\x7fELF....".to_vec(), &["magic at byte 0", "not a GGUF file; download"]);
    assert_error(patched(4, &0x0102_0304u32.to_le_bytes()), &["version at byte 4", "no version of GGUF", "download"]);
    let bytes = small().build();
    let at = after(&bytes, "general.alignment") + 4;
    for bad in [1u32, 24, 1 << 30] {
        assert_error(patched(at, &bad.to_le_bytes()), &["general.alignment", &format!("byte {at}"), "power of two"]);
    }
    let at = after(&bytes, "ggml.tokens") + 8;
    let parts = ["array length", "ggml.tokens", &format!("byte {at}"), "hold at most"];
    assert_error(patched(at, &5000u64.to_le_bytes()), &parts);
    let at = after(&bytes, "é") - 1;
    assert_error(patched(at, &[0xff]), &["element 2 of", "ggml.tokens", &format!("byte {}", at - 1), "UTF-8"]);
}

#[test]
fn types_without_a_size_can_only_be_listed() {
    // The description of "w": name, n_dims u32, dims 2 x u64, type u32, offset u64.
    let w = after(&small().build(), "\x01\0\0\0\0\0\0\0w");
    let gguf = open(patched(w + 20, &39u32.to_le_bytes())).unwrap();
    let tensor = gguf.tensor("w").unwrap();
    assert_eq!((tensor.kind.name, tensor.n_bytes), ("TL2", None));
    assert!(gguf.bytes(tensor).is_empty());
    assert!(gguf.f32s(tensor).unwrap_err().to_string().contains("is TL2"));
}

/// A download that ended early lacks what the header promises, to the byte.
#[test]
fn missing_bytes_are_counted() {
    let bytes = small().build();
    let end = data_end(&open(bytes.clone()).unwrap());
    for missing in [1, 100] {
        let parts = ["past the end", &format!(": {missing} bytes are missing"), "download or copy it again"];
        assert_error(bytes[..end - missing].to_vec(), &parts);
    }
    assert_error(bytes[..40].to_vec(), &["truncated or corrupt, so download it again"]);
}

#[test]
fn code_3_and_bad_scales_are_named() {
    let offset = open(small().build()).unwrap().tensor("w").unwrap().offset as usize;
    let check = |bytes| {
        let gguf = open(bytes).unwrap();
        check_i2s_codes(&gguf, gguf.tensor("w").unwrap()).unwrap_err().to_string()
    };
    let text = check(patched(offset + 37, &[0b01_01_11_01]));
    assert!(text.contains("\"w\"") && text.contains(&format!("at {} holds code 3", offset + 37)), "{text}");
    let text = check(patched(offset + 64, &f32::NAN.to_le_bytes()));
    assert!(text.contains(&format!("scale at byte {} is NaN", offset + 64)), "{text}");
}

#[test]
fn wrong_types_missing_keys_and_paths_are_named() {
    let gguf = open(small().build()).unwrap();
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
