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
