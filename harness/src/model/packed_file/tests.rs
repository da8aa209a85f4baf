use super::super::builtin;
use super::super::engine::Engine;
use super::super::generate::{Request, Session};
use super::super::loading::Loading;
use super::super::sampler::Sampling;
use super::*;
use crate::progress::Progress;
use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, HeadFormat, Kernel, registry};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

static MODEL: LazyLock<Model> =
    LazyLock::new(|| Model::load(builtin::open().unwrap(), None, &mut Loading::alone()).unwrap());

fn loading(threads: usize) -> Loading {
    Loading::new(Team::new(threads, |_| {}).unwrap(), Progress::silent())
}

/// A sound file of the built-in model in this packing.
fn written(packing: Packing, folder: &Path) -> PathBuf {
    let path = folder.join(packing.name());
    write_packed(&MODEL, packing, &path, &mut loading(2)).unwrap();
    path
}

/// The error of a file with these bytes: one line that names it.
fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.trit");
    std::fs::write(&path, bytes).unwrap();
    let error = PackedFile::open(&path, &MODEL).and_then(|file| file.check(&mut loading(2)).map(|_| ()));
    let text = error.expect_err("a bad file").to_string();
    assert!(text.contains("m.trit") && !text.contains('\n'), "{text}");
    text
}

#[track_caller]
fn assert_refused(bytes: &[u8], parts: &[&str]) {
    let text = refusal(bytes);
    parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is not in {text:?}"));
}

/// The bytes with a header hash that fits them, as another writer would have made it.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let n = u32::from_le_bytes(*bytes[12..].first_chunk().unwrap()) as usize;
    let hash = Sha256::new().chain_update(&bytes[..HASH_AT]).chain_update(&bytes[RECORD..RECORD * (1 + n)]).finalize();
    bytes[HASH_AT..RECORD].copy_from_slice(&hash);
    bytes
}

fn with(bytes: &[u8], at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + patch.len()].copy_from_slice(patch);
    bytes
}

#[test]
fn every_packing_comes_back_as_it_was_packed() {
    let folder = tempfile::tempdir().unwrap();
    for &packing in Packing::ALL {
        let path = written(packing, folder.path());
        let file = PackedFile::open(&path, &MODEL).unwrap();
        assert_eq!((file.packing(), file.bytes()), (packing, std::fs::metadata(&path).unwrap().len()));
        let packed = file.check(&mut loading(3)).unwrap();
        let mapped = packed.weights(&MODEL, CodeTable::TERNARY).unwrap();
        let made = MODEL.weights(packing, CodeTable::TERNARY, &mut loading(1)).unwrap();
        assert_eq!(mapped.bytes(), made.bytes());
        for (mapped, made) in mapped.blocks.iter().zip(&made.blocks) {
            for (mapped, made) in mapped.matrices().into_iter().zip(made.matrices()) {
                assert_eq!((mapped.rows(), mapped.k(), mapped.packing()), (made.rows(), made.k(), packing));
                assert_eq!(mapped.tensor_scale(), made.tensor_scale());
                assert!(
                    mapped.code_bytes() == made.code_bytes()
                        && mapped.code_bytes().as_ptr() != made.code_bytes().as_ptr()
                );
            }
        }
        assert_eq!(packed.weights(&MODEL, CodeTable::SEED).is_err(), packing.ternary_only());
    }
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, Packing::ALL.len(), "no temporary file is left");
}

#[test]
fn loading_with_more_threads_gives_the_same_bytes() {
    for &packing in Packing::ALL {
        let [one, five] = [1, 5].map(|n| MODEL.weights(packing, CodeTable::TERNARY, &mut loading(n)).unwrap());
        for (one, five) in one.blocks.iter().zip(&five.blocks) {
            let mut both = one.matrices().into_iter().zip(five.matrices());
            assert!(both.all(|(one, five)| one.code_bytes() == five.code_bytes()), "{packing}");
        }
    }
    let model = Model::load(builtin::open().unwrap(), None, &mut loading(5)).unwrap();
    assert!(model.embedding[..] == MODEL.embedding[..] && model.sha256 == MODEL.sha256);
    assert_eq!(model.sha256[..], Sha256::digest(builtin::bytes())[..]);
}

#[test]
fn mapped_weights_give_the_same_ids() {
    let folder = tempfile::tempdir().unwrap();
    for descriptor in registry::KERNELS {
        let Ok(kernel) = Kernel::new(descriptor, CpuFeatures::detect()) else { continue };
        let packing = descriptor.packing;
        let file = PackedFile::open(&written(packing, folder.path()), &MODEL).unwrap();
        let mapped = file.check(&mut loading(2)).unwrap().weights(&MODEL, CodeTable::TERNARY).unwrap();
        drop(file);
        let made = MODEL.weights(packing, CodeTable::TERNARY, &mut loading(2)).unwrap();
        let head = MODEL.head(HeadFormat::F16, CpuFeatures::detect(), &mut Team::single()).unwrap();
        let head = Arc::new(head);
        let [mapped, made] = [mapped, made].map(|weights| {
            let features = CpuFeatures::detect();
            let mut engine = Engine::new(
                &MODEL,
                Arc::new(weights),
                kernel,
                Arc::clone(&head),
                Team::new(2, |_| {}).unwrap(),
                features,
                32,
            )
            .unwrap();
            let request = Request {
                prompt: vec![836, 27],
                max_tokens: 12,
                sampling: Sampling::Greedy,
                stop_ids: vec![],
                stop_at_eos: false,
                stop_strings: vec![],
                timeout: None,
            };
            let session = Session::new(&mut engine, request).unwrap();
            session.run(&AtomicBool::new(false), &mut |_| {}).unwrap().token_ids
        });
        assert_eq!(mapped, made, "{}", kernel.id());
    }
}

#[test]
fn damage_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sound = std::fs::read(written(Packing::Vnni16, folder.path())).unwrap();
    let table = RECORD * (1 + MODEL.matrices().count());
    assert_refused(&[], &["empty (0 bytes)"]);
    for length in
        [3, 10, 15, 47, 55, 63, 95, 127, RECORD + 5, table - 1, table, table + 5, sound.len() / 2, sound.len() - 1]
    {
        assert_refused(&sound[..length], &["byte"]);
    }
    assert_refused(&[&sound[..], &[0; 64]].concat(), &["file size at byte 48", "truncated or corrupt"]);
    // Every byte of the header, and some of the table.
    for at in (0..RECORD).chain((RECORD..table).step_by(37)) {
        assert_refused(&with(&sound, at, &[sound[at] ^ 0x10]), &["byte"]);
    }
    assert_refused(&with(&sound, 0, b"GGUF"), &["magic at byte 0", "not packed weights"]);
    assert_refused(&with(&sound, 8, &[2]), &["version at byte 8", "2 is not supported"]);
    assert_refused(&with(&sound, 12, &[0xff; 4]), &["tensor table at byte 128", "truncated"]);
    assert_refused(&with(&sound, 70, &[0]), &["header sha256 at byte 96"]);
    // Codes, and the filling after the last of them if there is any.
    for at in [table, table + 1000, sound.len() - 1] {
        let text = refusal(&with(&sound, at, &[sound[at] ^ 1]));
        assert!(text.contains("codes of tensor \"blk.") && text.contains("sha256"), "{text}");
    }
}

/// Files whose hashes are right and that are wrong all the same.
#[test]
fn lies_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sound = std::fs::read(written(Packing::Trit5, folder.path())).unwrap();
    let patched = |at: usize, patch: &[u8]| resealed(with(&sound, at, patch));
    assert_eq!(resealed(sound.clone()), sound);
    assert_refused(&patched(16, b"qk512"), &["packing at byte 16", "not known"]);
    assert_refused(&patched(16, &fixed::<PACKING_BYTES>("vnni16x16").unwrap()), &["at byte 48", "in this packing"]);
    assert_refused(&patched(56, &[1]), &["reserved at byte 56"]);
    assert_refused(
        &patched(SOURCE_AT, &[0; 32]),
        &["source sha256 at byte 64", "builtin", &"0".repeat(64), "`model convert`"],
    );
    let n = sound[12];
    assert_refused(&patched(12, &[n - 1]), &["tensor count at byte 12", &format!("model has {n}")]);
    let entry = RECORD;
    let name = "\"blk.0.attn_q.weight\"";
    assert_refused(&patched(entry, b"x\n"), &["tensor name at byte 128", name]);
    for (at, field) in [(56, "rows"), (64, "k"), (72, "offset"), (80, "length"), (88, "scale"), (92, "reserved")] {
        for patch in [&[0xff; 4][..], &[3]] {
            let at = entry + at;
            assert_refused(&patched(at, patch), &[&format!("{field} of tensor {name} at byte {at}")]);
        }
    }
    // A code that the packing does not have, hashed as if it did.
    let data = RECORD * (1 + usize::from(n));
    let mut bytes = with(&sound, data + 77, &[0xff]);
    let length = u64::from_le_bytes(*sound[entry + 80..].first_chunk().unwrap()) as usize;
    let hash = Sha256::digest(&bytes[data..data + length.next_multiple_of(ALIGNMENT)]);
    bytes[entry + HASH_AT..entry + RECORD].copy_from_slice(&hash);
    let parts = [&format!("codes of tensor {name} at byte {}", data + 77)[..], "trit5x16x20 does not have"];
    assert_refused(&resealed(bytes), &parts);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Any bytes of header and table may be wrong, with hashes that fit or not: never a panic, never accepted.
    #[test]
    fn damaged_headers_never_panic(damage in prop::collection::vec((0.0..1.0f64, 1..=u8::MAX), 1..4), seal in any::<bool>()) {
        static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::read(written(Packing::I2s, folder.path())).unwrap()
        });
        let mut bytes = SOUND.clone();
        let table = RECORD * (1 + MODEL.matrices().count());
        damage.iter().for_each(|(at, flip)| bytes[(at * table as f64) as usize] ^= flip);
        let n = u32::from_le_bytes(*bytes[12..].first_chunk().unwrap()) as usize;
        if bytes == *SOUND || seal && n.saturating_mul(RECORD) > bytes.len() - RECORD {
            return Ok(());
        }
        let bytes = if seal { resealed(bytes) } else { bytes };
        if bytes != *SOUND {
            refusal(&bytes);
        }
    }
}
