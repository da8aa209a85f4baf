//! One model in every encoding: whatever a file stores its matrices as, kernels get the same bytes and scales, and
//! damage to them is named.

use crate::builtin;
use crate::convert::{Conversion, Target};
use crate::encoding::{self, Encoding};
use crate::fixtures::NEVER;
use crate::gguf::{Gguf, I2sLayout, Reading};
use crate::loading::Loading;
use crate::weights::Model;
use kernels::Needs;
use kernels::{CodeTable, layouts};

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
