//! Which kernels can multiply a model's weights.

use crate::error::{Error, Result};
use crate::machine::Machine;
use kernels::{Kernel, Needs};
use model::weights::Model;

/// What the model asks of a kernel. Where its encoding does not tell, the machine's threads look at weights.
pub fn needs(model: &Model, machine: &Machine) -> Result<Needs> {
    Ok(model.needs(&mut machine.team()?)?)
}

/// Why a model is refused whose weights a kernel cannot multiply, with those that can.
pub fn refusal(model: &Model, why: &str, machine: &Machine, needs: Needs) -> Error {
    let able = machine.kernels_for(needs).iter().map(Kernel::id).collect::<Vec<_>>().join(", ");
    Error::unsupported(format!("{}: {why}; take one of {able}", model.gguf.path().display()))
}

/// The exact kernel that can multiply the model's weights and takes batches, if there is one: the last of the ladder,
/// by no probe. It is for answers whose time is not the question.
pub fn fastest(model: &Model, machine: &Machine) -> Result<Kernel> {
    let able = machine.kernels_for(needs(model, machine)?);
    let wanted = |k: &&Kernel| k.descriptor().exact() && !k.descriptor().tables_per_call;
    let batches = able.iter().filter(wanted).rfind(|k| k.descriptor().gemm.is_some());
    let kernel = batches.or(able.iter().rfind(wanted)).copied();
    kernel.ok_or_else(|| Error::unsupported("no exact kernel that runs here can multiply the model's weights"))
}
