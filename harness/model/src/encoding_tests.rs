//! One model in every encoding: whatever a file stores its matrices as, kernels get the same bytes and scales, and
//! damage to them is named.

use crate::builtin;
use crate::convert::{Conversion, Target};
use crate::encoding::{self, Encoding};
use crate::error::Kind;
use crate::fixtures::NEVER;
use crate::gguf::{Gguf, I2sLayout, Reading};
use crate::loading::Loading;
use crate::weights::{Model, Opened};
use kernels::parallel::Team;
use kernels::{CodeTable, Needs, ScaleUnit, layouts};

fn converted(encoding: &'static Encoding) -> Vec<u8> {
    let source = builtin::open().expect("built in");
    let target = Target { encoding, exact: true };
    let conversion = Conversion::new(&source, target, &NEVER, &|_| {}).expect("lossless");
    let mut out = Vec::new();
    conversion.write(&mut out, &NEVER, &|_| {}).expect("memory takes all");
    out
}

fn reading(encoding: &Encoding) -> Reading {
    let i2s = [("i2_s-x86-rows", I2sLayout::X86Rows), ("i2_s-arm", I2sLayout::Arm)];
    let i2s = i2s.into_iter().find(|(name, _)| *name == encoding.name).map(|(_, layout)| layout);
    Reading { i2s, ..Reading::default() }
}

fn load(bytes: Vec<u8>, reading: Reading) -> crate::Result<Model> {
    Model::load(Gguf::from_bytes_as("m.gguf", bytes, reading)?, None, &mut Loading::alone())
}

#[test]
fn kernels_get_the_same_weights_from_every_encoding() {
    let original = load(builtin::bytes().to_vec(), Reading::default()).expect("valid");
    let written: Vec<_> = encoding::ALL.iter().filter(|encoding| encoding.encode.is_some()).collect();
    assert!(written.len() >= 10);
    for encoding in written {
        let model = load(converted(encoding), reading(encoding)).expect("valid");
        assert_eq!(model.needs(&mut Loading::alone().team).expect("known"), Needs::TERNARY, "{}", encoding.name);
        for &layout in layouts::ALL {
            if layout.half_scale.is_some() {
                // The built-in model's scales are f32, whatever a file has them beside.
                let refused = model.weights(layout, CodeTable::TERNARY, &mut Loading::alone()).map(|_| ());
                assert!(refused.expect_err("no f16").to_string().contains("holds scales of f16"), "{layout}");
                continue;
            }
            let pack = |model: &Model| model.weights(layout, CodeTable::TERNARY, &mut Loading::alone()).expect("packs");
            for (a, b) in pack(&original).blocks.iter().zip(&pack(&model).blocks) {
                for (a, b) in a.matrices().into_iter().zip(b.matrices()) {
                    assert!(a.code_bytes() == b.code_bytes(), "{} as {layout}", encoding.name);
                    assert_eq!(a.tensor_scale(), b.tensor_scale(), "{} as {layout}", encoding.name);
                }
            }
        }
    }
}

/// A scale that is no number, in the middle of a tensor: named with the tensor and the group.
#[test]
fn a_scale_that_is_not_finite_is_named() {
    for name in ["q2_0", "q2_0-g128", "pq2_0", "ptq1_0", "tq1_0", "tq2_0", "iq2_bn"] {
        let encoding = encoding::find(name).expect("known");
        let mut bytes = converted(encoding);
        let gguf = Gguf::from_bytes("m.gguf", bytes.clone()).expect("sound");
        let tensor = gguf.tensor("blk.1.ffn_up.weight").expect("there").clone();
        let place = tensor.offset as usize..(tensor.offset + tensor.n_bytes.expect("known")) as usize;
        drop(gguf);
        // Infinities everywhere: whatever of it is a scale is none.
        bytes[place].fill(0x7C);
        let error = load(bytes, Reading::default()).map(|_| ()).expect_err("no scale").to_string();
        assert!(error.contains("\"blk.1.ffn_up.weight\"") && !error.contains('\n'), "{name}: {error}");
        assert!(error.contains("row 0") && (error.contains("scale") || error.contains("code 3")), "{name}: {error}");
    }
}

/// Small models of other architectures, in Q2_0 with groups that differ; the second has code 3 too.
const GROUPS: &[u8] = include_bytes!("../../../scenarios/model/tiny/qwen3.gguf");
const FOUR: &[u8] = include_bytes!("../../../scenarios/model/tiny/qwen3-four.gguf");

/// A model of which no weight was read yet, as a text begins with it.
fn opened(bytes: Vec<u8>) -> Model {
    let gguf = Gguf::from_bytes("m.gguf", bytes).expect("sound");
    Opened::new(gguf, None).expect("sound").load().expect("sound")
}

/// Where a file is not read to say what it asks of a kernel, packing finds the scale that is no number.
#[test]
fn packing_finds_a_scale_that_is_not_finite() {
    let name = "blk.1.ffn_down.weight";
    let [k, start] = {
        let gguf = Gguf::from_bytes("m.gguf", GROUPS.to_vec()).expect("sound");
        let tensor = gguf.tensor(name).expect("there");
        [tensor.dims[0] as usize, tensor.offset as usize]
    };
    // The scale comes first of 18 bytes.
    let (row, group) = (5, 1);
    let at = start + (row * k / 64 + group) * 18;
    for (bits, value) in [(0x7C00u16, "inf"), (0xFC00, "-inf"), (0x7E01, "NaN")] {
        let mut bytes = GROUPS.to_vec();
        bytes[at..at + 2].copy_from_slice(&bits.to_le_bytes());
        let model = opened(bytes);
        assert_eq!(model.needs(&mut Team::single()).expect("settled without it").scales, ScaleUnit::Group(64));
        for &layout in layouts::ALL.iter().filter(|layout| layout.group_sizes().any(|size| size == 64)) {
            for threads in [1, 3] {
                let team = Team::new(threads, |_| {}).expect("threads start");
                let packed = model.weights(layout, CodeTable::TERNARY, &mut Loading { team, ..Loading::alone() });
                let error = packed.map(|_| ()).expect_err("no weights");
                let said = format!("the scale of row {row}, group {group} is {value}, not a finite number");
                assert_eq!(error.kind(), Kind::Input);
                assert!(error.to_string().contains(&format!("\"{name}\"")), "{layout}: {error}");
                assert!(error.to_string().contains(&said), "{layout}: {error}");
            }
        }
    }
}

/// A layout without a place for code 3 refuses it by its place.
#[test]
fn packing_finds_a_code_that_a_layout_does_not_have() {
    let model = opened(FOUR.to_vec());
    let matrix = crate::matrix::Matrix::of(&model.gguf, model.gguf.tensor("blk.0.ffn_up.weight").expect("there"));
    let (mut first, mut row) = (None, 0);
    matrix.expect("a matrix").each_row(|codes, _| {
        first = first.or(codes.iter().position(|&code| code == 3).map(|column| (row, column)));
        row += 1;
    });
    let (row, column) = first.expect("the file has code 3");
    let of_three: Vec<_> = layouts::ALL.iter().filter(|layout| layout.ternary_only).collect();
    assert!(!of_three.is_empty());
    for &layout in of_three {
        for threads in [1, 3] {
            let mut team = Team::new(threads, |_| {}).expect("threads start");
            let packed = model.matrix("blk.0.ffn_up.weight", layout, CodeTable::TERNARY, &mut team);
            let error = packed.map(|_| ()).expect_err("no place for it");
            let said = format!("invalid code 3 at row {row}, column {column}");
            assert_eq!(error.kind(), Kind::Input);
            assert!(
                error.to_string().contains("\"blk.0.ffn_up.weight\"") && error.to_string().contains(&said),
                "{error}"
            );
        }
    }
}
