//! Kernel ids as users write them.

use crate::error::{Error, Result};
use crate::registered;
use kernels::{KernelDescriptor, registry};

/// The error of a kernel that is not registered: exit 5 where another architecture has it, else exit 2.
pub fn unknown(id: &str) -> Error {
    let line = unknown_kernel(id);
    if registry::elsewhere(id).is_some() { Error::unsupported(line) } else { Error::input(line) }
}

/// The line that tells a user that the kernel `id` is not registered.
pub fn unknown_kernel(id: &str) -> String {
    if let Some(architecture) = registry::elsewhere(id) {
        let here = std::env::consts::ARCH;
        return format!("kernel {id} is for {architecture}, this is {here}; `list kernels` shows what runs here");
    }
    let known = registered::all().map(|k| k.id).collect::<Vec<_>>().join(", ");
    // Escaped: a file may have line ends in a name.
    format!("there is no kernel {id:?}; known: {known}")
}

/// Checks the kernel id of a claim. Ids of x86-64 kernels are known on every architecture, because claims name them.
#[cfg(test)]
pub fn known_kernel(id: &str) -> std::result::Result<(), String> {
    match registered::find(id) {
        Some(_) => Ok(()),
        None if !cfg!(target_arch = "x86_64") => Ok(()),
        None => Err(unknown_kernel(id)),
    }
}

/// The kernels with these ids, each once, after the kernel that it builds on.
pub fn in_registry_order(ids: &[String]) -> Result<Vec<&'static KernelDescriptor>> {
    if let Some(unknown) = ids.iter().find(|id| registered::find(id).is_none()) {
        return Err(self::unknown(unknown));
    }
    Ok(registered::all().filter(|d| ids.iter().any(|id| id == d.id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use receipt::judge::claims;
    use std::path::Path;

    #[test]
    fn every_kernel_that_a_claim_is_about_is_registered() {
        claims::parse("scenarios/claims.toml", reports::seed::CLAIMS, &known_kernel).expect("valid");
        let wrong = reports::seed::CLAIMS.replace("\"scalar\"", "\"avx9\"");
        let error = claims::parse("claims.toml", &wrong, &known_kernel);
        assert_eq!(error.is_err(), cfg!(target_arch = "x86_64"), "{error:?}");
    }

    /// The name of the file is derived; here every registered kernel's is looked up.
    #[test]
    fn every_registered_kernel_has_its_file_where_the_page_says() {
        for kernel in registry::KERNELS {
            let source = reports::kernel_source(crate::operation::family(kernel.family()), kernel.id);
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(source);
            assert!(file.is_file(), "{}", file.display());
        }
    }
}
