//! Every kernel that this process may run: those of the `kernels` crate, and those that were added to it at its start,
//! by a program of one's own ([`crate::main`]) or from a library that this worker loaded.

use kernels::{ActivationRule, Family, KernelDescriptor, Needs, ScaleUnit, registry};
use std::sync::OnceLock;

/// Of the program, and of the library that this worker loaded.
static ADDED: [OnceLock<Vec<&'static KernelDescriptor>>; 2] = [OnceLock::new(), OnceLock::new()];

/// Adds kernels before anything asks: once those of the program, then those of a library.
///
/// # Errors
/// The id that two of them have, or one of them and a kernel that is there already; or a third call.
pub fn add(kernels: &[&'static KernelDescriptor]) -> Result<(), String> {
    for (i, kernel) in kernels.iter().enumerate() {
        if find(kernel.id).is_some() || kernels[..i].iter().any(|other| other.id == kernel.id) {
            return Err(format!("kernel {}: id is taken by another kernel", kernel.id));
        }
    }
    let free = ADDED.iter().find(|added| added.get().is_none());
    let set = free.is_some_and(|free| free.set(kernels.to_vec()).is_ok());
    if set { Ok(()) } else { Err("kernels were added twice".into()) }
}

/// All of them: the registry's in ladder order, then those added.
pub fn all() -> impl Iterator<Item = &'static KernelDescriptor> + Clone {
    registry::KERNELS.iter().chain(ADDED.iter().filter_map(OnceLock::get).flatten()).copied()
}

/// Those that such weights and activations call for. Kernels with scales of
/// groups can multiply weights with one scale a tensor too, but do more work for the same products: they are among
/// these only where groups have scales or blocks of activations do, else whoever wants them names them.
pub fn meant_for(needs: Needs) -> impl Iterator<Item = &'static KernelDescriptor> + Clone {
    let of_groups = matches!(needs.scales, ScaleUnit::Group(_)) || needs.rule != ActivationRule::Token;
    let meant = move |d: &&KernelDescriptor| of_groups || d.family() != Family::W2gA8;
    all().filter(meant).filter(move |d| d.can_run(needs).is_ok())
}

/// Whether it came with the program and is none of the registry's: then its source is not where theirs are.
pub fn is_added(id: &str) -> bool {
    registry::find(id).is_none()
}

/// Id of the kernel that the kernel `id` builds on, if it builds on one.
pub fn builds_on(id: &str) -> Option<String> {
    find(id).and_then(|d| d.builds_on).map(str::to_owned)
}

/// Finds a kernel by its id on the command line.
pub fn find(id: &str) -> Option<&'static KernelDescriptor> {
    all().find(|kernel| kernel.id == id)
}
