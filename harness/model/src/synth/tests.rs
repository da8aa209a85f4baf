//! Synthetic files: whole and small ones, and headers of the large ones.

use super::*;
use crate::fixtures::{builder, kernel};
use crate::gguf::{CodeCounts, Gguf};
use crate::graph::{check_codes, check_tensors};
use crate::hash::sha256_hex;
use crate::loading::Loading;
use crate::tokenizer::Tokenizer;
use crate::weights::Model;
use kernels::{CodeTable, CpuFeatures};
use std::sync::atomic::AtomicU64;

fn write(shape: &str, layers: Option<usize>, seed: u64) -> Vec<u8> {
    let model = SyntheticModel::new(SynthShape::by_name(shape).unwrap(), layers, None, seed).unwrap();
    let (mut bytes, done, calls) = (Vec::new(), AtomicU64::new(0), AtomicU64::new(0));
    let progress = |more: u64| {
        done.fetch_add(more, Ordering::Relaxed);
        calls.fetch_add(1, Ordering::Relaxed);
    };
    model.write(&mut bytes, &AtomicBool::new(false), &progress).unwrap();
    assert_eq!((model.bytes(), model.summary().bytes), (bytes.len() as u64, bytes.len() as u64));
    assert!(calls.into_inner() > 2 && done.into_inner() == bytes.len() as u64);
    bytes
}

#[test]
fn tiny_is_a_valid_model_of_the_builtin_shape() {
    let bytes = write("tiny", None, 1);
    let gguf = Gguf::from_bytes("m", bytes.clone()).unwrap();
    let config = ModelConfig::from_gguf(&gguf).unwrap();
    check_tensors(&gguf, &config).unwrap();
    check_codes(&gguf, &mut Loading::alone()).unwrap();
    let builtin = ModelConfig::from_gguf(&builtin::open().unwrap()).unwrap();
    assert_eq!(ModelConfig { name: builtin.name.clone(), ..config.clone() }, builtin);
    assert!(gguf.synthetic());
    let counts = CodeCounts::of(gguf.bytes(gguf.tensor("blk.0.ffn_up.weight").unwrap()));
    let n = (512 * 1024) as f64;
    for count in [counts.minus, counts.zero, counts.plus] {
        assert!((count as f64 / n - 1.0 / 3.0).abs() < 0.01, "{counts:?}");
    }
    let embedding = gguf.f16s(gguf.tensor("token_embd.weight").unwrap()).unwrap();
    let square: f64 = embedding.iter().map(|x| f64::from(x.to_f32()).powi(2)).sum();
    assert!(((square / embedding.len() as f64).sqrt() - 0.02).abs() < 1e-4);
    let own = Tokenizer::from_gguf(&gguf, None).unwrap();
    let base = Tokenizer::from_gguf(&builtin::open().unwrap(), None).unwrap();
    assert_eq!(own.encode("Before we proceed", None).unwrap(), base.encode("Before we proceed", None).unwrap());
    assert_eq!(bytes, write("tiny", None, 1), "same seed, same bytes");
    assert_ne!(bytes, write("tiny", None, 2));
}

/// Receipts and caches hold the hash of a synthetic file, so a shape's bytes stay what they were.
#[test]
fn the_bytes_of_a_shape_do_not_change() {
    let seven = sha256_hex(&write("tiny", None, 7));
    assert_eq!(seven, "caa5b6583e3ce291401d494f1f85434324878d6ae17f5e6af196a3735b96d606");
    let live = SyntheticModel::new(SynthShape::by_name("tiny").unwrap(), None, Some(0.2), 7).unwrap();
    let mut bytes = Vec::new();
    live.write(&mut bytes, &AtomicBool::new(false), &|_| {}).unwrap();
    assert_eq!(sha256_hex(&bytes), "5294fe68ba2328f882ed09507d1a247444ab12a3607d98764085203a218a99ca");
    // The header says where everything goes; the data follows the same rule as above.
    let large = SyntheticModel::new(SynthShape::by_name("2b-4t").unwrap(), Some(1), None, 7).unwrap();
    assert_eq!((large.header.len(), large.bytes()), (3_617_664, 677_724_256));
    assert_eq!(sha256_hex(&large.header), "78c710b766ec2b5029b200d5662d7fa9fcb0e83c1624ff17694980ed281a0d8b");
}

/// The header alone, over a sparse file of the right size: the data is not needed to check it.
fn header_of(shape: &str, layers: Option<usize>) -> (SyntheticModel, Gguf, tempfile::TempDir) {
    let model = SyntheticModel::new(SynthShape::by_name(shape).unwrap(), layers, None, 0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, &model.header).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(model.bytes()).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    (model, gguf, folder)
}

#[test]
fn large_shapes_have_the_metadata_of_their_models() {
    for (shape, tensors, gb, ids, pre) in [
        ("bonsai-1.7b", 1 + 28 * 11 + 1, 0.486, (151_643, 151_645), "qwen2"),
        ("bonsai-8b", 1 + 36 * 11 + 2, 2.309, (151_643, 151_645), "qwen2"),
        ("llama3-8b", 1 + 32 * 9 + 2, 3.851, (128_000, 128_001), "llama-bpe"),
        ("falcon3-1b", 1 + 18 * 9 + 2, 1.361, (131_071, 131_071), "llama-bpe"),
    ] {
        let (model, gguf, _folder) = header_of(shape, None);
        assert_eq!(ModelConfig::from_gguf(&gguf).unwrap(), model.config, "{shape}");
        assert_eq!(gguf.tensors.len(), tensors, "{shape}");
        assert!((model.bytes() as f64 / 1e9 - gb).abs() < 0.005, "{shape}: {}", model.bytes());
        let summary = SynthShape::by_name(shape).unwrap().summary;
        let rounded = if gb < 1.0 { format!("{gb:.2} GB") } else { format!("{gb:.1} GB") };
        assert!(summary.ends_with(&rounded), "{summary}, {rounded}");
        let facts = Tokenizer::from_gguf(&gguf, None).unwrap().facts;
        assert_eq!((facts.vocab, (facts.bos, facts.eos)), (model.config.vocab, (Some(ids.0), Some(ids.1))), "{shape}");
        assert_eq!((facts.pre, facts.pre_from_file), (pre, true), "{shape}");
        assert_eq!(facts.add_bos, shape == "llama3-8b");
    }
}

/// Ends of a text in Qwen's vocabulary, and padding that no text becomes.
#[test]
fn bonsai_vocabularies_end_like_qwens() {
    let (_, gguf, _folder) = header_of("bonsai-1.7b", Some(1));
    let tokenizer = Tokenizer::from_gguf(&gguf, None).unwrap();
    assert_eq!(tokenizer.facts.extra_stop_ids, [151_643]);
    assert_eq!(tokenizer.encode("<|im_start|>the king<|im_end|>", None).unwrap().last(), Some(&151_645));
    assert_eq!((tokenizer.piece(151_935), tokenizer.piece(151_645)), (&b"[PAD151935]"[..], &b""[..]));
}

/// A small model with a shape's types and vocabulary.
fn small(shape: &str, vocab: usize) -> Vec<u8> {
    let shape = SynthShape::by_name(shape).unwrap().clone();
    let c = ModelConfig { vocab, layers: 2, dim: 128, heads: 4, kv_heads: 2, ffn: 384, ..shape.config };
    let shape = SynthShape { config: ModelConfig { head_dim: 32, rope_dims: 32, context: 64, ..c }, ..shape };
    let (mut bytes, model) = (Vec::new(), SyntheticModel::new(&shape, None, None, 3).unwrap());
    model.write(&mut bytes, &AtomicBool::new(false), &|_| {}).unwrap();
    assert_eq!(bytes.len() as u64, model.bytes());
    bytes
}

/// Groups of 64: an f16 scale, then codes of which none is 3. Scales differ, and weights have the size that the matrix
/// needs.
#[test]
fn bonsai_tensors_are_groups_with_scales_of_their_own() {
    for (shape, names) in [("bonsai-1.7b", &["token_embd"][..]), ("bonsai-8b", &["token_embd", "output"])] {
        let gguf = Gguf::from_bytes("m", small(shape, 2048)).unwrap();
        let config = ModelConfig::from_gguf(&gguf).unwrap();
        assert_eq!((config.tied, config.qk_norms), (names.len() == 1, true));
        for (name, role, dims) in required_tensors(&config) {
            let tensor = gguf.tensor(&name).unwrap();
            if role == Role::Vector {
                assert!(gguf.f32s(tensor).unwrap().iter().all(|&gain| gain == 1.0), "{name}");
                continue;
            }
            assert_eq!((tensor.kind, gguf.bytes(tensor).len()), (types::Q2_0, dims[0] * dims[1] / 64 * 18), "{name}");
            let (mut square, mut scales, mut codes) = (0f64, Vec::new(), [0u64; 4]);
            for block in gguf.bytes(tensor).as_chunks::<18>().0 {
                let scale = half::f16::from_le_bytes([block[0], block[1]]);
                assert!(scale.is_finite() && scale.to_f32() > 0.0, "{name}");
                for code in block[2..].iter().flat_map(|byte| [0, 2, 4, 6].map(|shift| usize::from(byte >> shift & 3)))
                {
                    codes[code] += 1;
                    square += (scale.to_f64() * (code as f64 - 1.0)).powi(2);
                }
                scales.push(scale.to_bits());
            }
            let n = (dims[0] * dims[1]) as f64;
            let want = if role == Role::Rows { 0.02 } else { (dims[0] as f64).sqrt().recip() };
            assert!(((square / n).sqrt() / want - 1.0).abs() < 0.1, "{name}: {} not {want}", (square / n).sqrt());
            assert!(
                codes[3] == 0 && codes[..3].iter().all(|&c| (c as f64 / n - 1.0 / 3.0).abs() < 0.03),
                "{name} {codes:?}"
            );
            let blocks = scales.len();
            scales.sort_unstable();
            scales.dedup();
            assert!(scales.len() > blocks / 4, "{name}: {} scales of {blocks}", scales.len());
        }
    }
}

/// Activations stay ordinary numbers without sub-norms, too: logits are about 0.02 * sqrt(width).
#[test]
fn synthetic_llamas_run() {
    let gguf = Gguf::from_bytes("m", small("falcon3-1b", 1200)).unwrap();
    let model = Model::load(gguf, None, &mut Loading::alone()).unwrap();
    let decoder = builder(&model, kernel("scalar-i8"), CodeTable::TERNARY, CpuFeatures::detect()).context(16);
    let mut decoder = decoder.build().unwrap();
    (0..12u32).for_each(|token| decoder.forward(&[token * 61]).unwrap());
    let logits = decoder.logits().unwrap();
    let rms = (logits.iter().map(|l| l * l).sum::<f32>() / logits.len() as f32).sqrt();
    assert!((0.1..0.5).contains(&rms), "{rms}");
}

#[test]
fn one_block_of_2b_4t_has_the_published_metadata() {
    let (model, gguf, _folder) = header_of("2b-4t", Some(1));
    assert_eq!(ModelConfig::from_gguf(&gguf).unwrap(), model.config);
    let tokenizer = Tokenizer::from_gguf(&gguf, None).unwrap();
    let facts = &tokenizer.facts;
    assert_eq!((facts.vocab, facts.bos, facts.eos), (128_256, Some(128_000), Some(128_001)));
    assert_eq!((&facts.extra_stop_ids[..], facts.pre), (&[128_009][..], "default"));
    let ids = tokenizer.encode("the king<|eot_id|>", None).unwrap();
    assert_eq!((ids[0], ids.last()), (128_000, Some(&128_009)));
    assert_eq!(tokenizer.decode(&ids), "the king");
    assert_eq!(tokenizer.piece(5000), b"<fill_5000>");
}

#[test]
fn size_of_the_whole_2b_4t_is_that_of_the_published_file() {
    // The published file has 280,147 merges and a real vocabulary in its header; the data is the same size.
    let model = SyntheticModel::new(SynthShape::by_name("2b-4t").unwrap(), None, None, 0).unwrap();
    assert_eq!(model.tensors.len(), 332);
    assert!((1_170_000_000..1_187_801_280).contains(&model.bytes()), "{}", model.bytes());
}

#[test]
#[ignore = "makes 1.2 GB"]
fn whole_2b_4t() {
    let bytes = write("2b-4t", None, 0);
    let gguf = Gguf::from_bytes("m", bytes).unwrap();
    check_tensors(&gguf, &ModelConfig::from_gguf(&gguf).unwrap()).unwrap();
    check_codes(&gguf, &mut Loading::alone()).unwrap();
    Tokenizer::from_gguf(&gguf, None).unwrap();
}

#[test]
fn bad_requests_are_one_line() {
    assert!(SynthShape::by_name("7b").unwrap_err().to_string().contains("known: 2b-4t, tiny, bonsai-1.7b"));
    let shape = SynthShape::by_name("tiny").unwrap();
    let refused = SyntheticModel::new(shape, Some(0), None, 0).err().unwrap();
    assert!(refused.to_string().contains("--layers 0"));
    let silu = SyntheticModel::new(SynthShape::by_name("llama3-8b").unwrap(), None, Some(0.2), 0).err().unwrap();
    assert!(silu.to_string().contains("--live-share") && silu.to_string().contains("llama3-8b"), "{silu}");
}

#[test]
fn the_flag_stops_it() {
    let model = SyntheticModel::new(SynthShape::by_name("tiny").unwrap(), None, None, 0).unwrap();
    let mut bytes = Vec::new();
    let stopped = model.write(&mut bytes, &AtomicBool::new(true), &|_| {}).unwrap_err();
    assert_eq!(stopped.kind(), std::io::ErrorKind::Interrupted);
    assert!((bytes.len() as u64) < model.bytes());
}
