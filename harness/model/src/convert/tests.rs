//! Conversions of the built-in model and of small files, read back.

use super::matrix::{Matrix, Row};
use super::*;
use crate::builtin;
use crate::encoding::{self, ALL, Encoding};
use crate::error::{Kind, Result};
use crate::gguf::testing::{Builder, i2s};
use crate::gguf::{Gguf, I2sLayout, Reading, types};
use half::f16;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static NEVER: AtomicBool = AtomicBool::new(false);

fn encoding(name: &str) -> &'static Encoding {
    encoding::find(name).expect("known")
}

/// Converts in memory; the sizes that are promised are those that come.
fn convert(source: &Gguf, to: &'static Encoding, exact: bool) -> Result<(Vec<u8>, Report)> {
    let (read, written) = (AtomicU64::new(0), AtomicU64::new(0));
    let count = |sum: &AtomicU64, more: u64| {
        sum.fetch_add(more, Ordering::Relaxed);
    };
    let conversion = Conversion::new(source, Target { encoding: to, exact }, &NEVER, &|more| count(&read, more))?;
    let mut bytes = Vec::new();
    conversion.write(&mut bytes, &NEVER, &|more| count(&written, more)).expect("written");
    assert_eq!((conversion.bytes(), written.into_inner()), (bytes.len() as u64, bytes.len() as u64));
    assert!(read.into_inner() <= ternary_bytes(source));
    Ok((bytes, conversion.report().clone()))
}

/// Opens a file that was just written, as it was written.
fn open(bytes: Vec<u8>, to: &Encoding) -> Gguf {
    let i2s = match to.name {
        "i2_s-x86-rows" => Some(I2sLayout::X86Rows),
        "i2_s-arm" => Some(I2sLayout::Arm),
        _ => None,
    };
    Gguf::from_bytes_as("converted", bytes, Reading { i2s }).expect("a sound file")
}

/// All weights of a matrix: codes, and the scale of each.
fn weights(gguf: &Gguf, name: &str) -> (Vec<u8>, Vec<f32>) {
    let matrix = Matrix::open(gguf, gguf.tensor(name).unwrap()).unwrap().expect("ternary");
    let (mut row, mut codes, mut scales) = (Row::default(), Vec::new(), Vec::new());
    for r in 0..matrix.rows() {
        matrix.read(r, &mut row).unwrap();
        codes.extend_from_slice(&row.codes);
        scales.extend((0..matrix.k()).map(|column| row.scales[column / row.group]));
    }
    (codes, scales)
}

/// All 21 scales of the built-in model are between two fp16 numbers, so each encoding with fp16 scales keeps them
/// beside the matrices. Nothing is lost on the way there, and back again the file is the same to the byte.
#[test]
fn the_builtin_model_in_every_encoding_and_back() {
    let source = builtin::open().unwrap();
    for &to in ALL.iter().filter(|to| to.encode.is_some()) {
        let (bytes, report) = convert(&source, to, true).unwrap();
        let beside = if to.half_scales { 21 } else { 0 };
        assert_eq!((report.matrices, report.copied, report.scale_tensors), (21, 14, beside), "{}", to.name);
        assert_eq!((report.rounded, report.largest_scale_change), (0, None), "{}", to.name);
        let converted = open(bytes, to);
        let kind = types::of_encoding(to).unwrap();
        for tensor in source.tensors.iter().filter(|tensor| tensor.kind == types::I2S) {
            assert_eq!(converted.tensor(&tensor.name).unwrap().kind, kind);
            assert!(weights(&source, &tensor.name) == weights(&converted, &tensor.name), "{} {}", to.name, tensor.name);
        }
        let (back, report) = convert(&converted, encoding("i2_s"), true).unwrap();
        assert_eq!((report.matrices, report.copied, report.scale_tensors), (21, 14, 0), "{}", to.name);
        assert!(back == builtin::bytes(), "{}", to.name);
    }
}

/// A file of one architecture with one ternary matrix `blk.0.attn_q.weight`, a norm and the key of the file's type.
fn one_matrix(architecture: &str, dims: &[u64], kind: u32, data: Vec<u8>) -> Builder {
    Builder::new()
        .string("general.architecture", architecture)
        .u32("general.file_type", 7)
        .with_tensor("blk.0.attn_q.weight", dims, kind, data)
        .with_tensor("norm", &[2], 0, vec![1, 2, 3, 4, 5, 6, 7, 8])
}

fn q2_0(groups: &[(f32, u8)]) -> Vec<u8> {
    let block = |(scale, codes): &(f32, u8)| [&f16::from_f32(*scale).to_le_bytes()[..], &[*codes; 16]].concat();
    groups.iter().flat_map(block).collect()
}

fn file(builder: &Builder) -> Gguf {
    Gguf::from_bytes("m.gguf", builder.build()).unwrap()
}

fn refused(source: &Gguf, to: &str, exact: bool, parts: &[&str]) {
    let error = convert(source, encoding(to), exact).expect_err("refused");
    let text = error.to_string();
    assert!(!text.contains('\n') && error.kind() == Kind::Input, "{text}");
    parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} not in {text:?}"));
}

#[test]
fn scales_that_no_fp16_is_are_rounded_where_nothing_reads_them_beside() {
    let scale = 0.1f32;
    let source = file(&one_matrix("llama", &[256, 2], 36, i2s(512, 0b10_00_01_10, scale)));
    let rounded = f16::from_f32(scale).to_f32();
    let (bytes, report) = convert(&source, encoding("tq2_0"), false).unwrap();
    let change = ((f64::from(rounded) - f64::from(scale)) / f64::from(scale)).abs();
    assert_eq!((report.rounded, report.scale_tensors, report.largest_scale_change), (1, 0, Some(change)));
    let converted = open(bytes, encoding("tq2_0"));
    assert_eq!(converted.optional_f32("tritbench.convert.largest_scale_change").unwrap(), Some(change as f32));
    assert_eq!(converted.optional_u32("general.file_type").unwrap(), Some(37));
    assert_eq!(converted.bytes(converted.tensor("norm").unwrap()), [1, 2, 3, 4, 5, 6, 7, 8]);
    let (codes, scales) = weights(&converted, "blk.0.attn_q.weight");
    assert!(codes == weights(&source, "blk.0.attn_q.weight").0 && scales == [rounded; 512]);
    // What was changed once stays known when nothing more is.
    let (bytes, report) = convert(&converted, encoding("pq2_0"), true).unwrap();
    assert_eq!(report.largest_scale_change, None);
    let again = open(bytes, encoding("pq2_0"));
    assert_eq!(again.optional_f32("tritbench.convert.largest_scale_change").unwrap(), Some(change as f32));
    // What was changed before and what is changed now add up.
    let twice = one_matrix("llama", &[256, 2], 36, i2s(512, 0b10_00_01_10, scale));
    let twice = file(&twice.f32("tritbench.convert.largest_scale_change", 0.5));
    let twice = open(convert(&twice, encoding("q2_0"), false).unwrap().0, encoding("q2_0"));
    let both = (0.5 + change + 0.5 * change) as f32;
    assert_eq!(twice.optional_f32("tritbench.convert.largest_scale_change").unwrap(), Some(both));
    let parts =
        ["\"blk.0.attn_q.weight\"", "row 0, column 0", "scale 0.1", "nearest is 0.099975586", "without --exact"];
    refused(&source, "tq2_0", true, &parts);
}

#[test]
fn scales_of_which_fp16_leaves_nothing() {
    for (scale, words) in [(1e-9, "nearest is 0"), (1e6, "nearest is inf")] {
        let source = file(&one_matrix("llama", &[256, 1], 36, i2s(256, 0xaa, scale)));
        refused(&source, "q2_0", false, &["\"blk.0.attn_q.weight\"", "nothing is left", words]);
    }
    // Zeros have no scale to lose.
    let source = file(&one_matrix("llama", &[256, 1], 36, i2s(256, 0x55, 1e6)));
    let (bytes, report) = convert(&source, encoding("q2_0"), true).unwrap();
    assert_eq!(report.rounded, 0);
    assert_eq!(weights(&open(bytes, encoding("q2_0")), "blk.0.attn_q.weight"), (vec![1; 256], vec![0.0; 256]));
}

#[test]
fn a_scale_beside_the_matrix_counts() {
    let data = q2_0(&[(1.0, 0b10_00_01_10), (1.0, 0b01_01_10_00)]);
    let builder = one_matrix("bitnet", &[128, 1], 42, data);
    let source = file(&builder.with_tensor("blk.0.attn_q.scale", &[1], 0, 0.1f32.to_le_bytes().to_vec()));
    let (bytes, report) = convert(&source, encoding("i2_s"), true).unwrap();
    assert_eq!((report.copied, report.scale_tensors), (1, 0));
    let converted = open(bytes, encoding("i2_s"));
    assert_eq!(converted.tensors.len(), 2);
    assert!(weights(&converted, "blk.0.attn_q.weight") == weights(&source, "blk.0.attn_q.weight"));
    assert_eq!(weights(&converted, "blk.0.attn_q.weight").1, [0.1; 128]);
}

#[test]
fn codes_are_kept_or_refused_with_the_first_that_is_not() {
    let plus_two = q2_0(&[(0.5, 0b10_00_01_10), (0.5, 0b11_00_01_10)]);
    let source = file(&one_matrix("qwen3", &[64, 2], 42, plus_two.clone()));
    let parts = ["\"blk.0.attn_q.weight\"", "row 1, column 3 holds code 3, the weight +2", "iq2_bn", "pq2_0 have it"];
    refused(&source, "iq2_bn", false, &parts);
    let source = file(&one_matrix("qwen3", &[128, 1], 42, plus_two));
    let (bytes, _) = convert(&source, encoding("pq2_0"), true).unwrap();
    let converted = open(bytes, encoding("pq2_0"));
    assert!(weights(&converted, "blk.0.attn_q.weight") == weights(&source, "blk.0.attn_q.weight"));
    // Where no code 3 can be, it is damage.
    let source = file(&one_matrix("qwen3", &[128, 1], 36, i2s(128, 0b01_11_01_01, 1.0)));
    refused(&source, "q2_0", false, &["row 0, column 32 holds code 3, which i2_s does not have"]);
}

#[test]
fn coarser_scales_want_equal_ones() {
    let groups =
        |scales: [f32; 4]| file(&one_matrix("qwen3", &[256, 1], 42, q2_0(&scales.map(|s| (s, 0b10_00_01_10)))));
    let pairs = groups([0.5, 0.5, 2.0, 2.0]);
    let (bytes, _) = convert(&pairs, encoding("ptq1_0"), true).unwrap();
    let converted = open(bytes, encoding("ptq1_0"));
    assert!(weights(&converted, "blk.0.attn_q.weight") == weights(&pairs, "blk.0.attn_q.weight"));
    let place = "row 0, column 128 has the scale 2 and weights before it";
    refused(&pairs, "tq1_0", false, &["\"blk.0.attn_q.weight\"", place, "group of 256 have 0.5: tq1_0"]);
    refused(&pairs, "iq2_bn", false, &[place, "in its row have 0.5: iq2_bn has one scale a row"]);
    assert_eq!(convert(&groups([0.5; 4]), encoding("i2_s"), true).unwrap().1.matrices, 1);
}

#[test]
fn shapes_are_refused_with_the_tensor() {
    let source = file(&one_matrix("qwen3", &[192, 2], 42, q2_0(&[(1.0, 0x55); 6])));
    let cannot = |to: &str| format!("cannot be written as {to}");
    refused(&source, "pq2_0", false, &["\"blk.0.attn_q.weight\"", &cannot("pq2_0"), "192 is not a multiple of 128"]);
    let source = file(&one_matrix("qwen3", &[128, 6], 36, i2s(768, 0x55, 1.0)));
    let rows = "6 rows are not a multiple of 4";
    refused(&source, "i2_s-x86-rows", false, &["\"blk.0.attn_q.weight\"", &cannot("i2_s-x86-rows"), rows]);
    refused(&source, "hf-packed", false, &["nothing is written as hf-packed", "known: i2_s, i2_s-x86-rows"]);
    let unknown = one_matrix("qwen3", &[128, 2], 36, i2s(256, 0x55, 1.0)).with_tensor("t", &[128], 39, vec![]);
    refused(&file(&unknown), "q2_0", false, &["\"t\"", "is TL2, whose size depends on the build"]);
    // A tensor that stays must not be taken for one in the new layout of its type.
    let three = one_matrix("qwen3", &[128, 4], 36, i2s(512, 0x55, 1.0));
    let three = file(&three.with_tensor("t", &[128, 2, 2], 36, i2s(512, 0x55, 1.0)));
    refused(&three, "i2_s-arm", false, &["\"t\"", "is I2_S and no matrix", "I2_S (i2_s-arm) beside it"]);
    assert_eq!(convert(&three, encoding("q2_0"), false).unwrap().1.copied, 2);
}

#[test]
fn scales_that_are_none_are_refused_with_their_place() {
    let source = file(&one_matrix("llama", &[128, 1], 36, i2s(128, 0x55, f32::NAN)));
    refused(&source, "q2_0", false, &["\"blk.0.attn_q.weight\"", "its scale is NaN, which is not a finite number"]);
    let infinite = q2_0(&[(1.0, 0x55), (f32::INFINITY, 0x55)]);
    let source = file(&one_matrix("llama", &[128, 1], 42, infinite));
    refused(&source, "pq2_0", false, &["row 0, column 64 has the scale inf, which is not finite"]);
    let source = file(&one_matrix("llama", &[128, 1], 42, q2_0(&[(-1.0, 0xaa); 2])));
    refused(&source, "i2_s", false, &["its scale is -1", "i2_s has scales above zero only"]);
}

/// Another alignment than the written one does not survive as a key.
#[test]
fn alignment_is_that_of_the_new_file() {
    let builder = one_matrix("llama", &[128, 1], 36, i2s(128, 0x55, 1.0)).u32("general.alignment", 8).f32("x.y", 0.5);
    let source = file(&builder);
    let (bytes, _) = convert(&source, encoding("pq2_0"), true).unwrap();
    let converted = open(bytes, encoding("pq2_0"));
    assert_eq!(converted.optional_u32("general.alignment").unwrap(), Some(32));
    assert_eq!(converted.optional_f32("x.y").unwrap(), Some(0.5));
    let keys = |gguf: &Gguf| gguf.metadata.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&converted), keys(&source));
}

#[test]
fn the_flag_stops_it() {
    let (source, stop) = (builtin::open().unwrap(), AtomicBool::new(true));
    let target = Target { encoding: encoding("tq2_0"), exact: false };
    let stopped = Conversion::new(&source, target, &stop, &|_| {}).err().unwrap();
    assert_eq!(stopped.kind(), Kind::Interrupted);
    let conversion = Conversion::new(&source, target, &NEVER, &|_| {}).unwrap();
    let mut bytes = Vec::new();
    let stopped = conversion.write(&mut bytes, &stop, &|_| {}).unwrap_err();
    assert_eq!(stopped.kind(), std::io::ErrorKind::Interrupted);
    assert!((bytes.len() as u64) < conversion.bytes());
}
