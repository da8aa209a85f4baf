//! Exact sparsity on the built-in model: the same bits as dense, the live shares that its README states, no allocation.

use crate::builtin;
use crate::decoder::Decoder;
use crate::generate::{Generation, Request, Session};
use crate::loading::Loading;
use crate::sampler::Sampling;
use crate::sparse_ffn::{SparseFfn, Sparsity};
use crate::weights::Model;
use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, HeadFormat, Kernel, OutputHead, registry};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(crate) fn exact_kernels() -> Vec<Kernel> {
    let all = registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok());
    all.filter(|k| k.descriptor().family() == kernels::Family::W2A8 && k.descriptor().exact()).collect()
}

fn run(decoder: &mut Decoder<'_>) -> Generation {
    let request = Request {
        prompt: vec![836, 27],
        max_tokens: 40,
        sampling: Sampling::Greedy,
        stop_ids: vec![],
        stop_at_eos: false,
        stop_strings: vec![],
        timeout: None,
    };
    Session::new(decoder, request).expect("valid").run(&AtomicBool::new(false), &mut |_| {}).expect("runs")
}

fn head(model: &Model, features: CpuFeatures) -> Arc<OutputHead> {
    Arc::new(model.head(HeadFormat::F16, features, &mut Team::single()).expect("finite"))
}

#[test]
fn logits_are_the_dense_ones_bit_for_bit() {
    let model = Model::load(builtin::open().expect("built in"), None, &mut Loading::alone()).expect("a valid model");
    for kernel in exact_kernels() {
        let weights = Arc::new(
            model.weights(kernel.descriptor().layout, CodeTable::TERNARY, &mut Loading::alone()).expect("packs"),
        );
        for threads in [1, 2, 3] {
            for features in [CpuFeatures::NONE, CpuFeatures::X86_64_V3, CpuFeatures::detect()] {
                let team = || Team::new(threads, |_| {}).expect("threads start");
                let decoder = || {
                    Decoder::new(&model, Arc::clone(&weights), kernel, head(&model, features), team(), features, 64)
                        .expect("fits")
                };
                let (mut dense, mut sparse, mut measured) = (decoder(), decoder(), decoder());
                sparse.set_sparsity(Sparsity::Always, features).expect("packs").expect("exact");
                let probe =
                    measured.set_sparsity(Sparsity::Measured, features).expect("packs").expect("exact").summary();
                assert!((0.0..=1.0).contains(&probe.crossover) && probe.probe.is_some());
                let ids = run(&mut dense).token_ids;
                assert_eq!((run(&mut sparse).token_ids, run(&mut measured).token_ids), (ids.clone(), ids));
                let bits = |e: &Decoder<'_>| e.last_logits().iter().map(|l| l.to_bits()).collect::<Vec<_>>();
                assert!(bits(&dense) == bits(&sparse) && bits(&dense) == bits(&measured), "{}", kernel.id());
                let record = sparse.sparse().map(SparseFfn::summary).expect("on");
                assert!(record.sparse_steps_share == 1.0 && sparse.bytes_per_token() < dense.bytes_per_token());
            }
        }
    }
}

/// The model's README says that 75%, 92% and 81% of the gate is zero on held-out text. Generated text would depend on
/// rounding.
#[test]
fn live_shares_are_those_of_the_readme() {
    let model = Model::load(builtin::open().expect("built in"), None, &mut Loading::alone()).expect("a valid model");
    let kernel = exact_kernels().pop().expect("scalar-i8 runs everywhere");
    let weights =
        Arc::new(model.weights(kernel.descriptor().layout, CodeTable::TERNARY, &mut Loading::alone()).expect("packs"));
    let features = CpuFeatures::detect();
    let mut decoder =
        Decoder::new(&model, weights, kernel, head(&model, features), Team::single(), features, 128).expect("fits");
    decoder.set_sparsity(Sparsity::Always, features).expect("packs").expect("exact");
    let tokens = model.tokenizer.encode(builtin::held_out_text(), None).expect("encodes");
    tokens[..128].iter().for_each(|token| decoder.forward(&[*token]).expect("fits"));
    let shares = decoder.sparse().map(SparseFfn::summary).expect("on").live_share;
    for (share, want) in shares.iter().zip([0.25, 0.08, 0.19]) {
        assert!((share - want).abs() < 0.04, "{shares:?}");
    }
}

#[test]
fn kernels_of_the_other_family_stay_dense() {
    let model = Model::load(builtin::open().expect("built in"), None, &mut Loading::alone()).expect("a valid model");
    let kernel = Kernel::new(registry::find("scalar").expect("registered"), CpuFeatures::NONE).expect("runs");
    let weights =
        Arc::new(model.weights(kernel.descriptor().layout, CodeTable::TERNARY, &mut Loading::alone()).expect("packs"));
    let mut decoder =
        Decoder::new(&model, weights, kernel, head(&model, CpuFeatures::NONE), Team::single(), CpuFeatures::NONE, 8)
            .expect("fits");
    assert!(decoder.set_sparsity(Sparsity::Always, CpuFeatures::NONE).expect("no error").is_none());
}
