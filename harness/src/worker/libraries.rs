//! Libraries that a worker adds to its kernels before it begins, for a gate and for a counted call.

use crate::error::Result;
use std::path::PathBuf;

/// Loads these libraries and adds their kernels to those of this process; says which kernel is of which.
///
/// # Errors
/// As `guest::load`, or an id that is taken.
#[cfg(target_os = "linux")]
pub fn add(libraries: &[String]) -> Result<Vec<(&'static str, PathBuf)>> {
    let (mut kernels, mut of) = (Vec::new(), Vec::new());
    for path in libraries.iter().map(PathBuf::from) {
        let own = super::guest::load(&path)?;
        of.extend(own.iter().map(|kernel| (kernel.id, path.clone())));
        kernels.extend(own);
    }
    if kernels.is_empty() {
        return Ok(of);
    }
    let taken = |what| crate::error::Error::input(format!("--kernel-library {}: {what}", libraries.join(", ")));
    crate::registered::add(&kernels).map_err(taken)?;
    Ok(of)
}

/// None: libraries are loaded on Linux only, and the program refuses to name one elsewhere.
#[cfg(not(target_os = "linux"))]
pub fn add(_: &[String]) -> Result<Vec<(&'static str, PathBuf)>> {
    Ok(Vec::new())
}
