//! Every kernel that this process may run: those of the `kernels` crate, and those that were added to it at its start,
//! by a program of one's own ([`crate::main`]) or from a library that this worker loaded.

use kernels::{KernelDescriptor, registry};
use std::sync::OnceLock;

static ADDED: OnceLock<Vec<&'static KernelDescriptor>> = OnceLock::new();

/// Adds kernels, once, before anything asks.
///
/// # Errors
/// The id that two of them have, or one of them and a registered kernel; or a second call.
pub fn add(kernels: &[&'static KernelDescriptor]) -> Result<(), String> {
    for (i, kernel) in kernels.iter().enumerate() {
        let taken = registry::find(kernel.id).is_some() || kernels[..i].iter().any(|other| other.id == kernel.id);
        if taken {
            return Err(format!("kernel {}: id is taken by another kernel", kernel.id));
        }
    }
    ADDED.set(kernels.to_vec()).map_err(|_| "kernels were added twice".into())
}

fn added() -> &'static [&'static KernelDescriptor] {
    ADDED.get().map_or(&[], Vec::as_slice)
}

/// All of them: the registry's in ladder order, then those added.
pub fn all() -> impl Iterator<Item = &'static KernelDescriptor> + Clone {
    registry::KERNELS.iter().chain(added()).copied()
}

/// Id of the kernel that the kernel `id` builds on, if it builds on one.
pub fn builds_on(id: &str) -> Option<String> {
    find(id).and_then(|d| d.builds_on).map(str::to_owned)
}

/// Finds a kernel by its id on the command line.
pub fn find(id: &str) -> Option<&'static KernelDescriptor> {
    all().find(|kernel| kernel.id == id)
}
