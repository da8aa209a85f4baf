//! The built-in model and what runs it, for tests.

use crate::builtin;
use crate::decoder::{Builder, Decoder};
use crate::generate::{Generation, Request, Session};
use crate::hash::sha256_hex;
use crate::head::Head;
use crate::kernel_weights::KernelWeights;
use crate::known::KnownModel;
use crate::loading::Loading;
use crate::sampler::Sampling;
use crate::weights::Model;
use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, Family, HeadFormat, Kernel, Needs, registry};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A stop flag that is never set.
pub static NEVER: AtomicBool = AtomicBool::new(false);

/// Loads the built-in model.
pub fn model() -> Model {
    Model::load(builtin::open().expect("built in"), None, &mut Loading::alone()).expect("a valid model")
}

/// What the built-in model should answer.
pub fn known() -> KnownModel {
    KnownModel::find(&sha256_hex(builtin::bytes())).expect("sound").expect("known")
}

/// The text that perplexity is measured on.
pub fn held_out(model: &Model) -> Vec<u32> {
    model.tokenizer.encode(builtin::held_out_text(), None).expect("encodes")
}

/// The registered kernels that this CPU can run.
pub fn kernels() -> impl DoubleEndedIterator<Item = Kernel> {
    registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok())
}

/// Those of them that take one f32 scale a tensor, as the built-in model has.
pub fn of_builtin() -> impl DoubleEndedIterator<Item = Kernel> {
    kernels().filter(|kernel| kernel.descriptor().can_run(Needs::TERNARY).is_ok())
}

/// The kernel with this id, which must run on every CPU.
pub fn kernel(id: &str) -> Kernel {
    Kernel::new(registry::find(id).expect("registered"), CpuFeatures::NONE).expect("runs everywhere")
}

/// The exact kernel for tensor scales of this CPU that comes last in the registry.
pub fn exact() -> Kernel {
    let exact = |k: &Kernel| k.descriptor().exact() && k.descriptor().family() == Family::W2A8;
    kernels().rfind(exact).expect("scalar-i8 runs everywhere")
}

/// The model's output head in a format, made on one thread.
pub fn head(model: &Model, format: HeadFormat, features: CpuFeatures) -> Arc<Head> {
    Arc::new(model.head(format, features, &mut Team::single()).expect("finite weights").into())
}

/// Settings of a decoder with an f16 head and one thread, which the caller may change.
pub fn builder(model: &Model, kernel: Kernel, table: CodeTable, features: CpuFeatures) -> Builder<'_> {
    let weights = model.weights(kernel.descriptor().layout, table, &mut Loading::alone()).expect("packs");
    let weights = KernelWeights::new(kernel, Arc::new(weights)).expect("its packing");
    Decoder::of(model, weights, head(model, HeadFormat::F16, features)).features(features)
}

/// A request for greedy tokens up to the model's own end token.
pub fn request(prompt: &[u32], max_tokens: usize) -> Request {
    Request {
        prompt: prompt.to_vec(),
        max_tokens,
        sampling: Sampling::Greedy,
        stop_ids: vec![],
        stop_at_eos: true,
        stop_strings: vec![],
        timeout: None,
    }
}

/// Runs one generation to its end.
pub fn run(decoder: &mut Decoder<'_>, request: Request) -> Generation {
    Session::new(decoder, request).expect("valid").run(&NEVER, &mut |_| {}).expect("runs")
}
